//! The only home of generated code. Proto types never pass a `transport` or `convert` module.

/// Package `ipms.token.v1`.
#[allow(
    missing_docs,
    unreachable_pub,
    clippy::pedantic,
    clippy::large_enum_variant,
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    reason = "generated"
)]
pub mod v1 {
    tonic::include_proto!("ipms.token.v1");
}

/// The descriptor set of the package, for reflection and for tests that compare tables with it.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/ipms_token_v1.bin"));
