//! The calling side: a connection whose other end proved its name, and to which we prove ours. Speaks nothing over it.

use std::{io, sync::Arc};

use http::Uri;
use rustls::{
    ClientConfig, client::Resumption, pki_types::ServerName, sign::SingleCertAndKey, version::TLS13,
};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::{
    H2,
    files::{Material, TlsError, TlsFiles},
    provider,
    reload::Reloading,
};
use crate::clock::Clock;

/// What connections use, reloaded.
pub type ClientTls = Reloading<ClientConfig>;

impl Reloading<ClientConfig> {
    /// Reads the files; revocation lists are not looked at on this side.
    ///
    /// # Errors
    /// [`TlsError`].
    pub fn open(files: TlsFiles, clock: Arc<dyn Clock>) -> Result<Self, TlsError> {
        Self::with("client", files, clock, configure)
    }

    /// Connects to the host and port of `target`, whose certificate must name that host.
    ///
    /// # Errors
    /// No connection, or the other end is not who it should be, or does not let us in.
    pub async fn connect(&self, target: &Uri) -> io::Result<TlsStream<TcpStream>> {
        let nowhere = || io::Error::new(io::ErrorKind::InvalidInput, "no host and port to connect to");
        let (host, port) = target.host().zip(target.port_u16()).ok_or_else(nowhere)?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let name = ServerName::try_from(host.to_owned()).map_err(|_no_name| nowhere())?;
        let connector = TlsConnector::from(self.current());
        let stream = TcpStream::connect((host, port)).await?;
        stream.set_nodelay(true)?;
        let stream = connector.connect(name, stream).await?;
        if stream.get_ref().1.alpn_protocol() == Some(H2) {
            Ok(stream)
        } else {
            Err(io::Error::new(io::ErrorKind::Unsupported, "the other end does not speak HTTP/2"))
        }
    }
}

fn configure(material: &Material) -> Result<ClientConfig, TlsError> {
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .map_err(|_unusable| TlsError::NotUsable)?
        .with_root_certificates(Arc::clone(&material.roots))
        .with_client_cert_resolver(Arc::new(SingleCertAndKey::from(Arc::clone(&material.own))));
    config.resumption = Resumption::disabled();
    config.alpn_protocols = vec![H2.to_vec()];
    Ok(config)
}
