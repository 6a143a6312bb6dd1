//! Whether the store holds what the journal says was appended, and how a log that lost entries is mended
//! (docs/adr/0006). Pure: values in, a plan out.

use common::{
    revocation::{
        cursor::Cursor,
        entry::{Body, Entry},
        head::Link,
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
        (None, Some(journal)) => mend(None, journal, now),
        (Some(store), Some(journal)) if broken => mend(Some(store), journal, now),
        (Some(store), Some(journal)) => match store.epoch().cmp(&journal.epoch()) {
            std::cmp::Ordering::Greater => Finding::JournalBehind(store.entries().to_vec()),
            std::cmp::Ordering::Less => mend(None, journal, now),
            std::cmp::Ordering::Equal => same_epoch(store, journal, now),
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
    mend(Some(store), journal, now)
}

/// A new epoch: all live rules of the journal, and those that only the store holds, which were appended between the loss
/// and its notice.
fn mend(store: Option<&Chain>, journal: &Chain, now: Timestamp) -> Finding {
    if journal.base().sequence != 0 {
        return Finding::Unmendable;
    }
    let (lost, end) = (journal.epoch(), journal.end().sequence);
    let mut carried = journal.carried().to_vec();
    carried.push(Cursor::new(lost, end));
    let recorded_at = journal.entries().last().map_or(now, |last| last.recorded_at.max(now));
    let genesis = Entry {
        cursor: Cursor::new(lost + 1, 1),
        recorded_at,
        // Cursors of the lost epoch are known to be lost until everything they could have hit has expired.
        expires_at: journal.entries().iter().map(|entry| entry.expires_at).fold(recorded_at, Ord::max),
        body: Body::Genesis(carried),
    };
    let kept = journal.entries().iter().cloned();
    let branch = store
        .into_iter()
        .flat_map(Chain::entries)
        .filter(|entry| journal.after(entry.cursor.sequence.saturating_sub(1)).first() != Some(entry));
    let branch = branch.cloned().map(|entry| cut_at(entry, Cursor::new(lost, end)));
    let mut chain = Chain::new(lost + 1, Link { sequence: 0, hash: [0; 32] });
    let mut whole = chain.push(genesis);
    for mut entry in kept.chain(branch).filter(|entry| entry.expires_at > now) {
        if matches!(entry.body, Body::Genesis(_)) {
            continue;
        }
        entry.cursor = Cursor::new(lost + 1, chain.end().sequence + 1);
        whole = whole.and(chain.push(entry));
    }
    if whole.is_ok() { Finding::StoreLost(chain) } else { Finding::Unmendable }
}

/// A rule of the branch: its own sequence is ambiguous there, so it also hits what was recorded on the branch.
fn cut_at(mut entry: Entry, end: Cursor) -> Entry {
    if let Body::Rule { cut, .. } = &mut entry.body {
        *cut = Cursor::new(end.epoch, end.sequence.max(entry.cursor.sequence) + 1);
    }
    entry
}

#[cfg(test)]
mod tests;
