//! Connections that break at the wrong moment, or say nothing any more.

use std::{sync::Arc, time::Duration};

use common::{
    clock::{Clock as _, ManualClock, SystemClock},
    timestamp::Timestamp,
};
use issuer::{
    adapters::{
        store::{
            redis::{RedisSettings, RedisStore},
            seal::Seal,
        },
        system_entropy::SystemEntropy,
    },
    domain::ports::{Appended, Store as _, StoreError},
};

use crate::{
    samples::{id, project},
    server::{RedisServer, open},
    servers::proxy::Proxy,
    steps::{appended, begun, in_time},
};

#[tokio::test]
async fn a_frozen_connection_is_rebuilt_while_the_server_is_well() {
    let (server, port) = RedisServer::with_port();
    let proxy = Proxy::start(&port);
    let url = format!("redis://127.0.0.1:{}", proxy.port).parse().unwrap();
    let settings = RedisSettings { url, deadline: Duration::from_millis(300), ..server.settings() };
    let store = open(&settings, "test").await.unwrap();
    let log = begun(&store).await;
    let made = proxy.made();
    proxy.silence_those_that_stand();
    // Nobody asks anything: the watchdog alone finds out.
    in_time("all are rebuilt", async || (proxy.made() >= made + 4).then_some(())).await;
    assert_eq!(store.project(id("p")).await, Ok(Some(project("p", 1, &[]))));
    appended(&store, &log).await;
}

#[tokio::test]
async fn a_connection_that_drops_between_a_write_and_its_wait_acknowledges_nothing() {
    let (server, port) = RedisServer::with_port();
    let _replica = RedisServer::with(&["--replicaof", "127.0.0.1", &port]);
    let online = async || server.tell("INFO replication").contains("state=online").then_some(());
    in_time("the replica", online).await;
    server.tell("CONFIG SET min-replicas-to-write 1");
    let proxy = Proxy::start(&port);
    let url = format!("redis://127.0.0.1:{}", proxy.port).parse().unwrap();
    let settings = RedisSettings { url, copies: 2, ..server.settings() };
    let store = open(&settings, "test").await.unwrap();
    let mut log = begun(&store).await;
    // `*1 $4 done`, and some bytes more or none: the connection ends before the number of copies is told.
    for bytes in [0, 1, 14, 15, 18] {
        let (append, after) = log.step(1);
        proxy.end_after(bytes);
        let answer = store.append(append.clone()).await;
        proxy.pass_all();
        assert_eq!(answer, Err(StoreError::Unreachable), "{bytes} bytes");
        // Asked again, it is told where the log ends: there, if the step was taken.
        log = in_time("an answer", async || match store.append(append.clone()).await {
            Ok(Appended::Done | Appended::EndedElsewhere(_)) => Some(after.clone()),
            Ok(answer) => panic!("{answer:?}"),
            Err(_) => None,
        })
        .await;
        assert_eq!(store.load().await.unwrap().end, log.end, "{bytes} bytes");
    }
}

#[tokio::test]
async fn who_only_reads_does_not_wait_behind_who_waits_for_copies() {
    let (server, port) = RedisServer::with_port();
    let replica = RedisServer::with(&["--replicaof", "127.0.0.1", &port]);
    let online = async || server.tell("INFO replication").contains("state=online").then_some(());
    in_time("the replica", online).await;
    server.tell("CONFIG SET min-replicas-to-write 1");
    let settings = RedisSettings { copies: 2, deadline: Duration::from_secs(8), ..server.settings() };
    let store = open(&settings, "test").await.unwrap();
    let log = begun(&store).await;
    replica.freeze();
    let appending = store.append(log.step(1).0);
    let reading = async {
        let waits = async || server.tell("INFO clients").contains("blocked_clients:1").then_some(());
        in_time("the step waits", waits).await;
        for _ in 0..20 {
            assert_eq!(store.project(id("p")).await, Ok(Some(project("p", 1, &[]))));
        }
        server.tell("INFO clients").contains("blocked_clients:1")
    };
    let (answer, still_waits) = tokio::join!(appending, reading);
    assert!(still_waits, "all reads were answered while the step waited");
    assert_eq!(answer, Err(StoreError::Unreachable));
    replica.thaw();
}

#[tokio::test]
async fn a_clock_over_5_s_off_the_servers_is_told_and_forgiven() {
    let server = RedisServer::start();
    let clock = Arc::new(ManualClock::new(SystemClock.now()));
    let set = |seconds: i64| {
        let wall = SystemClock.now().wall.seconds().checked_add_signed(seconds).unwrap();
        clock.set_wall(Timestamp::from_seconds(wall).unwrap());
    };
    let (seal, entropy) = (Seal::new(&[1; 32]), SystemEntropy::default());
    let settings = server.settings();
    let store = RedisStore::open(&settings, "test", seal, &entropy, Arc::clone(&clock) as Arc<_>);
    let store = store.await.unwrap();
    for (off, suspect) in
        [(0, false), (-60, true), (0, false), (60, true), (3, false), (9, true), (-9, true), (-2, false)]
    {
        let seen = async || {
            set(off);
            (store.clock_off() == suspect).then_some(())
        };
        in_time(&format!("{off} s off"), seen).await;
    }
}
