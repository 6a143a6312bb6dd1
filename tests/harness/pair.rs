//! One issuer and one verifier inside the test's process, over real sockets and files, on clocks that the test turns.

use std::{
    net::SocketAddr,
    ops::Deref,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use common::{
    clock::{BootInstant, ManualClock, Now},
    revocation::lease::BootId,
    runtime::{settings_file::SettingsFile, shutdown::Shutdown},
    timestamp::Timestamp,
};
use tempfile::TempDir;
use tokio::{runtime::Runtime, task::JoinHandle};

use crate::{calls::Calls, keys, until};

/// The second at which every pair begins: 2028-01-31 12:00:00 UTC, the last of its month, in a leap year.
pub const BEGIN: u64 = 1_832_932_800;
/// The boot of the verifier's machine at the beginning.
pub const BOOT: BootId = BootId([1; 16]);

/// Both sides, and callers for them.
#[derive(Debug)]
pub struct Pair {
    /// The issuer's time.
    pub issuer_clock: Arc<ManualClock>,
    /// The verifier's time.
    pub verifier_clock: Arc<ManualClock>,
    issuer: Option<Side>,
    verifier: Option<Side>,
    issuer_address: SocketAddr,
    calls: Calls,
    setup: Setup,
    folder: TempDir,
}

/// What can differ at the start.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Settings of the issuer besides those of every pair, as environment without its prefix.
    pub issuer: Vec<(&'static str, &'static str)>,
    /// Settings of the verifier besides those of every pair.
    pub verifier: Vec<(&'static str, &'static str)>,
    /// How many token keys the issuer has.
    pub token_keys: usize,
    /// The PEM of one more, newer than the others.
    pub own_token_key: Option<&'static str>,
    /// When it begins, in seconds.
    pub begin: u64,
}

impl Default for Setup {
    fn default() -> Self {
        Self { issuer: Vec::new(), verifier: Vec::new(), token_keys: 1, own_token_key: None, begin: BEGIN }
    }
}

impl Deref for Pair {
    type Target = Calls;

    fn deref(&self) -> &Calls {
        &self.calls
    }
}

impl Pair {
    /// Starts both; the verifier has heard everything when this returns.
    pub async fn start() -> Self {
        Self::with(Setup::default()).await
    }

    /// As [`Pair::start`], differently set up.
    pub async fn with(setup: Setup) -> Self {
        let pair = Self::unheard(setup).await;
        pair.fresh().await;
        pair
    }

    /// Starts both, and waits for nothing.
    pub async fn unheard(setup: Setup) -> Self {
        let folder = tempfile::tempdir().unwrap();
        keys::copy_into(&folder.path().join("keys"), setup.token_keys);
        if let Some(pem) = setup.own_token_key {
            keys::add(&folder.path().join("keys"), pem);
        }
        let wall = Timestamp::from_seconds(setup.begin).unwrap();
        let clock = |boot: u64| {
            let boot = BootInstant::from_duration(Duration::from_secs(boot));
            Arc::new(ManualClock::new(Now { wall, boot }))
        };
        let (issuer_clock, verifier_clock) = (clock(100_000), clock(200_000));
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
        let issuer = issuer(folder.path(), &setup, nowhere, &issuer_clock).await.unwrap();
        let issuer_address = issuer.address;
        let verifier = verifier(folder.path(), &setup, issuer_address, &verifier_clock, BOOT).await.unwrap();
        let calls = Calls::new(issuer_address, verifier.address);
        let (issuer, verifier) = (Some(issuer), Some(verifier));
        Self { issuer_clock, verifier_clock, issuer, verifier, issuer_address, calls, setup, folder }
    }

    /// Where the issuer listens.
    pub const fn issuer_address(&self) -> SocketAddr {
        self.issuer_address
    }

    /// Where the verifier listens; after its end, nowhere of use.
    pub fn verifier_address(&self) -> SocketAddr {
        self.verifier.as_ref().map_or(self.issuer_address, |side| side.address)
    }

    /// Turns both clocks forward.
    pub fn advance(&self, span: Duration) {
        self.issuer_clock.advance(span);
        self.verifier_clock.advance(span);
    }

    /// A second passes, and the verifier has heard again that it knows everything.
    pub async fn beat(&self) {
        self.advance(Duration::from_secs(1));
        until("a lease as young as can be", async || {
            let age = self.view().await.ok()?.view?.age?;
            (age == prost_types::Duration::default()).then_some(())
        })
        .await;
    }

    /// A file or folder of the pair: `keys`, `issuer.redb`, `audit.jsonl`, `view`.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The issuer is gone, as if killed.
    pub fn kill_issuer(&mut self) {
        self.issuer = None;
    }

    /// The verifier is gone, as if killed.
    pub fn kill_verifier(&mut self) {
        self.verifier = None;
    }

    /// The verifier ends as on a signal: it says goodbye.
    pub async fn end_verifier(&mut self) {
        if let Some(side) = self.verifier.take() {
            side.end().await;
        }
    }

    /// The issuer ends as on a signal.
    pub async fn end_issuer(&mut self) {
        if let Some(side) = self.issuer.take() {
            side.end().await;
        }
    }

    /// The issuer starts again over the same files, at the same address.
    ///
    /// # Errors
    /// Why it did not.
    pub async fn start_issuer(&mut self) -> Result<(), String> {
        self.issuer = None;
        let started = until("the files are let go", async || {
            let folder = self.folder.path();
            let started = issuer(folder, &self.setup, self.issuer_address, &self.issuer_clock).await;
            Some(started).filter(|started| !let_go_later(started))
        });
        self.issuer = Some(started.await?);
        self.call_anew();
        Ok(())
    }

    /// The verifier starts again over the same files, on a machine in this boot.
    ///
    /// # Errors
    /// Why it did not.
    pub async fn start_verifier(&mut self, boot: BootId) -> Result<(), String> {
        self.verifier = None;
        let started = until("the files are let go", async || {
            let (folder, issuer) = (self.folder.path(), self.issuer_address);
            let started = verifier(folder, &self.setup, issuer, &self.verifier_clock, boot).await;
            Some(started).filter(|started| !let_go_later(started))
        });
        self.verifier = Some(started.await?);
        self.call_anew();
        Ok(())
    }

    /// Connections of before may be broken without knowing it yet.
    fn call_anew(&mut self) {
        self.calls = Calls::new(self.issuer_address, self.verifier_address());
    }
}

/// A side runs in a runtime of its own, so that it can be ended at any instant.
#[derive(Debug)]
struct Side {
    address: SocketAddr,
    shutdown: Shutdown,
    serving: JoinHandle<()>,
    runtime: Option<Runtime>,
}

impl Side {
    async fn end(mut self) {
        self.shutdown.begin();
        (&mut self.serving).await.unwrap();
    }
}

impl Drop for Side {
    fn drop(&mut self) {
        // A runtime may not be ended inside of another one.
        let ending = self
            .runtime
            .take()
            .map(|runtime| std::thread::spawn(move || runtime.shutdown_timeout(Duration::from_secs(10))));
        if let Some(Err(_panicked)) = ending.map(std::thread::JoinHandle::join) {
            eprintln!("a side did not end well");
        }
    }
}

/// Threads of a side that was killed may hold its files a moment longer; a process would not.
fn let_go_later(started: &Result<Side, String>) -> bool {
    started.as_ref().is_err_and(|error| error.contains("in use"))
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

fn settings(prefix: &str, own: &[(&str, String)], more: &[(&str, &str)]) -> SettingsFile {
    let all = [("GRPC__INSECURE_LOOPBACK", "true"), ("ADMIN__LISTEN", "127.0.0.1:0")];
    let named = |(name, text): (&str, &str)| (format!("{prefix}{name}"), text.to_owned());
    let own = own.iter().map(|(name, text)| (*name, text.as_str()));
    let variables = all.into_iter().chain(own).chain(more.iter().copied()).map(named);
    SettingsFile::new(toml::Table::new(), variables, prefix)
}

async fn issuer(
    folder: &Path,
    setup: &Setup,
    address: SocketAddr,
    clock: &Arc<ManualClock>,
) -> Result<Side, String> {
    let path = |name: &str| folder.join(name).display().to_string();
    let own = [
        ("GRPC__LISTEN", address.to_string()),
        ("KEYS__DIRECTORY", path("keys")),
        ("STORE__PATH", path("issuer.redb")),
        ("AUDIT__PATH", path("audit.jsonl")),
    ];
    let settings = issuer::settings::Settings::read(settings("ISSUER_", &own, &setup.issuer)).unwrap();
    let (runtime, shutdown) = (runtime(), Shutdown::manual());
    let starting = issuer::wiring::start(settings, Arc::<ManualClock>::clone(clock), shutdown.clone());
    let started = runtime.spawn(starting).await.unwrap();
    let bound = match started {
        Ok(bound) => bound,
        Err(error) => {
            runtime.shutdown_background();
            return Err(error.to_string());
        }
    };
    let address = bound.grpc_address().unwrap();
    let serving = runtime.spawn(async move { Box::pin(bound.serve()).await.unwrap() });
    Ok(Side { address, shutdown, serving, runtime: Some(runtime) })
}

async fn verifier(
    folder: &Path,
    setup: &Setup,
    issuer: SocketAddr,
    clock: &Arc<ManualClock>,
    boot: BootId,
) -> Result<Side, String> {
    let path = |name: &str| folder.join(name).display().to_string();
    let own = [
        ("GRPC__LISTEN", "127.0.0.1:0".to_owned()),
        ("ISSUER__ENDPOINTS", format!("http://{issuer}")),
        ("ISSUER__LOG_KEYS", path("keys/log.public.pem")),
        ("SNAPSHOT__PATH", path("view")),
    ];
    let settings = settings("VERIFIER_", &own, &setup.verifier);
    let settings = verifier::settings::Settings::read(settings, "follower-a").unwrap();
    let (runtime, shutdown) = (runtime(), Shutdown::manual());
    let starting =
        verifier::wiring::start(settings, Arc::<ManualClock>::clone(clock), boot, shutdown.clone());
    let started = runtime.spawn(starting).await.unwrap();
    let running = match started {
        Ok(running) => running,
        Err(error) => {
            runtime.shutdown_background();
            return Err(error.to_string());
        }
    };
    let address = running.bound().grpc_address().unwrap();
    let serving = runtime.spawn(async move { Box::pin(running.serve()).await.unwrap() });
    Ok(Side { address, shutdown, serving, runtime: Some(runtime) })
}
