//! The entries themselves, packed, as the issuer keeps them for followers. Pure: never a stream, never a disk.

use std::{collections::VecDeque, sync::Arc};

use common::revocation::{
    entry::{Entry, EntryError, Hash, pack, unpack},
    head::Link,
};

use crate::domain::chain::{BrokenChain, Chain};

/// All entries behind a base, in order. Cloning shares them.
#[derive(Clone, Debug, Default)]
pub struct Chunks {
    /// Everything, in chunks that were merged.
    all: Arc<Vec<Chunk>>,
    /// The last few runs as they were appended: what nearly every follower needs.
    recent: Arc<VecDeque<Chunk>>,
}

/// A packed run of entries.
#[derive(Clone, Debug)]
pub struct Chunk {
    /// The number of its first entry.
    pub first: u64,
    /// The hash of the chain before it.
    pub previous: Hash,
    /// Its last entry.
    pub last: Link,
    /// Each entry behind its length.
    pub bytes: Arc<[u8]>,
}

impl Chunks {
    /// With a run more.
    #[must_use]
    pub fn with(&self, chunk: Chunk) -> Self {
        let mut recent = VecDeque::clone(&self.recent);
        recent.push_back(chunk.clone());
        if recent.len() > RECENT {
            recent.pop_front();
        }
        let mut all = Vec::clone(&self.all);
        all.push(chunk);
        // As in a binary counter: each entry is copied a number of times that grows with the logarithm only.
        while let [.., one, next] = all.as_slice()
            && one.bytes.len() <= 2 * next.bytes.len()
            && one.bytes.len() + next.bytes.len() <= LARGEST
        {
            let bytes = [&*one.bytes, &*next.bytes].concat().into();
            let merged = Chunk { first: one.first, previous: one.previous, last: next.last, bytes };
            all.truncate(all.len() - 2);
            all.push(merged);
        }
        Self { all: Arc::new(all), recent: Arc::new(recent) }
    }

    /// Without the chunks that lie wholly at or before `base`.
    #[must_use]
    pub fn trimmed(&self, base: u64) -> Self {
        let kept = |chunk: &&Chunk| chunk.last.sequence > base;
        Self {
            all: Arc::new(self.all.iter().filter(kept).cloned().collect()),
            recent: Arc::new(self.recent.iter().filter(kept).cloned().collect()),
        }
    }

    /// Every entry after `sequence`, in runs. The first run begins exactly there.
    ///
    /// # Errors
    /// Never in practice: what was packed here can be unpacked.
    pub fn after(&self, sequence: u64) -> Result<Vec<Chunk>, EntryError> {
        let recent_reaches =
            self.recent.front().is_some_and(|chunk| chunk.first <= sequence.saturating_add(1));
        let wanted = |chunk: &&Chunk| chunk.last.sequence > sequence;
        let mut runs: Vec<Chunk> = if recent_reaches {
            self.recent.iter().filter(wanted).cloned().collect()
        } else {
            self.all.iter().filter(wanted).cloned().collect()
        };
        if let Some(first) = runs.first_mut()
            && first.first <= sequence
        {
            let mut previous = first.previous;
            let mut rest = Vec::new();
            for entry in unpack(&first.bytes)? {
                if entry.cursor.sequence <= sequence {
                    previous = entry.link(&previous);
                } else {
                    rest.push(entry);
                }
            }
            *first = Chunk { first: sequence + 1, previous, last: first.last, bytes: pack(&rest).into() };
        }
        Ok(runs)
    }

    /// All of them, as one chain of `epoch` behind `base`.
    ///
    /// # Errors
    /// Never in practice, as for [`Chunks::after`].
    pub fn chain(&self, epoch: u64, base: Link) -> Result<Chain, BrokenChain> {
        let mut chain = Chain::new(epoch, base);
        for run in self.after(base.sequence)? {
            chain.extend(&run.bytes)?;
        }
        Ok(chain)
    }

    /// The entry of this number, if it is held.
    pub fn entry(&self, sequence: u64) -> Option<Entry> {
        let holds = |chunk: &&Chunk| chunk.first <= sequence && sequence <= chunk.last.sequence;
        let chunk = self.recent.iter().find(holds).or_else(|| self.all.iter().find(holds))?;
        unpack(&chunk.bytes).ok()?.into_iter().find(|entry| entry.cursor.sequence == sequence)
    }
}

/// Runs kept as they were appended.
const RECENT: usize = 64;
/// Chunks grow to at most so many bytes.
const LARGEST: usize = 256 << 10;

#[cfg(test)]
mod tests {
    use common::{
        revocation::{
            cursor::Cursor,
            entry::{Body, Reason},
            rule::{Rule, Scope},
        },
        timestamp::Timestamp,
    };

    use super::*;

    fn entry(sequence: u64) -> Entry {
        let cursor = Cursor::new(1, sequence);
        let rule = Rule::Scope(Scope::default());
        let body = Body::Rule { rule, reason: Reason::Operator, cut: cursor, project: None };
        Entry { cursor, recorded_at: Timestamp::EPOCH, expires_at: Timestamp::EPOCH, body }
    }

    #[test]
    fn every_entry_after_any_number_is_there_in_order_with_the_hash_before_it() {
        let mut hashes = vec![[0; 32]];
        let mut chunks = Chunks::default();
        let mut next = 1_u64;
        for size in (1..=150_u64).map(|n| n % 7 + 1) {
            let entries: Vec<_> = (next..next + size).map(entry).collect();
            let previous = *hashes.last().unwrap();
            for entry in &entries {
                hashes.push(entry.link(hashes.last().unwrap()));
            }
            let last = Link { sequence: next + size - 1, hash: *hashes.last().unwrap() };
            chunks = chunks.with(Chunk { first: next, previous, last, bytes: pack(&entries).into() });
            next += size;
        }
        for after in [0, 1, 5, 100, next - 5, next - 2, next - 1] {
            let runs = chunks.after(after).unwrap();
            let mut expected = after + 1;
            for run in runs {
                assert_eq!(
                    (run.first, run.previous),
                    (expected, hashes[usize::try_from(expected).unwrap() - 1])
                );
                let entries = unpack(&run.bytes).unwrap();
                assert!(entries.iter().zip(expected..).all(|(entry, n)| entry.cursor.sequence == n));
                expected += entries.len() as u64;
            }
            assert_eq!(expected, next, "after {after}");
        }
        assert_eq!(chunks.entry(77), Some(entry(77)));
        assert_eq!(chunks.entry(next), None);
        let trimmed = chunks.trimmed(300);
        assert!(trimmed.after(400).unwrap().first().is_some_and(|run| run.first == 401));
        assert!(chunks.all.len() < 20, "{} chunks", chunks.all.len());
    }
}
