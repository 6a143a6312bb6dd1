//! A position in the revocation log.

use std::fmt;

/// Ordered by epoch, then by sequence. Sequence 0 is before an epoch's first entry.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Cursor {
    /// The run of the log, from 1. A new epoch opens only after entries were lost and mended.
    pub epoch: u64,
    /// The number of an entry in that epoch, from 1.
    pub sequence: u64,
}

impl Cursor {
    /// Before everything.
    pub const ZERO: Self = Self { epoch: 0, sequence: 0 };

    /// The position of `sequence` in `epoch`.
    pub const fn new(epoch: u64, sequence: u64) -> Self {
        Self { epoch, sequence }
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.epoch, self.sequence)
    }
}
