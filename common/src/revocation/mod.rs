//! The revocation log: rules, entries, signed heads, the set that verifiers ask. Pure: no clock, no store, no socket.

pub mod cursor;
pub mod entry;
pub mod head;
pub mod lease;
pub mod log;
pub mod rule;
pub mod set;
pub(crate) mod wire;
