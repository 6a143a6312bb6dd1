//! The other issuers, as the store shows them, and until when each may have answered its verifiers. Pure: measured by the
//! own boot clock alone, since a row was last seen to change.

use std::collections::{BTreeMap, BTreeSet};

use common::clock::BootInstant;

use crate::domain::rounds::IssuerRow;

/// Every process of another issuer that has a row, or that a row of the register names.
#[derive(Debug, Default)]
pub(super) struct Peers(BTreeMap<u64, Peer>);

#[derive(Debug)]
struct Peer {
    /// Its row and the number of its last round; `None`: it has no row.
    row: Option<(IssuerRow, u64)>,
    /// When the number was first seen. Its verifiers' leases began no later: an answer tells of a round that the store had
    /// seen before it showed this number, or of that round itself.
    changed: BootInstant,
}

impl Peers {
    /// The store shows these, and rows of the register name `holders`.
    pub(super) fn seen(&mut self, rows: &[(IssuerRow, u64)], holders: &BTreeSet<u64>, now: BootInstant) {
        let mut before = std::mem::take(&mut self.0);
        let shown = rows.iter().map(|row| (row.0.id, Some(row.clone())));
        let named = holders.iter().filter(|id| !rows.iter().any(|(row, _)| row.id == **id));
        for (id, row) in shown.chain(named.map(|id| (*id, None))) {
            let number = |row: &Option<(IssuerRow, u64)>| row.as_ref().map(|(_, number)| *number);
            let same = before.remove(&id).filter(|peer| number(&peer.row) == number(&row));
            let changed = same.map_or(now, |peer| peer.changed);
            self.0.insert(id, Peer { row, changed });
        }
    }

    /// The latest instant at which a lease that this process gave can have begun. `None`: nothing is known of it.
    pub(super) fn changed(&self, id: u64) -> Option<BootInstant> {
        self.0.get(&id).map(|peer| peer.changed)
    }

    /// Each with the number of its last round, and since when that number stands.
    pub(super) fn each(&self) -> impl Iterator<Item = (u64, Option<u64>, BootInstant)> {
        self.0.iter().map(|(id, peer)| (*id, peer.row.as_ref().map(|(_, number)| *number), peer.changed))
    }

    /// The rows.
    pub(super) fn rows(&self) -> impl Iterator<Item = (&IssuerRow, BootInstant)> {
        self.0.values().filter_map(|peer| peer.row.as_ref().map(|(row, _)| (row, peer.changed)))
    }
}
