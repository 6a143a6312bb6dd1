//! A planned switch by the Sentinels, of a master that is well: one replica is promoted while master and the other go on
//! acknowledging. Redis drops those steps; the issuer must notice and bring every acknowledged revocation back.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use common::{
    revocation::{entry::Reason, rule::Rule},
    token_id::TokenId,
};
use issuer::application::{
    house::obstacles,
    log::Published,
    realm::Realm,
    revoke::{Selector, revoke},
};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

use crate::{
    realm::House,
    servers::sentinel::Group,
    steps::{in_time, rounds},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_planned_switch_drops_the_issuer_brings_back() {
    let (mut group, house) = (Group::start(), House::new());
    let realm = house.issuer(&group.settings()).await;
    let acknowledged = Arc::new(Mutex::new(Vec::new()));
    let mut epochs = realm.log.published().log.cursor().epoch;
    for round in 0..rounds("REDIS_SWITCHES", 2) {
        let stop = Arc::new(AtomicBool::new(false));
        let revoking = tokio::spawn(revoke_on(
            Arc::clone(&realm),
            StdRng::seed_from_u64(round),
            Arc::clone(&acknowledged),
            Arc::clone(&stop),
        ));
        tokio::time::sleep(Duration::from_millis(300)).await;
        let switching = tokio::task::spawn_blocking(move || {
            let master = group.master();
            group.sentinels[2].ask("SENTINEL FAILOVER ipms");
            group.promoted(master);
            group.whole();
            group
        });
        group = switching.await.unwrap();
        stop.store(true, Ordering::SeqCst);
        revoking.await.unwrap();
        let published = nothing_is_gone(&realm, &acknowledged, round).await;
        let mended = published.log.cursor().epoch > epochs;
        let count = acknowledged.lock().unwrap().len();
        println!("round {round}: {count} acknowledged so far, mended: {mended}");
        epochs = published.log.cursor().epoch;
    }
    assert!(acknowledged.lock().unwrap().len() > 20, "it revoked something");
}

/// Waits until the issuer serves again, and checks that it and Redis hold every revocation that was acknowledged.
pub(crate) async fn nothing_is_gone(
    realm: &Arc<Realm>,
    acknowledged: &Mutex<Vec<TokenId>>,
    round: u64,
) -> Published {
    let well = async || (obstacles(realm).is_empty() && !realm.log.published().lost).then_some(());
    in_time("the issuer serves again", well).await;
    let published = realm.log.published();
    let end = in_time("a confirmed round", async || realm.store.confirmed_end().await.ok()).await;
    assert_eq!(end.map(|end| end.cursor()), Some(published.log.cursor()), "store and memory agree");
    for id in acknowledged.lock().unwrap().iter() {
        let rule = Rule::Token(*id);
        assert!(published.log.set().recorded(&rule).is_some(), "round {round}: a revocation is gone");
    }
    Published::clone(&published)
}

/// Revokes one token after the other, and keeps those that were acknowledged.
pub(crate) async fn revoke_on(
    realm: Arc<Realm>,
    mut random: StdRng,
    acknowledged: Arc<Mutex<Vec<TokenId>>>,
    stop: Arc<AtomicBool>,
) {
    while !stop.load(Ordering::SeqCst) {
        let id = TokenId::from_bytes(random.random());
        let selector = Selector::Tokens(vec![id]);
        if revoke(&realm, selector, Reason::Operator, String::new(), "test").await.is_ok() {
            acknowledged.lock().unwrap().push(id);
        }
    }
}
