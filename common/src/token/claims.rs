//! What a token says, and its one JSON spelling (RFC 8259). Never the checks against a clock, a key or a policy.

mod json;
#[cfg(test)]
pub(crate) mod tests;

use crate::{
    organisation_id::OrganisationId,
    project::{OutputFormat, Treatment},
    project_id::ProjectId,
    revocation::cursor::Cursor,
    timestamp::Timestamp,
    token::kind::TokenType,
    token_id::TokenId,
};

/// The version of the claims. A new claim is a new version; any other is refused (DESIGN, section 3).
pub const SCHEMA: u64 = 1;

/// Everything a token says. No user, no e-mail, no request text, no data (rule 9).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Claims {
    /// `iss`.
    pub issuer: String,
    /// `aud`: one.
    pub audience: String,
    /// `jti`.
    pub id: TokenId,
    /// `iat`.
    pub issued_at: Timestamp,
    /// `nbf`, inclusive.
    pub not_before: Timestamp,
    /// `exp`, exclusive.
    pub expires_at: Timestamp,
    /// `sub`.
    pub project: ProjectId,
    /// `token_type`.
    pub kind: TokenType,
    /// `organisation`: to whom it was issued.
    pub organisation: OrganisationId,
    /// `project`: a snapshot of the project's configuration (rule 8).
    pub configuration: TokenConfiguration,
    /// `source`: on secondary tokens, the layer whose pseudonyms they take.
    pub source: Option<Source>,
    /// `recorded`: the log position at which the ledger recorded it.
    pub recorded: Cursor,
    /// `cnf` `x5t#S256` (RFC 8705 section 3.1): the SHA-256 of the holder's certificate.
    pub holder: Option<[u8; 32]>,
}

/// A project's configuration as tokens carry it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct TokenConfiguration {
    /// Whether pseudonyms can be turned back.
    pub method: TokenMethod,
    /// What becomes of a value that comes again.
    pub treatment: Treatment,
    /// What a pseudonym looks like.
    pub output_format: OutputFormat,
}

/// Whether pseudonyms can be turned back, as tokens tell it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum TokenMethod {
    /// They can, until the retention ends.
    Reversible {
        /// Exclusive.
        retention_end: Timestamp,
    },
    /// They never can.
    NotReversible,
}

impl TokenMethod {
    /// The exclusive end of the retention, if there is one.
    pub const fn retention_end(self) -> Option<Timestamp> {
        match self {
            Self::Reversible { retention_end } => Some(retention_end),
            Self::NotReversible => None,
        }
    }
}

/// A layer of first-level pseudonyms.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Source {
    /// The project that made it.
    pub project: ProjectId,
    /// The organisation that made it.
    pub organisation: OrganisationId,
}

/// Bytes that are no claims of ours.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum InvalidClaims {
    /// Not the JSON we write: members missing, doubled, unknown, null or of a wrong type; a value out of its bounds.
    #[error("not the claims of a token")]
    Malformed,
    /// Claims of another version.
    #[error("claims of schema {0}, and only {SCHEMA} is known")]
    UnsupportedSchema(u64),
}
