//! How far an entry has come, as a value. Decides nothing.

use common::clock::BootInstant;

/// How far an entry has come.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Visibility {
    /// How many verifiers are running.
    pub followers: usize,
    /// The ids of those that may still accept what the entry revoked, in order.
    pub waiting_for: Vec<String>,
    /// Verifiers may be running that nobody here knows of: entries were lost a short while ago, or the shared register was
    /// not read since the entry was appended.
    pub blind: bool,
    /// When the first of them can change without a word from it. `None` when none is waited for.
    pub next_change: Option<BootInstant>,
}

impl Visibility {
    /// No verification that starts later accepts what the entry revoked.
    pub const fn reached(&self) -> bool {
        !self.blind && self.waiting_for.is_empty()
    }

    /// How many verifiers see the entry.
    pub const fn visible_to(&self) -> usize {
        self.followers - self.waiting_for.len()
    }
}
