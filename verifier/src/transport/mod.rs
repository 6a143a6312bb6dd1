//! The verifier's gRPC, probes and metrics. Decides nothing: parses, asks, renders.

mod answer;
pub mod authz;
mod convert;
pub mod direct;
pub mod fairness;
pub mod grpc;
pub mod health;
#[cfg(feature = "guard")]
mod judge;
pub mod methods;
pub mod metrics;
mod status;
mod wire;
