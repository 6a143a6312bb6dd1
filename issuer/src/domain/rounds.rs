//! What issuers that share a store tell each other in it: one row each, renewed by every confirmed round. Pure values;
//! no clock of one means anything to another.

use common::key_id::KeyId;

use crate::domain::{followers::Row, ports::LogEnd};

/// One running process of an issuer.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct IssuerRow {
    /// Drawn at its start.
    pub id: u64,
    /// `store.issuer`, for people. Two processes may have been given the same by mistake.
    pub name: String,
    /// The token keys whose private part it holds.
    pub keys: Vec<KeyId>,
    /// It saw the store lose rows of the register less than the longest limit ago, by its boot clock. The counter of losses tells
    /// those who ran then; this tells those who start since.
    pub after_loss: bool,
}

/// A confirmed round, as it is asked for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Round {
    /// The row to write.
    pub issuer: IssuerRow,
    /// Its number, above those of all earlier rounds of this process.
    pub number: u64,
    /// What the store must hold of this process.
    pub entry: Entry,
    /// Rows that this process holds, of followers that have acknowledged more. Rows that it holds no more stay as they are.
    pub acknowledged: Vec<Row>,
    /// The version of the register that was seen last.
    pub known: Option<u64>,
}

/// How an issuer's row is written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Entry {
    /// It must stand there, with the number of this round or a later one.
    Stands(u64),
    /// It may not stand there, or as it likes: a new process, or one whose row was taken out.
    New,
    /// As [`Entry::New`], and the store was seen to have lost what it held: told to all other issuers.
    AfterLoss,
}

/// What a confirmed round showed, all of it at one instant.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Rounded {
    /// Where the log ends.
    pub end: Option<LogEnd>,
    /// Entries of the log are gone, whatever its end says.
    pub gaps: bool,
    /// Whether the row stood as it must. If it did not, nothing was written.
    pub standing: Standing,
    /// The version of limits and key roles; 0 before they were first saved.
    pub policy_version: u64,
    /// How often an issuer has told that the store had lost what it held.
    pub losses: u64,
    /// Which server answered: another one, or the same after a restart, has another name.
    pub server: String,
    /// All issuers, this one included, each with the number of its last round, in the order of their ids.
    pub issuers: Vec<(IssuerRow, u64)>,
    /// The register's version.
    pub register: u64,
    /// The register in the order of its followers; `None` when it has the version that was known.
    pub rows: Option<Vec<Row>>,
}

/// What stood of an issuer when its round came.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Standing {
    /// What must.
    Kept,
    /// No row: other issuers gave this process up, or the store lost it.
    Absent,
    /// Less than what was confirmed: the store has gone back, or rows of the register are gone.
    Behind,
}
