//! What a token says, and the rules about it. Pure: no clock, no key.

pub mod claims;
pub mod kind;
pub mod limits;
pub mod rules;

pub use limits::{Limits, TypeLimit};
