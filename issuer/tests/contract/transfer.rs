//! What the contract says of a store as a whole: given out, and taken into an empty one.

use common::{timestamp::Timestamp, token::Limits};
use issuer::{
    adapters::store::memory::MemoryStore,
    domain::{
        policy_record::PolicyRecord,
        ports::{AuditMark, Recording, Store, StoreError, TokensOf},
        transfer::{Finish, Part},
    },
};

use crate::samples::{Log, id, idempotency, keep, project, ready, record, recording, row};

/// A store with something of everything, of which parts were trimmed and forgotten.
async fn full() -> (MemoryStore, Log) {
    let store = MemoryStore::default();
    let mut log = ready(&store).await;
    for count in [3, 1, 4] {
        log.append(&store, count).await;
    }
    store.trim(1, log.link(2)).await.unwrap();
    store.create_project(project("q", 2, &[1, 3])).await.unwrap();
    for number in 1..=7 {
        let idempotency = (number % 2 == 0).then(|| idempotency(number, 9));
        keep(&store, Recording { idempotency, ..recording(record(number, "p")) }).await;
    }
    store.forget_tokens(Timestamp::MAX, 1).await.unwrap();
    store.save_policy(PolicyRecord::first(Limits::default())).await.unwrap();
    store.save_policy(PolicyRecord { version: 2, ..PolicyRecord::first(Limits::default()) }).await.unwrap();
    store.save_follower(row("v", 1, 7, 3)).await.unwrap();
    (store, log)
}

/// Everything that is to be carried over.
async fn parts(store: &dyn Store) -> Vec<Part> {
    let loaded = store.load().await.unwrap();
    let end = loaded.end.unwrap();
    let mut first = end.base.sequence + 1;
    let mut runs = Vec::new();
    for run in loaded.runs {
        let count = common::revocation::entry::unpack(&run).unwrap().len() as u64;
        runs.push((first, run));
        first += count;
    }
    let (mut tokens, mut newest) = (Vec::new(), 0);
    loop {
        let after = tokens.last().map_or(0, |kept: &issuer::domain::transfer::Kept| kept.number);
        let (page, highest) = store.ledger(after, 2).await.unwrap();
        newest = newest.max(highest);
        let last = page.len() < 2;
        tokens.extend(page);
        if last {
            break;
        }
    }
    let audit = Some(AuditMark { number: 5, hash: [6; 32] });
    vec![
        Part::Begin,
        Part::Projects(store.projects(None, None, 99).await.unwrap()),
        Part::Tokens(tokens),
        Part::Runs(runs),
        Part::Rows(loaded.followers),
        Part::Finish(Box::new(Finish { end, policy: loaded.policy, audit, newest })),
    ]
}

async fn take(store: &dyn Store, parts: Vec<Part>) {
    for part in parts {
        assert_eq!(store.take_in(part.clone()).await, Ok(true), "{part:?}");
        // Each is safe to repeat, but the first and the last.
        if !matches!(part, Part::Begin | Part::Finish(_)) {
            assert_eq!(store.take_in(part).await, Ok(true));
        }
    }
}

pub(crate) async fn what_is_taken_in_is_what_was_given_out(store: &dyn Store) {
    let (source, log) = full().await;
    let given = parts(&source).await;
    take(store, given.clone()).await;
    assert_eq!(parts(store).await, given, "nothing is missing and all positions are kept");
    let (there, here) = (store.load().await.unwrap(), source.load().await.unwrap());
    assert_eq!((there.end, there.policy, there.followers), (here.end, here.policy, here.followers));
    for of in [TokensOf::Project(id("p")), TokensOf::Everyone] {
        let (there, here) = (store.tokens(of.clone(), None, 99), source.tokens(of, None, 99));
        assert_eq!(there.await, here.await);
    }
    // It goes on as the other one would have: the log, the ledger's numbers, idempotency.
    log.clone().append(store, 2).await;
    let newest = source.tokens(TokensOf::Everyone, None, 1).await.unwrap()[0].0;
    keep(store, recording(record(8, "p"))).await;
    assert_eq!(store.tokens(TokensOf::Everyone, None, 1).await.unwrap()[0].0, newest + 1);
    let again = Recording { idempotency: Some(idempotency(4, 9)), ..recording(record(9, "p")) };
    let before = store.record(again).await.unwrap();
    let issuer::domain::ports::Recorded::Before { record: found, same_content } = before else {
        panic!("{before:?}")
    };
    assert_eq!((found.id, same_content), (record(4, "p").id, true));
}

pub(crate) async fn into_a_store_that_holds_anything_nothing_is_taken(store: &dyn Store) {
    store.create_project(project("p", 1, &[])).await.unwrap();
    assert_eq!(store.take_in(Part::Begin).await, Ok(false));
    assert_eq!(store.take_in(Part::Projects(vec![project("q", 1, &[])])).await, Ok(false));
    assert_eq!(store.project(id("q")).await, Ok(None));
}

pub(crate) async fn an_import_that_was_not_finished_is_told_and_begun_anew(store: &dyn Store) {
    let (source, _) = full().await;
    let given = parts(&source).await;
    for stopped_after in 1..given.len() {
        for part in &given[..stopped_after] {
            assert_eq!(store.take_in(part.clone()).await, Ok(true));
        }
        assert_eq!(store.load().await.err(), Some(StoreError::HalfImported));
    }
    let other = vec![given[0].clone(), given[3].clone(), given[5].clone()];
    for part in other {
        assert_eq!(store.take_in(part).await, Ok(true));
    }
    assert_eq!(
        store.projects(None, None, 9).await,
        Ok(Vec::new()),
        "nothing of the earlier attempts is left"
    );
    assert_eq!(store.tokens(TokensOf::Everyone, None, 9).await, Ok(Vec::new()));
    assert_eq!(store.load().await.unwrap().end, source.load().await.unwrap().end);
    assert_eq!(store.take_in(Part::Begin).await, Ok(false), "it is a store now");
}
