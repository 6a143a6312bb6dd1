//! What the Redis store promises beyond the contract: nothing acknowledged is lost, nothing waits for ever, no server is
//! used that could lose something without notice.

use std::time::Duration;

use common::token::Limits;
use issuer::{
    adapters::store::{
        memory::MemoryStore,
        redis::{RedisSettings, RedisStore, Risk},
    },
    domain::{
        policy_record::PolicyRecord,
        ports::{Append, Appended, AuditMark, Created, LogEnd, Recorded, Recording, Store as _, StoreError},
        rounds::Entry,
    },
};

use crate::{
    projects::what_issuers_tell_of_keys_is_replaced_and_taken_back,
    register::round,
    samples::{Log, change, id, idempotency, keep, project, ready, record, recording, row},
    server::RedisServer,
};

#[tokio::test]
async fn nothing_acknowledged_is_lost_in_kills_of_the_server() {
    let mut server = RedisServer::start();
    let store = server.open().await;
    let mut log = Log::new();
    for round in 0..ROUNDS {
        // Killed while appends are under way: the last one may or may not stand.
        let killed = tokio::task::spawn_blocking(move || {
            std::thread::sleep(Duration::from_millis(round % 7));
            server.kill();
            server
        });
        let last = loop {
            let (append, after) = log.step(1);
            match store.append(append).await {
                Ok(Appended::Done) => log = after,
                Ok(answer) => panic!("round {round}: {answer:?}"),
                Err(error) => {
                    assert_eq!(error, StoreError::Unreachable);
                    break after;
                }
            }
        };
        server = killed.await.unwrap();
        server.start_again();
        let end = loop {
            match store.load().await {
                Ok(loaded) => break loaded.end,
                Err(error) => assert_eq!(error, StoreError::Unreachable),
            }
        };
        if end == last.end {
            log = last;
        }
        assert_eq!(end, log.end, "round {round}");
    }
    let runs = store.load().await.unwrap().runs.concat();
    assert_eq!(runs, common::revocation::entry::pack(&log.entries));
}

#[tokio::test]
async fn a_frozen_server_stops_no_caller_for_longer_than_the_deadline() {
    let server = RedisServer::start();
    let settings = RedisSettings { deadline: Duration::from_millis(200), ..server.settings() };
    let store = server.try_open(settings).await.unwrap();
    let mut log = ready(&store).await;
    server.freeze();
    let (append, after) = log.step(1);
    let calls = async {
        assert_eq!(store.append(append).await, Err(StoreError::Unreachable));
        assert_eq!(store.project(id("p")).await, Err(StoreError::Unreachable));
        assert_eq!(store.load().await, Err(StoreError::Unreachable));
    };
    tokio::time::timeout(Duration::from_secs(30), calls).await.expect("every call ends");
    server.thaw();
    let end = loop {
        match store.load().await {
            Ok(loaded) => break loaded.end,
            Err(error) => assert_eq!(error, StoreError::Unreachable),
        }
    };
    if end == after.end {
        log = after;
    }
    assert_eq!(end, log.end);
    log = loop {
        // What was sent before the freeze may still be in the pipe.
        let (append, after) = log.step(1);
        match store.append(append).await {
            Ok(Appended::EndedElsewhere(end)) if end == after.end => break after,
            Ok(Appended::Done) => break after,
            Ok(answer) => panic!("{answer:?}"),
            Err(error) => assert_eq!(error, StoreError::Unreachable),
        }
    };
    assert_eq!(store.load().await.unwrap().end, log.end);
}

#[tokio::test]
async fn an_emptied_server_is_no_empty_log() {
    let server = RedisServer::start();
    let store = server.open().await;
    let log = ready(&store).await;
    server.tell("FLUSHALL");
    assert_eq!(store.append(log.step(1).0).await, Ok(Appended::EndedElsewhere(None)));
    assert_eq!(store.record(recording(record(1, "p"))).await, Ok(Recorded::NoLog));
    assert_eq!(store.load().await.unwrap().end, None);
}

#[tokio::test]
async fn what_too_few_copies_acknowledge_is_not_acknowledged() {
    let server = RedisServer::start();
    let settings = RedisSettings {
        copies: 2,
        deadline: Duration::from_millis(200),
        accept_risks: vec![Risk::MinReplicas],
        ..server.settings()
    };
    let store = server.try_open(settings).await.unwrap();
    assert_eq!(store.append(Log::new().step(1).0).await, Err(StoreError::Unreachable));
    assert_eq!(store.create_project(project("p", 1, &[])).await, Err(StoreError::Unreachable));
}

#[tokio::test]
async fn a_step_is_done_once_a_replica_has_it_and_unknown_until_then() {
    let (server, port) = RedisServer::with_port();
    let mut replica = RedisServer::with(&["--replicaof", "127.0.0.1", &port]);
    let settings = RedisSettings {
        copies: 2,
        deadline: Duration::from_millis(500),
        accept_risks: vec![Risk::MinReplicas],
        ..server.settings()
    };
    let store = server.try_open(settings).await.unwrap();
    assert_eq!(store.copies(), 2);
    let confirmed = async || loop {
        match store.confirmed_end().await {
            Ok(end) => break end,
            Err(error) => assert_eq!(error, StoreError::Unreachable),
        }
    };
    assert_eq!(confirmed().await, None, "the replica has joined");
    let (append, log) = Log::new().step(1);
    assert_eq!(appended(&store, &append).await, log.end);
    replica.freeze();
    let (append, log) = log.step(1);
    assert_eq!(store.append(append.clone()).await, Err(StoreError::Unreachable));
    assert_eq!(store.confirmed_end().await, Err(StoreError::Unreachable));
    replica.thaw();
    assert_eq!(confirmed().await, log.end, "it stood on the master all the time");
    assert_eq!(store.append(append).await, Ok(Appended::EndedElsewhere(log.end)));
    replica.kill();
    assert_eq!(store.append(log.step(1).0).await, Err(StoreError::Unreachable));
}

/// Appends until it stands, and tells where the log ends.
async fn appended(store: &RedisStore, append: &Append) -> Option<LogEnd> {
    loop {
        match store.append(append.clone()).await {
            Ok(Appended::Done) => return Some(append.end),
            Ok(Appended::EndedElsewhere(end)) => return end,
            answer => assert_eq!(answer, Err(StoreError::Unreachable)),
        }
    }
}

#[tokio::test]
async fn a_server_without_memory_or_access_acknowledges_nothing() {
    let server = RedisServer::start();
    let store = server.open().await;
    let log = ready(&store).await;
    for (name, broken, mended) in [
        ("p2", "CONFIG SET maxmemory 1", "CONFIG SET maxmemory 0"),
        ("p3", "CONFIG SET min-replicas-to-write 1", "CONFIG SET min-replicas-to-write 0"),
        ("p4", "ACL SETUSER default -hset", "ACL SETUSER default +hset"),
        ("p5", "REPLICAOF 127.0.0.1 1", "REPLICAOF NO ONE"),
    ] {
        server.tell(broken);
        assert_eq!(store.append(log.step(1).0).await, Err(StoreError::Unreachable), "{broken}");
        assert_eq!(store.record(recording(record(1, "p"))).await, Err(StoreError::Unreachable), "{broken}");
        server.tell(mended);
        let mut created = Err(StoreError::Unreachable);
        while created == Err(StoreError::Unreachable) {
            created = store.create_project(project(name, 1, &[])).await;
        }
        assert_eq!(created, Ok(Created::New), "{mended}");
    }
    assert_eq!(store.append(log.step(1).0).await, Ok(Appended::Done));
}

#[tokio::test]
async fn each_issuer_has_an_audit_mark_of_its_own() {
    let server = RedisServer::start();
    let store = server.open().await;
    let settings = RedisSettings { issuer: "2".to_owned(), ..server.settings() };
    let other = server.try_open(settings).await.unwrap();
    let mark = |number| Some(AuditMark { number, hash: [1; 32] });
    let (append, log) = Log::new().step(1);
    store.append(Append { audit: mark(1), ..append }).await.unwrap();
    assert_eq!(other.load().await.unwrap().audit, None);
    other.append(Append { audit: mark(7), ..log.step(1).0 }).await.unwrap();
    assert_eq!(store.load().await.unwrap().audit, mark(1));
    assert_eq!(other.load().await.unwrap().audit, mark(7));
}

#[tokio::test]
async fn no_key_has_a_time_to_live() {
    let server = RedisServer::start();
    let store = server.open().await;
    let log = ready(&store).await;
    store.save_policy(PolicyRecord::first(Limits::default())).await.unwrap();
    store.save_follower(row("v", 1, 1, 1)).await.unwrap();
    store.round(round(5, 1, Entry::New)).await.unwrap();
    keep(&store, Recording { idempotency: Some(idempotency(1, 1)), ..recording(record(1, "p")) }).await;
    let append = Append { change: Some(change(&project("p", 1, &[]), &[2])), ..log.step(3).0 };
    assert_eq!(store.append(append).await, Ok(Appended::Done));
    let keys = server.tell("KEYS *");
    let keys: Vec<_> = keys.lines().filter(|line| line.starts_with('{')).collect();
    assert!(keys.len() > 12, "{keys:?}");
    for key in keys {
        assert!(key.starts_with("{ipms:test}:v1:"), "{key}");
        assert_eq!(server.tell(&format!("PTTL {key}")).trim(), ":-1", "{key}");
    }
}

#[tokio::test]
async fn what_issuers_tell_of_keys_is_theirs_and_what_was_tampered_with_is_lost_data() {
    let server = RedisServer::start();
    let store = server.open().await;
    what_issuers_tell_of_keys_is_replaced_and_taken_back(&store).await;
    let memory = MemoryStore::of_many_issuers();
    what_issuers_tell_of_keys_is_replaced_and_taken_back(&memory).await;
    // One issuer's row under the name of another one.
    let swap =
        "EVAL \"local v = redis.call('HVALS', KEYS[1])[1] return redis.call('HSET', KEYS[1], '1', v)\" 1";
    server.tell(&format!("{swap} {{ipms:test}}:v1:key_holders"));
    assert_eq!(store.holders().await.err(), Some(StoreError::LostData));
}

#[tokio::test]
async fn a_project_that_was_tampered_with_is_lost_data() {
    let server = RedisServer::start();
    let store = server.open().await;
    for name in ["p", "q"] {
        store.create_project(project(name, 1, &[])).await.unwrap();
    }
    let swap = "EVAL \"return redis.call('HSET', KEYS[1], 'p', redis.call('HGET', KEYS[1], 'q'))\" 1";
    server.tell(&format!("{swap} {{ipms:test}}:v1:projects"));
    let lost = Some(StoreError::LostData);
    assert_eq!(store.project(id("p")).await.err(), lost);
    assert_eq!(store.projects(None, None, 9).await.err(), lost);
    assert_eq!(store.create_project(project("p", 1, &[])).await.err(), lost);
    assert_eq!(store.project(id("q")).await, Ok(Some(project("q", 1, &[]))));
    server.tell("DEL {ipms:test}:v1:log");
    server.tell("SET {ipms:test}:v1:meta 1");
    assert_eq!(store.load().await.err(), lost);
}

const ROUNDS: u64 = 100;
