//! What a verifier knows and how it judges. Never awaits; knows no transport, no disk, no socket.

pub mod cache;
