//! A run of the log with the hash at every place of it: what a store or a journal holds. Pure.

use common::{
    key_id::KeyId,
    revocation::{
        entry::{Body, Entry, EntryError, Hash, unpack},
        head::Link,
        rule::Rule,
    },
};

/// Entries of one epoch, without a gap.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Chain {
    epoch: u64,
    base: Link,
    /// All before the base has expired, or there was nothing.
    whole: bool,
    entries: Vec<Entry>,
    hashes: Vec<Hash>,
}

impl Chain {
    /// Nothing behind `base` yet.
    pub const fn new(epoch: u64, base: Link) -> Self {
        Self { epoch, base, whole: base.sequence == 0, entries: Vec::new(), hashes: Vec::new() }
    }

    /// Every entry up to the sequence `base` is known to have expired.
    pub const fn expired_up_to(&mut self, base: u64) {
        self.whole |= self.base.sequence <= base;
    }

    /// Whether no live entry is missing: it begins where the epoch does, or what stood before has expired.
    pub const fn is_whole(&self) -> bool {
        self.whole
    }

    /// Adds a packed run that must follow.
    ///
    /// # Errors
    /// [`BrokenChain`]; what was added before the fault stays.
    pub fn extend(&mut self, packed: &[u8]) -> Result<(), BrokenChain> {
        for entry in unpack(packed)? {
            self.push(entry)?;
        }
        Ok(())
    }

    /// Adds an entry that must follow.
    ///
    /// # Errors
    /// [`BrokenChain`].
    pub fn push(&mut self, entry: Entry) -> Result<(), BrokenChain> {
        let end = self.end();
        if entry.cursor.epoch != self.epoch || entry.cursor.sequence != end.sequence + 1 {
            return Err(BrokenChain);
        }
        self.hashes.push(entry.link(&end.hash));
        self.entries.push(entry);
        Ok(())
    }

    /// The epoch.
    pub const fn epoch(&self) -> u64 {
        self.epoch
    }

    /// What it begins behind.
    pub const fn base(&self) -> Link {
        self.base
    }

    /// Its last entry.
    pub fn end(&self) -> Link {
        let sequence = self.base.sequence + self.entries.len() as u64;
        self.hashes.last().map_or(self.base, |hash| Link { sequence, hash: *hash })
    }

    /// The hash at `sequence`, if it is held.
    pub fn hash_at(&self, sequence: u64) -> Option<Hash> {
        if sequence == self.base.sequence {
            return Some(self.base.hash);
        }
        let index = usize::try_from(sequence.checked_sub(self.base.sequence + 1)?).ok()?;
        self.hashes.get(index).copied()
    }

    /// Whether it holds all that `other` does, at the same places.
    pub fn extends(&self, other: &Self) -> bool {
        self.epoch == other.epoch && self.hash_at(other.end().sequence) == Some(other.end().hash)
    }

    /// All entries, in order.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The keys that it revokes.
    pub fn revoked_keys(&self) -> impl Iterator<Item = KeyId> {
        self.entries.iter().filter_map(|entry| match &entry.body {
            Body::Rule { rule: Rule::Key(id), .. } => Some(*id),
            Body::Rule { .. } | Body::Genesis(_) => None,
        })
    }

    /// The entries after `sequence`.
    pub fn after(&self, sequence: u64) -> &[Entry] {
        let skipped = usize::try_from(sequence.saturating_sub(self.base.sequence)).unwrap_or(usize::MAX);
        self.entries.get(skipped..).unwrap_or_default()
    }

    /// What the epoch's genesis says was carried over, if it is held.
    pub fn carried(&self) -> &[common::revocation::cursor::Cursor] {
        match self.entries.first().map(|entry| &entry.body) {
            Some(Body::Genesis(carried)) => carried,
            Some(Body::Rule { .. }) | None => &[],
        }
    }
}

/// Entries that do not follow each other, or cannot be read.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("entries of the revocation log that do not follow each other")]
pub struct BrokenChain;

impl From<EntryError> for BrokenChain {
    fn from(_error: EntryError) -> Self {
        Self
    }
}
