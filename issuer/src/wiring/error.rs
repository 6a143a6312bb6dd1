//! Why the issuer does not start, in words. Decides nothing.

use common::{runtime::listener::BindError, trust::signed::InvalidLogKeys, verification::InvalidPolicy};

use crate::{
    adapters::{
        audit_file,
        key_directory::KeysError,
        store::{embedded, redis},
    },
    application::log::CannotStart,
    domain::ports::{NoEntropy, StoreError},
};

/// Why the issuer does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The keys.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// The store's file.
    #[error("the store: {0}")]
    OpenStore(#[from] embedded::OpenError),
    /// The store's server.
    #[error("the store: {0}")]
    OpenRedis(#[from] redis::OpenError),
    /// The store, once open.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The audit file.
    #[error("{0}")]
    Audit(#[from] audit_file::OpenError),
    /// The log.
    #[error(transparent)]
    Log(#[from] CannotStart),
    /// Issuer or audience.
    #[error(transparent)]
    Policy(#[from] InvalidPolicy),
    /// The log keys.
    #[error(transparent)]
    LogKeys(#[from] InvalidLogKeys),
    /// No number for this process.
    #[error(transparent)]
    NoEntropy(#[from] NoEntropy),
    /// No thread.
    #[error("the system starts no more threads")]
    Thread(#[from] std::io::Error),
    /// The listeners.
    #[error(transparent)]
    Bind(#[from] BindError),
}
