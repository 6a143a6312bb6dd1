//! Binds all listeners of a program and serves until the end. Which services there are is the program's matter.

use std::{convert::Infallible, io, net::SocketAddr, path::Path, sync::Arc, time::Duration};

use axum::Router;
use http::{Request, Response};
use http_body::Body as HttpBody;
use hyper::body::Incoming;
use prost::bytes::Bytes;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::TcpListener;
use tonic::{Status, body::Body, service::Routes};
use tower::{Layer, Service, ServiceBuilder, layer::util::Identity};

pub use super::overload::Received;
use super::{
    admin::Admin,
    arrivals::TcpArrivals,
    caller::Caller,
    calls::{Admitting, Calls, Tls},
    connections,
    deadline::Deadline,
    health::Health,
    http::{BoundHttp, Http, HttpAddress},
    limits::{
        MAX_ADMIN, MAX_CALLS, MAX_CONNECTIONS, MAX_HTTP, MAX_PROBES, MAX_QUESTION, MAX_SENT, MAX_UNIX,
        RESERVED_FILES,
    },
    listener::{BindError, Connections, Probes, UnixArrivals, bind_tcp},
    methods::{Methods, MethodsLayer},
    otlp::Otlp,
    overload::OverloadLayer,
    panic_guard::PanicGuardLayer,
    rate_limit::RateLimits,
    rpc_log::{RpcCounts, RpcLogLayer},
    service_settings::ServiceSettings,
    shutdown::Shutdown,
    threads::Threads,
    tls::{ClientTls, HandshakeCounts, Purpose, ServerTls},
};
use crate::{clock::Clock, proto::DESCRIPTORS};

/// What a program serves. Health and reflection are added.
pub struct Server<L = Identity> {
    /// Its name, as telemetry tells it.
    pub program: &'static str,
    /// The program's services.
    pub grpc: Routes,
    /// Around all services, and inside of everything that is the same for all programs.
    pub layer: L,
    /// Which threads serve calls.
    pub threads: Threads,
    /// Who may call what.
    pub methods: &'static Methods,
    /// Where to listen.
    pub settings: ServiceSettings,
    /// What is served; becomes not serving at the drain.
    pub health: Health,
    /// The admin port.
    pub admin: Admin,
    /// HTTP that components ask, if there is any.
    pub http: Option<Http>,
    /// When to end.
    pub shutdown: Shutdown,
    /// Where calls are counted; made for the same `methods`.
    pub counts: Arc<RpcCounts>,
    /// Measures calls.
    pub clock: Arc<dyn Clock>,
}

impl<L> Server<L> {
    /// Binds every listener, so that all addresses are known and none fails later.
    ///
    /// # Errors
    ///
    /// One of them cannot be had.
    pub async fn bind(mut self) -> Result<Bound<L>, BindError> {
        raise_files();
        let tls = self.tls()?;
        let otlp = self.otlp()?;
        let Self { settings, .. } = &self;
        let grpc = bind_tcp(settings.grpc_listen).await?;
        let admin = bind_tcp(settings.admin_listen).await?;
        let health = match settings.health_listen {
            Some(address) => Some(bind_tcp(address).await?),
            None => None,
        };
        let unix = match &settings.unix_socket {
            Some(path) => Some(UnixArrivals::bind(path, places(MAX_UNIX, 2)).await?),
            None => None,
        };
        let http = match &self.http {
            Some(http) => Some((http.listen.bind(places(MAX_HTTP, 1)).await?, http.routes.clone())),
            None => None,
        };
        Ok(Bound { server: self, tls, otlp, grpc, unix, admin, health, http })
    }

    /// Has the admin port tell of what becomes of spans and metrics, if they go anywhere.
    fn otlp(&mut self) -> Result<Option<Otlp>, BindError> {
        let Some(endpoint) = &self.settings.otlp else { return Ok(None) };
        let tls = match &self.settings.tls {
            Some(files) => Some(Arc::new(ClientTls::open(files.clone(), Arc::clone(&self.clock))?)),
            None => None,
        };
        let channel =
            endpoint.lazily(tls.as_ref(), |target| target.connect_timeout(COLLECTOR).timeout(COLLECTOR));
        let otlp = Otlp::start(self.program, channel).map_err(BindError::Otlp)?;
        self.admin = self.admin.clone().with_notes(Vec::new, otlp.measure());
        Ok(Some(otlp))
    }

    /// Reads the files, and has the admin port tell of them.
    fn tls(&mut self) -> Result<Option<Tls>, BindError> {
        let Some(files) = self.settings.tls.clone() else { return Ok(None) };
        let files = Arc::new(ServerTls::open(files, Arc::clone(&self.clock))?);
        let handshakes = Arc::new(HandshakeCounts::default());
        let (noted, written, counted) = (Arc::clone(&files), Arc::clone(&files), Arc::clone(&handshakes));
        self.admin = self.admin.clone().with_notes(
            move || noted.notes(),
            move |text| {
                written.write(text);
                counted.write(text);
            },
        );
        Ok(Some(Tls { files, handshakes }))
    }
}

/// A server whose callers already wait in line.
pub struct Bound<L = Identity> {
    server: Server<L>,
    tls: Option<Tls>,
    otlp: Option<Otlp>,
    grpc: TcpListener,
    unix: Option<UnixArrivals>,
    admin: TcpListener,
    health: Option<TcpListener>,
    http: Option<(BoundHttp, Router)>,
}

/// Why serving ended before its time.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// A thread that serves calls.
    #[error("gRPC: {0}")]
    Calls(#[source] io::Error),
    /// The HTTP that components ask.
    #[error("HTTP: {0}")]
    Http(#[source] io::Error),
    /// The admin port, or the address of a listener.
    #[error("admin port: {0}")]
    Admin(#[from] io::Error),
    /// The descriptor set that the build made cannot be read.
    #[error("reflection: {0}")]
    Reflection(#[from] tonic_reflection::server::Error),
}

impl<L> Bound<L> {
    /// Where gRPC is served.
    ///
    /// # Errors
    ///
    /// The system does not tell.
    pub fn grpc_address(&self) -> io::Result<SocketAddr> {
        self.grpc.local_addr()
    }

    /// Where the admin port is.
    ///
    /// # Errors
    ///
    /// The system does not tell.
    pub fn admin_address(&self) -> io::Result<SocketAddr> {
        self.admin.local_addr()
    }

    /// Where `grpc.health.v1` alone is served, if it is.
    ///
    /// # Errors
    ///
    /// The system does not tell.
    pub fn health_address(&self) -> io::Result<Option<SocketAddr>> {
        self.health.as_ref().map(TcpListener::local_addr).transpose()
    }

    /// Where the HTTP that components ask is served, if it is.
    ///
    /// # Errors
    ///
    /// The system does not tell.
    pub fn http_address(&self) -> io::Result<Option<HttpAddress>> {
        self.http.as_ref().map(|(http, _)| http.address()).transpose()
    }

    /// The files behind TLS, if there is TLS.
    pub fn tls(&self) -> Option<&Arc<ServerTls>> {
        self.tls.as_ref().map(|tls| &tls.files)
    }

    /// The Unix socket, if there is one.
    pub fn unix_socket(&self) -> Option<&Path> {
        self.unix.as_ref().map(UnixArrivals::path)
    }

    /// Serves until the drain is over: from its beginning no connection is accepted, and calls in flight may finish
    /// until [`super::shutdown::DRAIN_DEADLINE`]. Probes are answered until the last call has ended.
    ///
    /// # Errors
    ///
    /// A listener or a thread gave up.
    pub async fn serve<R>(self) -> Result<(), ServeError>
    where
        L: Layer<Deadline<Routes>>,
        L::Service: Service<
                Request<Received<Incoming>>,
                Response = Response<R>,
                Error = Infallible,
                Future: Send + Unpin,
            > + Clone
            + Send
            + 'static,
        R: HttpBody<Data = Bytes, Error = Status> + From<Body> + Send + Unpin + 'static,
    {
        let Self { server, tls, otlp, grpc, unix, admin, health: health_listener, http } = self;
        let Server {
            program: _,
            grpc: routes,
            layer,
            threads,
            methods,
            settings,
            health,
            admin: told,
            shutdown,
            counts,
            clock,
            http: _,
        } = server;
        let routes = with_reflection(routes.add_service(health.service()))?.prepare();
        let spans = otlp.as_ref().map(|otlp| otlp.spans.clone());
        let (telling, last) = otlp.map(|otlp| otlp.keep(told.measure())).unzip();
        let limits = Arc::new(RateLimits::new(methods, &settings.callers));
        let service = ServiceBuilder::new()
            .layer(RpcLogLayer::new(counts, Arc::clone(&clock), spans.clone()))
            .layer(PanicGuardLayer)
            .layer(MethodsLayer { methods, limits, clock })
            .layer(OverloadLayer::new(MAX_CALLS))
            .service(layer.layer(Deadline(routes)));
        let over = Shutdown::manual();

        let admission = match &tls {
            Some(tls) => Admitting::Tls(tls.clone(), grpc.local_addr()?, settings.callers.clone()),
            None if settings.insecure_loopback => Admitting::Plaintext(Caller::Loopback),
            None => Admitting::Plaintext(Caller::Nobody),
        };
        // What HTTP may take of the file descriptors, gRPC over TCP has less.
        let share = 12 - usize::from(http.is_some());
        let http = {
            let (admission, shutdown) = (admission.clone(), shutdown.clone());
            async move {
                match http {
                    Some((bound, routes)) => {
                        bound.serve(routes, &admission, places(MAX_HTTP, 1), spans, shutdown).await
                    }
                    None => Ok(()),
                }
            }
        };
        let calls = Calls { service, admission, shutdown: shutdown.clone() };
        let tls = tls.as_ref();
        let calls = async {
            calls
                .serve(threads, TcpArrivals::new(grpc, places(MAX_CONNECTIONS, share)), unix)
                .await
                .map_err(ServeError::Calls)?;
            Ok::<_, ServeError>(())
        };
        let http = async { http.await.map_err(ServeError::Http) };
        let asked = async {
            tokio::try_join!(calls, http)?;
            over.begin();
            Ok(())
        };
        let drain = async {
            shutdown.begun().await;
            health.drain();
            Ok(())
        };
        let probes = async {
            if let Some(listener) = health_listener {
                let arrivals = TcpArrivals::new(listener, places(MAX_PROBES, 1));
                let alone = Routes::new(health.service()).prepare();
                connections::serve(Connections::new(arrivals, Caller::Nobody), alone, over.clone()).await;
            }
            Ok(())
        };
        let admin = serve_admin(admin, told.into_router(shutdown.clone()), tls, over.clone());
        let look = as_long_as(tls.map(|tls| Arc::clone(&tls.files).keep()));
        let telling = as_long_as(telling);
        let served = tokio::select! {
            all = async { tokio::try_join!(asked, drain, probes, admin) } => all.map(|_| ()),
            () = look => Ok(()),
            () = telling => Ok(()),
            () = shutdown.ended() => {
                tracing::warn!("the drain is over: calls in flight were cut");
                Ok(())
            }
        };
        if let Some(last) = last {
            last.await;
        }
        served
    }
}

async fn serve_admin(
    listener: TcpListener,
    routes: Router,
    tls: Option<&Tls>,
    stop: Shutdown,
) -> Result<(), ServeError> {
    let stop = async move { stop.begun().await };
    let address = listener.local_addr()?;
    let arrivals = TcpArrivals::new(listener, places(MAX_ADMIN, 1));
    if let Some(tls) = tls {
        let incoming = tls.connections(arrivals, address, Purpose::Admin);
        axum::serve(incoming, routes).with_graceful_shutdown(stop).await?;
    } else {
        axum::serve(Probes(arrivals, address), routes).with_graceful_shutdown(stop).await?;
    }
    Ok(())
}

/// Beside what is served, and not its end: without it, for ever.
async fn as_long_as(beside: Option<impl Future<Output = ()>>) {
    match beside {
        Some(beside) => beside.await,
        None => std::future::pending().await,
    }
}

/// What a collector may take to answer, or to be reached.
const COLLECTOR: Duration = Duration::from_secs(5);

/// As many as may be, and no more than so many sixteenths of the file descriptors that callers get.
fn places(most: usize, sixteenths: usize) -> usize {
    let files = getrlimit(Resource::Nofile).current.and_then(|files| usize::try_from(files).ok());
    files.map_or(most, |files| most.min(files.saturating_sub(RESERVED_FILES) / 16 * sixteenths).max(1))
}

/// As many file descriptors as the process may have: what it is given at first is a habit of other times.
fn raise_files() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        tracing::warn!(%error, "the limit of open files stays as it is");
    }
}

fn with_reflection(routes: Routes) -> Result<Routes, ServeError> {
    let configured = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    Ok(routes
        .add_service(
            configured()
                .build_v1()?
                .max_decoding_message_size(MAX_QUESTION)
                .max_encoding_message_size(MAX_SENT),
        )
        .add_service(
            configured()
                .build_v1alpha()?
                .max_decoding_message_size(MAX_QUESTION)
                .max_encoding_message_size(MAX_SENT),
        ))
}
