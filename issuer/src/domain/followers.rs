//! The register of running verifiers: who may be answered, who sees an entry, how long to wait. Pure: `now` is an
//! argument. Never a stream, never a store.
//!
//! Why a lease of another issuer's verifier can be judged here is in `docs/adr/0011`.

mod peers;
mod shared;
mod timeline;
mod visibility;

use std::{collections::BTreeMap, time::Duration};

use common::{
    clock::BootInstant,
    revocation::cursor::Cursor,
    token::kind::{PerType, TokenType},
};

pub use self::visibility::Visibility;
use self::{shared::Shared, timeline::Timeline};

/// A running verifier: a restarted one is another (DESIGN section 5, *Revoke returns*).
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Follower {
    /// `follower.id`. Two replicas may have been given the same by mistake.
    pub id: String,
    /// Drawn at its start.
    pub instance: u64,
}

/// Which process of an issuer answers a verifier, and since which hello: whoever says hello there later holds another.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Tenure {
    /// Drawn at the process's start.
    pub issuer: u64,
    /// Counts its hellos.
    pub session: u64,
}

/// A running verifier. Stored durably before its first probe is answered.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Row {
    /// Who.
    pub follower: Follower,
    /// The longest that it may go on without an answer, for each type.
    pub limits: PerType<Duration>,
    /// Who answers it.
    pub tenure: Tenure,
    /// Every reader of it sees everything up to here, as far as the store was told.
    pub acknowledged: Cursor,
}

impl Row {
    /// This row in the place of another one of the same verifier: of limits the longer ones count, because an older answer
    /// may still need them, and what it acknowledged stays acknowledged.
    #[must_use]
    pub fn over(self, stands: &Self) -> Self {
        let longer = |kind| *self.limits.get(kind).max(stands.limits.get(kind));
        Self {
            limits: PerType::from_fn(longer),
            acknowledged: self.acknowledged.max(stands.acknowledged),
            ..self
        }
    }
}

/// The running verifiers and how far each has come. On the boot clock of this process's machine.
#[derive(Debug)]
pub struct Register {
    rows: BTreeMap<Follower, State>,
    timeline: Timeline,
    blind_until: BootInstant,
    /// This process.
    me: u64,
    sessions: u64,
    /// What other issuers show; `None` when the store is this issuer's alone.
    shared: Option<Shared>,
}

#[derive(Debug)]
struct State {
    limits: PerType<Duration>,
    acknowledged: Cursor,
    /// Who answers it, as the store was seen to say. Of an own store: as it was told.
    stored: Option<Tenure>,
    /// It said hello to this process.
    own: Option<Own>,
    /// Of one that said hello to an earlier process of an own store: it was answered no later.
    answered_before: BootInstant,
}

/// What is known of a verifier that said hello here.
#[derive(Debug)]
struct Own {
    session: u64,
    last_answer: BootInstant,
    /// When the store had its row.
    saved: Option<BootInstant>,
    /// What other issuers were told that it acknowledged.
    told: Cursor,
}

/// Whether a probe may be answered.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Answerable {
    /// It may; noted that it was.
    Yes,
    /// Not now: its row was not yet seen in the store, or it is [`BEHIND`]. Without answers its lease ends.
    NotNow,
    /// Its row is not in the store, or held by another process: it has to be written again first.
    Enter,
    /// It said goodbye, or hello again elsewhere.
    Gone,
}

impl Register {
    /// The register of the process `me`, as the store held it when it started, `now`. Each of these verifiers may have been
    /// answered by an earlier process, or by another issuer, until this very moment. `shared`: other issuers keep rows too, and no verifier may apply longer limits than
    /// these, unless its row says so.
    pub fn restored(
        rows: impl IntoIterator<Item = Row>,
        me: u64,
        shared: Option<PerType<Duration>>,
        now: BootInstant,
    ) -> Self {
        let state = |row: Row| {
            let Row { follower, limits, tenure, acknowledged } = row;
            (follower, State { limits, acknowledged, stored: Some(tenure), own: None, answered_before: now })
        };
        Self {
            rows: rows.into_iter().map(state).collect(),
            timeline: Timeline::new(now),
            blind_until: now,
            me,
            sessions: 0,
            shared: shared.map(Shared::of),
        }
    }

    /// A verifier says hello. Returns the row to write durably before its first probe is answered.
    ///
    /// Of a verifier that says hello again the longer limits count: an older answer may still need them.
    pub fn join(&mut self, follower: Follower, limits: PerType<Duration>, now: BootInstant) -> Row {
        self.sessions += 1;
        let session = self.sessions;
        let state = self.rows.entry(follower.clone()).or_insert(State {
            limits,
            acknowledged: Cursor::ZERO,
            stored: None,
            own: None,
            answered_before: now,
        });
        state.limits = PerType::from_fn(|kind| *state.limits.get(kind).max(limits.get(kind)));
        let told = state.acknowledged;
        state.own = Some(Own { session, last_answer: now, saved: None, told });
        let tenure = Tenure { issuer: self.me, session };
        Row { follower, limits: state.limits, tenure, acknowledged: state.acknowledged }
    }

    /// The store holds `row`, of which what stood there before may be part, since `now`.
    pub fn entered(&mut self, row: &Row, now: BootInstant) {
        let Some(state) = self.rows.get_mut(&row.follower) else { return };
        state.limits = PerType::from_fn(|kind| *state.limits.get(kind).max(row.limits.get(kind)));
        state.acknowledged = state.acknowledged.max(row.acknowledged);
        if let Some(own) = state.own.as_mut().filter(|own| own.session == row.tenure.session) {
            own.saved = Some(now);
            if self.shared.is_none() {
                state.stored = Some(row.tenure);
            }
        }
    }

    /// A verifier stops and answers nobody any more, if it is still the one that said hello then. Its row may be removed
    /// from the store.
    pub fn leave(&mut self, follower: &Follower, session: u64) {
        let same = |state: &State| state.own.as_ref().is_some_and(|own| own.session == session);
        if self.rows.get(follower).is_some_and(same) {
            self.rows.remove(follower);
        }
    }

    /// This verifier's process has ended: its successor holds its file's lock.
    pub fn ended(&mut self, follower: &Follower) {
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
        let rows = self.rows.values().map(|state| longest(&state.limits));
        let others = self.shared.iter().map(|shared| longest(&shared.limits));
        let keep = rows.chain(others).max().unwrap_or_default().max(BEHIND);
        self.timeline.appended(cursor, now, keep);
    }

    /// Whether a probe of the verifier that said hello then may be answered now.
    pub fn answer(&mut self, follower: &Follower, session: u64, now: BootInstant) -> Answerable {
        let Some(state) = self.rows.get_mut(follower) else { return Answerable::Gone };
        let Some(own) = state.own.as_mut().filter(|own| own.session == session) else {
            return Answerable::Gone;
        };
        if state.stored != Some(Tenure { issuer: self.me, session }) {
            let looked = self.shared.as_ref().and_then(|shared| shared.as_of);
            // Seen since it was written, and not there.
            let missing = own.saved.is_some_and(|saved| looked.is_some_and(|looked| looked >= saved));
            return if missing { Answerable::Enter } else { Answerable::NotNow };
        }
        let behind = self
            .timeline
            .first_after(state.acknowledged)
            .is_some_and(|appended| now.since(appended) > BEHIND);
        if behind {
            return Answerable::NotNow;
        }
        own.last_answer = now;
        Answerable::Yes
    }

    /// Whether the store was seen to hold the row of the verifier that said hello then.
    pub fn holds(&self, follower: &Follower, session: u64) -> bool {
        let tenure = Tenure { issuer: self.me, session };
        self.rows.get(follower).is_some_and(|state| state.stored == Some(tenure))
    }

    /// Takes out the verifiers whose longest lease from here has run out; their rows are to be removed from the store, as
    /// far as nobody else holds them.
    pub fn expire(&mut self, now: BootInstant) -> Vec<(Follower, Tenure)> {
        let mut out = Vec::new();
        let (me, shared) = (self.me, self.shared.is_some());
        self.rows.retain(|follower, state| {
            let answered = match &state.own {
                Some(own) => own.last_answer,
                None if !shared => state.answered_before,
                // It said goodbye or has run out, and its row was not taken out yet.
                None if state.stored.is_some_and(|stored| stored.issuer == me) => {
                    out.extend(state.stored.map(|tenure| (follower.clone(), tenure)));
                    return false;
                }
                // Another issuer judges it.
                None => return true,
            };
            if now.since(answered) <= longest(&state.limits) {
                return true;
            }
            let tenure = state.own.take().map(|own| Tenure { issuer: me, session: own.session });
            out.extend(tenure.or(state.stored).map(|tenure| (follower.clone(), tenure)));
            // It has gone to another issuer.
            shared && state.stored.is_some_and(|stored| stored.issuer != me)
        });
        out
    }

    /// Entries were lost: nothing is called visible until the longest limit has passed. Rows may be lost with them, so
    /// `longest` is what any verifier may apply, known here or not.
    pub fn lost(&mut self, now: BootInstant, longest: Duration) {
        let longest = self.rows.values().map(|state| self::longest(&state.limits)).fold(longest, Ord::max);
        self.blind_until = self.blind_until.max(now.plus(longest));
    }

    /// Who sees the entry at `cursor`, which can hit tokens of the types that `hits` says.
    ///
    /// A verifier counts when it acknowledged the entry, or when the longest lease among those types that could have
    /// started before the entry was appended, and no later than its last answer, has run out (`docs/adr/0005`, `0011`).
    pub fn visibility(&self, cursor: Cursor, hits: PerType<bool>, now: BootInstant) -> Visibility {
        let appended = self.timeline.at(cursor);
        // Until then somebody may go on whom nobody here knows of.
        let unknown = self.unknown_until(appended, hits);
        let blind_until = self.blind_until.max(unknown.unwrap_or(self.blind_until));
        let blind = now < self.blind_until || unknown.is_some_and(|until| now <= until);
        let mut visibility = Visibility {
            followers: self.rows.len(),
            waiting_for: Vec::new(),
            blind,
            next_change: blind.then_some(blind_until),
        };
        for (follower, state) in &self.rows {
            let began = self.granted(state).map_or(appended, |granted| granted.min(appended));
            let lease_end = began.plus(longest_of(&state.limits, hits));
            let sees = state.acknowledged >= cursor || now > lease_end;
            let seen_from = if sees { blind_until } else { lease_end.max(blind_until) };
            if !sees || blind {
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
        let unknown = self.shared.iter().map(|shared| longest_of(&shared.limits, hits));
        let rows = self.rows.values().map(|state| longest_of(&state.limits, hits));
        rows.chain(unknown).fold(blind, Ord::max)
    }

    /// No lease of this verifier began later. `None`: nothing is known.
    fn granted(&self, state: &State) -> Option<BootInstant> {
        let own = state.own.as_ref().map(|own| own.last_answer);
        let Some(shared) = &self.shared else { return Some(own.unwrap_or(state.answered_before)) };
        let holder = state.stored.map(|stored| stored.issuer).filter(|holder| *holder != self.me);
        match (own, holder) {
            (Some(own), None) => Some(own),
            (own, Some(holder)) => {
                shared.peers.changed(holder).map(|other| own.map_or(other, |own| own.max(other)))
            }
            (None, None) => None,
        }
    }
}

/// A verifier this far behind the end of the log gets no more answers.
pub const BEHIND: Duration = Duration::from_secs(5);

fn longest(limits: &PerType<Duration>) -> Duration {
    longest_of(limits, PerType::from_fn(|_| true))
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
