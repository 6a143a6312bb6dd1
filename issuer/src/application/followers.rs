//! The register of running verifiers, shared by their streams and by those who wait for them. Never a stream itself.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use common::{
    clock::{BootInstant, Clock},
    revocation::cursor::Cursor,
    token::kind::{PerType, TokenType},
};
use tokio::sync::Notify;

use crate::domain::{
    followers::{Answerable, Follower, Register, Row, Tenure, Visibility},
    rounds::{IssuerRow, Rounded},
};

/// The register, and a bell that rings whenever somebody has seen more.
#[derive(Debug)]
pub struct Followers {
    me: u64,
    state: Mutex<State>,
    moved: Notify,
}

#[derive(Debug)]
struct State {
    register: Register,
    /// The last appends, in order.
    appends: VecDeque<Appended>,
}

#[derive(Clone, Copy, Debug)]
struct Appended {
    /// The end of the log before it.
    after: Cursor,
    /// The end of the log since.
    end: Cursor,
    /// The types that its entries can hit.
    hits: PerType<bool>,
}

impl Followers {
    /// See [`Register::restored`].
    pub fn restored(rows: Vec<Row>, me: u64, shared: Option<PerType<Duration>>, now: BootInstant) -> Self {
        let state = State { register: Register::restored(rows, me, shared, now), appends: VecDeque::new() };
        Self { me, state: Mutex::new(state), moved: Notify::new() }
    }

    /// The number of this process among the issuers of the realm.
    pub const fn me(&self) -> u64 {
        self.me
    }

    /// See [`Register::join`].
    pub fn join(&self, follower: Follower, limits: PerType<Duration>, now: BootInstant) -> Row {
        self.state().register.join(follower, limits, now)
    }

    /// See [`Register::entered`].
    pub fn entered(&self, row: &Row, now: BootInstant) {
        self.state().register.entered(row, now);
    }

    /// See [`Register::holds`].
    pub fn holds(&self, follower: &Follower, session: u64) -> bool {
        self.state().register.holds(follower, session)
    }

    /// See [`Register::leave`].
    pub fn leave(&self, follower: &Follower, session: u64) {
        self.state().register.leave(follower, session);
        self.moved.notify_waiters();
    }

    /// See [`Register::ended`].
    pub fn ended(&self, follower: &Follower) {
        self.state().register.ended(follower);
        self.moved.notify_waiters();
    }

    /// See [`Register::acknowledge`].
    pub fn acknowledge(&self, follower: &Follower, cursor: Cursor) {
        self.state().register.acknowledge(follower, cursor);
        self.moved.notify_waiters();
    }

    /// See [`Register::answer`].
    pub fn answer(&self, follower: &Follower, session: u64, now: BootInstant) -> Answerable {
        self.state().register.answer(follower, session, now)
    }

    /// See [`Register::expire`].
    pub fn expire(&self, now: BootInstant) -> Vec<(Follower, Tenure)> {
        let gone = self.state().register.expire(now);
        if !gone.is_empty() {
            self.moved.notify_waiters();
        }
        gone
    }

    /// See [`Register::shown`].
    pub fn shown(&self, shown: &Rounded, limits: PerType<Duration>, sent: BootInstant, now: BootInstant) {
        self.state().register.shown(shown, limits, sent, now);
        self.moved.notify_waiters();
    }

    /// See [`Register::untold`].
    pub fn untold(&self) -> Vec<Row> {
        self.state().register.untold()
    }

    /// See [`Register::told`].
    pub fn told(&self, rows: &[Row]) {
        self.state().register.told(rows);
    }

    /// See [`Register::silent`].
    pub fn silent(&self) -> Vec<(u64, Option<u64>)> {
        self.state().register.silent()
    }

    /// See [`Register::issuers`].
    pub fn issuers(&self, now: BootInstant) -> Vec<(IssuerRow, Duration)> {
        self.state().register.issuers(now)
    }

    /// See [`Register::lost`].
    pub fn lost(&self, now: BootInstant, longest: Duration) {
        self.state().register.lost(now, longest);
    }

    /// The log, which ended at `after`, reached `end` by entries that can hit the types of `hits`, and `publish` tells the
    /// streams.
    ///
    /// The instant is read after the publication: a probe that is answered with the head before was sent earlier than
    /// that. Nobody can ask for `end` in between.
    pub fn published(
        &self,
        (after, end): (Cursor, Cursor),
        hits: PerType<bool>,
        clock: &dyn Clock,
        publish: impl FnOnce(),
    ) {
        let mut state = self.state();
        publish();
        state.register.appended(end, clock.now().boot);
        if state.appends.len() == REMEMBERED {
            state.appends.pop_front();
        }
        state.appends.push_back(Appended { after, end, hits });
    }

    /// See [`Register::visibility`]. What the entry at `cursor` can hit is remembered of the last appends; of older ones
    /// any type counts, which can only wait longer.
    pub fn visibility(&self, cursor: Cursor, now: BootInstant) -> Visibility {
        let state = self.state();
        let index = state.appends.partition_point(|append| append.end < cursor);
        let known = state.appends.get(index).filter(|append| append.after < cursor);
        let hits = known.map_or(PerType::from_fn(|_| true), |append| append.hits);
        state.register.visibility(cursor, hits, now)
    }

    /// See [`Register::effective_after`].
    pub fn effective_after(&self, hits: PerType<bool>, now: BootInstant) -> Duration {
        self.state().register.effective_after(hits, now)
    }

    /// Resolves at the next change. To be made before looking, so that no change is missed.
    pub fn moved(&self) -> impl Future<Output = ()> + '_ {
        self.moved.notified()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The types that any rule can hit of these.
pub fn union(one: PerType<bool>, other: PerType<bool>) -> PerType<bool> {
    PerType::from_fn(|kind: TokenType| *one.get(kind) || *other.get(kind))
}

const REMEMBERED: usize = 4_096;
