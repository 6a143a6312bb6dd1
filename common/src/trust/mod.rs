//! What verifiers trust besides the log: statements that the log key signs, and the one about keys and limits.

pub mod keys_and_limits;
pub mod signed;

pub use keys_and_limits::Trust;
pub use signed::{InvalidLogKeys, LogKeys, NotTrusted, Signed, Statement, Verified};
