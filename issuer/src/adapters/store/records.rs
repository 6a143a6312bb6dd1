//! The byte forms of what a store keeps: JSON with every member named. What cannot be read back is lost data.

mod keys;
mod register;

use std::time::Duration;

use common::{
    project::{
        Alphabet, Collaborator, Method, OutputFormat, Project, ProjectConfiguration, Retention, Treatment,
    },
    revocation::{cursor::Cursor, head::Link},
    timestamp::Timestamp,
    token::{
        Limits,
        kind::{PerType, TokenType},
        limits::TypeLimit,
    },
};
use serde::{Deserialize, Serialize};

pub(super) use self::register::RowForm;
use crate::domain::{
    approval::Reference,
    key_roles::KeyRoles,
    ledger::TokenRecord,
    order::{Operation, SourceLayer},
    policy_record::{EarlierCeilings, PolicyRecord},
    ports::{AuditMark, Idempotency, LogEnd, StoreError},
    transfer::Kept,
};

/// Something with a byte form.
pub(super) trait Record: Sized {
    type Form: Serialize + for<'a> Deserialize<'a>;

    fn form(&self) -> Self::Form;

    fn read(form: Self::Form) -> Option<Self>;

    fn to_bytes(&self) -> Vec<u8> {
        // Numbers, texts and lists of them always have a JSON form.
        serde_json::to_vec(&self.form()).unwrap_or_default()
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, StoreError> {
        serde_json::from_slice(bytes).ok().and_then(Self::read).ok_or(StoreError::LostData)
    }
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ProjectForm {
    id: String,
    owner: [u8; 16],
    collaborators: Vec<([u8; 16], bool)>,
    /// Years, months, days, end.
    retention: Option<(u32, u32, u32, u64)>,
    treatment: String,
    alphabet: String,
    length: u32,
    created: u64,
    closed: Option<u64>,
    version: u64,
}

impl Record for Project {
    type Form = ProjectForm;

    fn form(&self) -> ProjectForm {
        let retention = match self.configuration.method {
            Method::Reversible { retention, retention_end } => {
                Some((retention.years(), retention.months(), retention.days(), retention_end.seconds()))
            }
            Method::NotReversible => None,
        };
        let collaborators =
            self.collaborators.iter().map(|one| (*one.organisation.as_bytes(), one.can_reverse));
        ProjectForm {
            id: self.id.to_string(),
            owner: *self.owner.as_bytes(),
            collaborators: collaborators.collect(),
            retention,
            treatment: self.configuration.treatment.as_str().to_owned(),
            alphabet: self.configuration.output_format.alphabet().as_str().to_owned(),
            length: self.configuration.output_format.length(),
            created: self.created.seconds(),
            closed: self.closed.map(Timestamp::seconds),
            version: self.version,
        }
    }

    fn read(form: ProjectForm) -> Option<Self> {
        let method = match form.retention {
            Some((years, months, days, end)) => Method::Reversible {
                retention: Retention::new(years, months, days).ok()?,
                retention_end: Timestamp::from_seconds(end)?,
            },
            None => Method::NotReversible,
        };
        let collaborators = form.collaborators.into_iter().map(|(organisation, can_reverse)| Collaborator {
            organisation: organisation_of(organisation),
            can_reverse,
        });
        Some(Self {
            id: form.id.parse().ok()?,
            owner: organisation_of(form.owner),
            collaborators: collaborators.collect(),
            configuration: ProjectConfiguration {
                method,
                treatment: Treatment::parse(&form.treatment)?,
                output_format: OutputFormat::new(Alphabet::parse(&form.alphabet)?, form.length).ok()?,
            },
            created: Timestamp::from_seconds(form.created)?,
            closed: match form.closed {
                Some(closed) => Some(Timestamp::from_seconds(closed)?),
                None => None,
            },
            version: form.version,
        })
    }
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TokenForm {
    id: String,
    project: String,
    organisation: [u8; 16],
    kind: u8,
    source: Option<(String, [u8; 16])>,
    request: String,
    issued_at: u64,
    expires_at: u64,
    key: String,
    holder: Option<[u8; 32]>,
    recorded: (u64, u64),
}

impl Record for TokenRecord {
    type Form = TokenForm;

    fn form(&self) -> TokenForm {
        let source = self.operation.source();
        TokenForm {
            id: self.id.to_string(),
            project: self.project.to_string(),
            organisation: *self.organisation.as_bytes(),
            kind: self.token_type().code(),
            source: source.map(|source| (source.project.to_string(), *source.organisation.as_bytes())),
            request: self.approval_request.as_str().to_owned(),
            issued_at: self.issued_at.seconds(),
            expires_at: self.expires_at.seconds(),
            key: self.key.to_string(),
            holder: self.holder,
            recorded: (self.recorded.epoch, self.recorded.sequence),
        }
    }

    fn read(form: TokenForm) -> Option<Self> {
        let operation = match (TokenType::from_code(form.kind)?, form.source) {
            (TokenType::Pseudonymisation, None) => Operation::Pseudonymise,
            (TokenType::Reverse, None) => Operation::Reverse,
            (TokenType::Secondary, Some((project, organisation))) => Operation::Secondary(SourceLayer {
                project: project.parse().ok()?,
                organisation: organisation_of(organisation),
            }),
            (TokenType::Pseudonymisation | TokenType::Reverse, Some(_)) | (TokenType::Secondary, None) => {
                return None;
            }
        };
        Some(Self {
            id: form.id.parse().ok()?,
            project: form.project.parse().ok()?,
            organisation: organisation_of(form.organisation),
            operation,
            approval_request: Reference::new(&form.request).ok()?,
            issued_at: Timestamp::from_seconds(form.issued_at)?,
            expires_at: Timestamp::from_seconds(form.expires_at)?,
            key: form.key.parse().ok()?,
            holder: form.holder,
            recorded: Cursor::new(form.recorded.0, form.recorded.1),
        })
    }
}

/// A record of the ledger with its number and its idempotency key and content.
pub(super) type IssuedForm = (u64, TokenForm, Option<([u8; 32], [u8; 32])>);

pub(super) fn kept_form(kept: &Kept) -> IssuedForm {
    (kept.number, kept.record.form(), kept.idempotency.map(|used| (used.key, used.content)))
}

pub(super) fn read_kept((number, form, used): IssuedForm) -> Option<Kept> {
    let idempotency = used.map(|(key, content)| Idempotency { key, content });
    Some(Kept { number, record: TokenRecord::read(form)?, idempotency })
}

/// Lifetime in seconds and staleness in milliseconds, by type.
type LimitsForm = [(u64, u64); 3];

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PolicyForm {
    version: u64,
    limits: LimitsForm,
    earlier: Vec<(LimitsForm, u64)>,
    keys: Vec<(String, keys::RoleForm)>,
    /// Of each key. A record of an older build has none.
    #[serde(default)]
    details: Vec<keys::DetailForm>,
}

impl Record for PolicyRecord {
    type Form = PolicyForm;

    fn form(&self) -> PolicyForm {
        let all = self.keys.all();
        PolicyForm {
            version: self.version,
            limits: limits_form(&self.limits),
            earlier: self.earlier.iter().map(|one| (limits_form(&one.limits), one.until.seconds())).collect(),
            keys: all.iter().map(|key| (key.id.to_string(), keys::role_form(key.role))).collect(),
            details: all.iter().map(keys::detail_form).collect(),
        }
    }

    fn read(form: PolicyForm) -> Option<Self> {
        let earlier = form.earlier.into_iter().map(|(limits, until)| {
            Some(EarlierCeilings { limits: read_limits(limits), until: Timestamp::from_seconds(until)? })
        });
        Some(Self {
            version: form.version,
            limits: read_limits(form.limits),
            earlier: earlier.collect::<Option<_>>()?,
            keys: KeyRoles::new(keys::read(form.keys, form.details)?)?,
        })
    }
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EndForm {
    epoch: u64,
    base: (u64, [u8; 32]),
    end: (u64, [u8; 32]),
    log_time: u64,
}

impl Record for LogEnd {
    type Form = EndForm;

    fn form(&self) -> EndForm {
        let link = |link: &Link| (link.sequence, link.hash);
        EndForm {
            epoch: self.epoch,
            base: link(&self.base),
            end: link(&self.end),
            log_time: self.log_time.seconds(),
        }
    }

    fn read(form: EndForm) -> Option<Self> {
        let link = |(sequence, hash): (u64, [u8; 32])| Link { sequence, hash };
        let log_time = Timestamp::from_seconds(form.log_time)?;
        Some(Self { epoch: form.epoch, base: link(form.base), end: link(form.end), log_time })
    }
}

impl Record for AuditMark {
    type Form = (u64, [u8; 32]);

    fn form(&self) -> Self::Form {
        (self.number, self.hash)
    }

    fn read((number, hash): Self::Form) -> Option<Self> {
        Some(Self { number, hash })
    }
}

fn organisation_of(bytes: [u8; 16]) -> common::organisation_id::OrganisationId {
    common::organisation_id::OrganisationId::from_bytes(bytes)
}

fn limits_form(limits: &Limits) -> LimitsForm {
    TokenType::ALL.map(|kind| {
        let limit = limits.get(kind);
        (limit.lifetime.as_secs(), millis(limit.staleness))
    })
}

fn read_limits(form: LimitsForm) -> Limits {
    let [pseudonymisation, reverse, secondary] = form.map(|(lifetime, staleness)| TypeLimit {
        lifetime: Duration::from_secs(lifetime),
        staleness: Duration::from_millis(staleness),
    });
    Limits(PerType { pseudonymisation, reverse, secondary })
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
