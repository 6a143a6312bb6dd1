//! What comes from an issuer, as values: runs of entries, and batches of them under the head that proves them.

use std::fmt;

use common::{
    revocation::{cursor::Cursor, entry::Hash, head::Head},
    trust::Verified,
};

/// Consecutive entries in their packed form. By itself it proves nothing.
#[derive(Clone, Eq, PartialEq)]
pub struct Run {
    /// The epoch of all of them.
    pub epoch: u64,
    /// The sequence of the first.
    pub first: u64,
    /// The hash before the first.
    pub previous: Hash,
    /// Each entry behind its length.
    pub entries: Vec<u8>,
}

impl Run {
    /// The most bytes of packed entries in one run.
    pub const MAX_LEN: usize = 1 << 20;
}

impl fmt::Debug for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { epoch, first, previous: _, entries } = self;
        write!(f, "Run({epoch}/{first}, {} bytes)", entries.len())
    }
}

/// What the log grew by in one step: proven, complete up to its head.
#[derive(Clone, Debug)]
pub struct Batch {
    /// In order, without a gap. Empty when the head only confirms a log time.
    pub runs: Vec<Run>,
    /// Where they end.
    pub head: Verified<Head>,
}

impl Batch {
    /// The position that is reached with it.
    pub fn cursor(&self) -> Cursor {
        self.head.statement().cursor()
    }
}
