//! Disks and sockets. Decides nothing about tokens.

pub mod boot_id;
pub mod follow_client;
pub mod framed_file;
pub mod snapshot;
