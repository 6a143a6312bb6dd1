//! TLS 1.3 on listeners and towards issuers: files, configurations made of them, reloading, handshakes. Says who a
//! certificate names; what that caller may do is decided elsewhere.

mod accept;
mod client;
mod dates;
mod files;
mod identity;
mod reload;
mod server;

pub(super) use accept::{Admission, HandshakeCounts, Purpose, TlsConnections};
pub use client::ClientTls;
pub use files::{TlsError, TlsFile, TlsFiles};
pub use identity::{NoIdentity, is_identity};
pub use reload::Reloading;
pub use server::ServerTls;

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, aws_lc_rs};

/// The one crypto library; its first key exchange is X25519MLKEM768.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// The only protocol above TLS for gRPC.
const H2: &[u8] = b"h2";
