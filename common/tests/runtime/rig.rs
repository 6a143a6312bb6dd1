//! A server with a made-up verifier, whose calls a test can hold. No claim lives here.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a rig that cannot be built must fail its test")]

use std::{
    io::{Read, Write},
    net::SocketAddr,
    num::NonZeroUsize,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use common::{
    clock::SystemClock,
    proto::v1::{
        GetTrustViewRequest, GetTrustViewResponse, VerifyTokenRequest, VerifyTokenResponse,
        VerifyTokensRequest, VerifyTokensResponse,
        verifier_service_server::{VerifierService, VerifierServiceServer},
    },
    runtime::{
        admin::Admin,
        caller::Caller,
        health::Health,
        limits::MAX_MESSAGE,
        listener::BindError,
        methods::{Method, Methods, Rate, Role},
        rpc_log::RpcCounts,
        server::{Bound, Server},
        service_settings::{Defaults, ServiceSettings},
        settings_file::SettingsFile,
        shutdown::Shutdown,
        threads::Threads,
    },
};
use hyper_util::rt::TokioIo;
use tokio::{net::UnixStream, sync::Notify};
use tonic::{
    Request, Response, Status,
    service::Routes,
    transport::{Channel, Endpoint, Uri},
};
use tower::layer::util::Identity;

/// The only method in the table.
pub(crate) const PATH: &str = "/ipms.token.v1.VerifierService/VerifyToken";
/// A token that is answered when the test says so.
pub(crate) const HOLD: &str = "hold";
/// A token that makes the handler panic.
pub(crate) const PANIC: &str = "panic";

const RATE: Rate = Rate { per_second: 1_000, burst: 1_000 };
static TABLE: Methods = Methods(&[Method { path: PATH, role: Role::Component, rate: RATE }]);

#[derive(Clone, Default)]
struct MadeUp {
    actors: Arc<Mutex<Vec<String>>>,
    held: Arc<Notify>,
    release: Arc<Notify>,
}

#[tonic::async_trait]
impl VerifierService for MadeUp {
    async fn verify_token(
        &self,
        request: Request<VerifyTokenRequest>,
    ) -> Result<Response<VerifyTokenResponse>, Status> {
        self.actors.lock().unwrap().push(Caller::of(request.extensions()).actor().to_owned());
        match &*request.get_ref().token {
            HOLD => {
                self.held.notify_one();
                self.release.notified().await;
            }
            PANIC => panic!("as asked"),
            _ => {}
        }
        Ok(Response::new(VerifyTokenResponse::default()))
    }

    async fn verify_tokens(
        &self,
        _: Request<VerifyTokensRequest>,
    ) -> Result<Response<VerifyTokensResponse>, Status> {
        panic!("the table lets nobody in")
    }

    async fn get_trust_view(
        &self,
        _: Request<GetTrustViewRequest>,
    ) -> Result<Response<GetTrustViewResponse>, Status> {
        panic!("the table lets nobody in")
    }
}

/// What a test holds in its hands.
pub(crate) struct Rig {
    settings: ServiceSettings,
    service: MadeUp,
    ready: Arc<AtomicBool>,
    pub(crate) health: Health,
    pub(crate) shutdown: Shutdown,
    pub(crate) counts: Arc<RpcCounts>,
}

impl Rig {
    /// Every port is free for the system to choose, unless `text` says otherwise.
    pub(crate) fn new(text: &str) -> Self {
        let mut table = toml::Table::new();
        for key in ["grpc", "admin"] {
            table.insert(
                key.to_owned(),
                toml::Table::from_iter([("listen".to_owned(), "127.0.0.1:0".into())]).into(),
            );
        }
        for (key, section) in text.parse::<toml::Table>().unwrap() {
            let given = section.as_table().unwrap().clone();
            let entry = table.entry(key).or_insert_with(|| toml::Table::new().into());
            entry.as_table_mut().unwrap().extend(given);
        }
        let mut file = SettingsFile::new(table, [], "VERIFIER_");
        let settings = ServiceSettings::read(&mut file, Defaults::VERIFIER);
        file.finish().unwrap();
        Self {
            settings,
            service: MadeUp::default(),
            ready: Arc::default(),
            health: Health::new(&["made.up"]),
            shutdown: Shutdown::manual(),
            counts: Arc::new(RpcCounts::new(&TABLE)),
        }
    }

    pub(crate) async fn bind(&self) -> Bound {
        self.try_bind().await.unwrap()
    }

    pub(crate) async fn try_bind(&self) -> Result<Bound, BindError> {
        let ready = Arc::clone(&self.ready);
        let counts = Arc::clone(&self.counts);
        let admin = Admin::new(
            move || {
                let reasons = || vec!["no view".to_owned(), "no key".to_owned()];
                if ready.load(Ordering::Relaxed) { Ok(()) } else { Err(reasons()) }
            },
            move |text| {
                text.gauge("made_up", "Made up.", &[], 1.0);
                counts.write(text);
            },
        );
        let service = VerifierServiceServer::new(self.service.clone());
        let extra = axum::Router::new().route("/extra", axum::routing::get(|| async { "more" }));
        let server = Server {
            program: "test",
            grpc: Routes::new(service.max_decoding_message_size(MAX_MESSAGE)),
            layer: Identity::new(),
            threads: Threads::Own(NonZeroUsize::new(2).unwrap()),
            methods: &TABLE,
            settings: self.settings.clone(),
            health: self.health.clone(),
            admin: admin.with_routes(extra),
            http: None,
            shutdown: self.shutdown.clone(),
            counts: Arc::clone(&self.counts),
            clock: Arc::new(SystemClock),
        };
        server.bind().await
    }

    /// As whom the callers came, in order.
    pub(crate) fn actors(&self) -> Vec<String> {
        self.service.actors.lock().unwrap().clone()
    }

    /// Until a call with [`HOLD`] has arrived.
    pub(crate) async fn held(&self) {
        self.service.held.notified().await;
    }

    /// Lets it answer.
    pub(crate) fn release(&self) {
        self.service.release.notify_one();
    }

    pub(crate) fn make_ready(&self) {
        self.ready.store(true, Ordering::Relaxed);
    }
}

/// A request that says nothing but this.
pub(crate) fn token(text: &str) -> VerifyTokenRequest {
    VerifyTokenRequest { token: text.to_owned(), ..VerifyTokenRequest::default() }
}

/// To the TCP port.
pub(crate) fn channel(bound: &Bound) -> Channel {
    let address = bound.grpc_address().unwrap();
    Endpoint::from_shared(format!("http://{address}")).unwrap().connect_lazy()
}

/// To the Unix socket.
pub(crate) async fn unix_channel(path: &Path) -> Channel {
    let path = path.to_owned();
    let connect = tower::service_fn(move |_: Uri| {
        let path = path.clone();
        async move { UnixStream::connect(path).await.map(TokioIo::new) }
    });
    Endpoint::from_static("http://unix").connect_with_connector(connect).await.unwrap()
}

/// Code and body.
pub(crate) async fn http_get(address: SocketAddr, path: &str) -> (u16, String) {
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    let asked = tokio::task::spawn_blocking(move || {
        let mut stream = std::net::TcpStream::connect(address).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    });
    let answer = asked.await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}
