//! The key schema in Redis, version 1: what is kept under which key. No key ever has a time to live: Redis would delete
//! it for good after a jump of its host's clock.

use common::{organisation_id::OrganisationId, project_id::ProjectId};

use crate::domain::approval::Reference;

/// The keys of one realm. All of them share a hash tag, so that one step may touch any of them in a cluster too.
#[derive(Debug)]
pub(super) struct Keys {
    /// Hash of single values, by the names below:
    ///
    /// * `epoch`, `sequence`, `hash`, `base`, `base_hash`, `time`: the log's end. Numbers are decimal, hashes 32 bytes.
    /// * `runs`: how many runs of entries the log has.
    /// * `policy`, `policy_version`: limits and key roles, sealed, and their version.
    /// * `audit:` and an issuer's name: how far its audit trail reached.
    /// * `register`, `rows`, `losses`: the register's version, how many rows of followers it has, how often a loss was told.
    /// * `newest`: the number given to a token record last.
    /// * `importing`: there while an import has not been finished.
    /// * `touched`: means nothing (see `connections`).
    pub(super) meta: String,
    /// Hash: project id → version in 20 digits, sealed project.
    pub(super) projects: String,
    /// Sorted set: every project id, in the order of its bytes.
    pub(super) project_ids: String,
    /// Hash: number in 16 digits → `epoch:sequence:` at which it was recorded, token record.
    pub(super) ledger: String,
    /// Hash: token id (16 bytes) → number.
    pub(super) numbers: String,
    /// Sorted set: number, by number.
    pub(super) tokens: String,
    /// Sorted set: number, by expiry in seconds.
    pub(super) by_expiry: String,
    /// Hash: blinded idempotency key → number, blinded content.
    pub(super) idempotency: String,
    /// Hash: number → blinded idempotency key, so that it is forgotten with its record.
    pub(super) idempotency_of: String,
    /// Hash: sequence of the first entry in 20 digits → packed entries of the epoch that stands.
    pub(super) log: String,
    /// Sorted set: those sequences, in order.
    pub(super) firsts: String,
    /// The same two of an epoch that an issuer is about to open, if it is long; of each issuer its own.
    pub(super) next_log: String,
    pub(super) next_firsts: String,
    /// Hash: instance in 20 digits and follower id → who answers it: issuer and session in 20 digits each, row.
    pub(super) followers: String,
    /// Hash: issuer in 20 digits → number of its last round in 20 digits, row.
    pub(super) issuers: String,
    /// Hash: an issuer's instance in 20 digits → what it tells the others about keys, sealed.
    pub(super) holders: String,
    prefix: String,
}

impl Keys {
    pub(super) fn new(realm: &str, issuer: &str) -> Self {
        let prefix = format!("{{ipms:{realm}}}:v1:");
        let key = |name: &str| format!("{prefix}{name}");
        Self {
            meta: key("meta"),
            projects: key("projects"),
            project_ids: key("project_ids"),
            ledger: key("ledger"),
            numbers: key("numbers"),
            tokens: key("tokens"),
            by_expiry: key("tokens_by_expiry"),
            idempotency: key("idempotency"),
            idempotency_of: key("idempotency_of"),
            log: key("log"),
            firsts: key("log_firsts"),
            next_log: key(&format!("next_log:{issuer}")),
            next_firsts: key(&format!("next_log_firsts:{issuer}")),
            followers: key("followers"),
            issuers: key("issuers"),
            holders: key("key_holders"),
            prefix,
        }
    }

    /// What every key of the realm begins with.
    pub(super) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Sorted set: the ids of projects that this organisation owns, works on, or worked on once.
    pub(super) fn projects_of(&self, organisation: OrganisationId) -> String {
        format!("{}projects_of:{organisation}", self.prefix)
    }

    /// Sorted set: the numbers of a project's token records, by number.
    pub(super) fn tokens_of_project(&self, project: &ProjectId) -> String {
        format!("{}tokens_of_project:{project}", self.prefix)
    }

    /// Sorted set: the numbers of an organisation's token records, by number.
    pub(super) fn tokens_of_organisation(&self, organisation: OrganisationId) -> String {
        format!("{}tokens_of_organisation:{organisation}", self.prefix)
    }

    /// Sorted set: the numbers of the token records issued for a request, by number.
    pub(super) fn tokens_of_request(&self, request: &Reference) -> String {
        format!("{}tokens_of_request:{}", self.prefix, request.as_str())
    }
}

/// A number whose order as text is its own: sequences, versions, instances.
pub(super) fn digits(number: u64) -> String {
    format!("{number:020}")
}
