//! A realm over a store in memory, with knobs to break store and trail. Decides nothing.

use std::{
    fs::OpenOptions,
    io::Write as _,
    net::SocketAddr,
    os::unix::fs::OpenOptionsExt as _,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use aws_lc_rs::{
    encoding::AsDer as _,
    rsa::{KeyPair, KeySize},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use common::{
    clock::{BootInstant, Clock as _, ManualClock, Now},
    jws::Algorithm,
    key_id::KeyId,
    keys::SigningKey,
    organisation_id::OrganisationId,
    project::{Alphabet, Collaborator, Method, OutputFormat, Project, ProjectConfiguration, Treatment},
    runtime::{server::ServeError, settings_file::SettingsFile, shutdown::Shutdown},
    timestamp::Timestamp,
};
use issuer::{
    adapters::{
        journal::Recovered,
        key_directory::{self, Place},
        store::memory::MemoryStore,
        system_entropy::SystemEntropy,
    },
    application::{log::Published, realm::Realm},
    domain::{
        approval::{Approval, Decision, Purpose, Reference},
        event::Event,
        order::{Operation, Order},
        ports::{AuditMark, Journal, NotWritten, Store, Written},
    },
    settings::Settings,
    wiring,
};
use tokio::task::JoinHandle;

/// A running realm and its hands.
pub(crate) struct World {
    pub(crate) realm: Arc<Realm>,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) store: Arc<MemoryStore>,
    pub(crate) journal: Arc<Lines>,
    pub(crate) folder: tempfile::TempDir,
}

/// Services that answer.
pub(crate) struct Serving {
    pub(crate) shutdown: Shutdown,
    address: SocketAddr,
    task: JoinHandle<Result<(), ServeError>>,
}

impl Serving {
    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) async fn stop(self) {
        self.shutdown.begin();
        self.task.await.unwrap().unwrap();
    }
}

/// A trail in memory that can be broken.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    pub(crate) written: Mutex<Vec<String>>,
    pub(crate) broken: AtomicBool,
    /// Takes nothing, and may have room again.
    pub(crate) full: AtomicBool,
}

impl Journal for Lines {
    fn write<'a>(&'a self, events: &'a [Event<'a>]) -> Written<'a> {
        Box::pin(async move {
            if self.broken.load(Ordering::SeqCst) {
                return Err(NotWritten::Broken);
            }
            if self.full.load(Ordering::SeqCst) {
                return Err(NotWritten::Full);
            }
            let mut written = self.written.lock().unwrap();
            written.extend(events.iter().map(|event| serde_json::to_string(event).unwrap()));
            Ok(AuditMark { number: written.len() as u64, hash: [0; 32] })
        })
    }

    fn seal(&self) -> Written<'_> {
        self.write(&[])
    }

    fn idle(&self) -> bool {
        true
    }
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::over(Arc::default(), Recovered::default()).await
    }

    pub(crate) async fn over(store: Arc<MemoryStore>, recovered: Recovered) -> Self {
        Self::opened(store, recovered, false).await
    }

    /// With `new_epoch` as by an operator's command.
    pub(crate) async fn opened(store: Arc<MemoryStore>, recovered: Recovered, new_epoch: bool) -> Self {
        Self::with_keys(store, recovered, new_epoch, |keys| keys).await
    }

    /// With these instead of the keys of its folder.
    pub(crate) async fn with_keys(
        store: Arc<MemoryStore>,
        recovered: Recovered,
        new_epoch: bool,
        keys: impl FnOnce(key_directory::Keys) -> key_directory::Keys,
    ) -> Self {
        let change = keys;
        let folder = tempfile::tempdir().unwrap();
        let wall = Timestamp::from_seconds(1_800_000_000).unwrap();
        let boot = BootInstant::from_duration(Duration::from_secs(1_000));
        let clock = Arc::new(ManualClock::new(Now { wall, boot }));
        key_directory::add(&Place::plain(folder.path()), &SystemEntropy::default(), clock.now()).unwrap();
        let keys = change(key_directory::read(&Place::plain(folder.path())).unwrap());
        let settings = Settings::read(SettingsFile::new(toml::Table::new(), [], "ISSUER_")).unwrap();
        let journal = Arc::new(Lines::default());
        let loaded = store.load().await.unwrap();
        let realm = wiring::open_over(
            &settings,
            keys,
            (Arc::clone(&store) as Arc<dyn Store>, loaded),
            (Arc::clone(&journal) as Arc<dyn Journal>, recovered),
            Arc::clone(&clock) as Arc<_>,
            new_epoch,
        );
        Self { realm: realm.await.unwrap(), clock, store, journal, folder }
    }

    /// Puts a token key into the folder of the running issuer.
    pub(crate) fn put_key(&self) -> KeyId {
        // 2048 bits: tests need a key, not a strong one.
        let der = KeyPair::generate(KeySize::Rsa2048).unwrap().as_der().unwrap();
        let text = STANDARD.encode(der.as_ref()).into_bytes();
        let lines: Vec<_> = text.chunks(64).map(String::from_utf8_lossy).collect();
        let pem = format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", lines.join("\n"));
        let id = SigningKey::from_pem(&pem, Algorithm::Ps256).unwrap().public().id();
        // Newer than the first one by its name.
        let path = self.folder.path().join(format!("token-9{id}.pem"));
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).unwrap();
        file.write_all(pem.as_bytes()).unwrap();
        id
    }

    /// Gives this issuer the token keys of another one.
    pub(crate) fn copy_keys_of(&self, other: &Self) {
        for entry in std::fs::read_dir(other.folder.path()).unwrap() {
            let entry = entry.unwrap();
            if entry.file_name().to_string_lossy().starts_with("token-") {
                std::fs::copy(entry.path(), self.folder.path().join(entry.file_name())).unwrap();
            }
        }
    }

    /// The realm's services on a free port of loopback.
    pub(crate) async fn serve(&self) -> Serving {
        let shutdown = Shutdown::manual();
        let toml =
            "[grpc]\nlisten = '127.0.0.1:0'\ninsecure_loopback = true\n[admin]\nlisten = '127.0.0.1:0'";
        let settings = Settings::read(SettingsFile::new(toml.parse().unwrap(), [], "ISSUER_")).unwrap();
        let bound = wiring::serve(settings, Arc::clone(&self.realm), shutdown.clone()).await.unwrap();
        let address = bound.grpc_address().unwrap();
        Serving { shutdown, address, task: tokio::spawn(Box::pin(bound.serve())) }
    }

    /// Waits until what is published is as wanted.
    pub(crate) async fn until(&self, wanted: impl Fn(&Published) -> bool) -> Arc<Published> {
        let mut published = self.realm.log.subscribe();
        let seen = tokio::time::timeout(PATIENCE, published.wait_for(|now| wanted(now))).await;
        Arc::clone(&seen.expect("it never came").unwrap())
    }
}

pub(crate) fn organisation(n: u8) -> OrganisationId {
    OrganisationId::from_bytes([n; 16])
}

/// Owned by organisation 1; 2 works on it.
pub(crate) fn project(id: &str) -> Project {
    Project {
        id: id.parse().unwrap(),
        owner: organisation(1),
        collaborators: vec![Collaborator { organisation: organisation(2), can_reverse: false }],
        configuration: ProjectConfiguration {
            method: Method::NotReversible,
            treatment: Treatment::AlwaysSame,
            output_format: OutputFormat::new(Alphabet::Uuid, 36).unwrap(),
        },
        created: Timestamp::from_seconds(1_800_000_000).unwrap(),
        closed: None,
        version: 1,
    }
}

pub(crate) fn order(project: &str) -> Order {
    let name = |text| Reference::new(text).unwrap();
    Order {
        project: project.parse().unwrap(),
        organisation: organisation(1),
        operation: Operation::Pseudonymise,
        lifetime: None,
        approval: Some(Approval {
            request: name("request"),
            requested_by: name("anna"),
            decision: Decision::Person(name("bert")),
            purpose: Purpose::new("follow-up").unwrap(),
        }),
        holder: None,
        idempotency_key: None,
    }
}

const PATIENCE: Duration = Duration::from_secs(20);
