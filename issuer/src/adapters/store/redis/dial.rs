//! One connection to one server: socket, TLS, user. Knows neither which server it should be nor what is asked of it.

use std::{fmt, io, path::PathBuf, sync::Arc};

use common::secret::Secret;
use redis::{
    AsyncConnectionConfig, Cmd, FromRedisValue, Pipeline, RedisConnectionInfo, RedisResult,
    aio::MultiplexedConnection,
};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
    task::JoinHandle,
};
use tokio_rustls::TlsConnector;

use super::{address::Node, refusal::Refusal};

/// The files behind TLS towards Redis. Read at every connect, so that what replaces them is used from the next one on.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct StoreTls {
    /// Whoever these signed is believed to be Redis, under the name or address by which it is called.
    pub ca: PathBuf,
    /// Our own certificate and its private key, if Redis asks for one.
    pub own: Option<(PathBuf, PathBuf)>,
}

/// Why the files are not taken.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum TlsFilesError {
    /// The CA.
    #[error("store.ca cannot be read, or holds no certificate in PEM")]
    Ca,
    /// The certificate.
    #[error("store.certificate cannot be read, or holds no certificate in PEM")]
    Certificate,
    /// The key.
    #[error(
        "store.key cannot be read, is not private (mode 0600), or is no key in PEM that belongs to store.certificate"
    )]
    Key,
}

/// Makes connections.
#[derive(Clone)]
pub(super) struct Dialler {
    pub(super) tls: Option<StoreTls>,
    pub(super) login: RedisConnectionInfo,
}

/// A connection. Cheap to clone; closed with the last of them, whatever is under way.
#[derive(Clone)]
pub(super) struct Connection {
    inner: MultiplexedConnection,
    _driver: Arc<Driver>,
}

struct Driver(JoinHandle<()>);

impl fmt::Debug for Dialler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dialler").field("tls", &self.tls).finish_non_exhaustive()
    }
}

impl Dialler {
    /// Connects, as the user of the settings. Waits as long as it takes: the caller has a deadline.
    pub(super) async fn connect(&self, node: &Node) -> Result<Connection, Refusal> {
        self.connect_as(node, &self.login).await
    }

    /// Connects, as nobody.
    pub(super) async fn connect_unknown(&self, node: &Node) -> Result<Connection, Refusal> {
        self.connect_as(node, &RedisConnectionInfo::default().set_skip_set_lib_name()).await
    }

    /// Connects to a server that has no databases, as the user of the settings.
    pub(super) async fn connect_known(&self, node: &Node) -> Result<Connection, Refusal> {
        self.connect_as(node, &self.login.clone().set_db(0)).await
    }

    async fn connect_as(&self, node: &Node, login: &RedisConnectionInfo) -> Result<Connection, Refusal> {
        let (host, port) = match node {
            Node::Socket(path) => {
                let stream = UnixStream::connect(path).await.map_err(|_gone| Refusal::NoAnswer)?;
                return speak(login, stream).await;
            }
            Node::Tcp { host, port } => (host.as_str(), *port),
        };
        let stream = TcpStream::connect((host, port)).await.map_err(|_gone| Refusal::NoAnswer)?;
        stream.set_nodelay(true).map_err(|_gone| Refusal::NoAnswer)?;
        let Some(files) = &self.tls else { return speak(login, stream).await };
        let config = files.configure().map_err(|_told_at_start| Refusal::NotTrusted)?;
        let name = ServerName::try_from(host.to_owned()).map_err(|_no_name| Refusal::NotTrusted)?;
        let connecting = TlsConnector::from(Arc::new(config)).connect(name, stream);
        let stream = connecting.await.map_err(|error| {
            let certificate = error.kind() == io::ErrorKind::InvalidData;
            if certificate { Refusal::NotTrusted } else { Refusal::NoAnswer }
        })?;
        speak(login, stream).await
    }
}

impl StoreTls {
    /// TLS 1.2 and 1.3: Redis is the one party here that may not speak the latter.
    pub(super) fn configure(&self) -> Result<ClientConfig, TlsFilesError> {
        let mut roots = RootCertStore::empty();
        for root in certificates(&self.ca).ok_or(TlsFilesError::Ca)? {
            roots.add(root).map_err(|_unusable| TlsFilesError::Ca)?;
        }
        let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|_unusable| TlsFilesError::Ca)?
            .with_root_certificates(roots);
        let Some((certificate, key)) = &self.own else { return Ok(config.with_no_client_auth()) };
        let chain = certificates(certificate).ok_or(TlsFilesError::Certificate)?;
        let key = Secret::read(key).map_err(|_not_private| TlsFilesError::Key)?;
        let key = PrivateKeyDer::from_pem_slice(key.expose_secret_bytes())
            .map_err(|_not_pem| TlsFilesError::Key)?;
        config.with_client_auth_cert(chain, key).map_err(|_no_pair| TlsFilesError::Key)
    }
}

fn certificates(path: &PathBuf) -> Option<Vec<CertificateDer<'static>>> {
    let pem = std::fs::read(path).ok()?;
    let found: Vec<_> = CertificateDer::pem_slice_iter(&pem).collect::<Result<_, _>>().ok()?;
    (!found.is_empty()).then_some(found)
}

async fn speak<S>(login: &RedisConnectionInfo, stream: S) -> Result<Connection, Refusal>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let config = AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
    let made = MultiplexedConnection::new_with_config(login, stream, config).await;
    let (inner, driver) = made.map_err(|error| Refusal::from(&error))?;
    Ok(Connection { inner, _driver: Arc::new(Driver(tokio::spawn(driver))) })
}

impl Connection {
    /// Asks. Waits as long as it takes: the caller has a deadline.
    pub(super) async fn ask<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, Refusal> {
        self.try_ask(command).await.map_err(|error| Refusal::from(&error))
    }

    /// As [`Self::ask`], with the server's own words for a failure.
    pub(super) async fn try_ask<T: FromRedisValue>(&self, command: &Cmd) -> RedisResult<T> {
        command.query_async(&mut self.inner.clone()).await
    }

    /// Sends all of it at once.
    pub(super) async fn ask_all<T: FromRedisValue>(&self, pipeline: &Pipeline) -> Result<T, Refusal> {
        pipeline.query_async(&mut self.inner.clone()).await.map_err(|error| Refusal::from(&error))
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Connection")
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}
