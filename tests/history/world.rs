//! A Redis master with two replicas and three Sentinels, two issuers over it, and three verifiers with files. Makes no claim.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use common::proto::v1 as pb;
use harness::{
    calls::{Calls, tokens},
    keys,
    orders::{self, OWNER},
    programs::Program,
    until,
};

use crate::{record::Process, servers::sentinel::Group};

/// The processes. Whoever kills a verifier counts its start.
pub(crate) struct World {
    pub(crate) redis: Group,
    pub(crate) issuers: Vec<Program>,
    pub(crate) verifiers: Vec<Program>,
    pub(crate) starts: Arc<[AtomicU32; VERIFIERS]>,
    _folder: tempfile::TempDir,
}

impl World {
    /// All of them are ready when this returns, and there is the project `study`.
    pub(crate) async fn start() -> Self {
        let redis = tokio::task::spawn_blocking(Group::start).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let place = |name: &str| {
            let place = folder.path().join(name);
            fs::create_dir(&place).unwrap();
            place
        };
        let held = folder.path().join("keys");
        keys::copy_into(&held, 1);
        let held = held.display().to_string();
        let nodes: Vec<_> = redis.sentinels.iter().map(|one| format!("127.0.0.1:{}", one.port)).collect();
        let url = format!("redis-sentinel://store@{}/ipms", nodes.join(","));
        let password = redis.settings().password_file.unwrap().display().to_string();
        let limit = format!("{}s", LIMIT.as_secs());
        let issuer = |name: &'static str| {
            let settings = [
                ("KEYS__DIRECTORY", &*held),
                ("STORE__KIND", "redis"),
                ("STORE__URL", &*url),
                ("STORE__PASSWORD_FILE", &*password),
                ("STORE__COPIES", "3"),
                ("STORE__DEADLINE", "1s"),
                ("STORE__ISSUER", name),
                ("LIMITS__PSEUDONYMISATION__STALENESS", &*limit),
                ("LIMITS__SECONDARY__STALENESS", &*limit),
                ("LIMITS__REVERSE__STALENESS", &*limit),
            ];
            let mut program = Program::new("issuer", &place(name), &settings);
            program.set("LOG__LEVEL", "info");
            program
        };
        let mut issuers = vec![issuer("a"), issuer("b")];
        let [a, b] = [&issuers[0], &issuers[1]].map(|issuer| format!("http://{}", issuer.grpc()));
        let endpoints = [a.clone(), b.clone(), format!("{b},{a}")];
        let log_keys = format!("{held}/log.public.pem");
        let verifier = |(number, endpoints): (usize, &String)| {
            let name = format!("verifier-{number}");
            let settings = [
                ("ISSUER__ENDPOINTS", &**endpoints),
                ("ISSUER__LOG_KEYS", &*log_keys),
                ("FOLLOWER__ID", &*name),
                ("SNAPSHOT__PATH", "view"),
            ];
            let mut program = Program::new("verifier", &place(&name), &settings);
            program.set("LOG__LEVEL", "info");
            program
        };
        let mut verifiers: Vec<_> = endpoints.iter().enumerate().map(verifier).collect();
        for program in issuers.iter_mut().chain(&mut verifiers) {
            program.start().await;
        }
        let starts = Arc::new([const { AtomicU32::new(0) }; VERIFIERS]);
        let world = Self { redis, issuers, verifiers, starts, _folder: folder };
        let calls = world.calls(0, 0);
        until("a project", async || calls.create(orders::reversible("study")).await.ok()).await;
        world
    }

    /// Callers of an issuer and a verifier.
    pub(crate) fn calls(&self, issuer: usize, verifier: usize) -> Calls {
        Calls::new(self.issuers[issuer].grpc(), self.verifiers[verifier].grpc())
    }
}

/// Which process of a verifier runs now.
pub(crate) fn running(starts: &[AtomicU32; VERIFIERS], verifier: usize) -> Process {
    Process { verifier, start: starts[verifier].load(Ordering::SeqCst) }
}

/// A new token of `study`, and its id.
pub(crate) async fn issued(calls: &Calls) -> Option<(String, String)> {
    let issued = calls.issue(orders::pseudonymise("study", OWNER)).await.ok()?;
    Some((issued.token, issued.record?.token_id))
}

/// Revokes it until that is done. Where it stands.
pub(crate) async fn revoked(calls: &[Calls], id: &str) -> pb::Cursor {
    let trying = async {
        for calls in calls.iter().cycle() {
            if let Ok(revoked) = calls.revoke(tokens([id])).await {
                return revoked.cursor.unwrap();
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        unreachable!("there is an issuer at least")
    };
    tokio::time::timeout(PATIENCE, trying).await.expect("a revocation is never done")
}

/// A failover takes less.
const PATIENCE: Duration = Duration::from_mins(1);
pub(crate) const VERIFIERS: usize = 3;
/// Of every token type here.
pub(crate) const LIMIT: Duration = Duration::from_secs(3);
