//! A Sentinel partition: the old master is cut from replicas and Sentinels, and an issuer stays attached to it. Failure is
//! that it acknowledges anything, or tells its followers a young age.

use std::time::Duration;

use common::clock::{Clock as _, SystemClock};
use issuer::{
    adapters::store::redis::RedisSettings,
    application::house::{Obstacle, obstacles},
    domain::ports::{Appended, Recorded, Store as _, StoreError},
};

use crate::{
    realm::House,
    samples::{record, recording},
    server::open,
    servers::sentinel::{Group, as_store},
    steps::{appended, begun, in_time},
};

#[tokio::test]
async fn an_old_master_cut_from_the_majority_acknowledges_nothing() {
    let group = Group::start();
    let deadline = Duration::from_millis(400);
    let (majority, minority) = (group.settings(), group.settings_of(&[0]));
    let minority = RedisSettings { deadline, ..minority };
    let (majority, minority) =
        (open(&majority, "test").await.unwrap(), open(&minority, "test").await.unwrap());
    let mut log = begun(&majority).await;
    for store in [&majority, &minority] {
        log = appended(store, &log).await;
    }
    let old = group.master();
    group.sentinels[0].freeze();
    group.cut(old);
    // The old master itself would take it, for as long as it has not missed its replicas.
    let alone = group.servers[old].0.tell(&as_store("SET x 1"));
    assert!(alone.contains("+OK") || alone.contains("NOREPLICAS"), "{alone}");
    let mut asked = 0;
    let promoting = async {
        let new = in_time("a promotion", async || {
            let named = group.master();
            (named != old && group.servers[named].0.tell(&as_store("ROLE")).contains("master"))
                .then_some(named)
        });
        new.await
    };
    let refusing = async {
        loop {
            assert_eq!(minority.append(log.step(1).0).await, Err(StoreError::Unreachable));
            assert_eq!(minority.record(recording(record(7, "p"))).await, Err(StoreError::Unreachable));
            assert_eq!(minority.confirmed_end().await, Err(StoreError::Unreachable));
            asked += 1;
        }
    };
    tokio::select! {
        _new = promoting => {}
        () = refusing => {}
    }
    for _ in 0..20 {
        log = appended(&majority, &log).await;
        assert_eq!(minority.append(log.step(1).0).await, Err(StoreError::Unreachable));
        assert_eq!(minority.confirmed_end().await, Err(StoreError::Unreachable));
        asked += 1;
    }
    assert!(asked > 20, "{asked}");
    group.heal(old);
    group.sentinels[0].thaw();
    // It finds the new master, and the branch of the old one is gone.
    let end = in_time("the minority is back", async || minority.confirmed_end().await.ok()).await;
    assert_eq!(end, log.end);
    assert_eq!(minority.record(recording(record(7, "p"))).await, Ok(Recorded::At(log.end.unwrap().cursor())));
    let (append, after) = log.step(1);
    assert_eq!(minority.append(append).await, Ok(Appended::Done));
    assert_eq!(majority.confirmed_end().await, Ok(after.end));
}

#[tokio::test]
async fn an_issuer_at_an_old_master_ages_and_is_not_serving() {
    let group = Group::start();
    let house = House::new();
    let realm = house.issuer(&group.settings_of(&[0])).await;
    let age = || realm.conditions.confirmed_age(SystemClock.now().boot).unwrap_or(Duration::MAX);
    in_time("a confirmed round", async || (age() < Duration::from_secs(1)).then_some(())).await;
    let old = group.master();
    group.sentinels[0].freeze();
    group.cut(old);
    let mut ages = vec![age()];
    for _ in 0..6 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        ages.push(age());
    }
    // A round that was under way at the cut may still have been confirmed; from then on nothing is.
    let growing = ages.windows(2).skip(1).all(|pair| pair[1] >= pair[0] + Duration::from_millis(900));
    assert!(growing, "{ages:?}");
    assert!(obstacles(&realm).contains(&Obstacle::StoreFailed));
    assert!(realm.store.complaint().is_some());
    group.heal(old);
    group.sentinels[0].thaw();
    in_time("a confirmed round", async || (age() < Duration::from_secs(1)).then_some(())).await;
    in_time("serving", async || obstacles(&realm).is_empty().then_some(())).await;
    assert!(!realm.log.published().lost, "nothing was lost");
}
