//! A token that policy granted and nobody has signed. Only the policy makes one; recording it uses it up.

use common::{
    key_id::KeyId, organisation_id::OrganisationId, project::ProjectConfiguration, project_id::ProjectId,
    revocation::cursor::Cursor, timestamp::Timestamp, token::kind::TokenType, token_id::TokenId,
};

use crate::domain::{
    approval::Approval,
    ledger::TokenRecord,
    order::{IdempotencyKey, Operation, SourceLayer},
};

/// What policy granted. That one exists is the proof that the rules were checked, against [`Draft::checked_against`].
#[derive(Debug, Eq, PartialEq)]
#[must_use = "a draft that is not recorded is no token"]
pub struct Draft {
    pub(super) project: Checked,
    pub(super) source_project: Option<Checked>,
    pub(super) organisation: OrganisationId,
    pub(super) operation: Operation,
    pub(super) configuration: ProjectConfiguration,
    pub(super) issued_at: Timestamp,
    pub(super) expires_at: Timestamp,
    pub(super) approval: Approval,
    pub(super) holder: Option<[u8; 32]>,
    pub(super) idempotency_key: Option<IdempotencyKey>,
}

/// A project in the version that policy looked at.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Checked {
    /// The project.
    pub project: ProjectId,
    /// Its version. If the stored one is another when the token is recorded, policy runs again.
    pub version: u64,
}

impl Draft {
    /// What the ledger is to keep: with the token's id and the key that is to sign. The store gives the position.
    pub fn record(&self, id: TokenId, key: KeyId) -> TokenRecord {
        TokenRecord {
            id,
            project: self.project.project.clone(),
            organisation: self.organisation,
            operation: self.operation.clone(),
            approval_request: self.approval.request.clone(),
            issued_at: self.issued_at,
            expires_at: self.expires_at,
            key,
            holder: self.holder,
            recorded: Cursor::ZERO,
        }
    }

    /// The project the token is for.
    pub const fn project(&self) -> &ProjectId {
        &self.project.project
    }

    /// The project, and for a secondary token the source project, in the versions that policy looked at.
    pub fn checked_against(&self) -> impl Iterator<Item = &Checked> {
        std::iter::once(&self.project).chain(&self.source_project)
    }

    /// The organisation that will use the token.
    pub const fn organisation(&self) -> OrganisationId {
        self.organisation
    }

    /// What the token authorises.
    pub const fn token_type(&self) -> TokenType {
        self.operation.token_type()
    }

    /// The source layer; of a secondary token only.
    pub const fn source(&self) -> Option<&SourceLayer> {
        self.operation.source()
    }

    /// The project's configuration as it was when policy looked (rule 8).
    pub const fn configuration(&self) -> &ProjectConfiguration {
        &self.configuration
    }

    /// Whole seconds; also the `nbf` of the token.
    pub const fn issued_at(&self) -> Timestamp {
        self.issued_at
    }

    /// Exclusive. Later than [`Draft::issued_at`], never past a retention end or the ceiling (rule 7).
    pub const fn expires_at(&self) -> Timestamp {
        self.expires_at
    }

    /// For ledger and audit; nothing of it goes into the token (rule 9).
    pub const fn approval(&self) -> &Approval {
        &self.approval
    }

    /// SHA-256 of the certificate that the token is bound to.
    pub const fn holder(&self) -> Option<&[u8; 32]> {
        self.holder.as_ref()
    }

    /// As the caller gave it.
    pub const fn idempotency_key(&self) -> Option<&IdempotencyKey> {
        self.idempotency_key.as_ref()
    }
}
