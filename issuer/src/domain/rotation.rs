//! When a key takes over by schedule: what is to be done next, out of what is known now. Pure: `now` is an argument.

use std::time::Duration;

use common::{key_id::KeyId, keys::PublicKey, timestamp::Timestamp};

use crate::domain::key_roles::KeyRoles;

/// What is to be done.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Turn {
    /// Nothing now.
    Wait,
    /// No key stands by: this one is to be published.
    Prepare(PublicKey),
    /// The active key is old enough, and every party holds this one.
    Activate(KeyId),
    /// The active key is old enough, and no key stands by or some party lacks it.
    Overdue,
}

/// What a schedule that lets each key sign for `every` asks for. `unused`: the held keys without a role, the newest first.
/// `ready`: every party holds this key.
///
/// A key is always standing by, so that one takes over at once when the active one is revoked.
pub fn turn(
    keys: &KeyRoles,
    unused: &[PublicKey],
    every: Duration,
    now: Timestamp,
    ready: impl Fn(KeyId) -> bool,
) -> Turn {
    let due = due(keys, every).is_some_and(|due| due <= now);
    match (keys.prepared().next(), unused.first()) {
        (None, Some(newest)) => Turn::Prepare(newest.clone()),
        (Some(next), _) if due && ready(next.id) => Turn::Activate(next.id),
        (Some(_) | None, _) if due => Turn::Overdue,
        (Some(_), _) | (None, None) => Turn::Wait,
    }
}

/// When the key that signs has signed for `every`. `None` when none signs.
pub fn due(keys: &KeyRoles, every: Duration) -> Option<Timestamp> {
    keys.active().map(|key| key.since.plus(every))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::key_roles::{KeyRole, tests::public};

    const EVERY: Duration = Duration::from_secs(100);
    const LONGEST: Duration = Duration::from_secs(10);

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_seconds(seconds).unwrap()
    }

    #[test]
    fn by_schedule_a_key_is_published_at_once_and_signs_when_due_and_every_party_holds_it() {
        let keys = KeyRoles::default().with_held(&[public(1)], at(0));
        let step = |keys: &KeyRoles, unused: &[PublicKey], now, everywhere| {
            turn(keys, unused, EVERY, at(now), |_| everywhere)
        };
        assert_eq!(step(&keys, &[], 0, true), Turn::Wait);
        assert_eq!(step(&keys, &[], 100, true), Turn::Overdue);
        assert_eq!(step(&keys, &[public(3), public(2)], 5, false), Turn::Prepare(public(3)));
        let keys = keys.with_prepared(&public(3), at(5)).unwrap();
        assert_eq!(step(&keys, &[public(2)], 99, true), Turn::Wait);
        assert_eq!(step(&keys, &[public(2)], 100, false), Turn::Overdue, "somebody lacks it");
        assert_eq!(step(&keys, &[public(2)], 107, true), Turn::Activate(public(3).id()));
        let keys = keys.with_active(public(3).id(), LONGEST, at(107)).unwrap();
        assert_eq!(due(&keys, EVERY), Some(at(207)));
    }

    #[test]
    fn a_schedule_goes_on_for_as_long_as_there_are_keys_and_never_leaves_none_that_signs() {
        let held: Vec<_> = (1..=20).rev().map(public).collect();
        let mut keys = KeyRoles::default().with_held(&[public(1)], at(0));
        let mut signed = vec![public(1).id()];
        for now in (0..3_000).step_by(5) {
            let unused: Vec<_> = held.iter().filter(|one| keys.get(one.id()).is_none()).cloned().collect();
            keys = match turn(&keys, &unused, EVERY, at(now), |_| now % 7 != 0) {
                Turn::Prepare(public) => keys.with_prepared(&public, at(now)).unwrap(),
                Turn::Activate(id) => {
                    signed.push(id);
                    keys.with_active(id, LONGEST, at(now)).unwrap()
                }
                Turn::Wait | Turn::Overdue => keys,
            };
            assert!(keys.active().is_some());
        }
        assert_eq!(signed.len(), 20, "each signed once");
        let active = keys.all().iter().filter(|key| key.role == KeyRole::Active).count();
        assert_eq!((active, turn(&keys, &[], EVERY, at(9_000), |_| true)), (1, Turn::Overdue));
    }
}
