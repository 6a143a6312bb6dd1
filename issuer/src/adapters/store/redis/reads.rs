//! What is read from Redis. What cannot be believed is lost data, never passed on.

use common::{
    organisation_id::OrganisationId,
    project::Project,
    project_id::ProjectId,
    revocation::{cursor::Cursor, head::Link},
    timestamp::Timestamp,
    token_id::TokenId,
};

use super::{
    RedisStore,
    connections::{Call, Parts},
    keys::digits,
    refusal::Refusal,
    register, scripts,
};
use crate::{
    adapters::store::{records::Record as _, runs::behind, seal::Seal},
    domain::{
        followers::Row,
        key_holders::Holder,
        ledger::TokenRecord,
        policy_record::PolicyRecord,
        ports::{AuditMark, Loaded, LogEnd, StoreError, TokensOf},
    },
};

impl RedisStore {
    pub(super) async fn look(&self, call: Call) -> Result<Parts, StoreError> {
        self.connections.read(&call).await.map_err(Refusal::told)
    }

    /// The log is read in pieces. What is appended meanwhile is left out; a trim or a new epoch makes it begin again.
    pub(super) async fn see_all(&self) -> Result<Loaded, StoreError> {
        for _ in 0..ATTEMPTS {
            let call = Call::new(scripts::LOAD)
                .key(self.keys.meta.as_str())
                .key(self.keys.followers.as_str())
                .arg(self.audit.as_str());
            let (meta, rows): (Parts, Vec<Vec<u8>>) =
                self.connections.read(&call).await.map_err(Refusal::told)?;
            if meta.get(9).is_some_and(Option::is_some) {
                return Err(StoreError::HalfImported);
            }
            let end = end(&meta)?;
            let runs = match end {
                Some(end) => self.see_runs(end, end.base.sequence, "-".to_owned()).await?,
                None => Some(Vec::new()),
            };
            let Some(runs) = runs else { continue };
            let audit = meta.get(8).and_then(Option::as_deref).map(AuditMark::from_bytes).transpose()?;
            let mut followers = Vec::new();
            for row in rows {
                followers.push(register::row(&row)?);
            }
            followers.sort_unstable_by(|one: &Row, other: &Row| one.follower.cmp(&other.follower));
            let policy = self.unsealed(meta.get(6..).unwrap_or_default())?;
            return Ok(Loaded { end, runs, policy, followers, audit });
        }
        Err(StoreError::Unreachable)
    }

    /// The entries behind this sequence, in runs of which the first begins at `from`; `None` when it has another base or epoch by now.
    pub(super) async fn see_runs(
        &self,
        end: LogEnd,
        sequence: u64,
        mut from: String,
    ) -> Result<Option<Vec<Vec<u8>>>, StoreError> {
        let base = end.base.sequence.to_string().into_bytes();
        let mut runs = Vec::new();
        loop {
            let call = Call::new(scripts::RUNS)
                .key(self.keys.meta.as_str())
                .key(self.keys.log.as_str())
                .key(self.keys.firsts.as_str())
                .arg(end.epoch.to_string())
                .arg(from)
                .arg(digits(end.end.sequence))
                .arg(PIECE.to_string());
            let answer = self.look(call).await?;
            if answer.first().and_then(Option::as_ref) != Some(&base) {
                return Ok(None);
            }
            for run in answer.iter().skip(2) {
                let run = run.as_deref().ok_or_else(lost)?;
                runs.extend(behind(run, sequence)?);
            }
            let Some(last) = answer.get(1).and_then(Option::as_deref) else { return Ok(Some(runs)) };
            from = format!("({}", std::str::from_utf8(last).map_err(|_not_digits| lost())?);
        }
    }

    pub(super) async fn see_policy(&self) -> Result<Option<PolicyRecord>, StoreError> {
        let call = Call::new(scripts::STANDING_POLICY).key(self.keys.meta.as_str());
        self.unsealed(&self.look(call).await?)
    }

    pub(super) async fn see_holders(&self) -> Result<Vec<Holder>, StoreError> {
        let answer = self.look(Call::new(scripts::HOLDERS).key(self.keys.holders.as_str())).await?;
        let mut holders = Vec::new();
        for pair in answer.chunks(2) {
            let [Some(name), Some(sealed)] = pair else { return Err(lost()) };
            let name = std::str::from_utf8(name).map_err(|_no_text| lost())?;
            let holder = Holder::from_bytes(self.seal.open("key_holder", name, sealed).ok_or_else(lost)?)?;
            holders.push(Some(holder).filter(|holder| digits(holder.instance) == name).ok_or_else(lost)?);
        }
        Ok(holders)
    }

    /// Limits and key roles, out of the sealed record and its version.
    fn unsealed(&self, parts: &[Option<Vec<u8>>]) -> Result<Option<PolicyRecord>, StoreError> {
        let (sealed, version) =
            (parts.first().and_then(Option::as_deref), parts.get(1).and_then(Option::as_deref));
        let Some(sealed) = sealed else { return Ok(None) };
        let bytes = self.seal.open("policy", "policy", sealed).ok_or_else(lost)?;
        let record = PolicyRecord::from_bytes(bytes)?;
        if version == Some(record.version.to_string().as_bytes()) { Ok(Some(record)) } else { Err(lost()) }
    }

    pub(super) async fn see_project(&self, id: ProjectId) -> Result<Option<Project>, StoreError> {
        let (min, id) = (format!("[{id}"), id.as_str().as_bytes());
        let answer = self.look(self.page(self.keys.project_ids.clone(), min, 1)).await?;
        match answer.as_slice() {
            [Some(found), value] if found == id => {
                project(&self.seal, id, value.as_deref().ok_or_else(lost)?).map(Some)
            }
            _ => Ok(None),
        }
    }

    pub(super) async fn see_projects(
        &self,
        organisation: Option<OrganisationId>,
        after: Option<ProjectId>,
        most: usize,
    ) -> Result<Vec<Project>, StoreError> {
        let index = organisation.map_or_else(
            || self.keys.project_ids.clone(),
            |organisation| self.keys.projects_of(organisation),
        );
        let mut min = after.map_or_else(|| "-".to_owned(), |after| format!("({after}"));
        let mut found = Vec::new();
        while found.len() < most {
            let answer = self.look(self.page(index.clone(), min, PAGE)).await?;
            let mut last = None;
            for pair in answer.chunks(2) {
                let [Some(id), Some(value)] = pair else { return Err(lost()) };
                let project = project(&self.seal, id, value)?;
                last = Some(project.id.clone());
                // The index keeps those that it worked on once.
                if organisation.is_none_or(|one| project.has_access(one)) && found.len() < most {
                    found.push(project);
                }
            }
            match last {
                Some(last) if answer.len() == 2 * PAGE => min = format!("({last}"),
                Some(_) | None => break,
            }
        }
        Ok(found)
    }

    fn page(&self, index: String, min: String, count: usize) -> Call {
        let call = Call::new(scripts::PROJECTS).key(self.keys.projects.as_str()).key(index);
        call.arg(min).arg(count.to_string())
    }

    pub(super) async fn see_token(&self, id: TokenId) -> Result<Option<TokenRecord>, StoreError> {
        let call = Call::new(scripts::TOKEN).key(self.keys.ledger.as_str()).key(self.keys.numbers.as_str());
        match self.look(call.arg(*id.as_bytes())).await?.first() {
            Some(record) => token(record.as_deref().ok_or_else(lost)?).map(Some),
            None => Ok(None),
        }
    }

    pub(super) async fn see_tokens(
        &self,
        of: TokensOf,
        before: Option<u64>,
        most: usize,
    ) -> Result<Vec<(u64, TokenRecord)>, StoreError> {
        let index = match &of {
            TokensOf::Everyone => self.keys.tokens.clone(),
            TokensOf::Project(project) => self.keys.tokens_of_project(project),
            TokensOf::Organisation(organisation) => self.keys.tokens_of_organisation(*organisation),
            TokensOf::Request(request) => self.keys.tokens_of_request(request),
        };
        let mut before = before;
        let mut found = Vec::new();
        while found.len() < most {
            let count = PAGE.min(most - found.len());
            let call = Call::new(scripts::TOKENS)
                .key(self.keys.ledger.as_str())
                .key(index.as_str())
                .arg(before.map_or_else(|| "+inf".to_owned(), |before| format!("({before}")))
                .arg(count.to_string());
            let page = numbered(&self.look(call).await?)?;
            let short = page.len() < count;
            before = page.last().map(|(number, _)| *number);
            found.extend(page);
            if short {
                break;
            }
        }
        Ok(found)
    }

    /// At most `most` records that expired before this, oldest expiry first.
    pub(super) async fn see_expired(
        &self,
        before: Timestamp,
        most: usize,
    ) -> Result<Vec<(u64, TokenRecord)>, StoreError> {
        let call = Call::new(scripts::EXPIRED)
            .key(self.keys.ledger.as_str())
            .key(self.keys.by_expiry.as_str())
            .arg(before.seconds().to_string())
            .arg(most.min(AT_ONCE).to_string());
        numbered(&self.look(call).await?)
    }
}

/// The log's end out of its six parts; `None` when there is no log.
pub(super) fn end(parts: &[Option<Vec<u8>>]) -> Result<Option<LogEnd>, StoreError> {
    match parts {
        [Some(epoch), Some(sequence), Some(hash), Some(base), Some(base_hash), Some(time), ..] => {
            let link = |sequence: &[u8], hash: &[u8]| {
                let hash = hash.try_into().map_err(|_length| lost())?;
                Ok::<_, StoreError>(Link { sequence: number(sequence)?, hash })
            };
            Ok(Some(LogEnd {
                epoch: number(epoch)?,
                base: link(base, base_hash)?,
                end: link(sequence, hash)?,
                log_time: Timestamp::from_seconds(number(time)?).ok_or_else(lost)?,
            }))
        }
        [None, None, None, None, None, None, ..] => Ok(None),
        _ => Err(lost()),
    }
}

/// A project out of its value: the version outside must be the one under the seal.
pub(super) fn project(seal: &Seal, id: &[u8], value: &[u8]) -> Result<Project, StoreError> {
    let id = std::str::from_utf8(id).map_err(|_no_text| lost())?;
    let (version, sealed) = value.split_at_checked(DIGITS).ok_or_else(lost)?;
    let project = Project::from_bytes(seal.open("project", id, sealed).ok_or_else(lost)?)?;
    let same = project.id.as_str() == id && digits(project.version).as_bytes() == version;
    if same { Ok(project) } else { Err(lost()) }
}

/// A token record out of its value: where it was recorded stands before it.
pub(super) fn token(value: &[u8]) -> Result<TokenRecord, StoreError> {
    let mut parts = value.splitn(3, |byte| *byte == b':');
    let (Some(epoch), Some(sequence), Some(record)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(lost());
    };
    Ok(TokenRecord { recorded: cursor(epoch, sequence)?, ..TokenRecord::from_bytes(record)? })
}

fn numbered(answer: &Parts) -> Result<Vec<(u64, TokenRecord)>, StoreError> {
    let pair = |pair: &[Option<Vec<u8>>]| match pair {
        [Some(one), Some(record)] => Ok((number(one)?, token(record)?)),
        _ => Err(lost()),
    };
    answer.chunks(2).map(pair).collect()
}

pub(super) fn cursor(epoch: &[u8], sequence: &[u8]) -> Result<Cursor, StoreError> {
    Ok(Cursor::new(number(epoch)?, number(sequence)?))
}

pub(super) fn number(text: &[u8]) -> Result<u64, StoreError> {
    std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()).ok_or_else(lost)
}

/// A token record's number as scripts write it.
pub(super) fn token_number(number: u64) -> String {
    format!("{number:016}")
}

fn lost() -> StoreError {
    Refusal::Foreign.told()
}

/// A log that is trimmed while it is read is read again so often.
const ATTEMPTS: usize = 5;
/// Bytes of the log that are asked for at once.
const PIECE: usize = 1 << 20;
/// Projects or records that are asked for at once.
const PAGE: usize = 256;
/// Records that are forgotten at once, at most.
const AT_ONCE: usize = 1_000;
/// Digits of a version.
const DIGITS: usize = 20;
