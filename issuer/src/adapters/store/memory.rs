//! A store in memory, for tests: it keeps the contract for as long as the process lives. Nothing of it is durable.

use std::{
    collections::BTreeMap,
    ops::Bound,
    sync::{Mutex, MutexGuard, PoisonError},
};

use common::{
    organisation_id::OrganisationId,
    project::Project,
    project_id::ProjectId,
    revocation::{
        entry::{pack, unpack},
        head::Link,
    },
    timestamp::Timestamp,
    token_id::TokenId,
};

use super::{register::Register, runs};
use crate::domain::{
    followers::{Follower, Row, Tenure},
    key_holders::Holder,
    ledger::TokenRecord,
    policy_record::PolicyRecord,
    ports::{
        Answer, Append, Appended, AuditMark, Created, Idempotency, Loaded, LogEnd, Recorded, Recording,
        Store, StoreError, TokensOf,
    },
    rounds::{Round, Rounded},
    transfer::{Kept, Part},
};

mod misfortune;

pub use misfortune::Image;

/// A store that forgets everything when it is dropped. Not durable: for tests only.
#[derive(Debug, Default)]
pub struct MemoryStore(Mutex<State>);

#[derive(Clone, Debug, Default)]
struct State {
    shared: bool,
    /// As a server whose clock says something else than the caller's.
    clock_off: bool,
    end: Option<LogEnd>,
    /// By the sequence of their first entry.
    runs: BTreeMap<u64, Vec<u8>>,
    policy: Option<PolicyRecord>,
    register: Register,
    holders: BTreeMap<u64, Holder>,
    audit: Option<AuditMark>,
    projects: BTreeMap<ProjectId, Project>,
    ledger: BTreeMap<u64, (TokenRecord, Option<Idempotency>)>,
    newest: u64,
    importing: bool,
    /// Counts what would be restarts of a server.
    started: u64,
}

impl MemoryStore {
    /// One that several issuers of this process append to.
    pub fn of_many_issuers() -> Self {
        Self(Mutex::new(State { shared: true, ..State::default() }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store for MemoryStore {
    fn copies(&self) -> u32 {
        1
    }

    fn load(&self) -> Answer<'_, Loaded> {
        Box::pin(async {
            let state = self.state();
            if state.importing {
                return Err(StoreError::HalfImported);
            }
            Ok(Loaded {
                end: state.end,
                runs: state.runs.values().cloned().collect(),
                policy: state.policy.clone(),
                followers: state.register.rows.values().cloned().collect(),
                audit: state.audit,
            })
        })
    }

    fn shared(&self) -> bool {
        self.state().shared
    }

    fn clock_off(&self) -> bool {
        self.state().clock_off
    }

    fn confirmed_end(&self) -> Answer<'_, Option<LogEnd>> {
        Box::pin(async { Ok(self.state().end) })
    }

    fn runs(&self, end: LogEnd, behind: u64) -> Answer<'_, Option<Vec<Vec<u8>>>> {
        Box::pin(async move {
            let state = self.state();
            let same = |stands: LogEnd| (stands.epoch, stands.base) == (end.epoch, end.base);
            if !state.end.is_some_and(same) {
                return Ok(None);
            }
            let mut runs = Vec::new();
            for (_, run) in state.runs.range(..=end.end.sequence) {
                runs.extend(runs::behind(run, behind)?);
            }
            Ok(Some(runs))
        })
    }

    fn create_project(&self, project: Project) -> Answer<'_, Created> {
        Box::pin(async {
            let mut state = self.state();
            if let Some(stands) = state.projects.get(&project.id) {
                return Ok(Created::Stood(stands.clone()));
            }
            state.projects.insert(project.id.clone(), project);
            Ok(Created::New)
        })
    }

    fn project(&self, id: ProjectId) -> Answer<'_, Option<Project>> {
        Box::pin(async move { Ok(self.state().projects.get(&id).cloned()) })
    }

    fn projects(
        &self,
        organisation: Option<OrganisationId>,
        after: Option<ProjectId>,
        most: usize,
    ) -> Answer<'_, Vec<Project>> {
        Box::pin(async move {
            let behind = (after.map_or(Bound::Unbounded, Bound::Excluded), Bound::Unbounded);
            let wanted = |project: &&Project| organisation.is_none_or(|one| project.has_access(one));
            let state = self.state();
            Ok(state.projects.range(behind).map(|(_, one)| one).filter(wanted).take(most).cloned().collect())
        })
    }

    fn append(&self, append: Append) -> Answer<'_, Appended> {
        Box::pin(async { Ok(self.state().append(append)) })
    }

    fn record(&self, recording: Recording) -> Answer<'_, Recorded> {
        Box::pin(async { Ok(self.state().record(recording)) })
    }

    fn token(&self, id: TokenId) -> Answer<'_, Option<TokenRecord>> {
        Box::pin(async move { Ok(self.state().token(id).cloned()) })
    }

    fn tokens(&self, of: TokensOf, before: Option<u64>, most: usize) -> Answer<'_, Vec<(u64, TokenRecord)>> {
        Box::pin(async move {
            let state = self.state();
            let wanted = |record: &TokenRecord| match &of {
                TokensOf::Everyone => true,
                TokensOf::Project(project) => record.project == *project,
                TokensOf::Organisation(organisation) => record.organisation == *organisation,
                TokensOf::Request(request) => record.approval_request == *request,
            };
            let older = state.ledger.range(..before.unwrap_or(u64::MAX)).rev();
            let of_those = older.filter(|(_, (record, _))| wanted(record)).take(most);
            Ok(of_those.map(|(number, (record, _))| (*number, record.clone())).collect())
        })
    }

    fn forget_tokens(&self, expired_before: Timestamp, most: usize) -> Answer<'_, usize> {
        Box::pin(async move {
            let mut state = self.state();
            let mut old: Vec<_> = state
                .ledger
                .iter()
                .map(|(number, (record, _))| (record.expires_at, *number))
                .filter(|(expiry, _)| *expiry < expired_before)
                .collect();
            old.sort_unstable();
            old.truncate(most);
            for (_, number) in &old {
                state.ledger.remove(number);
            }
            Ok(old.len())
        })
    }

    fn trim(&self, epoch: u64, base: Link) -> Answer<'_, ()> {
        Box::pin(async move { self.state().trim(epoch, base) })
    }

    fn save_policy(&self, record: PolicyRecord) -> Answer<'_, bool> {
        Box::pin(async {
            let mut state = self.state();
            let stands = state.policy.as_ref().map_or(0, |stands| stands.version);
            let follows = stands.checked_add(1) == Some(record.version);
            if follows {
                state.policy = Some(record);
            }
            Ok(follows)
        })
    }

    fn policy(&self) -> Answer<'_, Option<PolicyRecord>> {
        Box::pin(async { Ok(self.state().policy.clone()) })
    }

    fn save_holder(&self, holder: Holder) -> Answer<'_, ()> {
        self.state().holders.insert(holder.instance, holder);
        Box::pin(async { Ok(()) })
    }

    fn holders(&self) -> Answer<'_, Vec<Holder>> {
        Box::pin(async { Ok(self.state().holders.values().cloned().collect()) })
    }

    fn remove_holders(&self, instances: Vec<u64>) -> Answer<'_, ()> {
        self.state().holders.retain(|instance, _| !instances.contains(instance));
        Box::pin(async { Ok(()) })
    }

    fn save_follower(&self, row: Row) -> Answer<'_, Row> {
        Box::pin(async { Ok(self.state().register.join(row)) })
    }

    fn remove_followers(&self, followers: Vec<(Follower, Option<Tenure>)>) -> Answer<'_, ()> {
        Box::pin(async move {
            self.state().register.leave(&followers);
            Ok(())
        })
    }

    fn round(&self, round: Round) -> Answer<'_, Rounded> {
        Box::pin(async move {
            let mut state = self.state();
            let (end, policy) = (state.end, state.policy.as_ref().map_or(0, |policy| policy.version));
            let server = state.started.to_string();
            Ok(Rounded { server, ..state.register.round(round, end, policy) })
        })
    }

    fn ledger(&self, after: u64, most: usize) -> Answer<'_, (Vec<Kept>, u64)> {
        Box::pin(async move {
            let state = self.state();
            let behind = (Bound::Excluded(after), Bound::Unbounded);
            let kept = state.ledger.range(behind).take(most).map(|(number, (record, idempotency))| Kept {
                number: *number,
                record: record.clone(),
                idempotency: *idempotency,
            });
            Ok((kept.collect(), state.newest))
        })
    }

    fn take_in(&self, part: Part) -> Answer<'_, bool> {
        Box::pin(async { Ok(self.state().take_in(part)) })
    }

    fn expel(&self, issuer: u64, number: Option<u64>) -> Answer<'_, bool> {
        Box::pin(async move { Ok(self.state().register.expel(issuer, number)) })
    }
}

impl State {
    fn append(&mut self, append: Append) -> Appended {
        let Append { after, entries, end, change, audit } = append;
        let stands = self.end;
        // One that would take the log back is as far from its end as one that follows another end.
        if stands.map(|stands| (stands.epoch, stands.end)) != after
            || stands.is_some_and(|stands| end.cursor() < stands.cursor())
        {
            return Appended::EndedElsewhere(stands);
        }
        if let Some(change) = change {
            match self.projects.get_mut(&change.project.id) {
                Some(project) if project.version == change.expected => *project = change.project,
                Some(_) | None => return Appended::ProjectChanged,
            }
        }
        let same_epoch = stands.filter(|stands| stands.epoch == end.epoch);
        if same_epoch.is_none() {
            self.runs.clear();
        }
        if !entries.is_empty() {
            let behind = same_epoch.map_or(end.base, |stands| stands.end);
            self.runs.insert(behind.sequence.saturating_add(1), entries);
        }
        self.end = Some(LogEnd {
            base: same_epoch.map_or(end.base, |stands| stands.base),
            log_time: stands.map_or(end.log_time, |stands| stands.log_time.max(end.log_time)),
            ..end
        });
        self.audit = audit.or(self.audit);
        Appended::Done
    }

    fn record(&mut self, recording: Recording) -> Recorded {
        let Recording { mut record, checked, idempotency, audit } = recording;
        if let Some(asked) = idempotency {
            let used = self.ledger.values().find_map(|(record, used)| {
                used.filter(|used| used.key == asked.key).map(|used| (record.clone(), used))
            });
            if let Some((record, used)) = used {
                return Recorded::Before { record, same_content: used.content == asked.content };
            }
        }
        if let Some(stands) = self.token(record.id) {
            // Asked again, with no key: a record never changes.
            record.recorded = stands.recorded;
            return Recorded::Before { record: stands.clone(), same_content: record == *stands };
        }
        let Some(end) = self.end else { return Recorded::NoLog };
        let version = |id| self.projects.get(id).map(|project| project.version);
        if checked.iter().any(|checked| version(&checked.project) != Some(checked.version)) {
            return Recorded::ProjectChanged;
        }
        record.recorded = end.cursor();
        self.newest = self.newest.saturating_add(1);
        self.ledger.insert(self.newest, (record, idempotency));
        self.audit = audit.or(self.audit);
        Recorded::At(end.cursor())
    }

    fn take_in(&mut self, part: Part) -> bool {
        let empty = self.end.is_none()
            && self.policy.is_none()
            && self.projects.is_empty()
            && self.ledger.is_empty()
            && self.register.rows.is_empty();
        match part {
            Part::Begin if self.importing || empty => {
                *self =
                    Self { shared: self.shared, started: self.started, importing: true, ..Self::default() };
            }
            _ if !self.importing => return false,
            Part::Begin => {}
            Part::Projects(projects) => {
                self.projects.extend(projects.into_iter().map(|project| (project.id.clone(), project)));
            }
            Part::Tokens(tokens) => {
                let kept = |kept: Kept| (kept.number, (kept.record, kept.idempotency));
                self.ledger.extend(tokens.into_iter().map(kept));
            }
            Part::Runs(runs) => self.runs.extend(runs),
            Part::Rows(rows) => rows.into_iter().for_each(|row| drop(self.register.join(row))),
            Part::Finish(finish) => {
                (self.end, self.policy) = (Some(finish.end), finish.policy);
                (self.audit, self.newest, self.importing) = (finish.audit, finish.newest, false);
            }
        }
        true
    }

    fn token(&self, id: TokenId) -> Option<&TokenRecord> {
        self.ledger.values().map(|(record, _)| record).find(|record| record.id == id)
    }

    fn trim(&mut self, epoch: u64, base: Link) -> Result<(), StoreError> {
        let Some(end) = self.end.as_mut().filter(|end| end.epoch == epoch) else { return Ok(()) };
        if base.sequence <= end.base.sequence || base.sequence > end.end.sequence {
            return Ok(());
        }
        let kept = self.runs.split_off(&base.sequence.saturating_add(1));
        if let Some((_, run)) = self.runs.pop_last() {
            let entries = unpack(&run).map_err(|_unreadable| StoreError::LostData)?;
            let rest: Vec<_> =
                entries.into_iter().filter(|entry| entry.cursor.sequence > base.sequence).collect();
            self.runs = if rest.is_empty() {
                kept
            } else {
                [(base.sequence.saturating_add(1), pack(&rest))].into_iter().chain(kept).collect()
            };
        } else {
            self.runs = kept;
        }
        end.base = base;
        Ok(())
    }
}
