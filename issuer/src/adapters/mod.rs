//! Disks, threads and stores behind the ports. Decides nothing about tokens.

pub mod audit_file;
