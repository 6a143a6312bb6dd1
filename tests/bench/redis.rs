//! The same calls over the embedded store and over Redis on loopback with one replica that must acknowledge.

use std::{path::Path, process::Stdio, time::Duration};

use common::clock::{Clock as _, SystemClock};
use harness::ports::free_address;
use rand::RngExt as _;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    process::{Child, Command},
    task::JoinSet,
};

use crate::{
    floors::awaited,
    report::{Spans, Target, told},
    stand::{Clients, Failure, Issuer, beside_us},
};

/// A master and its replica, on the disk that is the issuer's too. Killed when dropped.
pub(crate) struct Pair {
    _servers: [Child; 2],
    master: u16,
}

impl Pair {
    pub(crate) async fn start(folder: &Path) -> Result<Self, Failure> {
        let (master, replica) = (free_address().port(), free_address().port());
        let first = server(folder, "master", master, &[])?;
        let second = server(folder, "replica", replica, &["--replicaof", "127.0.0.1", &master.to_string()])?;
        for port in [master, replica] {
            while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
        Ok(Self { _servers: [first, second], master })
    }

    pub(crate) fn settings(&self) -> Vec<(&'static str, String)> {
        vec![
            ("STORE__KIND", "redis".into()),
            ("STORE__URL", format!("redis://127.0.0.1:{}", self.master)),
            ("STORE__COPIES", "2".into()),
            ("STORE__DEADLINE", "5s".into()),
        ]
    }

    /// Everything that it holds is gone, at the replica too.
    pub(crate) async fn wipe(&self) -> Result<(), Failure> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.master)).await?;
        stream.write_all(b"FLUSHALL\r\nWAIT 1 5000\r\nQUIT\r\n").await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        if answer.starts_with("+OK\r\n:1") { Ok(()) } else { Err(answer.into()) }
    }
}

/// Creates the project. A replica that has just joined may take a moment.
pub(crate) async fn created(clients: &mut Clients) -> Result<(), Failure> {
    let mut tries = 0;
    while let Err(refused) = clients.create_project().await {
        tries += 1;
        if tries == 200 {
            return Err(refused);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

fn server(folder: &Path, name: &str, port: u16, options: &[&str]) -> Result<Child, Failure> {
    let folder = folder.join(name);
    std::fs::create_dir(&folder)?;
    let mut command = Command::new("redis-server");
    command.args([
        "--port",
        &port.to_string(),
        "--save",
        "",
        "--appendonly",
        "yes",
        "--appendfsync",
        "always",
    ]);
    command.args([
        "--aof-load-truncated",
        "no",
        "--min-replicas-to-write",
        "1",
        "--repl-diskless-sync-delay",
        "0",
    ]);
    command.arg("--dir").arg(folder).args(options).stdin(Stdio::null()).stdout(Stdio::null());
    Ok(command.kill_on_drop(true).spawn()?)
}

/// What one store does.
struct Measured {
    revoke: Spans,
    /// Of all tokens together.
    issue: Duration,
}

/// `calls` of each kind over each store.
pub(crate) async fn run(calls: usize) -> Result<(), Failure> {
    let issuer = Issuer::start().await?;
    let embedded = measure(&issuer, calls).await?;
    issuer.stop().await?;
    let folder = tempfile::tempdir_in(beside_us()?)?;
    let pair = Pair::start(folder.path()).await?;
    let issuer = Issuer::start_with(pair.settings()).await?;
    let redis = measure(&issuer, calls).await?;
    issuer.stop().await?;
    for (store, measured) in [("embedded", &embedded), ("Redis, one replica", &redis)] {
        let name = |what: &str| format!("{store}: {what}");
        let target =
            if store == "embedded" { Target::None } else { Target::AtMost(Duration::from_millis(25)) };
        told(&name(&format!("Revoke at {RATE}/s, p50")), measured.revoke.median(), None, Target::None);
        told(&name(&format!("Revoke at {RATE}/s, p99")), measured.revoke.percentile(99), None, target);
    }
    let each = |measured: &Measured| Ok::<_, Failure>(measured.issue / u32::try_from(calls)?);
    told("embedded: IssueToken, 64 at once, time for each", each(&embedded)?, None, Target::None);
    let floor = Some(each(&embedded)?);
    told("Redis, one replica: the same (floor: embedded)", each(&redis)?, floor, Target::Ratio(1.1));
    Ok(())
}

async fn measure(issuer: &Issuer, calls: usize) -> Result<Measured, Failure> {
    let mut clients = Clients::connect(issuer.address).await?;
    created(&mut clients).await?;
    clients.issue().await?;
    let issue = issuing(&clients, calls).await?;
    let revoke = revoking(&clients, calls).await?;
    Ok(Measured { revoke, issue })
}

/// As fast as the issuer answers, with so many calls at once that signing is what it waits for.
async fn issuing(clients: &Clients, calls: usize) -> Result<Duration, Failure> {
    let start = SystemClock.now().boot;
    let mut callers = JoinSet::new();
    for caller in 0..AT_ONCE {
        let mut clients = clients.clone();
        let share = calls / AT_ONCE + usize::from(caller < calls % AT_ONCE);
        callers.spawn(async move {
            for _ in 0..share {
                clients.issue().await?;
            }
            Ok::<_, Failure>(())
        });
    }
    while let Some(caller) = callers.join_next().await {
        caller??;
    }
    Ok(SystemClock.now().boot.since(start))
}

/// At a fixed rate, whatever the answers take.
async fn revoking(clients: &Clients, calls: usize) -> Result<Spans, Failure> {
    let mut tick = tokio::time::interval(Duration::from_secs(1) / RATE);
    let mut waiting = JoinSet::new();
    for _ in 0..calls {
        tick.tick().await;
        let mut clients = clients.clone();
        #[expect(clippy::disallowed_methods, reason = "ids of no token, each another")]
        let id: [u8; 16] = rand::rng().random();
        let id = common::token_id::TokenId::from_bytes(id).to_string();
        waiting.spawn(async move {
            let (revoked, span) = awaited(clients.revoke(vec![id])).await;
            revoked?;
            Ok::<_, Failure>(span)
        });
    }
    let mut spans = Spans::default();
    while let Some(span) = waiting.join_next().await {
        spans.add(span??);
    }
    Ok(spans)
}

const RATE: u32 = 200;
const AT_ONCE: usize = 64;
