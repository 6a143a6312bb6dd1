//! What the contract says of token records.

use common::{revocation::cursor::Cursor, timestamp::Timestamp};
use issuer::domain::{
    approval::Reference,
    draft::Checked,
    ledger::TokenRecord,
    ports::{Append, Appended, AuditMark, Recorded, Recording, Store, TokensOf},
};

use crate::samples::{change, id, idempotency, keep, organisation, project, ready, record, recording, time};

pub(crate) async fn a_token_is_recorded_at_the_end_of_the_log(store: &dyn Store) {
    let mut log = ready(store).await;
    let at = |sequence| Recorded::At(Cursor::new(1, sequence));
    assert_eq!(store.record(recording(record(1, "p"))).await, Ok(at(1)));
    log.append(store, 2).await;
    let asked = TokenRecord { recorded: Cursor::new(9, 9), ..record(2, "p") };
    assert_eq!(store.record(recording(asked)).await, Ok(at(3)), "what is asked for does not count");
    for (number, sequence) in [(1, 1), (2, 3)] {
        let stands = TokenRecord { recorded: Cursor::new(1, sequence), ..record(number, "p") };
        assert_eq!(store.token(stands.id).await, Ok(Some(stands)));
    }
    assert_eq!(store.token(record(3, "p").id).await, Ok(None));
}

pub(crate) async fn without_a_log_nothing_is_recorded(store: &dyn Store) {
    store.create_project(project("p", 1, &[])).await.unwrap();
    assert_eq!(store.record(recording(record(1, "p"))).await, Ok(Recorded::NoLog));
    nothing_is_recorded(store).await;
}

pub(crate) async fn a_project_of_another_version_is_not_recorded_against(store: &dyn Store) {
    let log = ready(store).await;
    let stands = project("p", 1, &[]);
    store.create_project(project("source", 1, &[])).await.unwrap();
    let checked = |versions: &[(&str, u64)]| {
        versions.iter().map(|(name, version)| Checked { project: id(name), version: *version }).collect()
    };
    let both = checked(&[("p", 1), ("source", 1)]);
    let other: [Vec<Checked>; 4] = [
        checked(&[("p", 2)]),
        checked(&[("p", 0)]),
        checked(&[("unknown", 1)]),
        checked(&[("p", 1), ("source", 2)]),
    ];
    for checked in other {
        let audit = Some(AuditMark { number: 1, hash: [1; 32] });
        let asked =
            Recording { checked, audit, idempotency: Some(idempotency(1, 1)), ..recording(record(1, "p")) };
        assert_eq!(store.record(asked).await, Ok(Recorded::ProjectChanged));
    }
    let append = Append { change: Some(change(&stands, &[2])), ..log.step(1).0 };
    assert_eq!(store.append(append).await, Ok(Appended::Done));
    let asked = Recording { checked: both, ..recording(record(1, "p")) };
    assert_eq!(store.record(asked).await, Ok(Recorded::ProjectChanged));
    nothing_is_recorded(store).await;
    assert_eq!(store.load().await.unwrap().audit, None);
}

pub(crate) async fn a_used_idempotency_key_is_answered_before_anything_else(store: &dyn Store) {
    let mut log = ready(store).await;
    let with = |number, key, content| Recording {
        idempotency: Some(idempotency(key, content)),
        ..recording(record(number, "p"))
    };
    keep(store, with(1, 1, 1)).await;
    log.append(store, 1).await;
    let first = TokenRecord { recorded: Cursor::new(1, 1), ..record(1, "p") };
    let before = |same_content| Ok(Recorded::Before { record: first.clone(), same_content });
    assert_eq!(store.record(with(2, 1, 1)).await, before(true));
    assert_eq!(store.record(with(2, 1, 2)).await, before(false));
    let changed = vec![Checked { project: id("unknown"), version: 7 }];
    assert_eq!(store.record(Recording { checked: changed, ..with(2, 1, 1) }).await, before(true));
    let audit = Some(AuditMark { number: 1, hash: [1; 32] });
    assert_eq!(store.record(Recording { audit, ..with(2, 1, 1) }).await, before(true));
    assert_eq!(store.load().await.unwrap().audit, None, "nothing changes");
    assert_eq!(store.token(record(2, "p").id).await, Ok(None));
    keep(store, with(2, 2, 1)).await;
}

pub(crate) async fn a_token_id_that_stands_is_never_recorded_again(store: &dyn Store) {
    let mut log = ready(store).await;
    keep(store, recording(record(1, "p"))).await;
    log.append(store, 1).await;
    let first = TokenRecord { recorded: Cursor::new(1, 1), ..record(1, "p") };
    let before = |same_content| Ok(Recorded::Before { record: first.clone(), same_content });
    assert_eq!(store.record(recording(record(1, "p"))).await, before(true));
    let other = TokenRecord { expires_at: Timestamp::MAX, ..record(1, "p") };
    assert_eq!(store.record(recording(other)).await, before(false));
    assert_eq!(numbers(store, TokensOf::Everyone, None, 9).await, [(1, 1)]);
}

pub(crate) async fn pages_are_newest_first_and_of_those_asked_for(store: &dyn Store) {
    ready(store).await;
    store.create_project(project("p-2", 1, &[])).await.unwrap();
    let request = |text| Reference::new(text).unwrap();
    for number in 1..=6 {
        let even = number % 2 == 0;
        let record = TokenRecord {
            organisation: organisation(if number < 4 { 1 } else { 2 }),
            approval_request: request(if number == 5 { "r 2" } else { "r" }),
            ..record(number, if even { "p" } else { "p-2" })
        };
        keep(store, recording(record)).await;
    }
    let all = [(6, 6), (5, 5), (4, 4), (3, 3), (2, 2), (1, 1)];
    assert_eq!(numbers(store, TokensOf::Everyone, None, 9).await, all);
    assert_eq!(numbers(store, TokensOf::Everyone, None, 2).await, all[..2]);
    assert_eq!(numbers(store, TokensOf::Everyone, Some(5), 2).await, all[2..4]);
    assert_eq!(numbers(store, TokensOf::Everyone, Some(1), 2).await, []);
    assert_eq!(numbers(store, TokensOf::Everyone, None, 0).await, []);
    assert_eq!(numbers(store, TokensOf::Project(id("p")), None, 9).await, [(6, 6), (4, 4), (2, 2)]);
    assert_eq!(numbers(store, TokensOf::Project(id("p")), Some(6), 1).await, [(4, 4)]);
    assert_eq!(numbers(store, TokensOf::Organisation(organisation(2)), None, 9).await, all[..3]);
    assert_eq!(numbers(store, TokensOf::Organisation(organisation(1)), Some(3), 9).await, all[4..]);
    assert_eq!(numbers(store, TokensOf::Request(request("r 2")), None, 9).await, [(5, 5)]);
    assert_eq!(numbers(store, TokensOf::Request(request("r")), Some(4), 2).await, [(3, 3), (2, 2)]);
    assert_eq!(numbers(store, TokensOf::Project(id("unknown")), None, 9).await, []);
}

pub(crate) async fn the_records_that_expired_first_are_forgotten_first(store: &dyn Store) {
    ready(store).await;
    for (number, expiry) in [(1, 30), (2, 10), (3, 20), (4, 40), (5, 10)] {
        keep(store, recording(TokenRecord { expires_at: time(expiry), ..record(number, "p") })).await;
    }
    assert_eq!(store.forget_tokens(time(10), 9).await, Ok(0), "expired before, not at");
    assert_eq!(store.forget_tokens(time(40), 0).await, Ok(0));
    assert_eq!(store.forget_tokens(time(40), 3).await, Ok(3));
    for of in [
        TokensOf::Everyone,
        TokensOf::Project(id("p")),
        TokensOf::Organisation(organisation(1)),
        TokensOf::Request(Reference::new("r").unwrap()),
    ] {
        assert_eq!(numbers(store, of, None, 9).await, [(4, 4), (1, 1)]);
    }
    assert_eq!(store.token(record(2, "p").id).await, Ok(None));
    assert_eq!(store.forget_tokens(time(40), 9).await, Ok(1));
    assert_eq!(store.forget_tokens(time(40), 9).await, Ok(0));
    assert_eq!(numbers(store, TokensOf::Everyone, None, 9).await, [(4, 4)]);
}

pub(crate) async fn an_idempotency_key_is_forgotten_with_its_record(store: &dyn Store) {
    ready(store).await;
    let asked = |number| Recording { idempotency: Some(idempotency(1, 1)), ..recording(record(number, "p")) };
    keep(store, asked(1)).await;
    assert_eq!(store.forget_tokens(Timestamp::MAX, 1).await, Ok(1));
    keep(store, asked(2)).await;
    let again = Recording { idempotency: Some(idempotency(1, 2)), ..recording(record(3, "p")) };
    let stands = TokenRecord { recorded: Cursor::new(1, 1), ..record(2, "p") };
    assert_eq!(store.record(again).await, Ok(Recorded::Before { record: stands, same_content: false }));
}

pub(crate) async fn a_number_is_never_given_twice(store: &dyn Store) {
    ready(store).await;
    keep(store, recording(record(1, "p"))).await;
    keep(store, recording(record(2, "p"))).await;
    store.forget_tokens(Timestamp::MAX, 9).await.unwrap();
    keep(store, recording(record(3, "p"))).await;
    assert_eq!(numbers(store, TokensOf::Everyone, None, 9).await, [(3, 3)]);
}

async fn nothing_is_recorded(store: &dyn Store) {
    assert_eq!(store.tokens(TokensOf::Everyone, None, 9).await, Ok(Vec::new()));
    assert_eq!(store.token(record(1, "p").id).await, Ok(None));
}

/// Number in the ledger, and number of the sample.
async fn numbers(store: &dyn Store, of: TokensOf, before: Option<u64>, most: usize) -> Vec<(u64, u8)> {
    let page = store.tokens(of, before, most).await.unwrap();
    page.into_iter().map(|(number, record)| (number, record.id.as_bytes()[0])).collect()
}
