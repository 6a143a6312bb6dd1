//! The listening side: whom to let in, and as whom we show ourselves. Accepts nothing.

use std::{sync::Arc, time::Duration};

use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, UnixTime},
    server::{NoServerSessionStorage, WebPkiClientVerifier, danger::ClientCertVerifier},
    sign::SingleCertAndKey,
    version::TLS13,
};

use super::{
    H2,
    files::{Material, TlsError, TlsFiles},
    provider,
    reload::Reloading,
};
use crate::clock::Clock;

/// What listeners use, reloaded from `tls.*`.
pub type ServerTls = Reloading<ServerConfigs>;

/// What is made of the files.
pub struct ServerConfigs {
    /// Client certificates are required.
    pub(super) grpc: Arc<ServerConfig>,
    /// The same, for HTTP/1.1.
    pub(super) http: Arc<ServerConfig>,
    /// HTTP for probes: nobody need prove anything.
    pub(super) admin: Arc<ServerConfig>,
    clients: Arc<dyn ClientCertVerifier>,
}

impl Reloading<ServerConfigs> {
    /// Reads the files.
    ///
    /// # Errors
    /// [`TlsError`].
    pub fn open(files: TlsFiles, clock: Arc<dyn Clock>) -> Result<Self, TlsError> {
        Self::with("server", files, clock, configure)
    }

    /// Whether the same chain would be let in now.
    pub(super) fn still_admits(&self, chain: &[CertificateDer<'_>]) -> bool {
        let now = UnixTime::since_unix_epoch(Duration::from_secs(self.now().seconds()));
        chain.split_first().is_some_and(|(own, intermediates)| {
            self.current().clients.verify_client_cert(own, intermediates, now).is_ok()
        })
    }
}

fn configure(material: &Material) -> Result<ServerConfigs, TlsError> {
    let unusable = |_: rustls::Error| TlsError::NotUsable;
    // Of each certificate in the chain something must be known, and known by now: no list, no entry.
    let mut clients = WebPkiClientVerifier::builder_with_provider(Arc::clone(&material.roots), provider());
    if !material.lists.is_empty() {
        clients = clients.with_crls(material.lists.iter().cloned()).enforce_revocation_expiration();
    }
    let clients = clients.build().map_err(|_unusable| TlsError::NotUsable)?;
    let own = || Arc::new(SingleCertAndKey::from(Arc::clone(&material.own)));
    let builder = || ServerConfig::builder_with_provider(provider()).with_protocol_versions(&[&TLS13]);
    let known = || {
        let known = builder().map_err(unusable)?.with_client_cert_verifier(Arc::clone(&clients));
        Ok::<_, TlsError>(known.with_cert_resolver(own()))
    };
    let (grpc, http) = (known()?, known()?);
    let admin = builder().map_err(unusable)?.with_no_client_auth().with_cert_resolver(own());
    let (grpc, http) = (closed(grpc, H2), closed(http, HTTP_1));
    Ok(ServerConfigs { grpc, http, admin: closed(admin, HTTP_1), clients })
}

/// No resumption: it would let in by a certificate that was good once.
fn closed(mut config: ServerConfig, protocol: &[u8]) -> Arc<ServerConfig> {
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.alpn_protocols = vec![protocol.to_vec()];
    Arc::new(config)
}

const HTTP_1: &[u8] = b"http/1.1";
