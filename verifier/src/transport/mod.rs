//! The verifier's gRPC, probes and metrics. Decides nothing: parses, asks, renders.

mod convert;
pub mod grpc;
pub mod health;
#[cfg(feature = "guard")]
mod judge;
pub mod methods;
pub mod metrics;
mod status;
