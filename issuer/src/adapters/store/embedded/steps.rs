//! What is written to the embedded store. Each step looks first and writes last: one that conflicts has changed nothing,
//! so it does not spoil the others of its transaction.

use common::{project::Project, revocation::head::Link, timestamp::Timestamp};
use redb::{ReadableTable as _, WriteTransaction};

use super::{
    Fault, reads,
    tables::{
        AUDIT, BY_EXPIRY, BY_ORGANISATION, BY_PROJECT, BY_REQUEST, END, IDEMPOTENCY, IDEMPOTENCY_OF, LEDGER,
        LOG, META, NEXT, NUMBERS, POLICY, PROJECTS,
    },
};
use crate::{
    adapters::store::{records::Record as _, seal::Seal},
    domain::{
        ledger::TokenRecord,
        policy_record::PolicyRecord,
        ports::{Append, Appended, AuditMark, Created, LogEnd, ProjectChange, Recorded, Recording},
    },
};

pub(super) fn create_project(
    transaction: &WriteTransaction,
    seal: &Seal,
    project: &Project,
) -> Result<Created, Fault> {
    let mut projects = transaction.open_table(PROJECTS)?;
    let id = project.id.as_str();
    if let Some(sealed) = projects.get(id)? {
        return reads::open_project(seal, id, sealed.value()).map(Created::Stood);
    }
    projects.insert(id, seal.close("project", id, &project.to_bytes()).as_slice())?;
    Ok(Created::New)
}

pub(super) fn append(
    transaction: &WriteTransaction,
    seal: &Seal,
    append: &Append,
) -> Result<Appended, Fault> {
    let mut meta = transaction.open_table(META)?;
    let stands = reads::plain::<LogEnd>(&meta, END)?;
    // One that would take the log back is as far from its end as one that follows another end.
    if stands.map(|end| (end.epoch, end.end)) != append.after
        || stands.is_some_and(|end| append.end.cursor() < end.cursor())
    {
        return Ok(Appended::EndedElsewhere(stands));
    }
    let mut projects = transaction.open_table(PROJECTS)?;
    if let Some(ProjectChange { expected, project }) = &append.change {
        let id = project.id.as_str();
        let held = match projects.get(id)? {
            Some(sealed) => Some(reads::open_project(seal, id, sealed.value())?.version),
            None => None,
        };
        if held != Some(*expected) {
            return Ok(Appended::ProjectChanged);
        }
        projects.insert(id, seal.close("project", id, &project.to_bytes()).as_slice())?;
    }
    let new_epoch = stands.is_none_or(|stands| stands.epoch != append.end.epoch);
    let mut end = append.end;
    let mut log = transaction.open_table(LOG)?;
    if let Some(stands) = stands {
        if new_epoch {
            // The new epoch carries all that is live.
            log.retain(|_, _| false)?;
        } else {
            end.base = stands.base;
        }
        end.log_time = end.log_time.max(stands.log_time);
    }
    if !append.entries.is_empty() {
        let first =
            if new_epoch { end.base.sequence } else { stands.map_or(0, |stands| stands.end.sequence) } + 1;
        log.insert((end.epoch, first), append.entries.as_slice())?;
    }
    meta.insert(END, end.to_bytes().as_slice())?;
    note_audit(&mut meta, append.audit)?;
    Ok(Appended::Done)
}

pub(super) fn record(
    transaction: &WriteTransaction,
    seal: &Seal,
    recording: Recording,
) -> Result<Recorded, Fault> {
    let Recording { mut record, checked, idempotency, audit } = recording;
    let mut ledger = transaction.open_table(LEDGER)?;
    let mut keys = transaction.open_table(IDEMPOTENCY)?;
    if let Some(idempotency) = &idempotency
        && let Some(used) = keys.get(&idempotency.key)?
    {
        let (number, content) = used.value();
        let record = reads::numbered(&ledger, number)?;
        return Ok(Recorded::Before { record, same_content: content == idempotency.content });
    }
    if let Some(number) = transaction.open_table(NUMBERS)?.get(record.id.as_bytes())? {
        // Asked again, with no key: a record never changes.
        let stands = reads::numbered(&ledger, number.value())?;
        record.recorded = stands.recorded;
        return Ok(Recorded::Before { same_content: record == stands, record: stands });
    }
    let mut meta = transaction.open_table(META)?;
    let Some(end) = reads::plain::<LogEnd>(&meta, END)? else { return Ok(Recorded::NoLog) };
    let projects = transaction.open_table(PROJECTS)?;
    for one in &checked {
        let id = one.project.as_str();
        let version = match projects.get(id)? {
            Some(sealed) => Some(reads::open_project(seal, id, sealed.value())?.version),
            None => None,
        };
        if version != Some(one.version) {
            return Ok(Recorded::ProjectChanged);
        }
    }
    record.recorded = end.cursor();
    let next = meta.get(NEXT)?.map(|next| next.value().try_into().map(u64::from_be_bytes));
    let number = next.transpose().map_err(|_length| Fault::Lost("meta"))?.unwrap_or(1);
    meta.insert(NEXT, (number + 1).to_be_bytes().as_slice())?;
    ledger.insert(number, record.to_bytes().as_slice())?;
    index(transaction, number, &record)?;
    if let Some(idempotency) = &idempotency {
        keys.insert(idempotency.key, (number, idempotency.content))?;
        transaction.open_table(IDEMPOTENCY_OF)?.insert(number, idempotency.key)?;
    }
    note_audit(&mut meta, audit)?;
    Ok(Recorded::At(record.recorded))
}

pub(super) fn index(transaction: &WriteTransaction, number: u64, record: &TokenRecord) -> Result<(), Fault> {
    transaction.open_table(NUMBERS)?.insert(record.id.as_bytes(), number)?;
    transaction.open_table(BY_PROJECT)?.insert((record.project.as_str(), number), ())?;
    transaction.open_table(BY_ORGANISATION)?.insert((*record.organisation.as_bytes(), number), ())?;
    transaction.open_table(BY_REQUEST)?.insert((record.approval_request.as_str(), number), ())?;
    transaction.open_table(BY_EXPIRY)?.insert((record.expires_at.seconds(), number), ())?;
    Ok(())
}

pub(super) fn forget_tokens(
    transaction: &WriteTransaction,
    expired_before: Timestamp,
    most: usize,
) -> Result<usize, Fault> {
    let mut expiries = transaction.open_table(BY_EXPIRY)?;
    let mut ledger = transaction.open_table(LEDGER)?;
    let mut old = Vec::new();
    for row in expiries.range(..(expired_before.seconds(), 0))?.take(most) {
        let (expiry, number) = row?.0.value();
        old.push((expiry, number, reads::numbered(&ledger, number)?));
    }
    for (expiry, number, record) in &old {
        expiries.remove((*expiry, *number))?;
        ledger.remove(*number)?;
        transaction.open_table(NUMBERS)?.remove(record.id.as_bytes())?;
        transaction.open_table(BY_PROJECT)?.remove((record.project.as_str(), *number))?;
        transaction.open_table(BY_ORGANISATION)?.remove((*record.organisation.as_bytes(), *number))?;
        transaction.open_table(BY_REQUEST)?.remove((record.approval_request.as_str(), *number))?;
        let key = transaction.open_table(IDEMPOTENCY_OF)?.remove(*number)?.map(|key| key.value());
        if let Some(key) = key {
            transaction.open_table(IDEMPOTENCY)?.remove(key)?;
        }
    }
    Ok(old.len())
}

pub(super) fn trim(transaction: &WriteTransaction, epoch: u64, base: Link) -> Result<(), Fault> {
    let mut meta = transaction.open_table(META)?;
    let Some(mut end) = reads::plain::<LogEnd>(&meta, END)? else { return Ok(()) };
    if end.epoch != epoch || base.sequence <= end.base.sequence || base.sequence > end.end.sequence {
        return Ok(());
    }
    end.base = base;
    let mut log = transaction.open_table(LOG)?;
    let mut firsts = Vec::new();
    for row in log.range((epoch, 0)..=(epoch, base.sequence + 1))? {
        firsts.push(row?.0.value().1);
    }
    // A run ends where the next one begins: all but the last of these lie wholly at or before the base.
    for pair in firsts.windows(2) {
        if let [first, _] = pair {
            log.remove((epoch, *first))?;
        }
    }
    meta.insert(END, end.to_bytes().as_slice())?;
    Ok(())
}

pub(super) fn save_policy(
    transaction: &WriteTransaction,
    seal: &Seal,
    record: &PolicyRecord,
) -> Result<bool, Fault> {
    let mut meta = transaction.open_table(META)?;
    let stands = reads::policy(&meta, seal)?.map_or(0, |stands| stands.version);
    if stands.checked_add(1) != Some(record.version) {
        return Ok(false);
    }
    meta.insert(POLICY, seal.close(POLICY, POLICY, &record.to_bytes()).as_slice())?;
    Ok(true)
}

pub(super) fn note_audit(
    meta: &mut redb::Table<'_, &'static str, &'static [u8]>,
    audit: Option<AuditMark>,
) -> Result<(), Fault> {
    if let Some(mark) = audit {
        meta.insert(AUDIT, mark.to_bytes().as_slice())?;
    }
    Ok(())
}
