//! What a failed call to Redis means. No kind of failure means that a step was done.

use redis::{ErrorKind, RedisError};

use crate::domain::ports::StoreError;

/// Why a call came to nothing, or to nothing that is known.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Refusal {
    /// No answer in time, no connection, or one that broke.
    #[error("Redis does not answer")]
    NoAnswer,
    /// `READONLY`, `MASTERDOWN`: a replica.
    #[error("this Redis is a replica")]
    Replica,
    /// `MOVED`, `CROSSSLOT`: another node of the cluster has these keys.
    #[error("this node of the cluster does not hold the realm's keys")]
    OtherNode,
    /// `ASK`, `TRYAGAIN`: some of the keys lie on one node, some on another.
    #[error("the realm's keys are moving to another node of the cluster")]
    Moving,
    /// `CLUSTERDOWN`.
    #[error("the cluster is down, or this node is cut off from it")]
    ClusterDown,
    /// `LOADING`.
    #[error("Redis is still loading its data")]
    Loading,
    /// `NOREPLICAS`.
    #[error("Redis has too few replicas")]
    NoReplicas,
    /// Fewer copies acknowledged the step than must.
    #[error("too few copies acknowledged the step")]
    TooFewCopies,
    /// `OOM`.
    #[error("Redis has no memory left")]
    OutOfMemory,
    /// `NOAUTH`, `WRONGPASS`, `NOPERM`.
    #[error("Redis denies access")]
    Denied,
    /// Its certificate, or ours.
    #[error("TLS with Redis fails: a certificate is not the one expected")]
    NotTrusted,
    /// `MISCONF`.
    #[error("Redis cannot write to its disk")]
    CannotPersist,
    /// `BUSY`.
    #[error("Redis is busy with another program's script")]
    Busy,
    /// `NOSCRIPT`.
    #[error("Redis does not know the script")]
    NoScript,
    /// What stands under a key is of another kind, or the answer is none that the step gives.
    #[error("what Redis holds is not what was put in")]
    Foreign,
    /// Any other error.
    #[error("Redis refused the step")]
    Other,
}

impl Refusal {
    /// Whether the connection is worth nothing afterwards.
    pub(super) const fn ends_connection(self) -> bool {
        match self {
            Self::NoAnswer
            | Self::Replica
            | Self::OtherNode
            | Self::Moving
            | Self::ClusterDown
            | Self::Denied
            | Self::NotTrusted => true,
            Self::Loading
            | Self::NoReplicas
            | Self::TooFewCopies
            | Self::OutOfMemory
            | Self::CannotPersist
            | Self::Busy
            | Self::NoScript
            | Self::Foreign
            | Self::Other => false,
        }
    }

    /// What the application is told; the rest is for the log.
    pub(super) fn told(self) -> StoreError {
        if self == Self::Foreign {
            tracing::error!("{self}");
            return StoreError::LostData;
        }
        tracing::warn!("{self}");
        StoreError::Unreachable
    }
}

impl From<&RedisError> for Refusal {
    fn from(error: &RedisError) -> Self {
        match error.code() {
            Some("READONLY" | "MASTERDOWN") => return Self::Replica,
            Some("MOVED" | "CROSSSLOT") => return Self::OtherNode,
            Some("ASK" | "TRYAGAIN") => return Self::Moving,
            Some("CLUSTERDOWN") => return Self::ClusterDown,
            Some("LOADING") => return Self::Loading,
            Some("NOREPLICAS") => return Self::NoReplicas,
            Some("OOM") => return Self::OutOfMemory,
            Some("NOAUTH" | "WRONGPASS" | "NOPERM") => return Self::Denied,
            Some("MISCONF") => return Self::CannotPersist,
            Some("BUSY") => return Self::Busy,
            Some("NOSCRIPT") => return Self::NoScript,
            Some("WRONGTYPE") => return Self::Foreign,
            // Redis gives NOPERM no name of its own inside of a script.
            Some("ERR") if error.detail().is_some_and(|text| text.contains("user executing the script")) => {
                return Self::Denied;
            }
            Some(_) => return Self::Other,
            None => {}
        }
        if error.kind() == ErrorKind::AuthenticationFailed {
            Self::Denied
        } else if error.kind() == ErrorKind::UnexpectedReturnType {
            Self::Foreign
        } else {
            Self::NoAnswer
        }
    }
}
