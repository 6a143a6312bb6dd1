//! A store as a whole, to be taken into another one: what is carried over, and the statement that the log key signs over
//! it. Pure values.

use common::{
    project::Project,
    revocation::head::Head,
    trust::{Statement, signed::Unwritable},
};

use crate::domain::{
    followers::Row,
    ledger::TokenRecord,
    policy_record::PolicyRecord,
    ports::{AuditMark, Idempotency, LogEnd},
};

/// A record of the ledger, at its place.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Kept {
    /// Its number.
    pub number: u64,
    /// The record.
    pub record: TokenRecord,
    /// The idempotency key under which it was ordered.
    pub idempotency: Option<Idempotency>,
}

/// A part of a store, on its way into an empty one.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Part {
    /// The first: nothing may be there, but what an import left that was not finished.
    Begin,
    /// Projects.
    Projects(Vec<Project>),
    /// Records of the ledger.
    Tokens(Vec<Kept>),
    /// Runs of the log, packed, each behind the number of its first entry.
    Runs(Vec<(u64, Vec<u8>)>),
    /// Rows of verifiers that may be running still.
    Rows(Vec<Row>),
    /// The last: from here on it is a store.
    Finish(Box<Finish>),
}

/// What makes the parts a store.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Finish {
    /// Where the log ends.
    pub end: LogEnd,
    /// Limits and key roles, in the version that they had.
    pub policy: Option<PolicyRecord>,
    /// How far this issuer's audit trail reached.
    pub audit: Option<AuditMark>,
    /// The highest number that was given in the ledger: none is given twice.
    pub newest: u64,
}

/// What the log key signs over an exported store.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Sealed {
    /// The log's head: issuer, realm, and where the log ends.
    pub head: Head,
    /// SHA-256 of all lines before the signature.
    pub digest: [u8; 32],
}

impl Statement for Sealed {
    const CONTEXT: &'static [u8] = b"ipms-store-export/v1\0";

    fn canonical(&self) -> Result<Vec<u8>, Unwritable> {
        let head = self.head.canonical().map_err(|_too_long| Unwritable)?;
        Ok([&self.digest[..], &head].concat())
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (digest, head) = bytes.split_first_chunk()?;
        Some(Self { digest: *digest, head: Head::decode(head).ok()? })
    }
}
