//! Calling another program of ours: where it is, and a channel to it. Speaks nothing over it and tries once.

use std::{error::Error, io, path::PathBuf, str::FromStr, sync::Arc};

use hyper_util::rt::TokioIo;
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::client::TlsStream;
use tonic::transport::{Channel, Endpoint as Target, Uri};
use tower::Service;

use super::tls::ClientTls;

/// Where a program listens: `https://host:port`, `http://host:port` or `unix:/path`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Endpoint {
    /// Over TLS; the other end's certificate names this host.
    Https(Uri),
    /// Over TCP, with nothing proved.
    Http(Uri),
    /// Over a socket of this machine.
    Unix(PathBuf),
}

impl FromStr for Endpoint {
    type Err = InvalidEndpoint;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(path) = text.strip_prefix("unix:") {
            let path = PathBuf::from(path);
            return if path.is_absolute() { Ok(Self::Unix(path)) } else { Err(InvalidEndpoint) };
        }
        let uri: Uri = text.parse().map_err(|_uri| InvalidEndpoint)?;
        if uri.port().is_none() || uri.path() != "/" || uri.query().is_some() {
            return Err(InvalidEndpoint);
        }
        match uri.scheme_str() {
            Some("https") => Ok(Self::Https(uri)),
            Some("http") => Ok(Self::Http(uri)),
            Some(_) | None => Err(InvalidEndpoint),
        }
    }
}

impl std::fmt::Display for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Https(uri) | Self::Http(uri) => write!(f, "{}", uri.to_string().trim_end_matches('/')),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// Not an endpoint.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("must be https://host:port, http://host:port or unix:/absolute/path")]
pub struct InvalidEndpoint;

impl Endpoint {
    /// A channel that connects when it is used, and again whenever it is not connected. `tls` as for [`Self::connect`].
    pub fn lazily(&self, tls: Option<&Arc<ClientTls>>, tune: impl FnOnce(Target) -> Target) -> Channel {
        match self {
            Self::Https(uri) => {
                tune(Target::from(uri.clone())).connect_with_connector_lazy(secured(tls.map(Arc::clone)))
            }
            Self::Http(uri) => tune(Target::from(uri.clone())).connect_lazy(),
            Self::Unix(path) => {
                let local = tune(Target::from_static("http://localhost"));
                local.connect_with_connector_lazy(unix(path.clone()))
            }
        }
    }

    /// Connects, once. `tune` sets waits and windows; `tls` is as whom `https://` is called.
    ///
    /// # Errors
    /// No connection; [`deepest`] says why.
    pub async fn connect(
        &self,
        tls: Option<&Arc<ClientTls>>,
        tune: impl FnOnce(Target) -> Target,
    ) -> Result<Channel, tonic::transport::Error> {
        match self {
            Self::Https(uri) => {
                let target = tune(Target::from(uri.clone()));
                target.connect_with_connector(secured(tls.map(Arc::clone))).await
            }
            Self::Http(uri) => tune(Target::from(uri.clone())).connect().await,
            Self::Unix(path) => {
                let local = tune(Target::from_static("http://localhost"));
                local.connect_with_connector(unix(path.clone())).await
            }
        }
    }
}

fn secured(
    tls: Option<Arc<ClientTls>>,
) -> impl Service<Uri, Response = TokioIo<TlsStream<TcpStream>>, Error = io::Error, Future: Send> + Send + 'static
{
    tower::service_fn(move |uri: Uri| {
        let tls = tls.clone();
        async move {
            let none = || io::Error::other("issuer.ca, certificate and key are not given");
            tls.ok_or_else(none)?.connect(&uri).await.map(TokioIo::new)
        }
    })
}

fn unix(
    path: PathBuf,
) -> impl Service<Uri, Response = TokioIo<UnixStream>, Error = io::Error, Future: Send> + Send + 'static {
    tower::service_fn(move |_uri: Uri| {
        let path = path.clone();
        async move { UnixStream::connect(path).await.map(TokioIo::new) }
    })
}

/// What went wrong at the bottom: the rest of the chain says only that something did.
pub fn deepest(error: &tonic::transport::Error) -> &(dyn Error + 'static) {
    let mut deepest: &(dyn Error + 'static) = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    deepest
}
