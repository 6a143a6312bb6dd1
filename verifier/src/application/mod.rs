//! What the verifier does, step by step. Knows ports and the domain, no transport.

pub mod alarms;
pub mod following;
pub mod shared_view;
pub mod tally;
pub mod verify;
