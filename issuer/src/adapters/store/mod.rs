//! Stores behind the port. One contract, whatever they are made of.

pub mod embedded;
pub mod export_file;
pub mod memory;
mod records;
pub mod redis;
mod register;
mod runs;
pub mod seal;
