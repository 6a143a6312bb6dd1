//! The verifier's server on real sockets, over a world in the test's hands. No claim lives here.
#![expect(clippy::unwrap_used, reason = "a rig that cannot be built must fail its test")]

use std::{net::SocketAddr, path::Path, sync::Arc};

use common::{
    proto::v1::verifier_service_client::VerifierServiceClient,
    runtime::{
        health::Health,
        server::ServeError,
        service_settings::{Defaults, ServiceSettings},
        settings_file::SettingsFile,
        shutdown::Shutdown,
    },
};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpStream, UnixStream},
    task::JoinHandle,
};
use tonic::transport::{Channel, Endpoint, Uri};
use verifier::{application::alarms::Alarms, settings::AuthzSettings, transport::health, wiring};

use crate::world::World;

/// A running server; [`Rig::end`] stops it.
pub(crate) struct Rig {
    pub(crate) grpc: SocketAddr,
    pub(crate) board: Health,
    pub(crate) alarms: Arc<Alarms>,
    admin: SocketAddr,
    shutdown: Shutdown,
    serving: JoinHandle<Result<(), ServeError>>,
    telling: JoinHandle<()>,
}

impl Rig {
    /// Serves `world` on free ports; `variables` are settings besides.
    pub(crate) async fn start(world: &World, variables: &[(&str, &str)]) -> Self {
        let free = [("GRPC__LISTEN", "127.0.0.1:0"), ("ADMIN__LISTEN", "127.0.0.1:0")];
        let all = free.iter().chain(variables);
        let all = all.map(|(name, value)| (format!("VERIFIER_{name}"), (*value).to_owned()));
        let mut file = SettingsFile::new(toml::Table::new(), all, "VERIFIER_");
        let settings = ServiceSettings::read(&mut file, Defaults::VERIFIER);
        let authz = AuthzSettings::read(&mut file, &settings);
        file.finish().unwrap();
        let shutdown = Shutdown::manual();
        let (verifier, clock) = (&world.verifier, world.clock.clone());
        let alarms = Arc::new(Alarms::default());
        let name = "follower-a".to_owned();
        let server =
            wiring::server(settings, verifier, &alarms, name, authz, clock, shutdown.clone()).unwrap();
        let board = server.health.clone();
        let bound = server.bind().await.unwrap();
        let (grpc, admin) = (bound.grpc_address().unwrap(), bound.admin_address().unwrap());
        let published = world.shared.published();
        let telling =
            tokio::spawn(health::tell(verifier.clone(), board.clone(), published, shutdown.clone()));
        let serving = tokio::spawn(Box::pin(bound.serve()));
        Self { grpc, board, alarms, admin, shutdown, serving, telling }
    }

    /// As any other process on this machine.
    pub(crate) fn channel(&self) -> Channel {
        Endpoint::from_shared(format!("http://{}", self.grpc)).unwrap().connect_lazy()
    }

    pub(crate) fn client(&self) -> VerifierServiceClient<Channel> {
        VerifierServiceClient::new(self.channel())
    }

    /// The whole answer of the admin port.
    pub(crate) async fn admin(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(self.admin).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    pub(crate) async fn end(self) {
        self.shutdown.end();
        self.serving.await.unwrap().unwrap();
        self.telling.await.unwrap();
    }
}

/// A client of the Unix socket.
pub(crate) async fn unix_client(path: &Path) -> VerifierServiceClient<Channel> {
    let path = path.to_owned();
    let connect = tower::service_fn(move |_: Uri| {
        let path = path.clone();
        async move { UnixStream::connect(path).await.map(TokioIo::new) }
    });
    let endpoint = Endpoint::from_static("http://verifier");
    VerifierServiceClient::new(endpoint.connect_with_connector(connect).await.unwrap())
}
