//! What several issuers over one store promise, claim by claim.

use std::{sync::Arc, time::Duration};

use common::{
    clock::Clock as _,
    revocation::{cursor::Cursor, entry::Reason, head::Link},
    token_id::TokenId,
};
use issuer::{
    adapters::{journal::Recovered, store::memory::MemoryStore},
    application::revoke::{Selector, revoke},
    domain::ports::{Append, LogEnd, Store as _},
};

use crate::world::World;

async fn two() -> (World, World) {
    let store = Arc::new(MemoryStore::of_many_issuers());
    let one = World::over(Arc::clone(&store), Recovered::default()).await;
    let other = World::over(store, Recovered::default()).await;
    (one, other)
}

async fn revoke_token(world: &World, n: u8) -> Cursor {
    let selector = Selector::Tokens(vec![TokenId::from_bytes([n; 16])]);
    revoke(&world.realm, selector, Reason::Operator, String::new(), "test").await.unwrap().cursor
}

#[tokio::test]
async fn appends_of_two_issuers_make_one_chain_and_each_shows_both() {
    let (one, other) = two().await;
    for n in 1..=20 {
        tokio::join!(revoke_token(&one, n), revoke_token(&other, 100 + n));
    }
    let end = one.store.load().await.unwrap().end.unwrap();
    assert_eq!(end.end.sequence, 41);
    for world in [&one, &other] {
        let published = world.until(|published| published.log.end() == end.end).await;
        assert!(!published.lost);
        assert_eq!(published.head.statement().end, end.end);
        assert_eq!(published.chunks.chain(1, published.log.base()).unwrap().end(), end.end);
    }
}

#[tokio::test]
async fn an_issuer_that_appends_nothing_shows_what_the_other_one_revoked() {
    let (one, other) = two().await;
    let cursor = revoke_token(&one, 1).await;
    let published = other.until(|published| published.log.cursor() == cursor).await;
    assert_eq!(published.head.statement().cursor(), cursor);
    assert_eq!(revoke_token(&other, 1).await, cursor, "revoked once");
}

#[tokio::test]
async fn the_age_of_the_head_is_the_time_since_the_last_confirmed_round() {
    let (one, _other) = two().await;
    revoke_token(&one, 1).await;
    let mut age = None;
    while age.is_none() {
        tokio::task::yield_now().await;
        age = one.realm.conditions.confirmed_age(one.clock.now().boot);
    }
    assert_eq!(age, Some(Duration::ZERO));
    // The log goes back behind this issuer's back: no round confirms what it holds.
    let end = one.store.load().await.unwrap().end.unwrap();
    let empty = LogEnd { epoch: 2, end: Link { sequence: 0, hash: [0; 32] }, ..end };
    let append = Append {
        after: Some((end.epoch, end.end)),
        entries: Vec::new(),
        end: empty,
        change: None,
        audit: None,
    };
    one.store.append(append).await.unwrap();
    one.until(|published| published.lost).await;
    one.clock.advance(Duration::from_secs(7));
    assert_eq!(one.realm.conditions.confirmed_age(one.clock.now().boot), Some(Duration::from_secs(7)));
}
