//! Whether the store holds what the journal says was appended, and how a log that lost entries is mended
//! (docs/adr/0006). Pure: values in, a plan out.

use std::{cmp::Ordering, time::Duration};

use common::{
    revocation::{
        cursor::Cursor,
        entry::{Body, Entry},
        head::Link,
        set::Set,
    },
    timestamp::Timestamp,
};

use crate::domain::chain::Chain;

/// What a start finds.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Finding {
    /// Neither holds anything: a new realm.
    New,
    /// Both end in the same entry.
    Agree,
    /// The store holds more: the last steps of an earlier process never reached its journal. These entries are to be
    /// written late.
    JournalBehind(Vec<Entry>),
    /// The store lost entries; this epoch holds them all.
    StoreLost(Chain),
    /// Entries were lost, and what is held does not reach the highest that is known: an operator must decide.
    Unmendable,
}

/// Compares what the store and the journal hold at `now`.
///
/// `store` is `None` when it holds no log; `broken` when its entries do not meet its own end.
pub fn compare(store: Option<&Chain>, broken: bool, journal: Option<&Chain>, now: Timestamp) -> Finding {
    match (store, journal) {
        (None, None) => Finding::New,
        (Some(_), None) if broken => Finding::Unmendable,
        (Some(store), None) => Finding::JournalBehind(store.entries().to_vec()),
        (None, Some(journal)) => from_journal(None, journal, now),
        (Some(store), Some(journal)) if broken => from_journal(Some(store), journal, now),
        (Some(store), Some(journal)) => match store.epoch().cmp(&journal.epoch()) {
            // Another issuer opened it, or this one did and its journal never heard: is everything in it?
            Ordering::Greater if covers(store, journal, now) => {
                Finding::JournalBehind(store.entries().to_vec())
            }
            Ordering::Greater => {
                mend(store, Some(journal), now).map_or(Finding::Unmendable, Finding::StoreLost)
            }
            Ordering::Less => from_journal(Some(store), journal, now),
            Ordering::Equal => same_epoch(store, journal, now),
        },
    }
}

fn same_epoch(store: &Chain, journal: &Chain, now: Timestamp) -> Finding {
    let (ours, theirs) = (store.end(), journal.end());
    if ours == theirs {
        return Finding::Agree;
    }
    if ours.sequence > theirs.sequence {
        // Trimmed past the journal's end: everything that it could hold more has expired.
        let extends =
            theirs.sequence < store.base().sequence || store.hash_at(theirs.sequence) == Some(theirs.hash);
        if extends {
            return Finding::JournalBehind(store.after(theirs.sequence).to_vec());
        }
    }
    from_journal(Some(store), journal, now)
}

/// A journal holds an epoch from its first live entry on, or it is not known what it lacks.
fn from_journal(store: Option<&Chain>, journal: &Chain, now: Timestamp) -> Finding {
    if !journal.is_whole() {
        return Finding::Unmendable;
    }
    mend(journal, store, now).map_or(Finding::Unmendable, Finding::StoreLost)
}

/// Whether a chain of a later epoch revokes all that `held` does at `now` (docs/adr/0006, 5).
fn covers(later: &Chain, held: &Chain, now: Timestamp) -> bool {
    let set = |chain: &Chain| {
        let mut set = Set::new(chain.epoch());
        chain.entries().iter().try_for_each(|entry| set.insert(entry)).ok()?;
        Some(set)
    };
    set(held).zip(set(later)).is_some_and(|(ours, theirs)| ours.is_covered_by(&theirs, now))
}

/// A new epoch out of one chain alone, which is complete.
pub fn renewed(held: &Chain, now: Timestamp) -> Option<Chain> {
    mend(held, None, now)
}

/// Joins what is held with what a verifier offers, complete under a signed head, or with what the store holds, into a new
/// epoch. The one that goes further is carried in full.
pub fn join(held: &Chain, offered: &Chain, now: Timestamp) -> Option<Chain> {
    let reach = |chain: &Chain| (chain.epoch(), chain.end().sequence);
    if reach(offered) >= reach(held) {
        mend(offered, Some(held), now)
    } else {
        mend(held, Some(offered), now)
    }
}

/// A new epoch: all rules of `main` that are live or were a day ago, which is complete, and those that only `other` holds: they were appended
/// between the loss and its notice, or are what was lost.
fn mend(main: &Chain, other: Option<&Chain>, now: Timestamp) -> Option<Chain> {
    let (lost, end) = (main.epoch(), main.end().sequence);
    let known = |epoch: u64| {
        main.carried().iter().find(|carried| carried.epoch == epoch).map(|carried| carried.sequence)
    };
    let mut carried: Vec<Cursor> = main.carried().to_vec();
    if let Some(other) = other.filter(|other| (1..lost).contains(&other.epoch())) {
        carried.retain(|carried| carried.epoch != other.epoch());
        let sequence = other.end().sequence.max(known(other.epoch()).unwrap_or(0));
        carried.push(Cursor::new(other.epoch(), sequence));
        carried.sort_unstable();
    }
    carried.push(Cursor::new(lost, end));
    let recorded_at = main.entries().last().map_or(now, |last| last.recorded_at.max(now));
    let both = || main.entries().iter().chain(other.into_iter().flat_map(Chain::entries));
    let genesis = Entry {
        cursor: Cursor::new(lost + 1, 1),
        recorded_at,
        // Cursors of the lost epoch are known to be lost until everything they could have hit has expired; and that there
        // was a loss, to whoever starts soon.
        expires_at: both().map(|entry| entry.expires_at).fold(recorded_at.plus(RECENT), Ord::max),
        body: Body::Genesis(carried),
    };
    let branch = other.into_iter().flat_map(Chain::entries).filter(|entry| {
        let Cursor { epoch, sequence } = entry.cursor;
        match epoch.cmp(&lost) {
            Ordering::Equal => main.after(sequence.saturating_sub(1)).first() != Some(entry),
            // What the main branch carried over from that epoch, it has in full.
            Ordering::Less | Ordering::Greater => known(epoch).is_none_or(|carried| sequence > carried),
        }
    });
    let branch = branch.cloned().map(|entry| cut_at(entry, Cursor::new(lost, end)));
    let mut chain = Chain::new(lost + 1, Link { sequence: 0, hash: [0; 32] });
    chain.push(genesis).ok()?;
    // By the calendar of whoever mends, which may be ahead of that of verifiers: what expired within a day is kept, and trimmed
    // later as everything is.
    let live = |entry: &Entry| entry.expires_at.plus(RECENT) > now;
    for mut entry in main.entries().iter().cloned().chain(branch).filter(live) {
        if matches!(entry.body, Body::Genesis(_)) {
            continue;
        }
        entry.cursor = Cursor::new(lost + 1, chain.end().sequence + 1);
        chain.push(entry).ok()?;
    }
    Some(chain)
}

/// Whether the epoch of this chain was opened because of a loss, recently. With it rows of the register may have been lost
/// whose verifiers still run: whoever starts now calls nothing visible for the longest limit.
///
/// By the calendar, which may have stepped: so a whole day counts, where a quarter of an hour would be enough.
pub fn was_recent(chain: &Chain, now: Timestamp) -> bool {
    let genesis = chain.entries().first().filter(|entry| matches!(entry.body, Body::Genesis(_)));
    chain.epoch() > 1 && genesis.is_some_and(|genesis| now < genesis.recorded_at.plus(RECENT))
}

/// See [`was_recent`].
const RECENT: Duration = Duration::from_hours(24);

/// A rule of the branch: where it stood is ambiguous there, so it hits all that was recorded before the new epoch.
fn cut_at(mut entry: Entry, end: Cursor) -> Entry {
    let own = if entry.cursor.epoch == end.epoch { entry.cursor.sequence } else { 0 };
    if let Body::Rule { cut, .. } = &mut entry.body {
        *cut = (*cut).max(Cursor::new(end.epoch, end.sequence.max(own) + 1));
    }
    entry
}

#[cfg(test)]
mod tests;
