//! A holder's copy of the log: complete from a base to its end, and grown only under signed heads. Pure: `now` is an
//! argument; never a file, a stream or a signature.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use super::{
    cursor::Cursor,
    entry::{self, Body, Entry, EntryError, Hash},
    head::{Head, Link},
    set::{Set, SetError},
};
use crate::timestamp::Timestamp;

/// What is held of the log. Cloning shares nearly everything; a clone that grows copies only what it touches.
///
/// Holds the rules, not the entries: these are kept by whoever must send them on.
#[derive(Clone, Debug)]
pub struct Log {
    set: Set,
    base: Link,
    end: Link,
    blocks: Arc<VecDeque<Block>>,
    /// What the genesis of this epoch says was carried over; `None` once that entry is not held any more.
    carried: Option<Vec<Cursor>>,
    /// The highest log time of an accepted head.
    stated: Timestamp,
    entries: u64,
}

/// A run of entries that is trimmed as one.
#[derive(Clone, Copy, Debug)]
struct Block {
    last: Link,
    entries: u64,
    /// All of them have expired from this instant on.
    expires_at: Timestamp,
}

impl Log {
    /// Nothing, of no epoch: what a holder has that never heard of a log.
    pub fn empty() -> Self {
        Self::from_base(0, Link { sequence: 0, hash: [0; 32] })
    }

    /// Nothing yet behind `base`.
    pub fn from_base(epoch: u64, base: Link) -> Self {
        Self {
            set: Set::new(epoch),
            base,
            end: base,
            blocks: Arc::default(),
            carried: None,
            stated: Timestamp::EPOCH,
            entries: 0,
        }
    }

    /// The rules.
    pub const fn set(&self) -> &Set {
        &self.set
    }

    /// The position of the last entry; zero of a log that holds nothing of any epoch.
    pub const fn cursor(&self) -> Cursor {
        Cursor::new(self.set.epoch(), self.end.sequence)
    }

    /// The last entry that was trimmed away.
    pub const fn base(&self) -> Link {
        self.base
    }

    /// The last entry.
    pub const fn end(&self) -> Link {
        self.end
    }

    /// How many entries are held.
    pub const fn entries(&self) -> u64 {
        self.entries
    }

    /// The highest log time of an accepted head: `exp` and retention are judged at the later of it and the own clock.
    pub const fn log_time(&self) -> Timestamp {
        self.stated
    }

    /// Whether everything that was durable when the log stood at `cursor` is in it.
    pub fn reaches(&self, cursor: Cursor) -> Reach {
        if cursor.epoch == self.set.epoch() {
            return if cursor.sequence <= self.end.sequence { Reach::Reached } else { Reach::NotYet };
        }
        if cursor.epoch > self.set.epoch() {
            return Reach::NotYet;
        }
        // Once the genesis is trimmed, all that an earlier epoch's entry could have hit has expired (docs/adr/0006, 6).
        let Some(carried) = &self.carried else { return Reach::Reached };
        let kept = carried.iter().any(|kept| kept.epoch == cursor.epoch && cursor.sequence <= kept.sequence);
        if kept || cursor == Cursor::ZERO { Reach::Reached } else { Reach::Lost }
    }

    /// Adds a packed run that follows the end. Proves nothing: the writer of the log made the run itself, everybody else
    /// goes through a [`Candidate`].
    ///
    /// # Errors
    /// [`Refused`]; this copy is then good for nothing and must be dropped.
    pub fn extend(&mut self, run: &[u8]) -> Result<(), Refused> {
        let mut block = Block { last: self.end, entries: 0, expires_at: Timestamp::EPOCH };
        for bytes in entry::packed(run) {
            let bytes = bytes?;
            let entry = Entry::decode(bytes)?;
            if entry.cursor != Cursor::new(self.set.epoch(), block.last.sequence.saturating_add(1)) {
                return Err(Refused::Gap);
            }
            match &entry.body {
                Body::Genesis(carried) if entry.cursor.sequence == 1 => self.carried = Some(carried.clone()),
                Body::Rule { .. } if entry.cursor.sequence != 1 => self.set.insert(&entry)?,
                Body::Genesis(_) | Body::Rule { .. } => return Err(Refused::Genesis),
            }
            block.last = Link { sequence: entry.cursor.sequence, hash: entry::link(&block.last.hash, bytes) };
            block.entries += 1;
            block.expires_at = block.expires_at.max(entry.expires_at);
        }
        if block.entries > 0 {
            self.end = block.last;
            self.entries += block.entries;
            self.push(block);
        }
        Ok(())
    }

    /// The signed head says that the log ends where this copy does, at that log time.
    pub fn confirmed(&mut self, log_time: Timestamp) {
        self.stated = self.stated.max(log_time);
    }

    /// The last entry of the part of the old end that may be trimmed: it and all before it have expired by both log time
    /// and the holder's own clock `now`. `None` when there is no such part.
    pub fn expired(&self, now: Timestamp) -> Option<Link> {
        let now = now.min(self.stated);
        self.blocks.iter().take_while(|block| block.expires_at <= now).last().map(|block| block.last)
    }

    /// Without the part that has expired, as far as `up_to` (inclusive): others may still need the rest.
    #[must_use]
    pub fn trimmed(&self, up_to: u64, now: Timestamp) -> Self {
        let Some(expired) = self.expired(now) else { return self.clone() };
        let last = expired.sequence.min(up_to);
        let gone = self.blocks.iter().take_while(|block| block.last.sequence <= last);
        let Some(base) = gone.last().map(|block| block.last) else { return self.clone() };
        let kept: VecDeque<Block> =
            self.blocks.iter().filter(|block| block.last.sequence > base.sequence).copied().collect();
        Self {
            set: self.set.trimmed(base.sequence),
            // A jump over a gap may have moved the base further already.
            base: if base.sequence > self.base.sequence { base } else { self.base },
            end: self.end,
            entries: kept.iter().map(|block| block.entries).sum(),
            blocks: Arc::new(kept),
            carried: None,
            stated: self.stated,
        }
    }

    /// Entries held in the part that [`Log::trimmed`] would take away.
    pub fn trimmable(&self, up_to: u64, now: Timestamp) -> u64 {
        let last = self.expired(now).map_or(0, |link| link.sequence.min(up_to));
        self.blocks.iter().take_while(|block| block.last.sequence <= last).map(|block| block.entries).sum()
    }

    /// What this copy lacks to agree with a head that the log key signed. `now` is the own clock.
    ///
    /// # Errors
    /// [`Refused`] when the head is behind this copy, on another branch, or too far in the future.
    pub fn towards(&self, head: &Head, now: Timestamp) -> Result<Candidate, Refused> {
        if head.log_time > now.plus(FUTURE) {
            return Err(Refused::Future);
        }
        let mut log = self.clone();
        match head.epoch.cmp(&self.set.epoch()) {
            std::cmp::Ordering::Less => return Err(Refused::RolledBack),
            std::cmp::Ordering::Greater => log = Self::from_base(head.epoch, head.base),
            std::cmp::Ordering::Equal if head.end.sequence < self.end.sequence => {
                return Err(Refused::RolledBack);
            }
            std::cmp::Ordering::Equal
                if head.end.sequence == self.end.sequence && head.end.hash != self.end.hash =>
            {
                return Err(Refused::Fork);
            }
            // What lies between has expired for everybody else. What is held stays until it has expired here too.
            std::cmp::Ordering::Equal if self.end.sequence < head.base.sequence => {
                (log.base, log.end) = (head.base, head.base);
            }
            std::cmp::Ordering::Equal => {}
        }
        let before = (log.set.epoch() != self.set.epoch()).then(|| self.clone());
        if log.set.epoch() != self.set.epoch() {
            log.stated = self.stated;
        }
        Ok(Candidate { log, before, end: head.end, log_time: head.log_time })
    }

    /// Whether a log of a later epoch revokes all that is live here: that has not expired by both the holder's own clock
    /// `now` and the log time, be it of the later one. Whoever takes that log judges `exp` at its time from then on.
    pub fn is_covered_by(&self, later: &Self, now: Timestamp) -> bool {
        self.set.is_covered_by(&later.set, now.min(self.stated.max(later.stated)))
    }

    fn push(&mut self, block: Block) {
        let blocks = Arc::make_mut(&mut self.blocks);
        match blocks.back_mut() {
            Some(last)
                if last.entries + block.entries <= BLOCK
                    && last.last.sequence + block.entries == block.last.sequence =>
            {
                *last = Block {
                    last: block.last,
                    entries: last.entries + block.entries,
                    expires_at: last.expires_at.max(block.expires_at),
                };
            }
            _ => blocks.push_back(block),
        }
    }
}

/// A copy that is being completed under a signed head. Nobody may read it before it is whole.
#[derive(Debug)]
pub struct Candidate {
    log: Log,
    /// The copy of an earlier epoch that this one must cover.
    before: Option<Log>,
    end: Link,
    log_time: Timestamp,
}

impl Candidate {
    /// The number of the entry that it needs next; `None` when it is whole.
    pub fn next(&self) -> Option<u64> {
        (self.log.end.sequence < self.end.sequence).then(|| self.log.end.sequence.saturating_add(1))
    }

    /// Takes a run of entries that begins with the one it needs next.
    ///
    /// # Errors
    /// [`Refused`], and then it is good for nothing: a gap is fetched, never skipped.
    pub fn take(&mut self, epoch: u64, first: u64, previous: &Hash, run: &[u8]) -> Result<(), Refused> {
        if epoch != self.log.set.epoch() || Some(first) != self.next() {
            return Err(Refused::Gap);
        }
        if *previous != self.log.end.hash {
            return Err(Refused::Fork);
        }
        self.log.extend(run)?;
        if self.log.end.sequence > self.end.sequence { Err(Refused::Gap) } else { Ok(()) }
    }

    /// The copy, proven: its chain of hashes ends where the signed head says. `now` is the own clock.
    ///
    /// # Errors
    /// [`Refused::Gap`] when entries are missing, [`Refused::Fork`] when it ends in another hash,
    /// [`Refused::EpochLacksEntries`] when the new epoch does not revoke all that the old copy does.
    pub fn finish(mut self, now: Timestamp) -> Result<Log, Refused> {
        if self.next().is_some() {
            return Err(Refused::Gap);
        }
        if self.log.end != self.end {
            return Err(Refused::Fork);
        }
        self.log.confirmed(self.log_time);
        if self.before.is_some_and(|before| !before.is_covered_by(&self.log, now)) {
            return Err(Refused::EpochLacksEntries);
        }
        Ok(self.log)
    }
}

/// Whether a position is reached.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Reach {
    /// It is.
    Reached,
    /// Not yet: more entries must come.
    NotYet,
    /// It never will be: it is of an earlier epoch, beyond what was carried over.
    Lost,
}

/// Why a head or a run is not taken. Nothing is ever taken in part.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Refused {
    /// The head is over 60 s ahead of the own clock.
    #[error("a head from more than 60 s in the future")]
    Future,
    /// The head is behind what is held: the issuer has lost entries.
    #[error("a head behind the one that is held")]
    RolledBack,
    /// Another history.
    #[error("a head or a run on another branch of the log")]
    Fork,
    /// A run that does not begin with the entry that is needed, or goes too far.
    #[error("a run of entries with a gap")]
    Gap,
    /// The epoch begins without its genesis entry, or has a second one.
    #[error("a genesis entry that is missing or misplaced")]
    Genesis,
    /// An entry written by a newer build: the cursor stops.
    #[error("an entry of a kind that this build does not know")]
    UnknownKind,
    /// Bytes that are no entry.
    #[error("a malformed entry")]
    Malformed,
    /// The new epoch does not revoke all that is held.
    #[error("an epoch that lacks live entries which are held")]
    EpochLacksEntries,
}

impl From<EntryError> for Refused {
    fn from(error: EntryError) -> Self {
        match error {
            EntryError::UnknownKind => Self::UnknownKind,
            EntryError::Truncated | EntryError::Trailing | EntryError::BadField => Self::Malformed,
        }
    }
}

impl From<SetError> for Refused {
    fn from(error: SetError) -> Self {
        match error {
            SetError::OtherEpoch => Self::Gap,
            SetError::UnusedMask => Self::UnknownKind,
        }
    }
}

/// A head may be this far ahead of the own clock, inclusive.
const FUTURE: Duration = Duration::from_mins(1);
/// Entries trimmed as one.
const BLOCK: u64 = 1024;

#[cfg(test)]
mod tests;
