//! The issuer: signs tokens, keeps projects, the ledger and the revocation log.

pub mod adapters;
pub mod application;
pub mod domain;
pub mod transport;
