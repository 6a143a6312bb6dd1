//! What a key may become, claim by claim.

use common::{encoding, jws::Algorithm};
use proptest::prelude::*;

use super::*;

/// A public key that nobody holds the private half of: names tell keys apart, and nothing is signed here.
pub(crate) fn public(number: u8) -> PublicKey {
    let mut modulus = [number; 256];
    (modulus[0], modulus[255]) = (0x80 | number, 1);
    PublicKey::from_jwk(&encoding::encode(&modulus), "AQAB", Algorithm::Ps256).unwrap()
}

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_seconds(seconds).unwrap()
}

fn role(keys: &KeyRoles, number: u8) -> Option<KeyRole> {
    keys.get(public(number).id()).map(|key| key.role)
}

fn names(keys: &[PublicKey]) -> Vec<KeyId> {
    keys.iter().map(PublicKey::id).collect()
}

fn sorted(numbers: &[u8]) -> Vec<KeyId> {
    let mut ids: Vec<_> = numbers.iter().map(|n| public(*n).id()).collect();
    ids.sort_unstable();
    ids
}

const LONGEST: Duration = Duration::from_secs(1_000);

#[test]
fn the_newest_of_new_keys_signs_and_later_ones_are_only_published() {
    let first = KeyRoles::default().with_held(&[public(2), public(1)], at(1));
    assert_eq!(first.active().unwrap().id, public(2).id());
    let second = first.with_held(&[public(3), public(2), public(1)], at(1));
    assert_eq!((role(&second, 2), role(&second, 3)), (Some(KeyRole::Active), Some(KeyRole::Prepared)));
    assert_eq!(second.with_held(&[public(3), public(2)], at(9)), second);
    let order: Vec<_> = second.signers().collect();
    assert_eq!(order, [2, 3, 1].map(|n| public(n).id()), "then the newest of the prepared ones");
}

#[test]
fn section_6_a_rotation_goes_prepared_active_retired_removed() {
    let keys = KeyRoles::default().with_held(&[public(1)], at(1));
    let keys = keys.with_prepared(&public(2), at(10)).unwrap();
    assert_eq!((role(&keys, 1), role(&keys, 2)), (Some(KeyRole::Active), Some(KeyRole::Prepared)));
    assert_eq!(keys.with_prepared(&public(2), at(11)).unwrap(), keys, "prepared once");
    let keys = keys.with_active(public(2).id(), LONGEST, at(20)).unwrap();
    let until = at(20).plus(LONGEST).plus(STRAGGLERS);
    assert_eq!((role(&keys, 1), role(&keys, 2)), (Some(KeyRole::Retired { until }), Some(KeyRole::Active)));
    assert_eq!(keys.with_active(public(2).id(), LONGEST, at(30)).unwrap(), keys, "activated once");
    let published = |now| names(&keys.published(now, |_| false));
    let last = at(until.seconds() - 1);
    assert_eq!(published(last), sorted(&[1, 2]));
    assert_eq!(published(until), sorted(&[2]));
    let swept = keys.swept(until, |_| false);
    assert_eq!((swept.get(public(1).id()).unwrap().public.clone(), role(&swept, 1)), (None, role(&keys, 1)));
    assert_eq!(swept.with_held(&[public(2), public(1)], until), swept, "what is gone never comes back");
}

#[test]
fn what_is_retired_or_revoked_never_signs_again_and_what_signs_is_not_retired() {
    let keys = KeyRoles::default().with_held(&[public(3), public(2), public(1)], at(1));
    let id = |n| public(n).id();
    assert_eq!(keys.with_retired(id(3), LONGEST, at(2)), Err(RoleError::Active));
    let keys = keys.with_retired(id(1), LONGEST, at(2)).unwrap();
    assert_eq!(keys.with_retired(id(1), LONGEST, at(9)).unwrap(), keys, "retired once");
    assert_eq!(keys.with_active(id(1), LONGEST, at(3)), Err(RoleError::Retired));
    assert_eq!(keys.with_prepared(&public(1), at(3)), Err(RoleError::Retired));
    let keys = keys.with_revoked([id(2)].iter(), at(4));
    assert_eq!(keys.with_active(id(2), LONGEST, at(5)), Err(RoleError::Revoked));
    assert_eq!(keys.with_prepared(&public(2), at(5)), Err(RoleError::Revoked));
    assert_eq!(keys.with_retired(id(2), LONGEST, at(5)), Err(RoleError::Revoked));
    assert_eq!(keys.with_active(id(9), LONGEST, at(5)), Err(RoleError::NoSuchKey));
    assert_eq!(keys.with_retired(id(9), LONGEST, at(5)), Err(RoleError::NoSuchKey));
}

#[test]
fn when_the_active_key_is_revoked_the_newest_prepared_one_signs() {
    let keys = KeyRoles::default().with_held(&[public(3), public(2), public(1)], at(1));
    let keys = keys.with_revoked([public(3).id()].iter(), at(2));
    assert_eq!(keys.active().unwrap().id, public(2).id());
    let stranger = keys.with_revoked([public(9).id()].iter(), at(3));
    assert_eq!((role(&stranger, 9), role(&stranger, 2)), (Some(KeyRole::Revoked), Some(KeyRole::Active)));
    assert_eq!(stranger.with_revoked([public(9).id(), public(3).id()].iter(), at(9)), stranger);
    assert_eq!(stranger.with_held(&[public(9)], at(9)), stranger, "whether it had a role or not");
    // Published while the log holds the rule, so that its tokens are told what they are.
    assert_eq!(names(&keys.published(at(2), |id| *id == public(3).id())), sorted(&[1, 2, 3]));
    assert_eq!(names(&keys.published(at(2), |_| false)), sorted(&[1, 2]));
}

#[test]
fn no_more_keys_are_published_than_a_statement_holds() {
    let held: Vec<_> = (1..=40).map(public).collect();
    let keys = KeyRoles::default().with_held(&held, at(1));
    assert_eq!(keys.published(at(1), |_| false).len(), Trust::MOST_KEYS);
    assert_eq!(keys.with_prepared(&public(99), at(2)), Err(RoleError::TooMany));
}

#[test]
fn a_record_with_two_active_keys_or_a_name_twice_is_none() {
    let key = |n, role| RoledKey { id: public(n).id(), role, since: at(1), public: Some(public(n)) };
    assert!(KeyRoles::new(vec![key(1, KeyRole::Active), key(2, KeyRole::Active)]).is_none());
    assert!(KeyRoles::new(vec![key(1, KeyRole::Active), key(1, KeyRole::Prepared)]).is_none());
    assert!(KeyRoles::new(vec![RoledKey { id: public(2).id(), ..key(1, KeyRole::Active) }]).is_none());
    assert!(KeyRoles::new(vec![key(1, KeyRole::Active), key(2, KeyRole::Prepared)]).is_some());
}

#[derive(Clone, Copy, Debug)]
enum Turn {
    Wait(u64),
    Prepare(u8),
    Activate(u8),
    Retire(u8),
    Revoke(u8),
    Sweep,
    Issue(u64),
}

fn turn() -> impl Strategy<Value = Turn> {
    prop_oneof![
        (1..600_u64).prop_map(Turn::Wait),
        (1..9_u8).prop_map(Turn::Prepare),
        (1..9_u8).prop_map(Turn::Activate),
        (1..9_u8).prop_map(Turn::Retire),
        (1..9_u8).prop_map(Turn::Revoke),
        Just(Turn::Sweep),
        (1..=LONGEST.as_secs()).prop_map(Turn::Issue),
    ]
}

proptest! {
    /// Failure: a live token of a key that was not revoked, whose key is not in the key set.
    #[test]
    fn section_6_no_token_outlives_the_period_in_which_its_key_is_published(
        turns in prop::collection::vec(turn(), 1..80),
    ) {
        let mut keys = KeyRoles::default().with_held(&[public(1)], at(1));
        let (mut now, mut tokens, mut revoked) = (1, Vec::new(), Vec::new());
        for turn in turns {
            let next = match turn {
                Turn::Wait(seconds) => { now += seconds; Ok(keys.clone()) }
                Turn::Prepare(n) => keys.with_prepared(&public(n), at(now)),
                Turn::Activate(n) => keys.with_active(public(n).id(), LONGEST, at(now)),
                Turn::Retire(n) => keys.with_retired(public(n).id(), LONGEST, at(now)),
                Turn::Revoke(n) => {
                    revoked.push(public(n).id());
                    Ok(keys.with_revoked([public(n).id()].iter(), at(now)))
                }
                Turn::Sweep => Ok(keys.swept(at(now), |id| revoked.contains(id))),
                Turn::Issue(lifetime) => {
                    // Any that may sign: which one does depends on what an issuer holds.
                    tokens.extend(keys.signers().map(|id| (id, at(now + lifetime))));
                    Ok(keys.clone())
                }
            };
            keys = next.unwrap_or(keys);
            prop_assert!(keys.0.iter().filter(|key| key.role == KeyRole::Active).count() <= 1);
            let published = names(&keys.published(at(now), |id| revoked.contains(id)));
            for (id, expires_at) in &tokens {
                if *expires_at > at(now) && !revoked.contains(id) {
                    prop_assert!(published.contains(id), "{turn:?}");
                    prop_assert!(keys.covers(*id, *expires_at));
                }
            }
        }
    }
}
