//! Whether the store holds what the journal says was appended, and how a log that lost entries is mended
//! (docs/adr/0006). Pure: values in, a plan out.

use std::time::Duration;

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
        (Some(store), Some(journal)) if store.end() == journal.end() && store.epoch() == journal.epoch() => {
            Finding::Agree
        }
        // Of a later epoch: another issuer opened it, or this one did and its journal never heard.
        (Some(store), Some(journal)) if goes_on(store, journal, now) => {
            let late = if store.epoch() == journal.epoch() { journal.end().sequence } else { 0 };
            Finding::JournalBehind(store.after(late).to_vec())
        }
        (Some(store), Some(journal)) if is_past(store, journal) || journal.is_whole() => {
            join(&[store, journal], now).map_or(Finding::Unmendable, Finding::StoreLost)
        }
        (Some(_), Some(_)) => Finding::Unmendable,
    }
}

/// A journal holds an epoch from its first live entry on, or it is not known what it lacks.
fn from_journal(store: Option<&Chain>, journal: &Chain, now: Timestamp) -> Finding {
    if !journal.is_whole() {
        return Finding::Unmendable;
    }
    let store: Vec<_> = store.into_iter().collect();
    mend(journal, &store, now).map_or(Finding::Unmendable, Finding::StoreLost)
}

/// Whether the log `stored` revokes all that `held` does at `now`, so that nothing is to be mended: it goes on from where
/// that ends; or, of a later epoch or trimmed past that end, where its hashes tell nothing, it has every live rule
/// (docs/adr/0006, 5).
pub fn goes_on(stored: &Chain, held: &Chain, now: Timestamp) -> bool {
    if !is_past(stored, held) {
        return stored.extends(held);
    }
    let set = set_of(stored.epoch(), stored.entries().iter());
    let live = held.entries().iter().filter(|entry| entry.expires_at > now);
    set.is_some_and(|set| live.into_iter().all(|entry| holds(&set, entry)))
}

/// Whether hashes cannot tell if the one goes on from the other, which ends before all that the one holds.
fn is_past(stored: &Chain, held: &Chain) -> bool {
    (stored.epoch(), stored.base().sequence) > (held.epoch(), held.end().sequence)
}

fn set_of<'a>(epoch: u64, mut entries: impl Iterator<Item = &'a Entry>) -> Option<Set> {
    let mut set = Set::new(epoch);
    entries.try_for_each(|entry| set.insert(entry)).ok()?;
    Some(set)
}

fn holds(set: &Set, entry: &Entry) -> bool {
    match &entry.body {
        Body::Rule { rule, cut, .. } => set.holds(rule, *cut),
        Body::Genesis(_) => true,
    }
}

/// A new epoch out of one chain alone, which is complete.
pub fn renewed(held: &Chain, now: Timestamp) -> Option<Chain> {
    mend(held, &[], now)
}

/// Joins what is held with what a verifier offers, complete under a signed head, and with what the store holds, into a new
/// epoch. The one that goes furthest is carried in full. `None` of nothing.
pub fn join(held: &[&Chain], now: Timestamp) -> Option<Chain> {
    let reach = |chain: &&Chain| (chain.epoch(), chain.end().sequence);
    let furthest = (0..held.len()).max_by_key(|index| held.get(*index).map(reach))?;
    let mut others = held.to_vec();
    let main = others.swap_remove(furthest);
    mend(main, &others, now)
}

/// A new epoch: all rules of `main` that are live or were a day ago, which is complete, and those that only others hold: they were
/// appended between the loss and its notice, or are what was lost.
fn mend(main: &Chain, others: &[&Chain], now: Timestamp) -> Option<Chain> {
    let (lost, end) = (main.epoch(), main.end().sequence);
    let mut carried: Vec<Cursor> = main.carried().to_vec();
    for other in others.iter().filter(|other| (1..lost).contains(&other.epoch())) {
        let mut reached = Cursor::new(other.epoch(), other.end().sequence);
        carried.retain(|carried| {
            let same = carried.epoch == reached.epoch;
            reached = if same { reached.max(*carried) } else { reached };
            !same
        });
        carried.push(reached);
    }
    carried.sort_unstable();
    carried.push(Cursor::new(lost, end));
    let recorded_at = main.entries().last().map_or(now, |last| last.recorded_at.max(now));
    let theirs = || others.iter().flat_map(|other| other.entries());
    let genesis = Entry {
        cursor: Cursor::new(lost + 1, 1),
        recorded_at,
        // Cursors of the lost epoch are known to be lost until everything they could have hit has expired; and that there
        // was a loss, to whoever starts soon.
        expires_at: main
            .entries()
            .iter()
            .chain(theirs())
            .map(|entry| entry.expires_at)
            .fold(recorded_at.plus(RECENT), Ord::max),
        body: Body::Genesis(carried),
    };
    // Most of what they hold is the same, and at its place. The rest is looked up: a position tells nothing of another epoch or branch.
    let elsewhere = |entry: &&Entry| {
        let Cursor { epoch, sequence } = entry.cursor;
        epoch != lost || main.after(sequence.saturating_sub(1)).first() != Some(entry)
    };
    // What main has trimmed had expired by the time of the log.
    let trimmed = |entry: &Entry| {
        let gone = Cursor::new(lost, main.base().sequence);
        entry.cursor.epoch == lost && entry.cursor <= gone && entry.expires_at <= now
    };
    // By the calendar of whoever mends, which may be ahead of that of verifiers: what expired within a day is kept, and trimmed
    // later as everything is.
    let live = |entry: &&Entry| entry.expires_at.plus(RECENT) > now;
    let mut set = None;
    let mut branch = Vec::new();
    for entry in theirs().filter(elsewhere).filter(|entry| !trimmed(entry)) {
        if set.is_none() {
            // Of what is carried: a rule that goes does not stand for one that stays.
            set = Some(set_of(lost, main.entries().iter().filter(live))?);
        }
        if !set.as_ref().is_some_and(|set| holds(set, entry)) {
            branch.push(cut_at(entry.clone(), Cursor::new(lost, end)));
        }
    }
    let mut chain = Chain::new(lost + 1, Link { sequence: 0, hash: [0; 32] });
    chain.push(genesis).ok()?;
    let branch = branch.iter().filter(live);
    for mut entry in main.entries().iter().filter(live).chain(branch).cloned() {
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
