//! A component behind tokens, small and whole: it pseudonymises, and turns back. An example, no part of the service.
//!
//! ```text
//! cargo run -p verifier --example incert -- --listen 127.0.0.1:8080 --data /var/lib/incert \
//!     --verifier unix:/run/ipms/verifier.sock --verifier http://127.0.0.1:50052
//! curl -H "Authorization: Bearer $TOKEN" -H 'Content-Type: application/json' \
//!     -d '{"data": ["Ada", "Grace"]}' http://127.0.0.1:8080/api/request-psn
//! ```

mod component;

use std::{future::IntoFuture as _, net::SocketAddr, path::PathBuf, process::ExitCode, sync::Arc};

use clap::Parser;
use common::{
    clock::{Clock, SystemClock},
    guard::{InvalidVerifiers, Patience, Verifiers},
    runtime::shutdown::Shutdown,
};
use component::{Vault, VaultError, keep_severing, routes};
use tracing_subscriber::{EnvFilter, filter::LevelFilter};

/// Pseudonymises by what tokens say.
#[derive(Debug, Parser)]
struct Arguments {
    /// Where to listen. Whoever ends TLS stands before it.
    #[arg(long, default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// The folder with the mappings and the keys. Made when it is not there.
    #[arg(long)]
    data: PathBuf,
    /// A verifier: `unix:/path` or `http://host:port`. Several stand in for each other.
    #[arg(long, required = true)]
    verifier: Vec<String>,
}

#[tokio::main]
async fn main() -> ExitCode {
    let chosen = EnvFilter::builder().with_default_directive(LevelFilter::INFO.into()).from_env_lossy();
    tracing_subscriber::fmt().with_env_filter(chosen).init();
    match run(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(%error, "cannot go on");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> Result<(), RunError> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let names: Vec<_> = arguments.verifier.iter().map(String::as_str).collect();
    let verifiers = Arc::new(Verifiers::connect(&names, Patience::default())?);
    std::fs::create_dir_all(&arguments.data)?;
    let (mappings, keys) = (arguments.data.join("mappings.redb"), arguments.data.join("keys"));
    let vault = Arc::new(Vault::open(&mappings, &keys)?);
    let severing = tokio::spawn(keep_severing(Arc::clone(&vault), Arc::clone(&clock)));
    let listener = tokio::net::TcpListener::bind(arguments.listen).await?;
    tracing::info!(address = %listener.local_addr()?, "listening");
    let shutdown = Shutdown::on_signals()?;
    let told = shutdown.clone();
    let serving = axum::serve(listener, routes(&verifiers, vault, clock));
    let serving = serving.with_graceful_shutdown(async move { told.begun().await });
    tokio::select! {
        served = serving.into_future() => served?,
        // A caller that never finishes is not waited for.
        () = shutdown.ended() => {}
    }
    severing.abort();
    Ok(())
}

#[derive(Debug, thiserror::Error)]
enum RunError {
    #[error("verifier: {0}")]
    Verifiers(#[from] InvalidVerifiers),
    #[error(transparent)]
    Vault(#[from] VaultError),
    #[error(transparent)]
    Io(#[from] std::io::Error),
}
