//! The journey of data: tokens from the Portal's calls, then the component over HTTP. Nothing is replaced but the clocks.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on must fail")]

mod bodies;
mod bound;
#[path = "../../verifier/examples/incert/component/mod.rs"]
mod component;
mod formats;
mod layers;
mod load;
mod random;
mod rig;
mod withdrawing;
