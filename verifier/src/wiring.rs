//! Puts the parts together: the only place that names concrete ones. No rule and no setting is read here.

use std::{io, sync::Arc};

use common::{
    clock::{Clock, SystemClock},
    revocation::lease::BootId,
    runtime::{
        admin::Admin,
        aside::Aside,
        http::{Http, HttpAddress},
        listener::BindError,
        rpc_log::RpcCounts,
        server::{Bound, ServeError, Server},
        service_settings::ServiceSettings,
        shutdown::Shutdown,
        threads::Threads,
        tls::{ClientTls, TlsError},
    },
};
use tokio::task::JoinHandle;
use tonic::service::Routes;

use crate::{
    adapters::{
        boot_id,
        follow_client::{FollowClient, Introduction, NoEndpoints},
        snapshot::{Identity, Snapshot, SnapshotError},
    },
    application::{
        alarms::Alarms,
        following::{FollowConfig, follow},
        shared_view::SharedView,
        verify::Verifier,
    },
    domain::{alarm::Alarm, cache::VerifiedTokens, session::Expected, view::View},
    settings::{AuthzSettings, Settings},
    transport::{
        authz::Door, direct::DirectLayer, fairness::Fairness, grpc::VerifierService, health,
        methods::METHODS, metrics,
    },
};

/// What the cache of verified tokens may take: some 50,000 of them.
const CACHE_BYTES: usize = 64 << 20;

/// Why the program ended with a failure.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The signals cannot be caught.
    #[error("signals: {0}")]
    Signals(#[source] io::Error),
    /// A listener cannot be had.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The snapshot cannot be used.
    #[error("snapshot.path: {0}")]
    Snapshot(#[from] SnapshotError),
    /// The files with which issuers are called.
    #[error("issuer: {0}")]
    IssuerTls(#[from] TlsError),
    /// No issuer is named.
    #[error(transparent)]
    NoEndpoints(#[from] NoEndpoints),
    /// There is no thread for what is put aside.
    #[error("thread: {0}")]
    Thread(#[source] io::Error),
    /// The system has no random bytes.
    #[error("the system has no random bytes")]
    Randomness,
    /// Serving ended before its time.
    #[error(transparent)]
    Serve(#[from] ServeError),
}

/// Binds, follows the issuers, and serves until the drain is over, as the program does.
///
/// # Errors
/// [`RunError`].
pub async fn run(settings: Settings) -> Result<(), RunError> {
    let shutdown = Shutdown::on_signals().map_err(RunError::Signals)?;
    let boot = match boot_id::read() {
        Ok(boot) => boot,
        Err(error) => {
            // Like no other, so no lease of an earlier process goes on.
            tracing::warn!(%error, "the kernel does not tell which boot this is");
            BootId(drawn()?)
        }
    };
    let running = start(settings, Arc::new(SystemClock), boot, shutdown).await?;
    announce(&running.bound);
    Box::pin(running.serve()).await
}

/// Binds every listener and begins to follow; calls wait in line until [`Running::serve`].
///
/// # Errors
/// [`RunError`].
pub async fn start(
    settings: Settings,
    clock: Arc<dyn Clock>,
    boot: BootId,
    shutdown: Shutdown,
) -> Result<Running, RunError> {
    let shared = Arc::new(SharedView::new(View::empty()));
    let alarms = Arc::new(Alarms::default());
    let tls = match settings.issuer_tls.clone() {
        Some(files) => Some(Arc::new(ClientTls::open(files, Arc::clone(&clock))?)),
        None => None,
    };
    let (config, issuers) = following(&settings, &*clock, boot, &alarms)?;
    let issuers = issuers.with_tls(tls.clone());
    let verifier = Arc::new(Verifier::new(
        Arc::clone(&shared),
        settings.policy,
        VerifiedTokens::new(CACHE_BYTES),
        Arc::clone(&clock),
        settings.limits,
    ));
    let mut server = server(
        settings.service,
        &verifier,
        &alarms,
        settings.follower_id,
        settings.authz,
        Arc::clone(&clock),
        shutdown.clone(),
    )
    .map_err(RunError::Thread)?;
    if let Some(tls) = &tls {
        let (noted, written) = (Arc::clone(tls), Arc::clone(tls));
        server.admin =
            server.admin.clone().with_notes(move || noted.notes(), move |text| written.write(text));
    }
    let board = server.health.clone();
    let bound = server.bind().await?;
    let telling = tokio::spawn(health::tell(verifier, board, shared.published(), shutdown.clone()));
    let answered = Shutdown::manual();
    let last = answered.clone();
    let following =
        tokio::spawn(follow(config, issuers, shared, clock, alarms, async move { last.begun().await }));
    let looking = tls.map(|tls| tokio::spawn(tls.keep()));
    Ok(Running { bound, shutdown, answered, tasks: [telling, following], looking })
}

/// Begins to follow, and listens nowhere: a verifier inside a component's own program. What the settings say of
/// listeners and logs is the component's to do. Call it inside a tokio runtime; it follows until `shutdown` begins.
///
/// # Errors
/// [`RunError`].
pub fn embed(
    settings: &Settings,
    clock: Arc<dyn Clock>,
    boot: BootId,
    shutdown: Shutdown,
) -> Result<Embedded, RunError> {
    let shared = Arc::new(SharedView::new(View::empty()));
    let alarms = Arc::new(Alarms::default());
    let (config, issuers) = following(settings, &*clock, boot, &alarms)?;
    let verifier = Arc::new(Verifier::new(
        Arc::clone(&shared),
        settings.policy.clone(),
        VerifiedTokens::new(CACHE_BYTES),
        Arc::clone(&clock),
        settings.limits,
    ));
    let ended = async move { shutdown.begun().await };
    let following = tokio::spawn(follow(config, issuers, shared, clock, Arc::clone(&alarms), ended));
    Ok(Embedded { verifier, alarms, following })
}

/// A verifier without listeners.
#[derive(Debug)]
pub struct Embedded {
    /// To ask.
    pub verifier: Arc<Verifier>,
    /// What stands in its way; for the component's own health.
    pub alarms: Arc<Alarms>,
    /// Ends after the goodbye to the issuers.
    pub following: JoinHandle<()>,
}

/// A verifier that follows, and whose callers wait in line.
pub struct Running {
    bound: Bound<DirectLayer>,
    shutdown: Shutdown,
    /// Begins when the last caller was answered.
    answered: Shutdown,
    tasks: [JoinHandle<()>; 2],
    /// Looks at the files with which issuers are called.
    looking: Option<JoinHandle<()>>,
}

impl Running {
    /// The listeners.
    pub const fn bound(&self) -> &Bound<DirectLayer> {
        &self.bound
    }

    /// Serves until the drain is over; says goodbye to the issuers when nobody is answered any more.
    ///
    /// # Errors
    /// [`RunError::Serve`].
    pub async fn serve(self) -> Result<(), RunError> {
        let outcome = Box::pin(self.bound.serve()).await;
        // Serving may also have failed: then nobody has begun it yet.
        self.shutdown.begin();
        self.answered.begin();
        if let Some(looking) = self.looking {
            looking.abort();
        }
        for task in self.tasks {
            if let Err(error) = task.await {
                tracing::error!(%error, "a task ended before its time");
            }
        }
        Ok(outcome?)
    }
}

/// Where to go on from, and who is asked.
fn following(
    settings: &Settings,
    clock: &dyn Clock,
    boot: BootId,
    alarms: &Alarms,
) -> Result<(FollowConfig<Snapshot>, FollowClient), RunError> {
    let (instance, seed) = (drawn::<8>()?, drawn::<8>()?);
    let instance = u64::from_be_bytes(instance);
    let (file, initial, replaces) = match &settings.snapshot {
        None => (None, View::empty(), None),
        Some(path) => {
            let identity = Identity {
                issuer: settings.issuer.clone(),
                realm: settings.realm.clone(),
                log_keys: settings.log_keys.ids(),
            };
            let opened = Snapshot::open(path, &identity, &settings.log_keys, boot, clock.now())?;
            if opened.refused.is_some() {
                alarms.raise(Alarm::SnapshotRefused);
            }
            if opened.rolled_back {
                alarms.raise(Alarm::SnapshotRolledBack);
            }
            let mut snapshot = opened.snapshot;
            snapshot.hold(instance, boot);
            (Some(snapshot), opened.view, opened.predecessor)
        }
    };
    let expected = Expected {
        issuer: settings.issuer.clone(),
        realm: settings.realm.clone(),
        log_keys: settings.log_keys.clone(),
        own_staleness: settings.limits,
        boot,
        keeps_file: file.is_some(),
    };
    let introduction = Introduction {
        follower_id: settings.follower_id.clone(),
        instance,
        replaces,
        realm: settings.realm.clone(),
    };
    let issuers = FollowClient::new(settings.endpoints.clone(), introduction, u64::from_be_bytes(seed))?;
    Ok((FollowConfig { expected, book: file, initial }, issuers))
}

/// gRPC, probes and metrics over `verifier`.
pub fn server(
    service: ServiceSettings,
    verifier: &Arc<Verifier>,
    alarms: &Arc<Alarms>,
    follower_id: String,
    authz: AuthzSettings,
    clock: Arc<dyn Clock>,
    shutdown: Shutdown,
) -> io::Result<Server<DirectLayer>> {
    let fairness = Fairness::new(Arc::clone(verifier), Aside::start()?, Arc::clone(&clock));
    let counts = Arc::new(RpcCounts::new(&METHODS));
    let admin = Admin::new(
        {
            let (verifier, alarms) = (Arc::clone(verifier), Arc::clone(alarms));
            move || health::ready(&verifier, &alarms)
        },
        {
            let (verifier, alarms, counts) = (Arc::clone(verifier), Arc::clone(alarms), Arc::clone(&counts));
            move |text| {
                metrics::write(&verifier, &alarms, text);
                counts.write(text);
            }
        },
    );
    let grpc =
        VerifierService::server(Arc::clone(verifier), fairness.clone(), Arc::clone(alarms), follower_id);
    let door = Door::new(fairness.clone(), authz.trusted_peers);
    let http = authz.listen.map(|listen| Http { listen, routes: door.clone().routes() });
    Ok(Server {
        program: "verifier",
        grpc: Routes::new(grpc).add_service(door.server()),
        layer: DirectLayer(fairness),
        threads: Threads::per_processor(),
        methods: &METHODS,
        settings: service,
        health: health::board(),
        admin,
        http,
        shutdown,
        counts,
        clock,
    })
}

/// Bytes that nobody can guess.
fn drawn<const N: usize>() -> Result<[u8; N], RunError> {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).ok().ok_or(RunError::Randomness)?;
    Ok(bytes)
}

fn announce(bound: &Bound<DirectLayer>) {
    let told =
        |address: io::Result<std::net::SocketAddr>| address.map(|it| it.to_string()).unwrap_or_default();
    let unix = bound.unix_socket().map(|path| path.display().to_string()).unwrap_or_default();
    let (grpc, admin) = (told(bound.grpc_address()), told(bound.admin_address()));
    let authz = match bound.http_address() {
        Ok(Some(HttpAddress::Tcp(address))) => address.to_string(),
        Ok(Some(HttpAddress::Unix(path))) => path.display().to_string(),
        Ok(None) | Err(_) => String::new(),
    };
    tracing::info!(grpc, unix, admin, authz, version = env!("CARGO_PKG_VERSION"), "listening");
}
