//! Why a token is refused: a closed list. Holds nothing of the token.

use crate::token::claims::SCHEMA;

/// The reasons of the wire's `RefusalReason`.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, thiserror::Error)]
pub enum Refusal {
    /// Size, encoding, JSON, claims.
    #[error("not a token of ours")]
    Malformed,
    /// Another algorithm than the key's.
    #[error("signed with an algorithm other than the key's")]
    UnsupportedAlgorithm,
    /// No key of the issuer's.
    #[error("signed by no known key")]
    UnknownKey,
    /// The signature does not match.
    #[error("the signature does not match")]
    BadSignature,
    /// Another issuer's.
    #[error("another issuer's token")]
    WrongIssuer,
    /// Meant for somebody else.
    #[error("meant for another audience")]
    WrongAudience,
    /// Past `exp`.
    #[error("expired")]
    Expired,
    /// Before `nbf` or `iat`.
    #[error("not valid yet")]
    NotYetValid,
    /// `exp - iat` above the type's ceiling.
    #[error("lives longer than its type may")]
    LifetimeTooLong,
    /// Past the retention end.
    #[error("the project's retention has ended")]
    RetentionEnded,
    /// Not of an accepted type.
    #[error("not of an accepted type")]
    WrongType,
    /// Well signed, but against the rules.
    #[error("the token contradicts the rules")]
    Contradictory,
    /// A version of the claims that is not known here.
    #[error("claims of schema {0}, which needs a newer verifier: this one knows schema {SCHEMA}")]
    UnsupportedSchema(u64),
    /// Hit by the revocation log.
    #[error("revoked")]
    Revoked,
    /// Bound to another holder, or to one and none was given.
    #[error("bound to another holder")]
    WrongHolder,
}

impl Refusal {
    /// Their names in metrics, in the order of their numbers: those of the wire without its prefix.
    pub const CODES: [&'static str; 15] = [
        "MALFORMED",
        "UNSUPPORTED_ALGORITHM",
        "UNKNOWN_KEY",
        "BAD_SIGNATURE",
        "WRONG_ISSUER",
        "WRONG_AUDIENCE",
        "EXPIRED",
        "NOT_YET_VALID",
        "LIFETIME_TOO_LONG",
        "RETENTION_ENDED",
        "WRONG_TYPE",
        "CONTRADICTORY",
        "UNSUPPORTED_SCHEMA",
        "REVOKED",
        "WRONG_HOLDER",
    ];

    /// The number on the wire, from 1.
    pub const fn number(self) -> u8 {
        match self {
            Self::Malformed => 1,
            Self::UnsupportedAlgorithm => 2,
            Self::UnknownKey => 3,
            Self::BadSignature => 4,
            Self::WrongIssuer => 5,
            Self::WrongAudience => 6,
            Self::Expired => 7,
            Self::NotYetValid => 8,
            Self::LifetimeTooLong => 9,
            Self::RetentionEnded => 10,
            Self::WrongType => 11,
            Self::Contradictory => 12,
            Self::UnsupportedSchema(_) => 13,
            Self::Revoked => 14,
            Self::WrongHolder => 15,
        }
    }
}
