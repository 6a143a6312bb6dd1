//! What the ledger keeps of a token: its id and metadata, never the token, never a person (rules 9 and 10).

use common::{
    key_id::KeyId,
    organisation_id::OrganisationId,
    project_id::ProjectId,
    revocation::{cursor::Cursor, rule::Subject},
    timestamp::Timestamp,
    token::kind::TokenType,
    token_id::TokenId,
};

use crate::domain::{approval::Reference, order::Operation};

/// One issued token. Never changes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TokenRecord {
    /// The `jti`.
    pub id: TokenId,
    /// The project the token is for.
    pub project: ProjectId,
    /// The organisation it was issued to.
    pub organisation: OrganisationId,
    /// What it authorises.
    pub operation: Operation,
    /// The approved request it fulfils (rule 2).
    pub approval_request: Reference,
    /// `iat`, and `nbf` too.
    pub issued_at: Timestamp,
    /// `exp`, exclusive.
    pub expires_at: Timestamp,
    /// The key that signs it.
    pub key: KeyId,
    /// SHA-256 of the certificate that it is bound to (RFC 8705).
    pub holder: Option<[u8; 32]>,
    /// The log position at which it was recorded; given by the store.
    pub recorded: Cursor,
}

impl TokenRecord {
    /// What rules of the revocation log are matched with.
    pub fn subject(&self) -> Subject<'_> {
        Subject {
            id: self.id,
            key: self.key,
            token_type: self.token_type(),
            project: &self.project,
            organisation: self.organisation,
            source: self.operation.source().map(|source| (&source.project, source.organisation)),
            recorded: self.recorded,
        }
    }

    /// What it authorises.
    pub const fn token_type(&self) -> TokenType {
        self.operation.token_type()
    }
}
