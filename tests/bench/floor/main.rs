//! The least that a server of ours could cost, as a program: it reads a `VerifyTokenRequest` and answers always the same
//! bytes. `floor bare` is tonic alone, `floor layers` is the verifier's own server around it. With the verifier's
//! allocator, profile and threads. Measures nothing.

mod echo;

use std::{num::NonZeroUsize, process::ExitCode, sync::Arc, thread};

use common::{
    clock::SystemClock,
    runtime::{
        admin::Admin,
        health::Health,
        rpc_log::RpcCounts,
        server::Server,
        service_settings::{Defaults, ServiceSettings},
        settings_file::SettingsFile,
        shutdown::Shutdown,
        threads::Threads,
    },
};
use tokio::net::{TcpListener, UnixListener};
use tokio_stream::wrappers::{TcpListenerStream, UnixListenerStream};
use tonic::service::Routes;
use tower::layer::util::Identity;
use verifier::transport::methods::METHODS;

use self::echo::Echo;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Failure = Box<dyn std::error::Error + Send + Sync>;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["bare", length, address, socket] => bare(length, address, socket),
        ["layers", length, address, admin] => layers(length, address, admin),
        _ => Err("usage: floor bare LENGTH ADDRESS SOCKET | floor layers LENGTH ADDRESS ADMIN".into()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("floor: {error}");
            ExitCode::FAILURE
        }
    }
}

/// tonic's own server, on one thread.
fn bare(length: &str, address: &str, socket: &str) -> Result<(), Failure> {
    let echo = Echo::new(length.parse()?);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let tcp = TcpListener::bind(address).await?;
        let unix = UnixListener::bind(socket)?;
        let incoming = TcpListenerStream::new(tcp);
        let nodelay = tokio_stream::StreamExt::map(incoming, |stream| {
            stream.and_then(|stream| stream.set_nodelay(true).map(|()| stream))
        });
        let server = || tonic::transport::Server::builder().add_service(echo.clone());
        tokio::try_join!(
            server().serve_with_incoming(nodelay),
            server().serve_with_incoming(UnixListenerStream::new(unix))
        )?;
        Ok(())
    })
}

/// The verifier's server around the same answer.
fn layers(length: &str, address: &str, admin: &str) -> Result<(), Failure> {
    let echo = Echo::new(length.parse()?);
    let variables =
        [("GRPC__LISTEN", address), ("ADMIN__LISTEN", admin), ("GRPC__INSECURE_LOOPBACK", "true")]
            .map(|(name, value)| (format!("FLOOR_{name}"), value.to_owned()));
    let mut file = SettingsFile::new(toml::Table::new(), variables, "FLOOR_");
    let settings = ServiceSettings::read(&mut file, Defaults::VERIFIER);
    file.finish()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let counts = Arc::new(RpcCounts::new(&METHODS));
    let written = Arc::clone(&counts);
    let processors = thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    runtime.block_on(async {
        let server = Server {
            program: "test",
            grpc: Routes::new(echo),
            layer: Identity::new(),
            threads: Threads::Own(processors),
            methods: &METHODS,
            settings,
            health: Health::new(&[]),
            admin: Admin::new(|| Ok(()), move |text| written.write(text)),
            http: None,
            shutdown: Shutdown::manual(),
            counts,
            clock: Arc::new(SystemClock),
        };
        Ok(Box::pin(server.bind().await?.serve()).await?)
    })
}
