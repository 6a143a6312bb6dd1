//! The verifier: validates tokens from memory, beside every component that uses them.

pub mod adapters;
pub mod application;
pub mod domain;
pub mod transport;

// So that the world of the tests is spelt alike here and in `tests/grpc`.
#[cfg(test)]
extern crate self as verifier;
