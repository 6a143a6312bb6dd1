//! The network between verifiers and issuers: what is said arrives later, once or twice, in another order, or never.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
};

use verifier::domain::session::Input;

use crate::{issuing::Heard, machine::Dice};

/// What travels on a stream.
#[derive(Clone, Debug)]
pub(crate) enum Parcel {
    ToIssuer(Heard),
    ToVerifier(Input),
    /// The verifier is gone from it.
    CloseIssuer,
    /// The issuer is gone from it.
    CloseVerifier,
}

impl Parcel {
    const fn goes_up(&self) -> bool {
        matches!(self, Self::ToIssuer(_) | Self::CloseIssuer)
    }
}

/// The cables from each verifier to each issuer, by their numbers.
#[derive(Debug)]
pub(crate) struct Wire {
    dice: Dice,
    now: u64,
    next: u64,
    under_way: BTreeMap<(u64, u64), (u64, Parcel)>,
    cables: BTreeMap<(usize, usize), Cable>,
    /// Which streams run over which cable.
    streams: BTreeMap<u64, (usize, usize)>,
    /// Streams, and whether upwards: what was lost with the cable is missing for good, so nothing comes after it.
    broken: BTreeSet<(u64, bool)>,
    /// In a hundred messages: lost, doubled or overtaken although the stream stands.
    pub(crate) unruly: u64,
}

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cable {
    pub(crate) cut_up: bool,
    pub(crate) cut_down: bool,
    /// The most that a message takes, in milliseconds.
    pub(crate) slow: u64,
    last_up: u64,
    last_down: u64,
}

/// One end of a stream.
#[derive(Clone, Debug)]
pub(crate) struct Mouth {
    pub(crate) wire: Arc<Mutex<Wire>>,
    pub(crate) stream: u64,
}

impl Mouth {
    pub(crate) fn say(&self, parcel: &Parcel) {
        self.wire.lock().unwrap().send(self.stream, parcel);
    }
}

impl Wire {
    pub(crate) fn new(dice: Dice, unruly: u64) -> Self {
        Self {
            dice,
            now: 0,
            next: 0,
            under_way: BTreeMap::new(),
            cables: BTreeMap::new(),
            streams: BTreeMap::new(),
            broken: BTreeSet::new(),
            unruly,
        }
    }

    pub(crate) fn passes(&mut self, ms: u64) {
        self.now += ms;
    }

    pub(crate) fn cable(&mut self, verifier: usize, issuer: usize) -> &mut Cable {
        self.cables.entry((verifier, issuer)).or_default()
    }

    /// A new stream over this cable.
    pub(crate) fn open(&mut self, verifier: usize, issuer: usize) -> u64 {
        self.next += 1;
        self.streams.insert(self.next, (verifier, issuer));
        self.next
    }

    pub(crate) fn send(&mut self, stream: u64, parcel: &Parcel) {
        let Some(cable) = self.streams.get(&stream) else { return };
        let cable = self.cables.entry(*cable).or_default();
        let (cut, last) = if parcel.goes_up() {
            (cable.cut_up, &mut cable.last_up)
        } else {
            (cable.cut_down, &mut cable.last_down)
        };
        if cut || self.broken.contains(&(stream, parcel.goes_up())) {
            self.broken.insert((stream, parcel.goes_up()));
            return;
        }
        let due = (*last).max(self.now + self.dice.below(cable.slow + 1));
        *last = due;
        let closes = matches!(parcel, Parcel::CloseIssuer | Parcel::CloseVerifier);
        let hello =
            matches!(parcel, Parcel::ToIssuer(Heard::Said(verifier::domain::feed::Said::Hello { .. })));
        let unruly = !closes && !hello && self.unruly > 0 && self.dice.percent(self.unruly);
        let copies = match self.dice.below(3) {
            0 if unruly => 0,
            1 if unruly => 2,
            _ => 1,
        };
        for _ in 0..copies {
            self.next += 1;
            let later = if unruly { self.dice.below(2_000) } else { 0 };
            self.under_way.insert((due + later, self.next), (stream, parcel.clone()));
        }
    }

    /// The next message that has arrived.
    pub(crate) fn arrived(&mut self) -> Option<(u64, Parcel)> {
        let first = self.under_way.first_entry()?;
        if first.key().0 > self.now {
            return None;
        }
        let (stream, parcel) = first.remove();
        let (verifier, issuer) = *self.streams.get(&stream)?;
        // A cable that was cut loses what is on it.
        let cable = self.cables.entry((verifier, issuer)).or_default();
        let up = parcel.goes_up();
        if if up { cable.cut_up } else { cable.cut_down } {
            self.broken.insert((stream, up));
        }
        Some((if self.broken.contains(&(stream, up)) { 0 } else { stream }, parcel))
    }
}
