//! Every record comes back as it was, and nothing else is read.

use common::{key_id::KeyId, organisation_id::OrganisationId, token_id::TokenId};

use super::*;
use crate::domain::{
    followers::{Follower, Row, Tenure},
    key_holders::Holder,
    key_roles::{KeyRole, RoledKey, tests::public},
    rounds::IssuerRow,
};

fn time(seconds: u64) -> Timestamp {
    Timestamp::from_seconds(seconds).unwrap()
}

fn project(method: Method) -> Project {
    let collaborator = Collaborator { organisation: OrganisationId::from_bytes([2; 16]), can_reverse: true };
    Project {
        id: "p-1".parse().unwrap(),
        owner: OrganisationId::from_bytes([1; 16]),
        collaborators: vec![collaborator],
        configuration: ProjectConfiguration {
            method,
            treatment: Treatment::AlwaysSame,
            output_format: OutputFormat::new(Alphabet::Uuid, 36).unwrap(),
        },
        created: time(9),
        closed: Some(time(10)),
        version: 4,
    }
}

fn token(operation: Operation) -> TokenRecord {
    TokenRecord {
        id: TokenId::from_bytes([3; 16]),
        project: "p-1".parse().unwrap(),
        organisation: OrganisationId::from_bytes([1; 16]),
        operation,
        approval_request: Reference::new("request \"1\"").unwrap(),
        issued_at: time(11),
        expires_at: time(12),
        key: KeyId::from_bytes([4; 32]),
        holder: Some([5; 32]),
        recorded: Cursor::new(6, 7),
    }
}

fn policy() -> PolicyRecord {
    let roles = [KeyRole::Prepared, KeyRole::Active, KeyRole::Retired { until: time(14) }, KeyRole::Revoked];
    let key = |(n, role)| {
        let public = public(n);
        let held = Some(public.clone()).filter(|_| role != KeyRole::Revoked);
        RoledKey { id: public.id(), role, since: time(15), public: held }
    };
    PolicyRecord {
        version: 3,
        limits: Limits::default(),
        earlier: vec![EarlierCeilings { limits: Limits::default(), until: time(13) }],
        keys: KeyRoles::new((1..).zip(roles).map(key).collect()).unwrap(),
    }
}

fn check<T: Record + PartialEq + std::fmt::Debug>(record: &T) {
    let bytes = record.to_bytes();
    assert_eq!(T::from_bytes(&bytes).as_ref(), Ok(record));
    for cut in 0..bytes.len() {
        assert_eq!(T::from_bytes(&bytes[..cut]), Err(StoreError::LostData), "cut at {cut}");
    }
    assert_eq!(T::from_bytes(&[&bytes[..], b"0"].concat()), Err(StoreError::LostData));
}

fn check_named<T: Record + PartialEq + std::fmt::Debug>(record: &T) {
    check(record);
    let bytes = record.to_bytes();
    for more in [&br#"{"more":1,"#[..], br#"{"version":1,"id":"p-1","epoch":1,"#] {
        assert_eq!(T::from_bytes(&[more, &bytes[1..]].concat()), Err(StoreError::LostData));
    }
}

#[test]
fn a_record_comes_back_as_it_was_and_no_other_is_read() {
    let retention = Retention::new(1, 2, 3).unwrap();
    check_named(&project(Method::Reversible { retention, retention_end: time(99) }));
    check_named(&Project { closed: None, ..project(Method::NotReversible) });
    check_named(&token(Operation::Pseudonymise));
    check_named(&token(Operation::Reverse));
    let source =
        SourceLayer { project: "p-2".parse().unwrap(), organisation: OrganisationId::from_bytes([7; 16]) };
    check_named(&TokenRecord { holder: None, ..token(Operation::Secondary(source)) });
    check_named(&policy());
    let follower = |n| Follower { id: "a".to_owned(), instance: n };
    let keys = |numbers: &[u8]| numbers.iter().map(|n| KeyId::from_bytes([*n; 32])).collect();
    check_named(&Holder {
        issuer: "one".to_owned(),
        instance: 1,
        beat: 2,
        private: keys(&[1, 2]),
        followers: [(follower(1), keys(&[2, 3])), (follower(2), keys(&[]))].into(),
    });
    let limits = PerType::from_fn(|kind| Duration::from_millis(1_500 + u64::from(kind.code())));
    check(&Row {
        follower: Follower { id: "é\n".to_owned(), instance: u64::MAX },
        limits,
        tenure: Tenure { issuer: u64::MAX, session: 3 },
        acknowledged: Cursor::new(2, 9),
    });
    let keys = vec![KeyId::from_bytes([3; 32])];
    for after_loss in [false, true] {
        check(&IssuerRow { id: u64::MAX, name: "a\"b".to_owned(), keys: keys.clone(), after_loss });
    }
    let link = |sequence| Link { sequence, hash: [6; 32] };
    check_named(&LogEnd { epoch: 1, base: link(2), end: link(3), log_time: time(4) });
    check(&AuditMark { number: 1, hash: [2; 32] });
}

#[test]
fn key_roles_of_an_older_build_are_read_without_their_public_halves() {
    let bytes = policy().to_bytes();
    let mut json: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
    json.as_object_mut().unwrap().remove("details");
    let old = PolicyRecord::from_bytes(json.to_string().as_bytes()).unwrap();
    let held: Vec<_> = (1..=4).rev().map(public).collect();
    let filled = old.keys.with_held(&held, time(15));
    assert!(old.keys.all().iter().all(|key| key.public.is_none()));
    let publics = |keys: &KeyRoles| keys.all().iter().filter(|key| key.public.is_some()).count();
    // A retired key whose tokens have all expired, and a revoked one, are published no more.
    assert_eq!((publics(&filled), publics(&old.keys.with_held(&held, time(13)))), (2, 3));
}
