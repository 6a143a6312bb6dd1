//! The register in the embedded store: rows of followers and of issuers. One transaction each, as every step.

use redb::{ReadableTable as _, WriteTransaction};

use super::{
    Fault, reads,
    tables::{END, FOLLOWERS, ISSUERS, META, REGISTER},
};
use crate::{
    adapters::store::{records::Record as _, register::Register, seal::Seal},
    domain::{
        followers::{Follower, Row, Tenure},
        ports::LogEnd,
        rounds::{IssuerRow, Round, Rounded},
    },
};

pub(super) fn join(transaction: &WriteTransaction, row: Row) -> Result<Row, Fault> {
    let mut register = read(transaction)?;
    let row = register.join(row);
    let key = (row.follower.id.as_str(), row.follower.instance);
    transaction.open_table(FOLLOWERS)?.insert(key, row.to_bytes().as_slice())?;
    note(transaction, &register)?;
    Ok(row)
}

pub(super) fn leave(
    transaction: &WriteTransaction,
    followers: &[(Follower, Option<Tenure>)],
) -> Result<(), Fault> {
    let mut register = read(transaction)?;
    register.leave(followers);
    write(transaction, &register)
}

pub(super) fn round(transaction: &WriteTransaction, seal: &Seal, round: Round) -> Result<Rounded, Fault> {
    let mut register = read(transaction)?;
    let (end, policy) = {
        let meta = transaction.open_table(META)?;
        (reads::plain::<LogEnd>(&meta, END)?, reads::policy(&meta, seal)?)
    };
    let rounded = register.round(round, end, policy.map_or(0, |policy| policy.version));
    write(transaction, &register)?;
    Ok(rounded)
}

pub(super) fn expel(transaction: &WriteTransaction, issuer: u64, number: Option<u64>) -> Result<bool, Fault> {
    let mut register = read(transaction)?;
    let done = register.expel(issuer, number);
    write(transaction, &register)?;
    Ok(done)
}

fn read(transaction: &WriteTransaction) -> Result<Register, Fault> {
    let mut register = Register::default();
    if let Some(numbers) = transaction.open_table(META)?.get(REGISTER)? {
        let numbers = serde_json::from_slice(numbers.value()).map_err(|_unreadable| Fault::Lost("meta"))?;
        (register.version, register.losses) = numbers;
    }
    for row in transaction.open_table(FOLLOWERS)?.iter()? {
        let row = Row::from_bytes(row?.1.value()).map_err(|_unreadable| Fault::Lost("followers"))?;
        register.rows.insert(row.follower.clone(), row);
    }
    for row in transaction.open_table(ISSUERS)?.iter()? {
        let (id, value) = row?;
        let (number, bytes) = value.value();
        let row = IssuerRow::from_bytes(bytes).map_err(|_unreadable| Fault::Lost("issuers"))?;
        register.issuers.insert(id.value(), (row, number));
    }
    Ok(register)
}

fn write(transaction: &WriteTransaction, register: &Register) -> Result<(), Fault> {
    let mut rows = transaction.open_table(FOLLOWERS)?;
    rows.retain(|(id, instance), _| register.rows.contains_key(&Follower { id: id.to_owned(), instance }))?;
    for row in register.rows.values() {
        rows.insert((row.follower.id.as_str(), row.follower.instance), row.to_bytes().as_slice())?;
    }
    let mut issuers = transaction.open_table(ISSUERS)?;
    issuers.retain(|id, _| register.issuers.contains_key(&id))?;
    for (id, (row, number)) in &register.issuers {
        issuers.insert(*id, (*number, row.to_bytes().as_slice()))?;
    }
    note(transaction, register)
}

fn note(transaction: &WriteTransaction, register: &Register) -> Result<(), Fault> {
    // Two numbers always have a JSON form.
    let numbers = serde_json::to_vec(&(register.version, register.losses)).unwrap_or_default();
    transaction.open_table(META)?.insert(REGISTER, numbers.as_slice())?;
    Ok(())
}
