//! What is read from the embedded store, in one read transaction each.

use std::ops::Bound;

use common::{organisation_id::OrganisationId, project::Project, project_id::ProjectId, token_id::TokenId};
use redb::{ReadTransaction, ReadableTable};

use super::{
    Fault,
    tables::{
        AUDIT, BY_ORGANISATION, BY_PROJECT, BY_REQUEST, END, FOLLOWERS, IMPORTING, LEDGER, LOG, META,
        NUMBERS, POLICY, PROJECTS,
    },
};
use crate::{
    adapters::store::{records::Record, runs::behind, seal::Seal},
    domain::{
        followers::Row,
        ledger::TokenRecord,
        policy_record::PolicyRecord,
        ports::{AuditMark, Loaded, LogEnd, TokensOf},
    },
};

pub(super) fn load(transaction: &ReadTransaction, seal: &Seal) -> Result<Loaded, Fault> {
    let meta = transaction.open_table(META)?;
    if meta.get(IMPORTING)?.is_some() {
        return Err(Fault::HalfImported);
    }
    let end = plain::<LogEnd>(&meta, END)?;
    let runs = match end {
        Some(end) => stored(transaction, end, end.base.sequence)?,
        None => Vec::new(),
    };
    let mut followers = Vec::new();
    for row in transaction.open_table(FOLLOWERS)?.iter()? {
        followers.push(Row::from_bytes(row?.1.value()).map_err(|_unreadable| Fault::Lost("followers"))?);
    }
    Ok(Loaded {
        end,
        runs,
        policy: policy(&meta, seal)?,
        followers,
        audit: plain::<AuditMark>(&meta, AUDIT)?,
    })
}

pub(super) fn end(transaction: &ReadTransaction) -> Result<Option<LogEnd>, Fault> {
    plain::<LogEnd>(&transaction.open_table(META)?, END)
}

pub(super) fn runs(
    transaction: &ReadTransaction,
    end: LogEnd,
    behind: u64,
) -> Result<Option<Vec<Vec<u8>>>, Fault> {
    match self::end(transaction)? {
        Some(stands) if (stands.epoch, stands.base) == (end.epoch, end.base) => {
            stored(transaction, end, behind).map(Some)
        }
        Some(_) | None => Ok(None),
    }
}

/// What lies behind this sequence. A run may begin at or before it.
fn stored(transaction: &ReadTransaction, end: LogEnd, sequence: u64) -> Result<Vec<Vec<u8>>, Fault> {
    let mut runs = Vec::new();
    for row in transaction.open_table(LOG)?.range((end.epoch, 0)..=(end.epoch, end.end.sequence))? {
        runs.extend(behind(row?.1.value(), sequence).map_err(|_unreadable| Fault::Lost("log"))?);
    }
    Ok(runs)
}

pub(super) fn plain<T: Record>(
    meta: &impl ReadableTable<&'static str, &'static [u8]>,
    name: &'static str,
) -> Result<Option<T>, Fault> {
    let Some(bytes) = meta.get(name)? else { return Ok(None) };
    T::from_bytes(bytes.value()).map(Some).map_err(|_unreadable| Fault::Lost("meta"))
}

pub(super) fn policy(
    meta: &impl ReadableTable<&'static str, &'static [u8]>,
    seal: &Seal,
) -> Result<Option<PolicyRecord>, Fault> {
    let Some(sealed) = meta.get(POLICY)? else { return Ok(None) };
    let bytes = seal.open(POLICY, POLICY, sealed.value()).ok_or(Fault::Lost("policy"))?;
    PolicyRecord::from_bytes(bytes).map(Some).map_err(|_unreadable| Fault::Lost("policy"))
}

pub(super) fn standing_policy(
    transaction: &ReadTransaction,
    seal: &Seal,
) -> Result<Option<PolicyRecord>, Fault> {
    policy(&transaction.open_table(META)?, seal)
}

pub(super) fn open_project(seal: &Seal, id: &str, sealed: &[u8]) -> Result<Project, Fault> {
    let bytes = seal.open("project", id, sealed).ok_or(Fault::Lost("projects"))?;
    let project = Project::from_bytes(bytes).map_err(|_unreadable| Fault::Lost("projects"))?;
    if project.id.as_str() == id { Ok(project) } else { Err(Fault::Lost("projects")) }
}

pub(super) fn project(
    transaction: &ReadTransaction,
    seal: &Seal,
    id: &ProjectId,
) -> Result<Option<Project>, Fault> {
    let projects = transaction.open_table(PROJECTS)?;
    let sealed = projects.get(id.as_str())?;
    sealed.map(|sealed| open_project(seal, id.as_str(), sealed.value())).transpose()
}

pub(super) fn projects(
    transaction: &ReadTransaction,
    seal: &Seal,
    organisation: Option<OrganisationId>,
    after: Option<&ProjectId>,
    most: usize,
) -> Result<Vec<Project>, Fault> {
    let start = after.map_or(Bound::Unbounded, |after| Bound::Excluded(after.as_str()));
    let mut found = Vec::new();
    for row in transaction.open_table(PROJECTS)?.range::<&str>((start, Bound::Unbounded))? {
        if found.len() == most {
            break;
        }
        let (id, sealed) = row?;
        let project = open_project(seal, id.value(), sealed.value())?;
        if organisation.is_none_or(|organisation| project.has_access(organisation)) {
            found.push(project);
        }
    }
    Ok(found)
}

pub(super) fn token(transaction: &ReadTransaction, id: TokenId) -> Result<Option<TokenRecord>, Fault> {
    let Some(number) = transaction.open_table(NUMBERS)?.get(id.as_bytes())? else { return Ok(None) };
    numbered(&transaction.open_table(LEDGER)?, number.value()).map(Some)
}

pub(super) fn tokens(
    transaction: &ReadTransaction,
    of: &TokensOf,
    before: Option<u64>,
    most: usize,
) -> Result<Vec<(u64, TokenRecord)>, Fault> {
    let end = before.unwrap_or(u64::MAX);
    let numbers: Vec<u64> = match of {
        TokensOf::Everyone => {
            let ledger = transaction.open_table(LEDGER)?;
            ledger.range(..end)?.rev().take(most).map(|row| Ok(row?.0.value())).collect::<Result<_, Fault>>()
        }
        TokensOf::Project(id) => {
            let index = transaction.open_table(BY_PROJECT)?;
            let range = index.range((id.as_str(), 0)..(id.as_str(), end))?;
            range.rev().take(most).map(|row| Ok(row?.0.value().1)).collect()
        }
        TokensOf::Organisation(id) => {
            let index = transaction.open_table(BY_ORGANISATION)?;
            let range = index.range((*id.as_bytes(), 0)..(*id.as_bytes(), end))?;
            range.rev().take(most).map(|row| Ok(row?.0.value().1)).collect()
        }
        TokensOf::Request(request) => {
            let index = transaction.open_table(BY_REQUEST)?;
            let range = index.range((request.as_str(), 0)..(request.as_str(), end))?;
            range.rev().take(most).map(|row| Ok(row?.0.value().1)).collect()
        }
    }?;
    let ledger = transaction.open_table(LEDGER)?;
    numbers.into_iter().map(|number| Ok((number, numbered(&ledger, number)?))).collect()
}

pub(super) fn numbered(
    ledger: &impl ReadableTable<u64, &'static [u8]>,
    number: u64,
) -> Result<TokenRecord, Fault> {
    let bytes = ledger.get(number)?.ok_or(Fault::Lost("ledger"))?;
    TokenRecord::from_bytes(bytes.value()).map_err(|_unreadable| Fault::Lost("ledger"))
}
