//! Stores behind the port. One contract, whatever they are made of.

pub mod embedded;
mod records;
pub mod seal;
