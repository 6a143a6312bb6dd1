//! The issuer's gRPC services: parse, ask, render. Decides nothing.

mod bounds;
pub mod follow;
pub mod issuer;
pub mod jwks;
pub mod keys;
pub mod methods;
pub mod metrics;
pub mod paging;
pub mod projects;
pub mod render;
pub mod revocation;
pub mod services;
pub mod status;

/// A field is bad, and was noted among the violations.
#[derive(Clone, Copy, Debug)]
struct Noted;
