//! Wrong settings of the server: each stops the start by name, or is accepted by name; one that is set later stops the use.

use std::time::{Duration, Instant};

use issuer::{
    adapters::store::redis::{OpenError, RedisSettings, Risk, Unfit},
    domain::ports::{Appended, Store as _, StoreError},
};

use tokio::task::{JoinSet, LocalSet};

use crate::{
    samples::Log,
    server::{RedisServer, open},
    servers::{cluster::Cluster, until},
    steps::{appended, begun, in_time},
};

async fn unfit(settings: RedisSettings) -> String {
    match open(&settings, "test").await {
        Err(OpenError::Unfit(Unfit::Wrong(wrong))) => {
            assert_eq!(wrong.len(), 1, "{wrong:?}");
            wrong[0].to_string()
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn each_wrong_setting_stops_the_start_with_a_sentence_or_is_accepted_by_name() {
    let wrong: [(&[&str], &str, Option<Risk>); 16] = [
        (
            &["--maxmemory-policy", "allkeys-lru"],
            "maxmemory-policy is allkeys-lru and must be noeviction",
            None,
        ),
        (
            &["--maxmemory-policy", "volatile-ttl"],
            "maxmemory-policy is volatile-ttl and must be noeviction",
            None,
        ),
        (&["--appendonly", "no"], "appendonly is no and must be yes", Some(Risk::AppendOnly)),
        (
            &["--appendfsync", "everysec"],
            "appendfsync is everysec and must be always",
            Some(Risk::AppendFsync),
        ),
        (&["--appendfsync", "no"], "appendfsync is no and must be always", Some(Risk::AppendFsync)),
        (
            &["--no-appendfsync-on-rewrite", "yes"],
            "no-appendfsync-on-rewrite is yes and must be no",
            Some(Risk::NoAppendFsyncOnRewrite),
        ),
        (
            &["--aof-load-truncated", "yes"],
            "aof-load-truncated is yes and must be no",
            Some(Risk::AofLoadTruncated),
        ),
        (&["--replica-read-only", "no"], "replica-read-only is no and must be yes", None),
        (
            &["--replica-ignore-disk-write-errors", "yes"],
            "replica-ignore-disk-write-errors is yes and must be no",
            None,
        ),
        (
            &["--rename-command", "CONFIG", ""],
            "CONFIG GET is refused and must be allowed, so that settings are known",
            Some(Risk::Config),
        ),
        (
            &["--user", "default", "on", "nopass", "~*", "+@all", "-config"],
            "CONFIG GET is refused",
            Some(Risk::Config),
        ),
        (&["--replicaof", "127.0.0.1", "1"], "role is slave and must be master", None),
        (&["--cluster-enabled", "yes"], "redis_mode is cluster and must be standalone", None),
        (
            &["--min-replicas-to-write", "0"],
            "min-replicas-to-write is 0 and must be at least 1",
            Some(Risk::MinReplicas),
        ),
        (
            &["--min-replicas-to-write", "1", "--min-replicas-max-lag", "0"],
            "min-replicas-max-lag is 0 and must be 1 to 10",
            Some(Risk::MinReplicas),
        ),
        (
            &["--min-replicas-to-write", "1", "--min-replicas-max-lag", "60"],
            "min-replicas-max-lag is 60 and must be 1 to 10",
            Some(Risk::MinReplicas),
        ),
    ];
    for (options, sentence, risk) in wrong {
        let server = RedisServer::with(options);
        let copies = if sentence.starts_with("min-replicas") { 2 } else { 1 };
        let settings = RedisSettings { copies, ..server.settings() };
        let told = unfit(settings.clone()).await;
        assert!(told.starts_with(sentence), "{told}");
        let all: Vec<_> = Risk::ALL.into_iter().filter(|one| Some(*one) != risk).collect();
        assert_eq!(unfit(RedisSettings { accept_risks: all, ..settings.clone() }).await, told);
        match risk {
            Some(risk) => {
                assert!(told.contains(&format!("store.accept_risks = [\"{}\"]", risk.name())), "{told}");
                let accepted = RedisSettings { accept_risks: vec![risk], ..settings };
                assert!(open(&accepted, "test").await.is_ok(), "{options:?}");
            }
            None => assert!(!told.contains("accept"), "{told}"),
        }
    }
}

#[tokio::test]
async fn more_replicas_than_copies_and_another_topology_stop_the_start() {
    let (server, port) = RedisServer::with_port();
    let _replica = RedisServer::with(&["--replicaof", "127.0.0.1", &port]);
    until("the replica has joined", || server.tell("INFO replication").contains("state=online"));
    let told = unfit(server.settings()).await;
    assert!(told.starts_with("connected_slaves is 1 and must be at most 0, as store.copies says"), "{told}");
    let accepted = RedisSettings { accept_risks: vec![Risk::Copies], ..server.settings() };
    assert!(open(&accepted, "test").await.is_ok());

    let url = format!("redis-cluster://127.0.0.1:{port}").parse().unwrap();
    let settings = RedisSettings { url, accept_risks: vec![Risk::Copies], ..server.settings() };
    let told = unfit(settings).await;
    assert!(told.starts_with("redis_mode is standalone and must be cluster"), "{told}");
    let cluster = Cluster::start();
    let url = format!("redis://127.0.0.1:{}", cluster.nodes[0].1).parse().unwrap();
    let told = unfit(RedisSettings { url, ..server.settings() }).await;
    assert!(told.starts_with("redis_mode is cluster and must be standalone"), "{told}");
}

/// All at once: each is looked for within a minute.
#[tokio::test]
async fn a_setting_changed_while_it_runs_stops_the_use_within_60_s() {
    let changes = [
        ("maxmemory-policy", "allkeys-lru", "noeviction"),
        ("appendfsync", "everysec", "always"),
        ("appendonly", "no", "yes"),
        ("no-appendfsync-on-rewrite", "yes", "no"),
        ("aof-load-truncated", "yes", "no"),
        ("replica-read-only", "no", "yes"),
        ("replica-ignore-disk-write-errors", "yes", "no"),
    ];
    let (local, mut running) = (LocalSet::new(), JoinSet::new());
    for (setting, wrong, right) in changes {
        let looking = async move {
            let server = RedisServer::start();
            let store = server.open().await;
            let log = begun(&store).await;
            assert_eq!(server.tell(&format!("CONFIG SET {setting} {wrong}")), "+OK\r\n");
            #[expect(clippy::disallowed_methods, reason = "a test measures real time")]
            let start = Instant::now();
            let sentence = format!("{setting} is {wrong} and must be {right}");
            let told = async || store.complaint().filter(|told| told.contains(&sentence));
            in_time(&sentence, told).await;
            let took = start.elapsed();
            assert!(took < Duration::from_mins(1), "{setting}: {took:?}");
            // By now every connection knows.
            let refused = async || match store.append(log.step(1).0).await {
                Err(StoreError::Unreachable) => Some(Log::clone(&log)),
                Ok(Appended::Done) => panic!("{setting}: acknowledged after the complaint"),
                other => panic!("{other:?}"),
            };
            tokio::time::sleep(Duration::from_millis(500)).await;
            let log = in_time("a refusal", refused).await;
            assert!(store.complaint().is_some_and(|told| told.contains(&sentence)));
            assert_eq!(server.tell(&format!("CONFIG SET {setting} {right}")), "+OK\r\n");
            appended(&store, &log).await;
            println!("{setting}: noticed after {took:?}");
        };
        running.spawn_local_on(looking, &local);
    }
    let all = async {
        while let Some(done) = running.join_next().await {
            done.unwrap();
        }
    };
    local.run_until(all).await;
}

#[tokio::test]
async fn a_restart_with_wrong_settings_is_not_used() {
    let mut server = RedisServer::start();
    let store = server.open().await;
    let log = begun(&store).await;
    server.kill();
    server.start_slowly(&["--maxmemory-policy", "allkeys-lru"]);
    let told = async || store.complaint().filter(|told| told.contains("maxmemory-policy is allkeys-lru"));
    in_time("the complaint", told).await;
    assert_eq!(store.append(log.step(1).0).await, Err(StoreError::Unreachable));
}
