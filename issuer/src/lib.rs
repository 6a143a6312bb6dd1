//! The issuer: signs tokens, keeps projects, the ledger and the revocation log.

pub mod adapters;
pub mod application;
pub mod args;
pub mod commands;
pub mod domain;
pub mod rotation;
pub mod settings;
pub mod transport;
pub mod wiring;
