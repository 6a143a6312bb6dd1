//! Why a token is refused: a closed list. Holds nothing of the token.

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
    #[error("claims of an unknown schema; schema 1 is needed")]
    UnsupportedSchema,
    /// Hit by the revocation log.
    #[error("revoked")]
    Revoked,
    /// Bound to another holder, or to one and none was given.
    #[error("bound to another holder")]
    WrongHolder,
}
