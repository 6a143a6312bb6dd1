//! Each kind of error, said by a real server: none of them is an acknowledgement, and each is told by name.

use std::{io::Write as _, os::unix::net::UnixStream, path::Path, time::Duration};

use issuer::{
    adapters::store::redis::{RedisSettings, RedisStore},
    domain::ports::{Appended, Created, Recorded, Store as _, StoreError},
};

use crate::{
    samples::{Log, id, project, record, recording},
    server::{REDIS, RedisServer, open},
    servers::{cluster::Cluster, tls::private},
    steps::{appended, begun, in_time},
};

/// A store whose calls end soon: most of them get no answer here.
async fn quick(settings: RedisSettings) -> RedisStore {
    open(&RedisSettings { deadline: Duration::from_millis(500), ..settings }, "test").await.unwrap()
}

/// No step is acknowledged, until the complaint says this.
async fn refused(store: &RedisStore, log: &Log, said: &[&str]) {
    let mut told = None;
    for _ in 0..200 {
        assert_eq!(store.append(log.step(1).0).await, Err(StoreError::Unreachable), "{said:?}");
        told = store.complaint();
        if told.as_ref().is_some_and(|told| said.iter().any(|one| told.contains(one))) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let told = told.unwrap_or_default();
    assert!(said.iter().any(|one| told.contains(one)), "{said:?}: {told}");
    assert_eq!(store.record(recording(record(1, "p"))).await, Err(StoreError::Unreachable), "{said:?}");
    assert_eq!(store.create_project(project("q", 1, &[])).await, Err(StoreError::Unreachable), "{said:?}");
}

/// After a mend the store works again without anybody's help.
async fn works(store: &RedisStore, log: Log) -> Log {
    let log = appended(store, &log).await;
    assert_eq!(store.complaint(), None);
    log
}

#[tokio::test]
async fn what_an_operator_can_break_while_it_runs_is_told_by_name_and_never_done() {
    let server = RedisServer::start();
    let store = quick(server.settings()).await;
    let mut log = begun(&store).await;
    for (broken, said, mended) in [
        ("CONFIG SET maxmemory 1", &["no memory left"][..], "CONFIG SET maxmemory 0"),
        ("CONFIG SET min-replicas-to-write 1", &["too few replicas"], "CONFIG SET min-replicas-to-write 0"),
        ("ACL SETUSER default -hset", &["denies access"], "ACL SETUSER default +hset"),
        ("ACL SETUSER default -evalsha", &["denies access"], "ACL SETUSER default +evalsha"),
        ("ACL SETUSER default resetkeys", &["denies access"], "ACL SETUSER default ~*"),
        ("REPLICAOF 127.0.0.1 1", &["is a replica", "role is slave and must be master"], "REPLICAOF NO ONE"),
    ] {
        server.tell(broken);
        refused(&store, &log, said).await;
        server.tell(mended);
        log = works(&store, log).await;
    }
    assert_eq!(store.project(id("q")).await, Ok(None), "what was refused was not done");
}

#[tokio::test]
async fn a_forgotten_script_is_taught_again() {
    let server = RedisServer::start();
    let store = quick(server.settings()).await;
    let log = begun(&store).await;
    assert_eq!(server.tell("SCRIPT FLUSH"), "+OK\r\n");
    assert_eq!(store.append(log.step(1).0).await, Ok(Appended::Done));
    assert_eq!(server.tell("SCRIPT FLUSH"), "+OK\r\n");
    assert_eq!(store.project(id("p")).await, Ok(Some(project("p", 1, &[]))));
}

#[tokio::test]
async fn noauth_and_wrongpass_are_denials() {
    let files = tempfile::tempdir().unwrap();
    let password = files.path().join("password");
    private(&password, "secret\r\n");
    let (server, port) =
        RedisServer::listening(Path::new(REDIS), &["--user", "store", "on", ">secret", "~*", "+@all"]);
    let url = format!("redis://store@127.0.0.1:{port}").parse().unwrap();
    let settings = RedisSettings { url, password_file: Some(password), ..server.settings() };
    let store = quick(settings).await;
    let nobody = quick(server.settings()).await;
    let log = begun(&store).await;
    server.tell("ACL SETUSER store resetpass >another\r\nCLIENT KILL USER store");
    refused(&store, &log, &["denies access"]).await;
    server.tell("ACL SETUSER store resetpass >secret");
    let log = works(&store, log).await;
    server.tell("CONFIG SET requirepass another\r\nCLIENT KILL USER default SKIPME yes");
    refused(&nobody, &log, &["denies access"]).await;
    works(&store, log).await;
}

#[tokio::test]
async fn a_server_that_cannot_write_to_its_disk_acknowledges_nothing() {
    let server = RedisServer::start();
    let store = quick(server.settings()).await;
    let log = begun(&store).await;
    let in_the_way = server.folder().join("dump.rdb");
    std::fs::create_dir(&in_the_way).unwrap();
    server.tell("CONFIG SET save \"3600 1\"");
    let failed = async || {
        server.tell("BGSAVE");
        server.tell("INFO persistence").contains("rdb_last_bgsave_status:err").then_some(())
    };
    in_time("a failed save", failed).await;
    refused(&store, &log, &["cannot write to its disk"]).await;
    std::fs::remove_dir(&in_the_way).unwrap();
    let saved = async || {
        server.tell("BGSAVE");
        server.tell("INFO persistence").contains("rdb_last_bgsave_status:ok").then_some(())
    };
    in_time("a save", saved).await;
    works(&store, log).await;
}

#[tokio::test]
async fn a_server_busy_with_another_script_acknowledges_nothing() {
    let server = RedisServer::start();
    let store = quick(server.settings()).await;
    let log = begun(&store).await;
    server.tell("CONFIG SET busy-reply-threshold 50");
    let mut hogging = UnixStream::connect(server.socket()).unwrap();
    hogging.write_all(b"EVAL \"while true do end\" 0\r\n").unwrap();
    in_time("busy", async || server.tell("PING").starts_with("-BUSY").then_some(())).await;
    refused(&store, &log, &["busy"]).await;
    server.tell("SCRIPT KILL");
    works(&store, log).await;
}

#[tokio::test]
async fn a_server_that_loads_is_waited_for() {
    let mut server = RedisServer::start();
    let store = quick(server.settings()).await;
    let log = begun(&store).await;
    server.tell("EVAL \"for i = 1, 400 do redis.call('SET', 'x' .. i, i) end\" 0");
    server.tell("BGREWRITEAOF");
    let rewritten = async || {
        let info = server.tell("INFO persistence");
        (info.contains("aof_rewrite_in_progress:0") && info.contains("aof_rewrite_scheduled:0")).then_some(())
    };
    in_time("a rewrite", rewritten).await;
    server.kill();
    let slowly = ["--key-load-delay", "20000", "--loading-process-events-interval-bytes", "1024"];
    server.start_slowly(&slowly);
    refused(&store, &log, &["still loading"]).await;
    works(&store, log).await;
}

#[tokio::test]
async fn the_store_follows_a_slot_that_moves_to_another_node() {
    let cluster = Cluster::start();
    let store = quick(cluster.settings()).await;
    let log = begun(&store).await;
    let (from, slot) = cluster.owner("test");
    let to = (from + 1) % 3;
    let tell = |node: usize, command: String| cluster.nodes[node].0.tell(&command);
    tell(to, format!("CLUSTER SETSLOT {slot} IMPORTING {}", cluster.id(from)));
    tell(from, format!("CLUSTER SETSLOT {slot} MIGRATING {}", cluster.id(to)));
    // One key is there, the others still here: TRYAGAIN; then all of them are there: ASK.
    let port = &cluster.nodes[to].1;
    let migrate = |key: &str| format!("MIGRATE 127.0.0.1 {port} \"\" 0 5000 KEYS {{ipms:test}}:v1:{key}");
    assert_eq!(tell(from, migrate("projects")), "+OK\r\n");
    refused(&store, &log, &["are moving"]).await;
    let keys = tell(from, format!("CLUSTER GETKEYSINSLOT {slot} 100"));
    let keys: Vec<_> = keys.lines().filter_map(|line| line.strip_prefix("{ipms:test}:v1:")).collect();
    assert!(keys.len() > 3, "{keys:?}");
    for key in keys {
        assert_eq!(tell(from, migrate(key)), "+OK\r\n", "{key}");
    }
    refused(&store, &log, &["are moving"]).await;
    for node in [to, from, 3 - from - to] {
        tell(node, format!("CLUSTER SETSLOT {slot} NODE {}", cluster.id(to)));
    }
    let log = works(&store, log).await;
    let end = in_time("the log", async || store.load().await.ok().map(|loaded| loaded.end)).await;
    assert_eq!(end, log.end);
    assert_eq!(store.project(id("p")).await, Ok(Some(project("p", 1, &[]))));
    for node in 0..3 {
        tell(node, format!("CLUSTER DELSLOTS {slot}"));
    }
    refused(&store, &log, &["the cluster is down"]).await;
}

#[tokio::test]
async fn after_a_failover_in_the_cluster_nothing_acknowledged_is_gone() {
    let mut cluster = Cluster::start();
    let (owner, _) = cluster.owner("test");
    let replica = cluster.replicate(owner);
    for (node, _) in &cluster.nodes {
        node.tell("CONFIG SET min-replicas-to-write 1");
    }
    let settings = RedisSettings { copies: 2, ..cluster.settings() };
    let store = quick(settings).await;
    let mut log = begun(&store).await;
    for _ in 0..20 {
        log = appended(&store, &log).await;
    }
    cluster.nodes[owner].0.kill();
    let promoted = async || cluster.nodes[replica].0.tell("ROLE").contains("master").then_some(());
    in_time("a promotion", promoted).await;
    // Alone, the new master is one copy of two.
    refused(&store, &log, &["too few"]).await;
    cluster.nodes[owner].0.start_again();
    let log = appended(&store, &log).await;
    let end = in_time("the log", async || store.load().await.ok().map(|loaded| loaded.end)).await;
    assert_eq!(end, log.end);
}

#[tokio::test]
async fn a_step_that_waits_for_a_copy_is_not_done_when_the_master_is_demoted() {
    let (server, port) = RedisServer::with_port();
    let replica = RedisServer::with(&["--replicaof", "127.0.0.1", &port]);
    let online = async || server.tell("INFO replication").contains("state=online").then_some(());
    in_time("the replica", online).await;
    server.tell("CONFIG SET min-replicas-to-write 1");
    let settings = RedisSettings { copies: 2, deadline: Duration::from_secs(10), ..server.settings() };
    let store = open(&settings, "test").await.unwrap();
    let log = begun(&store).await;
    replica.freeze();
    let append = log.step(1).0;
    let demoted = async {
        let waits = async || server.tell("INFO clients").contains("blocked_clients:1").then_some(());
        in_time("the step waits", waits).await;
        server.tell("REPLICAOF 127.0.0.1 1");
    };
    let (answer, ()) = tokio::join!(store.append(append), demoted);
    assert_eq!(answer, Err(StoreError::Unreachable));
    replica.thaw();
}

#[tokio::test]
async fn what_another_program_put_in_the_way_is_lost_data() {
    let server = RedisServer::start();
    let store = quick(server.settings()).await;
    assert_eq!(store.create_project(project("p", 1, &[])).await, Ok(Created::New));
    server.tell("DEL {ipms:test}:v1:meta");
    server.tell("SET {ipms:test}:v1:meta 1");
    assert_eq!(store.append(Log::new().step(1).0).await, Err(StoreError::LostData));
    assert_eq!(store.record(recording(record(1, "p"))).await, Err(StoreError::LostData));
    server.tell("DEL {ipms:test}:v1:meta");
    assert_eq!(store.record(recording(record(1, "p"))).await, Ok(Recorded::NoLog));
}
