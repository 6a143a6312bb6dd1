//! The verifier's gRPC. Decides nothing: parses, asks, renders.

mod convert;
pub mod grpc;
pub mod methods;
mod status;
