//! Disks and sockets. Decides nothing about tokens.

pub mod framed_file;
pub mod snapshot;
