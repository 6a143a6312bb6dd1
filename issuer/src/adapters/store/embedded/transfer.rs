//! The embedded store as a whole, out to a file and in from one. One transaction each part.

use redb::{ReadTransaction, ReadableTable as _, ReadableTableMetadata as _, WriteTransaction};

use super::{
    Fault, reads, register,
    steps::{index, note_audit},
    tables::{
        BY_EXPIRY, BY_ORGANISATION, BY_PROJECT, BY_REQUEST, END, FOLLOWERS, IDEMPOTENCY, IDEMPOTENCY_OF,
        IMPORTING, ISSUERS, LEDGER, LOG, META, NEXT, NUMBERS, POLICY, PROJECTS, REGISTER,
    },
};
use crate::{
    adapters::store::{records::Record as _, seal::Seal},
    domain::{
        ports::Idempotency,
        transfer::{Finish, Kept, Part},
    },
};

pub(super) fn ledger(
    transaction: &ReadTransaction,
    after: u64,
    most: usize,
) -> Result<(Vec<Kept>, u64), Fault> {
    let ledger = transaction.open_table(LEDGER)?;
    let keys = transaction.open_table(IDEMPOTENCY_OF)?;
    let contents = transaction.open_table(IDEMPOTENCY)?;
    let mut kept = Vec::new();
    for row in ledger.range(after.saturating_add(1)..)?.take(most) {
        let number = row?.0.value();
        let mut idempotency = None;
        if let Some(key) = keys.get(number)? {
            let key = key.value();
            let content = contents.get(key)?.ok_or(Fault::Lost("idempotency"))?.value().1;
            idempotency = Some(Idempotency { key, content });
        }
        kept.push(Kept { number, record: reads::numbered(&ledger, number)?, idempotency });
    }
    let next =
        transaction.open_table(META)?.get(NEXT)?.map(|next| next.value().try_into().map(u64::from_be_bytes));
    let next = next.transpose().map_err(|_length| Fault::Lost("meta"))?.unwrap_or(1);
    Ok((kept, next.saturating_sub(1)))
}

pub(super) fn take_in(transaction: &WriteTransaction, seal: &Seal, part: Part) -> Result<bool, Fault> {
    let importing = transaction.open_table(META)?.get(IMPORTING)?.is_some();
    if !importing && (part != Part::Begin || !is_empty(transaction)?) {
        return Ok(false);
    }
    match part {
        Part::Begin => begin(transaction)?,
        Part::Projects(projects) => {
            let mut table = transaction.open_table(PROJECTS)?;
            for project in projects {
                let id = project.id.as_str();
                table.insert(id, seal.close("project", id, &project.to_bytes()).as_slice())?;
            }
        }
        Part::Tokens(tokens) => {
            for Kept { number, record, idempotency } in tokens {
                transaction.open_table(LEDGER)?.insert(number, record.to_bytes().as_slice())?;
                index(transaction, number, &record)?;
                if let Some(used) = idempotency {
                    transaction.open_table(IDEMPOTENCY)?.insert(used.key, (number, used.content))?;
                    transaction.open_table(IDEMPOTENCY_OF)?.insert(number, used.key)?;
                }
            }
        }
        // Under epoch 0 until the log's end says which it is.
        Part::Runs(runs) => {
            let mut log = transaction.open_table(LOG)?;
            for (first, run) in runs {
                log.insert((0, first), run.as_slice())?;
            }
        }
        Part::Rows(rows) => {
            for row in rows {
                register::join(transaction, row)?;
            }
        }
        Part::Finish(finish) => self::finish(transaction, seal, &finish)?,
    }
    Ok(true)
}

fn finish(transaction: &WriteTransaction, seal: &Seal, finish: &Finish) -> Result<(), Fault> {
    let mut log = transaction.open_table(LOG)?;
    let mut runs = Vec::new();
    for row in log.range((0, 0)..(1, 0))? {
        let (key, run) = row?;
        runs.push((key.value().1, run.value().to_vec()));
    }
    for (first, run) in runs {
        log.remove((0, first))?;
        log.insert((finish.end.epoch, first), run.as_slice())?;
    }
    let mut meta = transaction.open_table(META)?;
    meta.insert(END, finish.end.to_bytes().as_slice())?;
    if let Some(policy) = &finish.policy {
        meta.insert(POLICY, seal.close(POLICY, POLICY, &policy.to_bytes()).as_slice())?;
    }
    meta.insert(NEXT, finish.newest.saturating_add(1).to_be_bytes().as_slice())?;
    note_audit(&mut meta, finish.audit)?;
    meta.remove(IMPORTING)?;
    Ok(())
}

fn is_empty(transaction: &WriteTransaction) -> Result<bool, Fault> {
    let meta = transaction.open_table(META)?;
    Ok(meta.get(END)?.is_none()
        && meta.get(POLICY)?.is_none()
        && transaction.open_table(PROJECTS)?.is_empty()?
        && transaction.open_table(LEDGER)?.is_empty()?
        && transaction.open_table(FOLLOWERS)?.is_empty()?)
}

/// What an import left that was not finished goes.
fn begin(transaction: &WriteTransaction) -> Result<(), Fault> {
    transaction.open_table(PROJECTS)?.retain(|_, _| false)?;
    transaction.open_table(LEDGER)?.retain(|_, _| false)?;
    transaction.open_table(NUMBERS)?.retain(|_, _| false)?;
    transaction.open_table(BY_PROJECT)?.retain(|_, ()| false)?;
    transaction.open_table(BY_ORGANISATION)?.retain(|_, ()| false)?;
    transaction.open_table(BY_REQUEST)?.retain(|_, ()| false)?;
    transaction.open_table(BY_EXPIRY)?.retain(|_, ()| false)?;
    transaction.open_table(IDEMPOTENCY)?.retain(|_, _| false)?;
    transaction.open_table(IDEMPOTENCY_OF)?.retain(|_, _| false)?;
    transaction.open_table(LOG)?.retain(|_, _| false)?;
    transaction.open_table(FOLLOWERS)?.retain(|_, _| false)?;
    transaction.open_table(ISSUERS)?.retain(|_, _| false)?;
    let mut meta = transaction.open_table(META)?;
    meta.remove(REGISTER)?;
    meta.insert(IMPORTING, [1].as_slice())?;
    Ok(())
}
