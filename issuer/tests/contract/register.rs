//! What the contract says of the register: rows of followers and of issuers, and confirmed rounds.

use common::{key_id::KeyId, revocation::cursor::Cursor, token::Limits};
use issuer::domain::{
    followers::{Row, Tenure},
    policy_record::PolicyRecord,
    ports::Store,
    rounds::{Entry, IssuerRow, Round, Rounded, Standing},
};

use crate::samples::{ready, row};

pub(crate) fn issuer(id: u64) -> IssuerRow {
    IssuerRow { id, name: format!("issuer-{id}"), keys: vec![KeyId::from_bytes([7; 32])], after_loss: false }
}

pub(crate) fn round(id: u64, number: u64, entry: Entry) -> Round {
    Round { issuer: issuer(id), number, entry, acknowledged: Vec::new(), known: None }
}

/// An issuer's first round, which writes its row.
async fn enter(store: &dyn Store, id: u64) -> Rounded {
    let shown = store.round(round(id, 1, Entry::New)).await.unwrap();
    assert_eq!(shown.standing, Standing::Kept);
    shown
}

pub(crate) async fn rows_of_the_register_keep_the_longer_limits_and_what_was_acknowledged(store: &dyn Store) {
    for joined in [row("b", 1, 1, 1), row("a", 2, 1, 1), row("a", 1, 1, 1)] {
        assert_eq!(store.save_follower(joined.clone()).await, Ok(joined));
    }
    let told = Row { acknowledged: Cursor::new(1, 4), ..row("b", 1, 9, 2) };
    assert_eq!(store.save_follower(told.clone()).await, Ok(told));
    let elsewhere = Row { tenure: Tenure { issuer: 6, session: 1 }, ..row("b", 1, 3, 0) };
    let stands =
        Row { acknowledged: Cursor::new(1, 4), limits: row("b", 1, 9, 0).limits, ..elsewhere.clone() };
    for _ in 0..2 {
        assert_eq!(store.save_follower(elsewhere.clone()).await, Ok(stands.clone()));
    }
    let rows = store.load().await.unwrap().followers;
    assert_eq!(rows, [row("a", 1, 1, 1), row("a", 2, 1, 1), stands]);
}

pub(crate) async fn a_row_is_removed_only_while_it_is_of_the_same_hello(store: &dyn Store) {
    for joined in [row("a", 1, 1, 1), row("b", 1, 1, 1), row("b", 1, 1, 2)] {
        store.save_follower(joined).await.unwrap();
    }
    let of = |row: Row| (row.follower, Some(row.tenure));
    let gone = vec![of(row("a", 1, 1, 1)), of(row("b", 1, 1, 1)), of(row("c", 1, 1, 1))];
    for _ in 0..2 {
        assert_eq!(store.remove_followers(gone.clone()).await, Ok(()));
        assert_eq!(store.load().await.unwrap().followers, [row("b", 1, 1, 2)]);
    }
    assert_eq!(store.remove_followers(vec![(row("b", 1, 1, 1).follower, None)]).await, Ok(()));
    assert_eq!(store.load().await.unwrap().followers, [], "whoever answers it");
}

pub(crate) async fn a_round_shows_what_stands(store: &dyn Store) {
    let empty = enter(store, 5).await;
    assert_eq!((empty.end, empty.policy_version, empty.losses), (None, 0, 0));
    assert_eq!((empty.issuers, empty.rows), (vec![(issuer(5), 1)], Some(Vec::new())));
    let log = ready(store).await;
    store.save_policy(PolicyRecord::first(Limits::default())).await.unwrap();
    store.save_follower(row("a", 1, 1, 1)).await.unwrap();
    enter(store, 3).await;
    let asked = Round { known: Some(empty.register), ..round(5, 2, Entry::Stands(1)) };
    let shown = store.round(asked).await.unwrap();
    assert_eq!((shown.end, shown.policy_version), (log.end, 1));
    assert_eq!(shown.issuers, [(issuer(3), 1), (issuer(5), 2)]);
    assert_eq!(shown.rows, Some(vec![row("a", 1, 1, 1)]));
    let again = Round { known: Some(shown.register), ..round(5, 3, Entry::Stands(2)) };
    assert_eq!(store.round(again).await.unwrap().rows, None, "nothing has changed");
}

pub(crate) async fn a_round_that_finds_too_little_writes_nothing(store: &dyn Store) {
    enter(store, 5).await;
    let absent = store.round(round(6, 9, Entry::Stands(8))).await.unwrap();
    assert_eq!((absent.standing, absent.issuers), (Standing::Absent, vec![(issuer(5), 1)]));
    let behind = store.round(round(5, 9, Entry::Stands(8))).await.unwrap();
    assert_eq!((behind.standing, behind.issuers), (Standing::Behind, vec![(issuer(5), 1)]));
    let kept = store.round(round(5, 9, Entry::Stands(1))).await.unwrap();
    assert_eq!((kept.standing, kept.issuers), (Standing::Kept, vec![(issuer(5), 9)]));
    let told = store.round(round(6, 1, Entry::AfterLoss)).await.unwrap();
    assert_eq!((told.standing, told.losses), (Standing::Kept, 1));
    assert!(told.register > kept.register, "everybody looks again");
}

pub(crate) async fn a_round_takes_over_what_its_own_followers_acknowledged(store: &dyn Store) {
    enter(store, 5).await;
    store.save_follower(row("a", 1, 1, 1)).await.unwrap();
    store.save_follower(row("b", 1, 1, 2)).await.unwrap();
    let seen = |row: Row| Row { acknowledged: Cursor::new(2, 3), ..row };
    let acknowledged = vec![seen(row("a", 1, 1, 1)), seen(row("b", 1, 1, 1)), seen(row("c", 1, 1, 1))];
    store.round(Round { acknowledged, ..round(5, 2, Entry::Stands(1)) }).await.unwrap();
    let rows = store.load().await.unwrap().followers;
    assert_eq!(rows, [seen(row("a", 1, 1, 1)), row("b", 1, 1, 2)], "not of one that said hello again since");
}

pub(crate) async fn an_issuer_is_taken_out_with_its_rows_if_it_did_nothing_more(store: &dyn Store) {
    enter(store, 5).await;
    enter(store, 6).await;
    let other = Row { tenure: Tenure { issuer: 6, session: 1 }, ..row("b", 1, 1, 1) };
    store.save_follower(row("a", 1, 1, 1)).await.unwrap();
    store.save_follower(other.clone()).await.unwrap();
    for number in [None, Some(0), Some(2)] {
        assert_eq!(store.expel(5, number).await, Ok(false));
    }
    assert_eq!(store.load().await.unwrap().followers.len(), 2);
    assert_eq!(store.expel(5, Some(1)).await, Ok(true));
    assert_eq!(store.load().await.unwrap().followers, [other]);
    let shown = store.round(round(5, 2, Entry::Stands(1))).await.unwrap();
    assert_eq!((shown.standing, shown.issuers), (Standing::Absent, vec![(issuer(6), 1)]));
    store.save_follower(row("a", 1, 1, 1)).await.unwrap();
    assert_eq!(store.expel(5, None).await, Ok(true), "rows that nobody answers for");
    assert_eq!(store.load().await.unwrap().followers.len(), 1);
}
