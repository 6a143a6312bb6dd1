//! Disks, threads and stores behind the ports. Decides nothing about tokens.

pub mod audit_file;
pub mod journal;
pub mod key_directory;
pub mod pkcs11;
pub mod store;
pub mod system_entropy;
