//! Puts the parts together: the only place that names concrete ones. No rule and no setting is read here.

use std::{io, sync::Arc};

use common::{
    clock::{Clock, SystemClock},
    runtime::{
        admin::Admin,
        listener::BindError,
        rpc_log::RpcCounts,
        server::{Bound, ServeError, Server},
        service_settings::ServiceSettings,
        shutdown::Shutdown,
    },
};
use tonic::service::Routes;

use crate::{
    application::{shared_view::SharedView, verify::Verifier},
    domain::{cache::VerifiedTokens, view::View},
    settings::Settings,
    transport::{grpc::VerifierService, health, methods::METHODS, metrics},
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
    /// Serving ended before its time.
    #[error(transparent)]
    Serve(#[from] ServeError),
}

/// Binds, follows the issuer, and serves until the drain is over.
///
/// # Errors
/// [`RunError`].
pub async fn run(settings: Settings) -> Result<(), RunError> {
    let shutdown = Shutdown::on_signals().map_err(RunError::Signals)?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let shared = Arc::new(SharedView::new(View::empty()));
    let verifier = Arc::new(Verifier::new(
        Arc::clone(&shared),
        settings.policy,
        VerifiedTokens::new(CACHE_BYTES),
        Arc::clone(&clock),
        settings.limits,
    ));
    let server = server(settings.service, &verifier, settings.follower_id, clock, shutdown.clone());
    let board = server.health.clone();
    let bound = server.bind().await?;
    let telling = tokio::spawn(health::tell(verifier, board, shared.published(), shutdown.clone()));
    announce(&bound);
    let outcome = Box::pin(bound.serve()).await;
    // Serving may also have failed: then nobody has begun it yet.
    shutdown.begin();
    if let Err(error) = telling.await {
        tracing::error!(%error, "the health board was left alone");
    }
    Ok(outcome?)
}

/// gRPC, probes and metrics over `verifier`.
pub fn server(
    service: ServiceSettings,
    verifier: &Arc<Verifier>,
    follower_id: String,
    clock: Arc<dyn Clock>,
    shutdown: Shutdown,
) -> Server {
    let counts = Arc::new(RpcCounts::new(&METHODS));
    let (asked, scraped, calls) = (Arc::clone(verifier), Arc::clone(verifier), Arc::clone(&counts));
    let admin = Admin::new(
        move || health::ready(&asked),
        move |text| {
            metrics::write(&scraped, text);
            calls.write(text);
        },
    );
    Server {
        grpc: Routes::new(VerifierService::server(Arc::clone(verifier), follower_id)),
        methods: &METHODS,
        settings: service,
        health: health::board(),
        admin,
        shutdown,
        counts,
        clock,
    }
}

fn announce(bound: &Bound) {
    let told =
        |address: io::Result<std::net::SocketAddr>| address.map(|it| it.to_string()).unwrap_or_default();
    let unix = bound.unix_socket().map(|path| path.display().to_string()).unwrap_or_default();
    let (grpc, admin) = (told(bound.grpc_address()), told(bound.admin_address()));
    tracing::info!(grpc, unix, admin, version = env!("CARGO_PKG_VERSION"), "listening");
}
