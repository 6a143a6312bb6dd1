//! Two issuers and their verifiers over one Redis, all of them processes. Makes no claim.

use std::{fs, path::PathBuf, time::Duration};

use common::clock::{BootInstant, Clock as _, SystemClock};
use harness::{
    calls::{Calls, serving},
    keys,
    programs::Program,
    redis::{Line, Redis},
    until,
};

/// The processes, and callers: `a` speaks to issuer A and to the verifier of B, as a Portal and a component might.
pub(crate) struct Realm {
    pub(crate) redis: Redis,
    pub(crate) line: Line,
    pub(crate) a: Program,
    pub(crate) b: Program,
    /// Follows A.
    of_a: Program,
    /// Follows B, and A when B is gone.
    of_b: Program,
    pub(crate) to_a: Calls,
    pub(crate) to_b: Calls,
    folder: tempfile::TempDir,
}

impl Realm {
    /// All of them are ready when this returns. A reaches Redis by a line that can be cut.
    pub(crate) async fn start() -> Self {
        let (redis, folder) = (Redis::start(), tempfile::tempdir().unwrap());
        let line = Line::to(redis.socket());
        keys::copy_into(&folder.path().join("keys"), 1);
        let keys = folder.path().join("keys").display().to_string();
        let place = |name: &str| {
            let place = folder.path().join(name);
            fs::create_dir(&place).unwrap();
            place
        };
        let issuer = |name: &str, url: &str| {
            let settings = [
                ("KEYS__DIRECTORY", keys.as_str()),
                ("STORE__KIND", "redis"),
                ("STORE__URL", url),
                ("STORE__ISSUER", name),
                ("LIMITS__REVERSE__STALENESS", "4s"),
                ("LIMITS__SECONDARY__STALENESS", "60s"),
            ];
            Program::new("issuer", &place(name), &settings)
        };
        let (mut a, mut b) = (issuer("a", &line.url()), issuer("b", &redis.url()));
        let log_keys = format!("{keys}/log.public.pem");
        let verifier = |name: &str, endpoints: &str| {
            let settings = [
                ("ISSUER__ENDPOINTS", endpoints),
                ("ISSUER__LOG_KEYS", log_keys.as_str()),
                ("FOLLOWER__ID", name),
                ("SNAPSHOT__PATH", "view"),
            ];
            Program::new("verifier", &place(name), &settings)
        };
        let (first, second) = (format!("http://{}", a.grpc()), format!("http://{}", b.grpc()));
        let mut of_a = verifier("of-a", &first);
        let mut of_b = verifier("of-b", &format!("{second},{first}"));
        // Together: both find an empty store.
        tokio::join!(a.start(), b.start());
        tokio::join!(of_a.start(), of_b.start());
        let to_a = Calls::new(a.grpc(), of_b.grpc());
        let to_b = Calls::new(b.grpc(), of_a.grpc());
        let realm = Self { redis, line, a, b, of_a, of_b, to_a, to_b, folder };
        tokio::join!(realm.to_a.fresh(), realm.to_b.fresh());
        realm
    }

    /// Calls anew: connections of before may be broken.
    pub(crate) fn call_anew(&mut self) {
        self.to_a = Calls::new(self.a.grpc(), self.of_b.grpc());
        self.to_b = Calls::new(self.b.grpc(), self.of_a.grpc());
    }

    /// A file of one of the processes: `a/audit.jsonl`.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

/// On the clock that leases are judged on.
pub(crate) fn now() -> BootInstant {
    SystemClock.now().boot
}

/// Waits until an issuer says by health that it issues, or that it does not.
pub(crate) async fn issues(calls: &Calls, wanted: bool) {
    until(if wanted { "an issuer issues" } else { "an issuer stops issuing" }, async || {
        let serves = serving(calls.issuer(), "ipms.token.v1.IssuerService").await.ok()?;
        (serves == wanted).then_some(())
    })
    .await;
}

/// Longer than anything takes, on a machine that has other work, but a lease of 15 minutes.
pub(crate) const SOON: Duration = Duration::from_secs(20);
