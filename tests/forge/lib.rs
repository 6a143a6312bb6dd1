//! Forged tokens for tests: made by hand, and changed in every way there is. Holds no rule of what a good token is.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    reason = "a forge that cannot go on must fail its test"
)]

pub mod attacks;
pub mod judge;
pub mod mutations;
pub mod tally;
pub mod tokens;
pub mod variants;
