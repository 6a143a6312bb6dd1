//! Where concrete types meet: store, journal, keys, services and listeners become one running issuer.

mod error;

use std::{net::SocketAddr, num::NonZeroUsize, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use common::{
    clock::{Clock, SystemClock},
    runtime::{
        admin::Admin,
        health::Health,
        rpc_log::RpcCounts,
        server::{Bound, ServeError, Server},
        shutdown::Shutdown,
        threads::Threads,
    },
    trust::LogKeys,
    verification::Policy,
};

pub use self::error::StartError;
use crate::{
    adapters::{
        audit_file,
        journal::{FileJournal, Recovered, Sealing},
        key_directory::{self, Keys, KeysError},
        store::{embedded::EmbeddedStore, redis::RedisStore, seal::Seal},
        system_entropy::SystemEntropy,
    },
    application::{
        conditions::Conditions,
        followers::Followers,
        house::{forget_old_tokens, keep_trail, obstacles, try_signers},
        key_book::KeyBook,
        log::{Announcer, Writer, WriterParts},
        realm::{Blinding, Realm},
        restore::restore,
        signing_pool::SigningPool,
        timer::{RuntimeTimer, Timer},
        trail::Trail,
    },
    domain::{
        ports::{AuditMark, Entropy, Journal, KeySource as _, Loaded, NoEntropy, Store, StoreError},
        rounds::IssuerRow,
    },
    rotation::Rotation,
    settings::{Settings, StoreSettings},
    transport::{
        follow::key_set,
        jwks,
        methods::{METHODS, SERVICES},
        metrics, services,
    },
};

/// An issuer whose listeners are bound.
pub struct Running {
    bound: Bound,
    realm: Arc<Realm>,
}

impl Running {
    /// Where it listens.
    ///
    /// # Errors
    /// The system does not tell.
    pub fn grpc_address(&self) -> std::io::Result<SocketAddr> {
        self.bound.grpc_address()
    }

    /// Serves until the drain is over; then the log key signs for the audit trail's last line.
    ///
    /// # Errors
    /// A listener gave up.
    pub async fn serve(self) -> Result<(), ServeError> {
        let served = Box::pin(self.bound.serve()).await;
        keep_trail(&self.realm, true).await;
        served
    }
}

/// Starts everything but the listeners' loops.
///
/// # Errors
/// [`StartError`], naming what stands in the way.
pub async fn start(
    settings: Settings,
    clock: Arc<dyn Clock>,
    shutdown: Shutdown,
) -> Result<Running, StartError> {
    let keys = key_directory::read(&settings.keys)?;
    let seal = Seal::new(keys.seal.expose_secret_bytes());
    let store = open_store(&settings, seal).await?;
    let realm = open(&settings, keys, store, clock, false).await?;
    let bound = serve(settings, Arc::clone(&realm), shutdown).await?;
    Ok(Running { bound, realm })
}

/// Opens the store that the settings name.
///
/// # Errors
/// [`StartError`].
pub async fn open_store(settings: &Settings, seal: Seal) -> Result<Arc<dyn Store>, StartError> {
    Ok(match &settings.store {
        StoreSettings::Embedded(path) => Arc::new(EmbeddedStore::open(path, seal)?),
        StoreSettings::Redis(redis) => {
            let entropy = SystemEntropy::default();
            let clock = Arc::new(SystemClock);
            Arc::new(RedisStore::open(redis, &settings.realm, seal, &entropy, clock).await?)
        }
    })
}

/// Opens the realm over a store: compares it with the journal, mends it, and starts the log's writer.
///
/// # Errors
/// [`StartError`].
pub async fn open(
    settings: &Settings,
    keys: Keys,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    new_epoch: bool,
) -> Result<Arc<Realm>, StartError> {
    let loaded = store.load().await?;
    let (journal, recovered) = open_journal(settings, &keys, &clock, loaded.audit).await?;
    let journal = (Arc::new(journal) as Arc<dyn Journal>, recovered);
    open_over(settings, keys, (store, loaded), journal, clock, new_epoch).await
}

/// Opens the audit trail; `known` is the line that the store last heard of.
///
/// # Errors
/// What is damaged, or that another process writes it.
pub async fn open_journal(
    settings: &Settings,
    keys: &Keys,
    clock: &Arc<dyn Clock>,
    known: Option<AuditMark>,
) -> Result<(FileJournal, Recovered), audit_file::OpenError> {
    let sealing = Sealing {
        issuer: settings.issuer.clone(),
        realm: settings.realm.clone(),
        key: Arc::clone(&keys.log),
        clock: Arc::clone(clock),
    };
    FileJournal::open(&settings.audit, settings.audit_rotate_at, sealing, known).await
}

/// As [`open`], over a journal of any make and what it held.
///
/// # Errors
/// [`StartError`].
pub async fn open_over(
    settings: &Settings,
    keys: Keys,
    (store, loaded): (Arc<dyn Store>, Loaded),
    (journal, recovered): (Arc<dyn Journal>, Recovered),
    clock: Arc<dyn Clock>,
    new_epoch: bool,
) -> Result<Arc<Realm>, StartError> {
    if let Some(why) = keys.folder.complaint().filter(|_| keys.token.is_empty() && loaded.policy.is_none()) {
        return Err(KeysError::DeviceAway { why }.into());
    }
    let conditions = Arc::new(Conditions::default());
    if recovered.cut {
        tracing::error!(
            "lines of the audit trail that the store knows of are missing or changed: issuing is stopped"
        );
        conditions.audit_is_cut();
    }
    if recovered.gaps {
        tracing::warn!("the audit trail holds entries of the log that do not follow each other");
    }
    let now = clock.now();
    let trail = Arc::new(Trail::new(journal, Arc::clone(&clock), Arc::clone(&conditions), recovered.mark));
    let held: Vec<_> = keys.token.iter().map(|key| key.public().clone()).collect();
    let force = (settings.limits, held.as_slice());
    let journal = recovered.chain.as_ref();
    let (mut loaded, mut attempts) = (loaded, 0);
    let restored = loop {
        match restore(&*store, &trail, loaded, journal, force, now.wall, new_epoch).await {
            // Another issuer opened the epoch first.
            Err(StoreError::LostData) if store.shared() && attempts < AT_START => attempts += 1,
            restored => break restored?,
        }
        loaded = store.load().await?;
    };
    let entropy = Arc::new(SystemEntropy::default());
    let keys_held = held.iter().map(common::keys::PublicKey::id).collect();
    let issuer = IssuerRow {
        id: process_number(&*entropy)?,
        name: settings.issuer_name().to_owned(),
        keys: keys_held,
        after_loss: false,
    };
    // Of a shared store a row may be of another issuer's verifier, of whose keys that one tells.
    let known = restored.followers.iter().map(|row| row.follower.clone()).filter(|_| !store.shared());
    let book = Arc::new(KeyBook::new(keys.folder, keys.token, (issuer.name.clone(), issuer.id), known));
    // The others know of it before it serves.
    let (longest, roles) = (restored.policy.limits.longest_staleness(), Arc::clone(&restored.policy));
    book.exchange(&*store, longest, now.boot, |id: &common::key_id::KeyId| roles.keys.is_of_use(*id)).await?;
    let limits = restored.policy.limits;
    let staleness = common::token::kind::PerType::from_fn(|kind| limits.get(kind).staleness);
    let shared = store.shared().then_some(staleness);
    let followers = Followers::restored(restored.followers, issuer.id, shared, now.boot);
    let followers = Arc::new(followers);
    if restored.lost.is_some() || restored.mended {
        followers.lost(now.boot, restored.policy.limits.longest_staleness());
    }
    let announcer = Announcer {
        issuer: settings.issuer.clone(),
        realm: settings.realm.clone(),
        key: Arc::clone(&keys.log),
    };
    let policy = Arc::new(ArcSwap::new(restored.policy));
    let timer: Arc<dyn Timer> = Arc::new(RuntimeTimer);
    let parts = WriterParts {
        store: Arc::clone(&store),
        trail: Arc::clone(&trail),
        clock: Arc::clone(&clock),
        timer: Arc::clone(&timer),
        pool: SigningPool::start(NonZeroUsize::MIN, 2)?,
        announcer,
        followers: Arc::clone(&followers),
        keys: Arc::clone(&book),
        conditions: Arc::clone(&conditions),
        policy: Arc::clone(&policy),
        issuer,
    };
    let (writer, log) =
        Writer::new(parts, restored.log, restored.chunks, restored.chain.entries(), restored.lost)?;
    tokio::spawn(writer.run());
    let threads = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    Ok(Arc::new(Realm {
        name: settings.realm.clone(),
        issuer: settings.issuer.clone(),
        audience: settings.audience.clone(),
        holder_required: settings.holder_required,
        self_check: Policy::new(settings.issuer.clone(), settings.audience.clone(), Policy::DEFAULT_LEEWAY)?,
        store,
        trail,
        clock,
        timer,
        entropy,
        log,
        followers,
        conditions,
        policy,
        log_keys: LogKeys::new(
            [Some(keys.log.public().clone()), keys.other_log].into_iter().flatten().collect(),
        )?,
        log_signer: keys.log,
        keys: book,
        jwks_max_age: settings.jwks_max_age,
        pool: SigningPool::start(threads, SIGNING_QUEUE)?,
        blinding: Blinding::new(keys.seal.expose_secret_bytes()),
    }))
}

/// A number that no other process of an issuer has. Never 0: so rows are marked that name nobody.
fn process_number(entropy: &dyn Entropy) -> Result<u64, NoEntropy> {
    let mut bytes = [0; 8];
    entropy.fill(&mut bytes)?;
    Ok(u64::from_be_bytes(bytes) | 1)
}

/// Binds the services of an open realm.
///
/// # Errors
/// [`StartError::Bind`].
pub async fn serve(settings: Settings, realm: Arc<Realm>, shutdown: Shutdown) -> Result<Bound, StartError> {
    let routes = services::routes(&realm, shutdown.clone());
    let health = Health::new(&SERVICES);
    tell_health(&realm, &health);
    tokio::spawn(keep(Arc::clone(&realm), health.clone(), settings.keep_after_expiry, shutdown.clone()));
    let rotation = Arc::new(Rotation::new(settings.rotate_every));
    tokio::spawn(Arc::clone(&rotation).keep(Arc::clone(&realm), shutdown.clone()));
    let counts = Arc::new(RpcCounts::new(&METHODS));
    let (ready, measured, counted) = (Arc::clone(&realm), Arc::clone(&realm), Arc::clone(&counts));
    let admin = Admin::new(
        move || {
            let obstacles = obstacles(&ready);
            let mut reasons: Vec<_> = obstacles.iter().map(|one| one.words().to_owned()).collect();
            let complaints = [ready.store.complaint(), ready.keys.complaint()];
            reasons.extend(complaints.into_iter().flatten().filter(|_| !obstacles.is_empty()));
            if reasons.is_empty() { Ok(()) } else { Err(reasons) }
        },
        move |text| {
            counted.write(text);
            metrics::write(&measured, text);
            rotation.measure(&measured, text);
        },
    );
    let jwks_realm = Arc::clone(&realm);
    let max_age = realm.jwks_max_age;
    let admin = admin.with_routes(jwks::routes(move || key_set(&jwks_realm.log.published()), max_age));
    let server = Server {
        program: "issuer",
        grpc: routes,
        layer: tower::layer::util::Identity::new(),
        threads: Threads::Shared,
        methods: &METHODS,
        settings: settings.service,
        health,
        admin,
        http: None,
        shutdown,
        counts,
        clock: Arc::clone(&realm.clock),
    };
    Ok(server.bind().await?)
}

async fn keep(realm: Arc<Realm>, health: Health, keep: Duration, shutdown: Shutdown) {
    let mut tick = tokio::time::interval(TICK);
    let mut looked = realm.clock.now().boot;
    loop {
        tokio::select! {
            () = shutdown.begun() => return,
            _ = tick.tick() => {}
        }
        let now = realm.clock.now().boot;
        let sign = now.since(looked) >= FORGET_EVERY;
        keep_trail(&realm, sign).await;
        try_signers(&realm).await;
        tell_health(&realm, &health);
        if sign {
            looked = now;
            // What could not be forgotten now is next time.
            forget_old_tokens(&realm, keep).await.ok();
        }
    }
}

fn tell_health(realm: &Realm, health: &Health) {
    let obstacles = obstacles(realm);
    let [projects, issuing, revoking, feeding, keys] = SERVICES;
    let store = obstacles.iter().all(|one| one.spares_the_store());
    health.set(projects, store);
    health.set(issuing, obstacles.is_empty());
    health.set(revoking, store);
    // Whoever mends the trail or the keys must be able to look at them.
    health.set(keys, store);
    health.set(feeding, obstacles.iter().all(|one| one.spares_the_feed()));
}

/// Issuers that start together may meet so often.
const AT_START: u32 = 5;
const TICK: Duration = Duration::from_millis(250);
/// Between two looks at old records, and two signed heads of the audit trail.
const FORGET_EVERY: Duration = Duration::from_mins(1);
/// Orders under way, at most: what the pool signs in a fraction of a second.
const SIGNING_QUEUE: usize = 128;
