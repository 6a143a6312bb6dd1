//! What the Portal orders: one token. Shape only, every field parsed; whether it is granted is the policy's to judge.

use std::{fmt, time::Duration};

use common::{organisation_id::OrganisationId, project_id::ProjectId, token::kind::TokenType};

use crate::domain::approval::Approval;

/// A request for one token whose every field is well-formed. Every value of it is a request that makes sense.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Order {
    /// The project the token is for.
    pub project: ProjectId,
    /// The organisation that will use it.
    pub organisation: OrganisationId,
    /// What it is to authorise, with what only that type needs.
    pub operation: Operation,
    /// How long it is to live. `None`: as long as the type may, cut at the retention end (rule 7).
    pub lifetime: Option<Lifetime>,
    /// The approved request behind it. `None` is a well-formed order that no policy grants (rule 2).
    pub approval: Option<Approval>,
    /// SHA-256 of the certificate that the token is bound to (RFC 8705).
    pub holder: Option<[u8; 32]>,
    /// Makes a repeat of the order recognisable.
    pub idempotency_key: Option<IdempotencyKey>,
}

/// A token type and what only it needs: a missing or a forbidden source cannot be written (rule 4).
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Operation {
    /// Original values to first-level pseudonyms.
    Pseudonymise,
    /// Pseudonyms to the values one layer down.
    Reverse,
    /// First-level pseudonyms of another layer to second-level pseudonyms.
    Secondary(SourceLayer),
}

impl Operation {
    /// The token type that authorises it.
    pub const fn token_type(&self) -> TokenType {
        match self {
            Self::Pseudonymise => TokenType::Pseudonymisation,
            Self::Reverse => TokenType::Reverse,
            Self::Secondary(_) => TokenType::Secondary,
        }
    }

    /// The source layer; of a secondary token only.
    pub const fn source(&self) -> Option<&SourceLayer> {
        match self {
            Self::Pseudonymise | Self::Reverse => None,
            Self::Secondary(source) => Some(source),
        }
    }
}

/// The project and organisation whose first-level pseudonyms a secondary token takes (rule 5).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SourceLayer {
    /// The source project.
    pub project: ProjectId,
    /// The organisation that made its first level.
    pub organisation: OrganisationId,
}

/// How long a token is to live: whole seconds, at least one.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Lifetime(Duration);

impl Lifetime {
    /// Reads a lifetime.
    ///
    /// # Errors
    /// [`InvalidLifetime`] when it is shorter than one second or not in whole seconds.
    pub const fn new(span: Duration) -> Result<Self, InvalidLifetime> {
        if span.as_secs() >= 1 && span.subsec_nanos() == 0 { Ok(Self(span)) } else { Err(InvalidLifetime) }
    }

    /// The span.
    pub const fn duration(self) -> Duration {
        self.0
    }
}

/// Shorter than one second, or not in whole seconds.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("must be at least 1 s, in whole seconds")]
pub struct InvalidLifetime;

/// Chosen by the caller, scoped to the caller and the project. 1 to 128 printable ASCII characters.
#[derive(Clone, Eq, Hash, PartialEq)]
pub struct IdempotencyKey(Box<str>);

impl IdempotencyKey {
    /// The most characters of a key.
    pub const MAX_LEN: usize = 128;

    /// Reads a key.
    ///
    /// # Errors
    /// [`InvalidIdempotencyKey`] when it is not 1 to 128 printable ASCII characters.
    pub fn new(text: &str) -> Result<Self, InvalidIdempotencyKey> {
        let fits = (1..=Self::MAX_LEN).contains(&text.len());
        let printable = text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
        if fits && printable { Ok(Self(text.into())) } else { Err(InvalidIdempotencyKey) }
    }

    /// The characters.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for IdempotencyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("IdempotencyKey(..)")
    }
}

/// Not 1 to 128 printable ASCII characters.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("must be 1 to 128 printable ASCII characters")]
pub struct InvalidIdempotencyKey;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rule_01_each_operation_is_one_type() {
        let source =
            SourceLayer { project: "p".parse().unwrap(), organisation: OrganisationId::from_bytes([1; 16]) };
        let of = |operation: Operation| (operation.token_type(), operation.source().is_some());
        assert_eq!(of(Operation::Pseudonymise), (TokenType::Pseudonymisation, false));
        assert_eq!(of(Operation::Reverse), (TokenType::Reverse, false));
        assert_eq!(of(Operation::Secondary(source)), (TokenType::Secondary, true));
    }

    #[test]
    fn a_lifetime_is_whole_seconds_and_at_least_one() {
        assert_eq!(Lifetime::new(Duration::from_secs(1)).map(Lifetime::duration), Ok(Duration::from_secs(1)));
        for bad in [Duration::ZERO, Duration::from_millis(999), Duration::from_millis(1_500)] {
            assert_eq!(Lifetime::new(bad), Err(InvalidLifetime), "{bad:?}");
        }
    }

    #[test]
    fn an_idempotency_key_is_1_to_128_printable_ascii_characters() {
        assert!(IdempotencyKey::new(&"k".repeat(128)).is_ok());
        for bad in ["", "ü", "\t", &"k".repeat(129)] {
            assert_eq!(IdempotencyKey::new(bad), Err(InvalidIdempotencyKey), "{bad:?}");
        }
    }
}
