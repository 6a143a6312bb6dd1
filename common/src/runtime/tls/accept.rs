//! Handshakes: many at once, none for long, none in another's way. What becomes of them are connections whose caller is
//! known.

use std::{
    collections::VecDeque,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
};

use rustls::pki_types::CertificateDer;
use tokio::{
    net::TcpStream,
    task::{AbortHandle, JoinSet},
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_stream::{Stream, StreamExt as _};

use super::{H2, identity::identity, server::ServerTls};
use crate::runtime::{
    arrivals::{Arrivals, Place, TcpArrivals},
    caller::{Caller, Callers},
    limits::{HANDSHAKE_WITHIN, MAX_HANDSHAKES},
    listener::Connection,
    metrics_text::MetricsText,
};

/// What the connections are for.
#[derive(Clone, Debug)]
pub(in crate::runtime) enum Purpose {
    /// gRPC: the caller shows a certificate.
    Grpc(Callers),
    /// HTTP/1.1: the caller shows a certificate.
    Http(Callers),
    /// Probes: nobody need show one.
    Admin,
}

/// TLS connections, out of what arrives over TCP.
pub(in crate::runtime) struct TlsConnections<A = TcpArrivals> {
    arrivals: A,
    address: SocketAddr,
    tls: Arc<ServerTls>,
    purpose: Purpose,
    counts: Arc<HandshakeCounts>,
    handshakes: JoinSet<Option<Accepted>>,
    /// From the oldest to the newest; some have ended.
    begun: VecDeque<AbortHandle>,
}

type Accepted = Connection<TlsStream<TcpStream>>;

impl<A> TlsConnections<A> {
    /// `address` is where they arrive.
    pub(in crate::runtime) fn new(
        arrivals: A,
        address: SocketAddr,
        tls: Arc<ServerTls>,
        purpose: Purpose,
        counts: Arc<HandshakeCounts>,
    ) -> Self {
        let (handshakes, begun) = (JoinSet::new(), VecDeque::new());
        Self { arrivals, address, tls, purpose, counts, handshakes, begun }
    }

    fn begin(&mut self, stream: TcpStream, place: Place) {
        while self.handshakes.len() >= MAX_HANDSHAKES
            && let Some(oldest) = self.begun.pop_front()
        {
            if !oldest.is_finished() {
                oldest.abort();
                self.counts.given_up();
                break;
            }
        }
        while self.begun.front().is_some_and(AbortHandle::is_finished) {
            self.begun.pop_front();
        }
        let (tls, purpose) = (Arc::clone(&self.tls), self.purpose.clone());
        let counts = Arc::clone(&self.counts);
        let handshake = async move {
            let shaken = timeout(HANDSHAKE_WITHIN, shake(stream, tls, purpose, place)).await;
            let outcome = shaken.unwrap_or(Err(Failed::Late));
            counts.count(outcome.as_ref().err().copied());
            outcome.ok()
        };
        self.begun.push_back(self.handshakes.spawn(handshake));
    }
}

impl<A: Arrivals<Stream = TcpStream>> Stream for TlsConnections<A> {
    type Item = io::Result<Accepted>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            while let Poll::Ready(Some(ended)) = self.handshakes.poll_join_next(cx) {
                if let Ok(Some(accepted)) = ended {
                    return Poll::Ready(Some(Ok(accepted)));
                }
            }
            let Some((stream, place)) = ready!(self.arrivals.poll_arrival(cx)) else {
                return Poll::Ready(None);
            };
            self.begin(stream, place);
        }
    }
}

impl axum::serve::Listener for TlsConnections {
    type Io = Accepted;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            if let Some(Ok(accepted)) = self.next().await {
                return (accepted, self.address);
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }
}

/// Ends with somebody known, or not at all.
async fn shake(
    stream: TcpStream,
    tls: Arc<ServerTls>,
    purpose: Purpose,
    place: Place,
) -> Result<Accepted, Failed> {
    // Answers are small: waiting for more would only delay them.
    stream.set_nodelay(true).map_err(|_gone| Failed::Tls)?;
    // Before the configuration, so that a reload in between is noticed.
    let generation = tls.generation();
    let configs = tls.current();
    let config = match purpose {
        Purpose::Grpc(_) => &configs.grpc,
        Purpose::Http(_) => &configs.http,
        Purpose::Admin => &configs.admin,
    };
    let stream = TlsAcceptor::from(Arc::clone(config)).accept(stream).await.map_err(|error| {
        tracing::debug!(%error, "a handshake failed");
        Failed::Tls
    })?;
    let session = stream.get_ref().1;
    let http2 = matches!(purpose, Purpose::Grpc(_));
    if http2 && session.alpn_protocol() != Some(H2) {
        return Err(Failed::Tls);
    }
    let (caller, chain) = match purpose {
        Purpose::Admin => (Caller::Nobody, None),
        Purpose::Grpc(callers) | Purpose::Http(callers) => {
            let chain: Vec<_> = session.peer_certificates().unwrap_or_default().to_vec();
            let own = chain.first().ok_or(Failed::Nameless)?;
            let name = identity(own).map_err(|error| {
                tracing::warn!(%error, "a certificate of our CA names no caller");
                Failed::Nameless
            })?;
            (callers.of(&name), Some(chain))
        }
    };
    let admission = Admission { tls, chain, generation };
    Ok(Connection::admitted(stream, caller, admission, place, http2))
}

/// What let a connection in.
#[derive(Debug)]
pub(in crate::runtime) struct Admission {
    tls: Arc<ServerTls>,
    chain: Option<Vec<CertificateDer<'static>>>,
    generation: u64,
}

impl Admission {
    /// Whether it would be let in again. Costs nothing until files are taken, or some time has passed.
    pub(in crate::runtime) fn stands(&mut self) -> bool {
        let generation = self.tls.generation();
        if generation == self.generation {
            return true;
        }
        self.generation = generation;
        self.chain.as_ref().is_none_or(|chain| self.tls.still_admits(chain))
    }
}

#[derive(Clone, Copy, Debug)]
enum Failed {
    Tls,
    Late,
    Nameless,
}

/// How handshakes ended.
#[derive(Debug, Default)]
pub(in crate::runtime) struct HandshakeCounts([AtomicU64; 5]);

impl HandshakeCounts {
    fn count(&self, failed: Option<Failed>) {
        let [completed, refused, late, nameless, _] = &self.0;
        let count = match failed {
            None => completed,
            Some(Failed::Tls) => refused,
            Some(Failed::Late) => late,
            Some(Failed::Nameless) => nameless,
        };
        count.fetch_add(1, Ordering::Relaxed);
    }

    fn given_up(&self) {
        let [.., given_up] = &self.0;
        given_up.fetch_add(1, Ordering::Relaxed);
    }

    pub(in crate::runtime) fn write(&self, text: &mut MetricsText) {
        let outcomes = ["completed", "failed", "too_late", "no_identity", "given_up"];
        for (outcome, count) in outcomes.iter().zip(&self.0) {
            let labels = [("outcome", *outcome)];
            let count = count.load(Ordering::Relaxed);
            text.counter("ipms_tls_handshakes_total", "Handshakes that ended, by outcome.", &labels, count);
        }
    }
}
