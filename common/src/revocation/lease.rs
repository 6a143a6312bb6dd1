//! Freshness as a lease on what the verifier holds (DESIGN section 5). Pure: clock readings are arguments; no other
//! machine's clock is trusted; nothing here knows the entries themselves.

use std::{collections::VecDeque, time::Duration};

use crate::{
    clock::{BootInstant, Now},
    revocation::cursor::Cursor,
    timestamp::Timestamp,
};

/// The probes that are under way on one stream.
#[derive(Debug, Default)]
pub struct Probes {
    sent: VecDeque<(u64, Now)>,
    last: u64,
}

impl Probes {
    /// Notes that a probe leaves now, and returns its number: 1 and up. To be called *before* it is sent.
    pub fn send(&mut self, now: Now) -> u64 {
        self.last += 1;
        if self.sent.len() == UNDER_WAY {
            self.sent.pop_front();
        }
        self.sent.push_back((self.last, now));
        self.last
    }

    /// The answer to probe `number`: the log ended at `cursor`, known with `head_age` when the probe arrived.
    ///
    /// `None` for a number that was never sent, was answered before, or is older than one that was.
    pub fn answered(&mut self, number: u64, cursor: Cursor, head_age: Duration) -> Option<Renewal> {
        let place = self.sent.iter().position(|(sent, _)| *sent == number)?;
        let (_, at) = self.sent.drain(..=place).next_back()?;
        Some(Renewal { cursor, lease: Lease { sent: at, head_age } })
    }
}

/// A lease that is not one yet: it counts once the head that it speaks of has been applied.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[must_use]
pub struct Renewal {
    cursor: Cursor,
    lease: Lease,
}

impl Renewal {
    /// The lease, if everything up to the answer's cursor is `applied` where every reader sees it.
    pub fn once_applied(self, applied: Cursor) -> Option<Lease> {
        (applied >= self.cursor).then_some(self.lease)
    }
}

/// For how long the view may be believed. Ages by itself, however alive the stream.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Lease {
    sent: Now,
    head_age: Duration,
}

impl Lease {
    /// now − probe sent + the head's age when the probe arrived.
    pub const fn age(&self, now: BootInstant) -> Duration {
        now.since(self.sent.boot).saturating_add(self.head_age)
    }

    /// Whether the view is not older than `limit` (inclusive).
    pub fn holds(&self, limit: Duration, now: BootInstant) -> bool {
        self.age(now) <= limit
    }

    /// How long from now the view will not be older than `limit`. `None` when it is now.
    pub fn left(&self, limit: Duration, now: BootInstant) -> Option<Duration> {
        limit.checked_sub(self.age(now))
    }

    /// The younger of two: an answer that was overtaken never shortens a lease, and never lengthens one.
    #[must_use]
    pub fn younger(self, other: Self, now: BootInstant) -> Self {
        if other.age(now) < self.age(now) { other } else { self }
    }

    /// What a restarted process of this verifier may go on from.
    pub const fn record(&self, boot: BootId) -> LeaseRecord {
        LeaseRecord { boot, lease: *self }
    }
}

/// One start of the machine, as the kernel names it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct BootId(pub [u8; 16]);

/// A lease on disk: the probe that renewed it, on both clocks, and the boot whose clock it was.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct LeaseRecord {
    boot: BootId,
    lease: Lease,
}

impl LeaseRecord {
    /// Bytes of [`LeaseRecord::to_bytes`].
    pub const LEN: usize = 40 + 8;

    /// When the probe left that renewed it, by the calendar.
    pub const fn sent_at(&self) -> Timestamp {
        self.lease.sent.wall
    }

    /// The lease after a process restart. In the same boot its age runs on. `None` in another boot, or if wall time went
    /// back: then this verifier is stale until an issuer answers.
    pub fn resume(&self, boot: BootId, now: Now) -> Option<Lease> {
        let same_boot = boot == self.boot && now.boot >= self.lease.sent.boot;
        (same_boot && now.wall >= self.lease.sent.wall).then_some(self.lease)
    }

    /// Boot id, boot clock (ns), wall clock (s), head age (ns): big-endian, and a version.
    pub fn to_bytes(&self) -> [u8; Self::LEN] {
        let numbers = [
            VERSION,
            nanos(self.lease.sent.boot.since_boot()),
            self.lease.sent.wall.seconds(),
            nanos(self.lease.head_age),
        ];
        let mut bytes = [0; Self::LEN];
        let all = self.boot.0.into_iter().chain(numbers.into_iter().flat_map(u64::to_be_bytes));
        for (to, from) in bytes.iter_mut().zip(all) {
            *to = from;
        }
        bytes
    }

    /// The inverse of [`LeaseRecord::to_bytes`]; `None` for anything else.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (boot, numbers) = bytes.split_first_chunk::<16>()?;
        let mut numbers =
            numbers.chunks_exact(8).filter_map(|chunk| chunk.try_into().ok()).map(u64::from_be_bytes);
        if bytes.len() != Self::LEN || numbers.next()? != VERSION {
            return None;
        }
        let boot_clock = BootInstant::from_duration(Duration::from_nanos(numbers.next()?));
        let wall = Timestamp::from_seconds(numbers.next()?)?;
        let head_age = Duration::from_nanos(numbers.next()?);
        Some(Self { boot: BootId(*boot), lease: Lease { sent: Now { wall, boot: boot_clock }, head_age } })
    }
}

/// The limit that a verifier applies: its own setting may only tighten what the issuer announces.
pub fn applied_limit(announced: Duration, own: Option<Duration>) -> Duration {
    own.map_or(announced, |own| own.min(announced))
}

/// Nanoseconds; never fewer than there are, so that a record never makes a lease younger.
fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

/// Probes remembered at the most: one a second, so an answer that is a minute late is of no use anyway.
const UNDER_WAY: usize = 64;
const VERSION: u64 = 1;

#[cfg(test)]
mod tests;
