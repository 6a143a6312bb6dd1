//! Disks, threads and stores behind the ports. Decides nothing about tokens.

pub mod signing_pool;
