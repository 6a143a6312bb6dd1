//! Redis, two issuers with a folder of keys each, and verifiers that follow either. Judges nothing.

use std::{
    fs,
    os::unix::net::UnixStream,
    process::{Child, Command, Stdio},
};

use common::proto::v1::{KeyRole, ListKeysRequest};
use harness::{calls::Calls, keys, orders, programs::Program, until};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

pub(crate) struct Stand {
    /// Callers of each issuer; the verifier is the first one.
    pub(crate) issuers: [Calls; 2],
    /// Callers of each verifier.
    pub(crate) verifiers: Vec<Calls>,
    programs: Vec<Program>,
    _redis: Redis,
    folder: TempDir,
}

impl Stand {
    pub(crate) async fn start(followers: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let redis = Redis::start(&folder).await;
        let url = format!("unix://{}", folder.path().join("redis.sock").display());
        let mut issuers = Vec::new();
        for name in ["one", "two"] {
            let home = folder.path().join(name);
            keys::copy_into(&home.join("keys"), 1);
            let mut settings = vec![
                ("KEYS__DIRECTORY", "keys"),
                ("KEYS__JWKS_MAX_AGE", "0s"),
                ("STORE__KIND", "redis"),
                ("STORE__URL", &url),
                ("STORE__DEADLINE", "5s"),
                ("STORE__ISSUER", name),
            ];
            for limit in ["PSEUDONYMISATION", "REVERSE", "SECONDARY"] {
                let leak = |text: String| -> &'static str { Box::leak(text.into_boxed_str()) };
                settings.push((leak(format!("LIMITS__{limit}__LIFETIME")), "5s"));
                settings.push((leak(format!("LIMITS__{limit}__STALENESS")), "10s"));
            }
            let mut issuer = Program::new("issuer", &home, &settings);
            issuer.set("LOG__LEVEL", "warn");
            issuer.start().await;
            issuers.push(issuer);
        }
        let endpoints: Vec<_> = issuers.iter().map(|issuer| format!("http://{}", issuer.grpc())).collect();
        let (mut verifiers, endpoints) = (Vec::new(), endpoints.join(","));
        for number in 0..followers {
            let settings = [
                ("ISSUER__ENDPOINTS", &*endpoints),
                ("ISSUER__LOG_KEYS", "keys/log.public.pem"),
                ("FOLLOWER__ID", &*name(number)),
                ("SNAPSHOT__PATH", &*format!("view-{number}")),
            ];
            let mut verifier = Program::new("verifier", &folder.path().join("one"), &settings);
            verifier.set("LOG__LEVEL", "warn");
            verifier.start().await;
            verifiers.push(verifier);
        }
        let calls: Vec<_> =
            verifiers.iter().map(|verifier| Calls::new(issuers[0].grpc(), verifier.grpc())).collect();
        for one in &calls {
            one.fresh().await;
        }
        let to = |issuer: usize| Calls::new(issuers[issuer].grpc(), verifiers[0].grpc());
        let stand = Self {
            issuers: [to(0), to(1)],
            verifiers: calls,
            programs: verifiers.into_iter().chain(issuers).collect(),
            _redis: redis,
            folder,
        };
        stand.issuers[0].create(orders::reversible("study")).await.unwrap();
        stand
    }

    /// Puts a new token key into the folders of both issuers.
    pub(crate) fn put_key(&self, number: usize) -> String {
        let [one, two] = ["one", "two"].map(|name| self.folder.path().join(name).join("keys"));
        let id = keys::put_new(&one, number);
        let ours = |entry: &fs::DirEntry| entry.file_name().to_string_lossy().contains(&id);
        let entry = fs::read_dir(&one).unwrap().map(|entry| entry.unwrap()).find(ours).unwrap();
        fs::copy(entry.path(), two.join("part")).unwrap();
        fs::rename(two.join("part"), two.join(entry.file_name())).unwrap();
        id
    }

    /// The key that signs.
    pub(crate) async fn active(&self, round: usize) -> String {
        until("a key is active", async || {
            let mut keys = self.issuers[round % 2].keys();
            let keys = keys.list_keys(ListKeysRequest::default()).await.ok()?.into_inner().keys;
            keys.into_iter().find(|key| key.role() == KeyRole::Active).map(|key| key.key_id)
        })
        .await
    }

    /// Stops the first verifiers where they are.
    pub(crate) fn freeze(&self, many: usize) {
        self.signal(many, Signal::STOP);
    }

    /// Lets them go on.
    pub(crate) fn thaw(&self, many: usize) {
        self.signal(many, Signal::CONT);
    }

    /// The ids of the first verifiers, in order.
    pub(crate) fn names(&self, many: usize) -> Vec<String> {
        let mut names: Vec<_> = (0..many.min(self.verifiers.len())).map(name).collect();
        names.sort_unstable();
        names
    }

    fn signal(&self, many: usize, signal: Signal) {
        for program in self.programs.iter().take(many) {
            let id = program.id().unwrap();
            kill_process(Pid::from_raw(id.try_into().unwrap()).unwrap(), signal).unwrap();
        }
    }
}

fn name(number: usize) -> String {
    format!("follower-{number:02}")
}

/// Gone when it is dropped.
struct Redis(Child);

impl Redis {
    async fn start(folder: &TempDir) -> Self {
        let socket = folder.path().join("redis.sock");
        let mut command = Command::new("redis-server");
        command.args(["--port", "0", "--save", "", "--appendonly", "yes", "--appendfsync", "always"]);
        command
            .args(["--aof-load-truncated", "no"])
            .arg("--unixsocket")
            .arg(&socket)
            .arg("--dir")
            .arg(folder.path());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let redis = Self(command.spawn().expect("redis-server is installed (tests/run installs it)"));
        until("redis-server listens", async || UnixStream::connect(&socket).ok().map(drop)).await;
        redis
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}
