//! A TLS server without a service, whose gate answers all the same, and clients for it. No claim lives here.
#![expect(clippy::unwrap_used, reason = "a rig that cannot be built must fail its test")]

use std::sync::Arc;

use common::{
    clock::SystemClock,
    runtime::{
        admin::Admin,
        health::Health,
        listener::BindError,
        methods::{Method, Methods, Rate, Role},
        rpc_log::RpcCounts,
        server::{Bound, Server},
        service_settings::{Defaults, ServiceSettings},
        settings_file::SettingsFile,
        shutdown::Shutdown,
        threads::Threads,
        tls::{ClientTls, ServerTls, TlsFiles},
    },
};
use hyper_util::rt::TokioIo;
use tempfile::TempDir;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    task::JoinHandle,
};
use tonic::{
    Code, Request, Status,
    service::Routes,
    transport::{Channel, Endpoint, Uri},
};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

use crate::pki::{Authority, Proof, write};

pub(crate) const PORTAL: &str = "spiffe://ipms.test/portal";
pub(crate) const HOST: &str = "localhost";
/// Asks for the Portal's role.
pub(crate) const ISSUE: &str = "/ipms.token.v1.IssuerService/IssueToken";
const OTHER: &str = "/ipms.token.v1.VerifierService/VerifyToken";

/// Three at once, and one more each second.
const RATE: Rate = Rate { per_second: 1, burst: 3 };
static TABLE: Methods = Methods(&[
    Method { path: ISSUE, role: Role::Portal, rate: RATE },
    Method { path: OTHER, role: Role::Component, rate: RATE },
]);

pub(crate) struct World {
    pub(crate) ca: Authority,
    pub(crate) folder: TempDir,
    pub(crate) files: TlsFiles,
}

pub(crate) struct Running {
    pub(crate) tls: Arc<ServerTls>,
    pub(crate) target: Uri,
    pub(crate) admin: std::net::SocketAddr,
    shutdown: Shutdown,
    serving: JoinHandle<()>,
}

impl World {
    pub(crate) fn new() -> Self {
        let ca = Authority::new("A");
        let folder = tempfile::tempdir().unwrap();
        let files = Self::put(&folder, "server", &ca.issue(&[HOST], 1, 2090), &ca, &[]);
        Self { ca, folder, files }
    }

    fn put(folder: &TempDir, who: &str, proof: &Proof, ca: &Authority, withdrawn: &[u64]) -> TlsFiles {
        write(folder.path(), who, proof, &ca.pem, Some(&ca.withdraw(1, withdrawn)))
    }

    pub(crate) async fn bind(&self) -> Result<(Bound, Shutdown), BindError> {
        let TlsFiles { certificate, key, ca, crl } = &self.files;
        let text = format!(
            "grpc.listen = '127.0.0.1:0'\nadmin.listen = '127.0.0.1:0'\ntls.certificate = '{}'\ntls.key = '{}'\n\
             tls.client_ca = '{}'\ntls.crl = '{}'\n[callers.'{PORTAL}']\nroles = ['portal']\n",
            certificate.display(),
            key.display(),
            ca.display(),
            crl.as_ref().unwrap().display(),
        );
        let mut file = SettingsFile::new(text.parse().unwrap(), [], "ISSUER_");
        let settings = ServiceSettings::read(&mut file, Defaults::ISSUER);
        file.finish().unwrap();
        let shutdown = Shutdown::manual();
        let server = Server {
            program: "test",
            grpc: Routes::default(),
            layer: tower::layer::util::Identity::new(),
            threads: Threads::per_processor(),
            methods: &TABLE,
            settings,
            health: Health::new(&[]),
            admin: Admin::new(|| Ok(()), |_| {}),
            http: None,
            shutdown: shutdown.clone(),
            counts: Arc::new(RpcCounts::new(&TABLE)),
            clock: Arc::new(SystemClock),
        };
        Ok((server.bind().await?, shutdown))
    }

    pub(crate) async fn serve(&self) -> Running {
        let (bound, shutdown) = self.bind().await.unwrap();
        let tls = Arc::clone(bound.tls().unwrap());
        let target = format!("https://{HOST}:{}", bound.grpc_address().unwrap().port());
        let admin = bound.admin_address().unwrap();
        let serving = tokio::spawn(async move { Box::pin(bound.serve()).await.unwrap() });
        Running { tls, target: target.parse().unwrap(), admin, shutdown, serving }
    }

    /// A client that shows `proof` and believes our authority.
    pub(crate) fn client(&self, who: &str, proof: &Proof) -> Arc<ClientTls> {
        let files = write(self.folder.path(), who, proof, &self.ca.pem, None);
        Arc::new(ClientTls::open(files, Arc::new(SystemClock)).unwrap())
    }

    pub(crate) fn named(&self, name: &str) -> Arc<ClientTls> {
        self.client("client", &self.ca.issue(&[name], 2, 2090))
    }
}

impl Running {
    pub(crate) async fn end(self) {
        self.shutdown.end();
        self.serving.await.unwrap();
    }

    pub(crate) fn channel(&self, tls: &Arc<ClientTls>) -> Channel {
        let tls = Arc::clone(tls);
        let connect = tower::service_fn(move |target: Uri| {
            let tls = Arc::clone(&tls);
            async move { tls.connect(&target).await.map(TokioIo::new) }
        });
        Endpoint::from(self.target.clone()).connect_with_connector_lazy(connect)
    }

    /// Whether the server speaks to this client.
    pub(crate) async fn admits(&self, tls: &ClientTls) -> bool {
        match tls.connect(&self.target).await {
            Ok(stream) => answers(stream).await,
            Err(_refused) => false,
        }
    }

    /// Takes what the files hold now.
    pub(crate) fn look_twice(&self) {
        self.tls.look();
        self.tls.look();
    }
}

/// Whether anything comes back when HTTP/2 begins.
pub(crate) async fn answers(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> bool {
    let begin = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    stream.write_all(begin).await.is_ok() && matches!(stream.read(&mut [0; 1]).await, Ok(1))
}

pub(crate) async fn health(channel: Channel) -> Result<(), Status> {
    let asked = HealthCheckRequest { service: String::new() };
    HealthClient::new(channel).check(asked).await.map(drop)
}

/// What the gate says; behind it there is no service, so who gets through is told just that.
pub(crate) async fn ask(channel: &Channel, path: &'static str) -> Status {
    let mut client = tonic::client::Grpc::new(channel.clone());
    if let Err(error) = client.ready().await {
        return Status::new(Code::Unavailable, error.to_string());
    }
    let codec = tonic_prost::ProstCodec::<(), ()>::default();
    client.unary(Request::new(()), path.parse().unwrap(), codec).await.unwrap_err()
}
