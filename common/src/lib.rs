//! What issuer and verifier agree on. No store; outside `runtime` and `guard` no async, no sockets, no ambient time.

pub mod clock;
pub mod convert;
pub mod encoding;
#[cfg(feature = "guard")]
pub mod guard;
pub mod jws;
pub mod key_id;
pub mod keys;
pub mod organisation_id;
pub mod project;
pub mod project_id;
pub mod proto;
pub mod revocation;
pub mod runtime;
pub mod secret;
mod strict_json;
pub mod timestamp;
pub mod token;
pub mod token_id;
pub mod trust;
pub mod verification;
