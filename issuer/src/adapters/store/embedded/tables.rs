//! The tables of the embedded store: what is the key of what. Reads and writes no record.

use redb::{Database, ReadableTable as _, TableDefinition, TableHandle as _};

use super::{Fault, OpenError};

/// Project id → sealed project.
pub(super) const PROJECTS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("projects");
/// Number → token record. Numbers are given in the order of recording and never twice.
pub(super) const LEDGER: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("ledger");
/// Token id → number.
pub(super) const NUMBERS: TableDefinition<'_, [u8; 16], u64> = TableDefinition::new("numbers");
/// (Project id, number).
pub(super) const BY_PROJECT: TableDefinition<'_, (&str, u64), ()> = TableDefinition::new("by_project");
/// (Organisation id, number).
pub(super) const BY_ORGANISATION: TableDefinition<'_, ([u8; 16], u64), ()> =
    TableDefinition::new("by_organisation");
/// (Approval request, number).
pub(super) const BY_REQUEST: TableDefinition<'_, (&str, u64), ()> = TableDefinition::new("by_request");
/// (Expiry, number).
pub(super) const BY_EXPIRY: TableDefinition<'_, (u64, u64), ()> = TableDefinition::new("by_expiry");
/// Blinded idempotency key → (number, blinded content).
pub(super) const IDEMPOTENCY: TableDefinition<'_, [u8; 32], (u64, [u8; 32])> =
    TableDefinition::new("idempotency");
/// Number → blinded idempotency key, so that it is forgotten with its record.
pub(super) const IDEMPOTENCY_OF: TableDefinition<'_, u64, [u8; 32]> = TableDefinition::new("idempotency_of");
/// (Epoch, number of the first entry) → packed entries.
pub(super) const LOG: TableDefinition<'_, (u64, u64), &[u8]> = TableDefinition::new("log");
/// (Follower id, instance) → row.
pub(super) const FOLLOWERS: TableDefinition<'_, (&str, u64), &[u8]> = TableDefinition::new("followers");
/// Issuer's number → number of its last round, row.
pub(super) const ISSUERS: TableDefinition<'_, u64, (u64, &[u8])> = TableDefinition::new("issuers");
/// Single records, by the names below.
pub(super) const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");

/// The log's end.
pub(super) const END: &str = "end";
/// Limits and key roles, sealed.
pub(super) const POLICY: &str = "policy";
/// How far the audit trail reached.
pub(super) const AUDIT: &str = "audit";
/// The number of the next token record.
pub(super) const NEXT: &str = "next";

/// There while an import has not been finished.
pub(super) const IMPORTING: &str = "importing";
/// The register's version, and how often a loss was told: two numbers.
pub(super) const REGISTER: &str = "register";

const FORMAT: &str = "format";
const VERSION: &[u8] = b"ipms-store/v1";

/// Makes every table in a new file; refuses one of another format.
pub(super) fn create(database: &Database) -> Result<(), OpenError> {
    let damaged = |error: redb::Error| OpenError::Damaged(Box::new(error));
    let foreign = prepare(database).map_err(|fault| match fault {
        Fault::Disk(error) => damaged(*error),
        Fault::Lost(_) | Fault::HalfImported => OpenError::Foreign,
    })?;
    if foreign { Err(OpenError::Foreign) } else { Ok(()) }
}

fn prepare(database: &Database) -> Result<bool, Fault> {
    let transaction = database.begin_write()?;
    {
        let names: Vec<_> = transaction.list_tables()?.map(|table| table.name().to_owned()).collect();
        if !names.is_empty() && !names.iter().any(|name| name == META.name()) {
            return Ok(true);
        }
        let mut meta = transaction.open_table(META)?;
        let format = meta.get(FORMAT)?.map(|format| format.value().to_vec());
        match format {
            Some(format) if format == VERSION => {}
            None if names.is_empty() => drop(meta.insert(FORMAT, VERSION)?),
            Some(_) | None => return Ok(true),
        }
        transaction.open_table(PROJECTS)?;
        transaction.open_table(LEDGER)?;
        transaction.open_table(NUMBERS)?;
        transaction.open_table(BY_PROJECT)?;
        transaction.open_table(BY_ORGANISATION)?;
        transaction.open_table(BY_REQUEST)?;
        transaction.open_table(BY_EXPIRY)?;
        transaction.open_table(IDEMPOTENCY)?;
        transaction.open_table(IDEMPOTENCY_OF)?;
        transaction.open_table(LOG)?;
        transaction.open_table(FOLLOWERS)?;
        transaction.open_table(ISSUERS)?;
    }
    transaction.commit()?;
    Ok(false)
}
