//! The known ways of Redis to lose what it acknowledged, one test each. Where our settings allow it nothing is lost;
//! where an operator accepted the risk, or somebody touched the files, it is noticed.

use std::{
    fs,
    os::unix::fs::FileExt as _,
    time::{Duration, Instant},
};

use common::revocation::entry::pack;
use issuer::{
    adapters::store::redis::{OpenError, RedisSettings, RedisStore, Risk, Unfit},
    domain::{
        chain::Chain,
        ports::{Appended, LogEnd, Store as _, StoreError},
    },
};

use crate::{
    files::{Hands, appended_files, copy, growing_file, put_back, wrapped},
    samples::Log,
    server::{RedisServer, open},
    steps::{appended, begun, in_time},
};

/// A master with one replica in step, both of which must have each step.
async fn pair() -> (RedisServer, RedisServer, RedisSettings) {
    let (server, port) = RedisServer::with_port();
    let replica = RedisServer::with(&["--replicaof", "127.0.0.1", &port, "--min-replicas-to-write", "1"]);
    let online = async || server.tell("INFO replication").contains("state=online").then_some(());
    in_time("the replica", online).await;
    server.tell("CONFIG SET min-replicas-to-write 1");
    let settings = RedisSettings { copies: 2, deadline: Duration::from_secs(1), ..server.settings() };
    (server, replica, settings)
}

async fn stands(store: &RedisStore) -> Option<LogEnd> {
    in_time("the log's end", async || store.load().await.ok().map(|loaded| loaded.end)).await
}

/// What the store holds is, entry by entry, what was acknowledged.
async fn whole(store: &RedisStore, log: &Log) {
    let loaded = in_time("the log", async || store.load().await.ok()).await;
    assert_eq!((loaded.end, loaded.runs.concat()), (log.end, pack(&log.entries)));
}

/// Whether the entries that are held lead to the end that is told.
async fn chained(store: &RedisStore) -> bool {
    let loaded = in_time("the log", async || match store.load().await {
        Err(StoreError::Unreachable) => None,
        loaded => Some(loaded),
    });
    let Ok(loaded) = loaded.await else { return false };
    let end = loaded.end.unwrap();
    let mut chain = Chain::new(end.epoch, end.base);
    loaded.runs.iter().all(|run| chain.extend(run).is_ok()) && chain.end() == end.end
}

#[tokio::test]
async fn e01_a_master_whose_link_is_cut_acknowledges_nothing_and_the_promoted_replica_has_the_rest() {
    let (mut server, replica, settings) = pair().await;
    let store = open(&settings, "test").await.unwrap();
    let mut log = begun(&store).await;
    for _ in 0..50 {
        log = appended(&store, &log).await;
    }
    // The link is cut, and the replica promoted.
    replica.tell("REPLICAOF NO ONE");
    for _ in 0..10 {
        assert_eq!(store.append(log.step(1).0).await, Err(StoreError::Unreachable));
        assert_eq!(store.confirmed_end().await, Err(StoreError::Unreachable));
    }
    server.kill();
    let accept_risks = vec![Risk::MinReplicas];
    let promoted = RedisSettings { copies: 1, accept_risks, ..replica.settings() };
    let promoted = open(&promoted, "test").await.unwrap();
    whole(&promoted, &log).await;
    // E1b: the old master comes back, and the branch that nobody was promised goes.
    server.start_again();
    server.tell(&format!("CONFIG SET masterauth \"\"\r\nREPLICAOF 127.0.0.1 {}", port_of(&replica)));
}

/// A replica listens on a socket only; for a master it needs a port.
fn port_of(server: &RedisServer) -> String {
    let port = crate::server::free_port();
    assert_eq!(server.tell(&format!("CONFIG SET port {port}")), "+OK\r\n");
    port
}

#[tokio::test]
async fn e01b_an_old_master_that_comes_back_takes_the_new_ones_log() {
    let (mut server, replica, settings) = pair().await;
    let store = open(&settings, "test").await.unwrap();
    let log = begun(&store).await;
    replica.tell("REPLICAOF NO ONE");
    // On the old master alone, and told as unknown.
    assert_eq!(store.append(log.step(5).0).await, Err(StoreError::Unreachable));
    server.kill();
    server.start_slowly(&["--replicaof", "127.0.0.1", &port_of(&replica)]);
    let joined = async || replica.tell("INFO replication").contains("state=online").then_some(());
    in_time("the old master follows", joined).await;
    let new = open(&RedisSettings { copies: 2, ..replica.settings() }, "test").await.unwrap();
    whole(&new, &log).await;
    let log = appended(&new, &log).await;
    // What now stands is on the old master too: its own branch is gone.
    replica.tell("SHUTDOWN NOSAVE");
    server.tell("REPLICAOF NO ONE");
    let accept_risks = vec![Risk::MinReplicas];
    let back = RedisSettings { copies: 1, accept_risks, ..server.settings() };
    whole(&open(&back, "test").await.unwrap(), &log).await;
}

#[tokio::test]
async fn e02_min_replicas_alone_is_not_relied_on() {
    let (server, replica, settings) = pair().await;
    server.tell("CONFIG SET min-replicas-max-lag 2");
    let store = open(&settings, "test").await.unwrap();
    let log = begun(&store).await;
    replica.freeze();
    let (mut raw, mut ours) = (0, 0);
    // Until the server itself refuses.
    while server.tell("SET x 1").starts_with("+OK") {
        raw += 1;
        assert_eq!(store.append(log.step(1).0).await, Err(StoreError::Unreachable));
        ours += 1;
    }
    println!("a plain client was acknowledged {raw} writes, the store none of {ours}");
    assert!(raw > 0, "the server acknowledged something");
    replica.thaw();
}

#[tokio::test]
async fn e03_a_kill_loses_nothing_and_a_server_that_only_takes_snapshots_is_refused() {
    let mut server = RedisServer::start();
    let store = server.open().await;
    let mut log = begun(&store).await;
    for _ in 0..20 {
        log = appended(&store, &log).await;
    }
    server.kill();
    server.start_again();
    whole(&store, &log).await;
    let snapshots = RedisServer::with(&["--appendonly", "no", "--save", "3600 1"]);
    let refused = snapshots.try_open(snapshots.settings()).await.unwrap_err();
    let OpenError::Unfit(Unfit::Wrong(wrong)) = refused else { panic!("{refused}") };
    assert_eq!(wrong[0].setting, "appendonly");
}

#[tokio::test]
async fn e04_a_master_that_restarts_empty_and_empties_its_replica_is_noticed() {
    let (mut server, port) =
        RedisServer::listening(std::path::Path::new("redis-server"), &["--appendonly", "no"]);
    assert!(server.try_open(server.settings()).await.is_err(), "refused, unless the risk is accepted");
    let replica = RedisServer::with(&["--replicaof", "127.0.0.1", &port]);
    let online = async || server.tell("INFO replication").contains("state=online").then_some(());
    in_time("the replica", online).await;
    let accept_risks = vec![Risk::AppendOnly, Risk::MinReplicas];
    let settings = RedisSettings { copies: 2, accept_risks, ..server.settings() };
    let store = open(&settings, "test").await.unwrap();
    let log = begun(&store).await;
    server.kill();
    server.start_again();
    let emptied = async || (replica.tell("DBSIZE").trim() == ":0").then_some(());
    in_time("the replica is emptied", emptied).await;
    assert_eq!(stands(&store).await, None);
    let answer = in_time("an answer", async || store.append(log.step(1).0).await.ok()).await;
    assert_eq!(answer, Appended::EndedElsewhere(None), "no log is not an empty log");
}

#[tokio::test]
async fn e05_a_full_server_answers_with_an_error_and_keeps_what_it_acknowledged() {
    let server = RedisServer::start();
    let store = server.open().await;
    let mut log = begun(&store).await;
    server.tell("CONFIG SET maxmemory 3mb");
    let full = loop {
        let (append, after) = log.step(500);
        match store.append(append).await {
            Ok(Appended::Done) => log = after,
            other => break other,
        }
    };
    assert_eq!(full, Err(StoreError::Unreachable));
    assert!(store.complaint().is_some_and(|told| told.contains("no memory left")));
    assert!(log.entries.len() > 1_000, "it took some first");
    whole(&store, &log).await;
    server.tell("CONFIG SET maxmemory 0");
    appended(&store, &log).await;
}

#[tokio::test]
async fn e06_a_jump_of_the_servers_clock_deletes_nothing_and_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let (hands, program) = Hands::new(folder.path());
    let server = RedisServer::of(&program, &[]).unwrap();
    let store = server.open().await;
    let mut log = begun(&store).await;
    server.tell("SET canary 1 EX 3600");
    for (hours, off) in [(2, true), (0, false), (-2, true), (0, false)] {
        hands.shift(hours * 3_600);
        in_time("the clock's verdict", async || (store.clock_off() == off).then_some(())).await;
        log = appended(&store, &log).await;
        whole(&store, &log).await;
    }
    assert_eq!(server.tell("EXISTS canary").trim(), ":0", "a key with a time to live did not survive this");
}

#[tokio::test]
async fn e07_a_full_disk_ends_the_server_and_what_was_acknowledged_is_there_afterwards() {
    let folder = tempfile::tempdir().unwrap();
    // No file may grow above 64 KiB, and the server is told so by an error, as by a full disk.
    let program =
        wrapped(folder.path(), "[ -e \"$(dirname \"$0\")/room\" ] || { trap '' XFSZ; ulimit -f 128; }");
    let mut server = RedisServer::of(&program, &[]).unwrap();
    let store = server.open().await;
    let mut log = begun(&store).await;
    let full = loop {
        let (append, after) = log.step(20);
        match store.append(append).await {
            Ok(Appended::Done) => log = after,
            other => break other,
        }
    };
    assert_eq!(full, Err(StoreError::Unreachable));
    server.ended();
    assert!(fs::metadata(growing_file(server.folder())).unwrap().len() > 32 << 10, "it took some first");
    fs::write(folder.path().join("room"), "").unwrap();
    server.start_again();
    whole(&store, &log).await;
    appended(&store, &log).await;
}

/// A server with some entries, stopped; and the log.
async fn stopped() -> (RedisServer, RedisStore, Log) {
    let mut server = RedisServer::start();
    let store = server.open().await;
    let mut log = begun(&store).await;
    for _ in 0..20 {
        log = appended(&store, &log).await;
    }
    server.kill();
    (server, store, log)
}

#[tokio::test]
async fn e08_a_file_that_lost_its_end_or_is_gone_is_not_started_from() {
    let (mut server, store, log) = stopped().await;
    let file = growing_file(server.folder());
    let length = fs::metadata(&file).unwrap().len();
    let whole_file = fs::read(&file).unwrap();
    fs::File::options().write(true).open(&file).unwrap().set_len(length - 10).unwrap();
    server.start_slowly(&[]);
    server.ended();
    fs::remove_file(&file).unwrap();
    server.start_slowly(&[]);
    server.ended();
    assert_eq!(store.append(log.step(1).0).await, Err(StoreError::Unreachable));
    fs::write(&file, whole_file).unwrap();
    server.start_again();
    whole(&store, &log).await;
}

#[tokio::test]
async fn e08_a_byte_changed_in_a_file_without_checksum_breaks_the_chain() {
    for (what, found) in [("an entry", "expires"), ("the name of a key", "{ipms:test}:v1:log\r\n")] {
        let (mut server, store, log) = stopped().await;
        let path = growing_file(server.folder());
        let bytes = fs::read(&path).unwrap();
        // A token's id inside of the tenth entry, or the name in the tenth append.
        let mut id = [0; 16];
        id[..8].copy_from_slice(&10_u64.to_be_bytes());
        let wanted = if found == "expires" { &id[..] } else { found.as_bytes() };
        let places: Vec<_> =
            bytes.windows(wanted.len()).enumerate().filter(|(_, part)| *part == wanted).collect();
        let place = places[places.len() / 2].0 + wanted.len() - if found == "expires" { 1 } else { 3 };
        let file = fs::File::options().write(true).open(&path).unwrap();
        file.write_all_at(&[bytes[place] ^ 1], place as u64).unwrap();
        server.start_again();
        let end = in_time("the log's end", async || store.confirmed_end().await.ok()).await;
        assert_eq!(end, log.end, "{what}: Redis itself notices nothing");
        assert!(!chained(&store).await, "{what}");
    }
}

#[tokio::test]
async fn e08_a_folder_that_was_deleted_is_no_empty_log() {
    let (mut server, store, log) = stopped().await;
    fs::remove_dir_all(appended_files(server.folder())).unwrap();
    server.start_again();
    assert_eq!(stands(&store).await, None);
    let answer = in_time("an answer", async || store.append(log.step(1).0).await.ok()).await;
    assert_eq!(answer, Appended::EndedElsewhere(None));
}

#[tokio::test]
async fn e09_a_paused_server_holds_no_call_beyond_its_deadline() {
    let server = RedisServer::start();
    assert!(server.tell("DEBUG SLEEP 0").contains("not allowed"));
    let settings = RedisSettings { deadline: Duration::from_millis(300), ..server.settings() };
    let store = open(&settings, "test").await.unwrap();
    let log = begun(&store).await;
    server.tell("CLIENT PAUSE 60000 WRITE");
    for _ in 0..12 {
        #[expect(clippy::disallowed_methods, reason = "a test measures real time")]
        let start = Instant::now();
        assert_eq!(store.append(log.step(1).0).await, Err(StoreError::Unreachable));
        let took = start.elapsed();
        assert!(took < Duration::from_secs(3), "{took:?}");
    }
    server.tell("CLIENT UNPAUSE");
    appended(&store, &log).await;
}

#[tokio::test]
async fn e10_an_older_copy_put_back_is_noticed() {
    let mut server = RedisServer::start();
    let store = server.open().await;
    let older = begun(&store).await;
    let backup = tempfile::tempdir().unwrap();
    copy(server.folder(), backup.path());
    let mut log = older.clone();
    for _ in 0..20 {
        log = appended(&store, &log).await;
    }
    server.kill();
    put_back(backup.path(), server.folder());
    server.start_again();
    let answer = in_time("an answer", async || store.append(log.step(1).0).await.ok()).await;
    assert_eq!(answer, Appended::EndedElsewhere(older.end), "the log went back");
}

#[tokio::test]
async fn e11_copies_are_counted_on_the_connection_that_wrote() {
    let (server, replica, settings) = pair().await;
    let store = open(&settings, "test").await.unwrap();
    let log = begun(&store).await;
    replica.freeze();
    assert_eq!(store.append(log.step(1).0).await, Err(StoreError::Unreachable));
    let elsewhere = server.tell("WAIT 1 300");
    assert_eq!(elsewhere.trim(), ":1", "on another connection the answer means nothing");
    let inside = server.tell("MULTI\r\nSET x 1\r\nWAIT 1 300\r\nEXEC");
    assert!(inside.trim_end().ends_with(":0"), "inside of MULTI it does not wait: {inside}");
    assert_eq!(store.append(log.step(1).0).await, Err(StoreError::Unreachable));
    replica.thaw();
}
