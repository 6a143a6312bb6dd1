//! The verifier: validates tokens from memory, beside every component that uses them.

pub mod adapters;
pub mod application;
pub mod domain;
