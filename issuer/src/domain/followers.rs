//! The register of running verifiers: who may be answered, who sees an entry, how long to wait. Pure: `now` is an
//! argument. Never a stream, never a store.

mod timeline;

use std::{collections::BTreeMap, time::Duration};

use common::{
    clock::BootInstant,
    revocation::cursor::Cursor,
    token::kind::{PerType, TokenType},
};

use self::timeline::Timeline;

/// A running verifier: a restarted one is another (DESIGN section 5, *Revoke returns*).
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Follower {
    /// `follower.id`. Two replicas may have been given the same by mistake.
    pub id: String,
    /// Drawn at its start.
    pub instance: u64,
}

/// Which staleness limits a running verifier applies. Stored durably before its first probe is answered.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Row {
    /// Who.
    pub follower: Follower,
    /// The longest that it may go on without an answer, for each type.
    pub limits: PerType<Duration>,
}

/// The running verifiers and how far each has come. On the boot clock of this process's machine.
#[derive(Debug)]
pub struct Register {
    rows: BTreeMap<Follower, State>,
    timeline: Timeline,
    blind_until: BootInstant,
}

#[derive(Debug)]
struct State {
    limits: PerType<Duration>,
    acknowledged: Cursor,
    last_answer: BootInstant,
}

impl Register {
    /// The register as the store held it when this process started, `now`. Each of these verifiers may have been answered
    /// by an earlier process until this very moment.
    pub fn restored(rows: impl IntoIterator<Item = Row>, now: BootInstant) -> Self {
        let state = |row: Row| {
            (row.follower, State { limits: row.limits, acknowledged: Cursor::ZERO, last_answer: now })
        };
        Self { rows: rows.into_iter().map(state).collect(), timeline: Timeline::new(now), blind_until: now }
    }

    /// A verifier says hello. Returns the row to write durably before its first probe is answered.
    ///
    /// Of a verifier that says hello again the longer limits count: an older answer may still need them.
    pub fn join(&mut self, follower: Follower, limits: PerType<Duration>, now: BootInstant) -> Row {
        let state = self.rows.entry(follower.clone()).or_insert(State {
            limits,
            acknowledged: Cursor::ZERO,
            last_answer: now,
        });
        state.limits = PerType::from_fn(|kind| *state.limits.get(kind).max(limits.get(kind)));
        state.last_answer = now;
        Row { follower, limits: state.limits }
    }

    /// A verifier stops and answers nobody any more. Its row may be removed from the store.
    pub fn leave(&mut self, follower: &Follower) {
        self.rows.remove(follower);
    }

    /// Every reader of this verifier sees everything up to `cursor`, and so does its file. An older cursor changes nothing.
    pub fn acknowledge(&mut self, follower: &Follower, cursor: Cursor) {
        if let Some(state) = self.rows.get_mut(follower) {
            state.acknowledged = state.acknowledged.max(cursor);
        }
    }

    /// The log has reached `cursor`, durably, at `now`.
    pub fn appended(&mut self, cursor: Cursor, now: BootInstant) {
        let keep = self.rows.values().map(longest).max().unwrap_or_default().max(BEHIND);
        self.timeline.appended(cursor, now, keep);
    }

    /// Whether a probe of this verifier may be answered now; notes that it was. No for one that is not in the register or
    /// is [`BEHIND`]: without answers its lease ends.
    pub fn answer(&mut self, follower: &Follower, now: BootInstant) -> bool {
        let Some(state) = self.rows.get_mut(follower) else { return false };
        let behind = self
            .timeline
            .first_after(state.acknowledged)
            .is_some_and(|appended| now.since(appended) > BEHIND);
        if !behind {
            state.last_answer = now;
        }
        !behind
    }

    /// Takes out the verifiers whose longest lease has run out, to be removed from the store too.
    pub fn expire(&mut self, now: BootInstant) -> Vec<Follower> {
        let gone = |state: &State| now.since(state.last_answer) > longest(state);
        let out: Vec<_> =
            self.rows.iter().filter(|(_, state)| gone(state)).map(|(follower, _)| follower.clone()).collect();
        self.rows.retain(|_, state| !gone(state));
        out
    }

    /// Entries were lost: nothing is called visible until the longest limit has passed. Rows may be lost with them, so
    /// `longest` is what any verifier may apply, known here or not.
    pub fn lost(&mut self, now: BootInstant, longest: Duration) {
        let longest = self.rows.values().map(self::longest).fold(longest, Ord::max);
        self.blind_until = self.blind_until.max(now.plus(longest));
    }

    /// Who sees the entry at `cursor`, which can hit tokens of the types that `hits` says.
    ///
    /// A verifier counts when it acknowledged the entry, or when the longest lease among those types that could have
    /// started before the entry was appended has run out (`docs/adr/0005`).
    pub fn visibility(&self, cursor: Cursor, hits: PerType<bool>, now: BootInstant) -> Visibility {
        let appended = self.timeline.at(cursor);
        let blind = now < self.blind_until;
        let mut visibility = Visibility {
            followers: self.rows.len(),
            waiting_for: Vec::new(),
            blind,
            next_change: blind.then_some(self.blind_until),
        };
        for (follower, state) in &self.rows {
            let lease_end = appended.plus(longest_of(&state.limits, hits));
            let sees = state.acknowledged >= cursor || now > lease_end;
            let seen_from = if sees { self.blind_until } else { lease_end.max(self.blind_until) };
            if !sees || now < self.blind_until {
                visibility.waiting_for.push(follower.id.clone());
                visibility.next_change =
                    Some(visibility.next_change.map_or(seen_from, |earlier| earlier.min(seen_from)));
            }
        }
        visibility
    }

    /// In any case an entry that is appended `now` is visible after so long.
    pub fn effective_after(&self, hits: PerType<bool>, now: BootInstant) -> Duration {
        let blind = self.blind_until.since(now);
        self.rows.values().map(|state| longest_of(&state.limits, hits)).fold(blind, Ord::max)
    }
}

/// How far an entry has come.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Visibility {
    /// How many verifiers are running.
    pub followers: usize,
    /// The ids of those that may still accept what the entry revoked, in order.
    pub waiting_for: Vec<String>,
    /// Entries were lost a short while ago: verifiers may be running that nobody here knows of.
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

/// A verifier this far behind the end of the log gets no more answers.
pub const BEHIND: Duration = Duration::from_secs(5);

fn longest(state: &State) -> Duration {
    longest_of(&state.limits, PerType::from_fn(|_| true))
}

fn longest_of(limits: &PerType<Duration>, hits: PerType<bool>) -> Duration {
    TokenType::ALL
        .into_iter()
        .filter(|kind| *hits.get(*kind))
        .map(|kind| *limits.get(kind))
        .max()
        .unwrap_or_default()
}

#[cfg(test)]
mod tests;
