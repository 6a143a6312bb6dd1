//! What a token says, and the rules about it. Pure: no clock, no key, no encoding.

pub mod kind;
pub mod limits;

pub use limits::{Limits, TypeLimit};
