//! What is written to Redis: each step is one script, built here, and its answer is read here.

use common::{
    organisation_id::OrganisationId, project::Project, revocation::head::Link, timestamp::Timestamp,
};

use super::{
    RedisStore,
    connections::{Call, Parts},
    keys::digits,
    reads,
    refusal::Refusal,
    scripts,
};
use crate::{
    adapters::store::records::Record as _,
    domain::{
        key_holders::Holder,
        ledger::TokenRecord,
        policy_record::PolicyRecord,
        ports::{
            Append, Appended, AuditMark, Created, Idempotency, LogEnd, ProjectChange, Recorded, Recording,
            StoreError,
        },
    },
};

impl RedisStore {
    pub(super) async fn step(&self, call: Call) -> Result<Parts, StoreError> {
        self.connections.write(&call).await.map_err(Refusal::told)
    }

    /// A step that changes nothing, so that the end is one which enough replicas have.
    pub(super) async fn take_end(&self) -> Result<Option<LogEnd>, StoreError> {
        reads::end(&self.step(Call::new(scripts::END).key(self.keys.meta.as_str())).await?)
    }

    pub(super) async fn take_create(&self, project: Project) -> Result<Created, StoreError> {
        let id = project.id.as_str();
        let mut call = Call::new(scripts::CREATE)
            .key(self.keys.projects.as_str())
            .key(self.keys.project_ids.as_str())
            .arg(id)
            .arg(self.sealed(&project));
        for organisation in organisations(&project) {
            call = call.key(self.keys.projects_of(organisation));
        }
        let answer = self.step(call).await?;
        match said(&answer)? {
            b"new" => Ok(Created::New),
            b"stood" => reads::project(&self.seal, id.as_bytes(), part(&answer, 1)?).map(Created::Stood),
            _ => Err(Refusal::Foreign.told()),
        }
    }

    pub(super) async fn take_append(&self, append: Append) -> Result<Appended, StoreError> {
        let Append { after, entries, end, change, audit } = append;
        let back = after.is_some_and(|(epoch, link)| (end.epoch, end.end.sequence) < (epoch, link.sequence));
        let (epoch, stands) =
            after.map_or((String::new(), None), |(epoch, link)| (epoch.to_string(), Some(link)));
        let behind = after.filter(|(epoch, _)| *epoch == end.epoch).map_or(end.base, |(_, link)| link);
        // A long epoch would take longer than one call may.
        let opens = after.is_none_or(|(epoch, _)| epoch != end.epoch);
        let laid = opens && entries.len() > LONG;
        let entries = if laid {
            self.lay_ready(end.base.sequence, &entries).await?;
            Vec::new()
        } else {
            entries
        };
        let mut call = Call::new(scripts::APPEND)
            .key(self.keys.meta.as_str())
            .key(self.keys.projects.as_str())
            .key(self.keys.log.as_str())
            .key(self.keys.firsts.as_str())
            .key(self.keys.next_log.as_str())
            .key(self.keys.next_firsts.as_str())
            .arg(epoch)
            .arg(stands.map_or(String::new(), |link| link.sequence.to_string()))
            .arg(stands.map_or(Vec::new(), |link| link.hash.to_vec()))
            .arg(if back { "back" } else { "" })
            .arg(end.epoch.to_string())
            .arg(end.end.sequence.to_string())
            .arg(end.end.hash)
            .arg(end.base.sequence.to_string())
            .arg(end.base.hash)
            .arg(end.log_time.seconds().to_string())
            .arg(digits(behind.sequence.saturating_add(1)))
            .arg(entries)
            .arg(mark(audit));
        if let Some(ProjectChange { expected, project }) = &change {
            call = call.arg(project.id.as_str()).arg(digits(*expected)).arg(self.sealed(project));
            for organisation in organisations(project) {
                call = call.key(self.keys.projects_of(organisation));
            }
        } else {
            call = call.arg("").arg("").arg("");
        }
        call = call.arg(self.audit.as_str()).arg(if laid { "laid" } else { "" });
        let answer = self.step(call).await?;
        match said(&answer)? {
            b"done" => Ok(Appended::Done),
            b"project" => Ok(Appended::ProjectChanged),
            b"elsewhere" => reads::end(answer.get(1..).unwrap_or_default()).map(Appended::EndedElsewhere),
            _ => Err(Refusal::Foreign.told()),
        }
    }

    /// Lays the runs of an epoch ready, a piece at a time; the step that opens it takes them over as a whole.
    async fn lay_ready(&self, base: u64, entries: &[u8]) -> Result<(), StoreError> {
        let (mut rest, mut first) = (entries, base.saturating_add(1));
        while !rest.is_empty() {
            let begins = if rest.len() == entries.len() { "begins" } else { "" };
            let mut call = Call::new(scripts::LAY_READY)
                .key(self.keys.next_log.as_str())
                .key(self.keys.next_firsts.as_str())
                .arg(begins);
            let mut bytes = 0;
            while !rest.is_empty() && bytes < LONG {
                let (run, count) = first_run(rest);
                call = call.arg(digits(first)).arg(run);
                bytes += run.len();
                first = first.saturating_add(count);
                rest = rest.get(run.len()..).unwrap_or_default();
            }
            self.step(call).await?;
        }
        Ok(())
    }

    pub(super) async fn take_record(&self, recording: Recording) -> Result<Recorded, StoreError> {
        let Recording { mut record, checked, idempotency, audit } = recording;
        let (key, content) = idempotency.map_or((Vec::new(), Vec::new()), |Idempotency { key, content }| {
            (key.to_vec(), content.to_vec())
        });
        let [project, organisation, request] = self.indexes(&record);
        let mut call = Call::new(scripts::RECORD)
            .key(self.keys.meta.as_str())
            .key(self.keys.projects.as_str())
            .key(self.keys.ledger.as_str())
            .key(self.keys.numbers.as_str())
            .key(self.keys.idempotency.as_str())
            .key(self.keys.idempotency_of.as_str())
            .key(self.keys.tokens.as_str())
            .key(self.keys.by_expiry.as_str())
            .key(project)
            .key(organisation)
            .key(request)
            .arg(*record.id.as_bytes())
            .arg(record.to_bytes())
            .arg(record.expires_at.seconds().to_string())
            .arg(key)
            .arg(content.clone())
            .arg(mark(audit))
            .arg(self.audit.as_str());
        for one in &checked {
            call = call.arg(one.project.as_str()).arg(digits(one.version));
        }
        let answer = self.step(call).await?;
        match said(&answer)? {
            b"at" => {
                let (epoch, sequence) = (part(&answer, 1)?, part(&answer, 2)?);
                reads::cursor(epoch, sequence).map(Recorded::At)
            }
            b"before" => {
                let stands = reads::token(part(&answer, 1)?)?;
                let same_content = if let Some(used) = answer.get(2) {
                    used.as_ref() == Some(&content)
                } else {
                    // Asked again, with no key: a record never changes.
                    record.recorded = stands.recorded;
                    record == stands
                };
                Ok(Recorded::Before { record: stands, same_content })
            }
            b"project" => Ok(Recorded::ProjectChanged),
            b"no_log" => Ok(Recorded::NoLog),
            _ => Err(Refusal::Foreign.told()),
        }
    }

    /// The oldest are looked up first. A record never changes, so nothing comes in between but other forgetting.
    pub(super) async fn take_forget(&self, before: Timestamp, most: usize) -> Result<usize, StoreError> {
        let old = self.see_expired(before, most).await?;
        if old.is_empty() {
            return Ok(0);
        }
        let mut call = Call::new(scripts::FORGET)
            .key(self.keys.ledger.as_str())
            .key(self.keys.numbers.as_str())
            .key(self.keys.idempotency.as_str())
            .key(self.keys.idempotency_of.as_str())
            .key(self.keys.tokens.as_str())
            .key(self.keys.by_expiry.as_str());
        for (number, record) in &old {
            for index in self.indexes(record) {
                call = call.key(index);
            }
            call = call.arg(reads::token_number(*number)).arg(*record.id.as_bytes());
        }
        let answer = self.step(call).await?;
        reads::number(said(&answer)?)
            .and_then(|count| usize::try_from(count).map_err(|_large| StoreError::LostData))
    }

    pub(super) async fn take_trim(&self, epoch: u64, base: Link) -> Result<(), StoreError> {
        let call = Call::new(scripts::TRIM)
            .key(self.keys.meta.as_str())
            .key(self.keys.log.as_str())
            .key(self.keys.firsts.as_str())
            .arg(epoch.to_string())
            .arg(base.sequence.to_string())
            .arg(base.hash)
            .arg(digits(base.sequence.saturating_add(1)));
        self.step(call).await.map(drop)
    }

    pub(super) async fn take_policy(&self, record: PolicyRecord) -> Result<bool, StoreError> {
        let Some(expected) = record.version.checked_sub(1) else { return Ok(false) };
        let call = Call::new(scripts::POLICY)
            .key(self.keys.meta.as_str())
            .arg(expected.to_string())
            .arg(record.version.to_string())
            .arg(self.seal.close("policy", "policy", &record.to_bytes()));
        Ok(said(&self.step(call).await?)? == b"done")
    }

    pub(super) async fn take_hold(&self, holder: Holder) -> Result<(), StoreError> {
        let name = digits(holder.instance);
        let sealed = self.seal.close("key_holder", &name, &holder.to_bytes());
        let call = Call::new(scripts::HOLD).key(self.keys.holders.as_str());
        self.step(call.arg(name).arg(sealed)).await.map(drop)
    }

    pub(super) async fn take_let_go(&self, instances: Vec<u64>) -> Result<(), StoreError> {
        let mut call = Call::new(scripts::LET_GO).key(self.keys.holders.as_str());
        for instance in instances {
            call = call.arg(digits(instance));
        }
        self.step(call).await.map(drop)
    }

    /// A project as it is kept: its version, for scripts to compare, and the sealed record.
    pub(super) fn sealed(&self, project: &Project) -> Vec<u8> {
        let sealed = self.seal.close("project", project.id.as_str(), &project.to_bytes());
        [digits(project.version).as_bytes(), &sealed].concat()
    }

    /// The indexes that a record stands in, besides those of all.
    pub(super) fn indexes(&self, record: &TokenRecord) -> [String; 3] {
        [
            self.keys.tokens_of_project(&record.project),
            self.keys.tokens_of_organisation(record.organisation),
            self.keys.tokens_of_request(&record.approval_request),
        ]
    }
}

/// As many whole entries of a packed run as are kept under one sequence, and how many they are.
fn first_run(packed: &[u8]) -> (&[u8], u64) {
    let (mut end, mut count) = (0, 0);
    while count < RUN
        && let Some((length, _)) = packed.get(end..).and_then(<[u8]>::split_first_chunk)
    {
        end = packed.len().min(end + 2 + usize::from(u16::from_be_bytes(*length)));
        count += 1;
    }
    if count < RUN { (packed, count) } else { (packed.get(..end).unwrap_or(packed), count) }
}

/// The first part of an answer: what came of the step.
pub(super) fn said(answer: &Parts) -> Result<&[u8], StoreError> {
    part(answer, 0)
}

fn part(answer: &Parts, index: usize) -> Result<&[u8], StoreError> {
    answer.get(index).and_then(Option::as_deref).ok_or_else(|| Refusal::Foreign.told())
}

/// Who sees it.
pub(super) fn organisations(project: &Project) -> impl Iterator<Item = OrganisationId> {
    std::iter::once(project.owner).chain(project.collaborators.iter().map(|one| one.organisation))
}

pub(super) fn mark(audit: Option<AuditMark>) -> Vec<u8> {
    audit.map_or(Vec::new(), |mark| mark.to_bytes())
}

/// Entries of this many bytes are not one step: an epoch is laid ready in such pieces.
const LONG: usize = 1 << 20;
/// Entries kept under one sequence of an epoch that was laid ready.
const RUN: u64 = 1_000;
