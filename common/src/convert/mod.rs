//! Between proto and domain, for both programs. Proto to domain names every bad field at once; the way back cannot fail.

pub mod project;
pub mod values;
pub mod violations;

pub use violations::{Violation, Violations};
