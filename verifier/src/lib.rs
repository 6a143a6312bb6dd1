//! The verifier: validates tokens from memory, beside every component that uses them.

pub mod adapters;
pub mod application;
pub mod args;
pub mod doctor;
pub mod domain;
pub mod settings;
pub mod transport;
pub mod wiring;

// The world of the tests, spelt alike here and in `tests/grpc`.
#[cfg(test)]
extern crate self as verifier;
#[cfg(test)]
#[path = "../tests/grpc/world.rs"]
mod world;
