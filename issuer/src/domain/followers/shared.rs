//! The register as several issuers keep it: what a confirmed round showed is merged here, and what others are to be told
//! is gathered. Pure.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use common::{clock::BootInstant, token::kind::PerType};

use super::{Register, Row, State, Tenure, longest, longest_of, peers::Peers};
use crate::domain::rounds::{IssuerRow, Rounded};

/// What other issuers show.
#[derive(Debug, Default)]
pub(super) struct Shared {
    pub(super) peers: Peers,
    /// When the round was sent that showed the register last.
    pub(super) as_of: Option<BootInstant>,
    /// The longest limits that any verifier may apply, known here or not.
    pub(super) limits: PerType<Duration>,
    server: Option<String>,
    losses: Option<u64>,
    doubt: Option<Doubt>,
}

/// Another server answers since: rows of other issuers may be gone whose verifiers are running.
#[derive(Debug)]
struct Doubt {
    /// By then each of these issuers has noticed a loss and told of it.
    from: BootInstant,
    /// Such a verifier's lease has ended.
    until: BootInstant,
    /// The issuers that have not shown since that they find their own rows there, with the number of their last round before.
    of: BTreeMap<u64, Option<u64>>,
}

impl Shared {
    /// Nothing was shown yet; no verifier may apply longer limits than these.
    pub(super) fn of(limits: PerType<Duration>) -> Self {
        Self { limits, ..Self::default() }
    }
}

impl Register {
    /// A round that was sent at `sent` and found this issuer's row showed this, `now`. No verifier may apply longer limits
    /// than `limits`, unless its row says so.
    pub fn shown(&mut self, shown: &Rounded, limits: PerType<Duration>, sent: BootInstant, now: BootInstant) {
        let me = self.me;
        let Some(shared) = self.shared.as_mut() else { return };
        shared.limits = limits;
        let moved = shared.server.as_ref().is_some_and(|server| *server != shown.server);
        if moved {
            let of = shared.peers.each().map(|(id, number, _)| (id, number)).collect();
            shared.doubt = Some(Doubt { from: now.plus(NOTICED), until: now.plus(longest(&limits)), of });
        }
        shared.server = Some(shown.server.clone());
        let told_of_loss = match shared.losses {
            Some(losses) => losses != shown.losses,
            None => shown.issuers.iter().any(|(row, _)| row.after_loss),
        };
        shared.losses = Some(shown.losses);
        if let Some(rows) = &shown.rows {
            merge(&mut self.rows, rows, now);
        }
        let holders = self.rows.values().filter_map(|state| state.stored).map(|stored| stored.issuer);
        let holders: BTreeSet<u64> = holders.filter(|holder| *holder != me).collect();
        let others: Vec<_> = shown.issuers.iter().filter(|(row, _)| row.id != me).cloned().collect();
        shared.peers.seen(&others, &holders, now);
        if let Some(doubt) = &mut shared.doubt {
            let went_on = |id: &u64, before: Option<u64>| {
                others
                    .iter()
                    .any(|(row, number)| row.id == *id && before.is_none_or(|before| *number > before))
            };
            doubt.of.retain(|id, before| !went_on(id, *before));
            if now >= doubt.until || (doubt.of.is_empty() && now >= doubt.from) {
                shared.doubt = None;
            }
        }
        shared.as_of = Some(sent);
        if told_of_loss {
            self.lost(now, longest(&limits));
        }
    }

    /// Own rows whose followers have acknowledged more than other issuers were told.
    pub fn untold(&self) -> Vec<Row> {
        let mut rows = Vec::new();
        for (follower, state) in &self.rows {
            let Some(own) = &state.own else { continue };
            let tenure = Tenure { issuer: self.me, session: own.session };
            if state.acknowledged > own.told && state.stored == Some(tenure) {
                let (follower, acknowledged) = (follower.clone(), state.acknowledged);
                rows.push(Row { follower, limits: state.limits, tenure, acknowledged });
            }
        }
        rows
    }

    /// Other issuers were told this.
    pub fn told(&mut self, rows: &[Row]) {
        for row in rows {
            let state = self.rows.get_mut(&row.follower);
            let own = state.and_then(|state| state.own.as_mut());
            if let Some(own) = own.filter(|own| own.session == row.tenure.session) {
                own.told = own.told.max(row.acknowledged);
            }
        }
    }

    /// Processes of other issuers, with the number of their last round, that were seen to do nothing for longer than any
    /// lease that they gave can run: their rows may be taken out if they have done nothing more.
    pub fn silent(&self) -> Vec<(u64, Option<u64>)> {
        let Some(shared) = &self.shared else { return Vec::new() };
        let Some(as_of) = shared.as_of else { return Vec::new() };
        let held = |id: u64| {
            let rows =
                self.rows.values().filter(move |state| state.stored.is_some_and(|one| one.issuer == id));
            rows.map(|state| longest(&state.limits)).fold(longest(&shared.limits), Ord::max)
        };
        let silent = |(id, _, changed): &(u64, Option<u64>, BootInstant)| as_of.since(*changed) > held(*id);
        shared.peers.each().filter(silent).map(|(id, number, _)| (id, number)).collect()
    }

    /// The other issuers, and for how long nothing was heard of each.
    pub fn issuers(&self, now: BootInstant) -> Vec<(IssuerRow, Duration)> {
        let shared = self.shared.iter();
        let rows = shared.flat_map(|shared| shared.peers.rows());
        rows.map(|(row, changed)| (row.clone(), now.since(changed))).collect()
    }

    /// Until then a verifier may go on accepting what an entry revoked that was appended at `appended`, although no row of
    /// it is known here. `None`: nobody can.
    pub(super) fn unknown_until(&self, appended: BootInstant, hits: PerType<bool>) -> Option<BootInstant> {
        let shared = self.shared.as_ref()?;
        // A verifier is answered by rounds only that were sent when its row was there: one that was answered before the
        // entry was appended is in every register that was read after it.
        let unread = shared.as_of.is_none_or(|as_of| as_of <= appended);
        let rows = self.rows.values().map(|state| longest_of(&state.limits, hits));
        let longest = rows.fold(longest_of(&shared.limits, hits), Ord::max);
        let unread = unread.then(|| appended.plus(longest));
        unread.max(shared.doubt.as_ref().map(|doubt| doubt.until))
    }
}

/// Every issuer that runs has noticed a loss after this long.
const NOTICED: Duration = Duration::from_secs(2);

/// The register as the store shows it, and what is known of own followers besides.
fn merge(held: &mut BTreeMap<super::Follower, State>, rows: &[Row], now: BootInstant) {
    let mut before = std::mem::take(held);
    for row in rows {
        let mut state = before.remove(&row.follower).unwrap_or(State {
            limits: row.limits,
            acknowledged: row.acknowledged,
            stored: None,
            own: None,
            answered_before: now,
        });
        state.limits = PerType::from_fn(|kind| *state.limits.get(kind).max(row.limits.get(kind)));
        state.acknowledged = state.acknowledged.max(row.acknowledged);
        state.stored = Some(row.tenure);
        held.insert(row.follower.clone(), state);
    }
    // Of an own follower its row may be on its way, or be lost; of others it was taken out by whoever may.
    for (follower, mut state) in before {
        if state.own.is_some() {
            state.stored = None;
            held.insert(follower, state);
        }
    }
}
