//! Stores behind the port. One contract, whatever they are made of.

pub mod embedded;
pub mod memory;
mod records;
pub mod redis;
mod runs;
pub mod seal;
