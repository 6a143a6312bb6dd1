//! Why a snapshot is not opened, or not believed. Decides nothing.

use std::io;

use common::{revocation::log::Refused, trust::NotTrusted};

use crate::adapters::framed_file::OpenError;

/// Why the start must stop.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// Of another issuer, another realm, other log keys, or no snapshot at all.
    #[error("the snapshot is of another issuer, realm or log key, or is none")]
    Foreign,
    /// Another process has it open.
    #[error("the snapshot is in use by another process")]
    InUse,
    /// The disk's fault.
    #[error("the snapshot cannot be read or written")]
    Io(#[from] io::Error),
}

/// Why a file is not believed.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Damage {
    /// A checksum does not match.
    #[error("a frame is damaged at byte {offset}")]
    Frame {
        /// Where the frame begins.
        offset: u64,
    },
    /// A whole frame that says nothing this build knows.
    #[error("a frame is malformed")]
    Malformed,
    /// Something old stands behind something newer.
    #[error("the file was rolled back")]
    RolledBack,
    /// The runs do not follow each other, or do not end where the head says.
    #[error("the chain of entries is broken")]
    BrokenChain,
    /// A statement about another issuer or realm.
    #[error("a statement of another issuer or realm")]
    OtherIssuer,
    /// A signature does not hold.
    #[error(transparent)]
    NotTrusted(#[from] NotTrusted),
    /// The log is refused.
    #[error(transparent)]
    Refused(#[from] Refused),
}

/// Why reading stopped.
#[derive(Debug, thiserror::Error)]
pub(super) enum Stop {
    #[error("of another identity")]
    Foreign,
    #[error(transparent)]
    Damage(#[from] Damage),
    #[error(transparent)]
    Open(#[from] OpenError),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Open(OpenError::Io(error))
    }
}
