//! gRPC calls, from whatever arrives to the last answer, on the threads that the program chose. Knows no service.

use std::{io, net::SocketAddr, sync::Arc};

use tokio::net::{TcpStream, UnixStream};

use super::{
    arrivals::{Arrivals, TcpArrivals},
    caller::{Caller, Callers},
    connections::{self, Answering},
    listener::{Connections, UnixArrivals},
    shutdown::Shutdown,
    threads::{Inbox, Outbox, Thread, Threads, spread, way},
    tls::{HandshakeCounts, Purpose, ServerTls, TlsConnections},
};

/// The files behind TLS, and how handshakes ended.
#[derive(Clone)]
pub(super) struct Tls {
    pub(super) files: Arc<ServerTls>,
    pub(super) handshakes: Arc<HandshakeCounts>,
}

impl Tls {
    pub(super) fn connections<A>(
        &self,
        arrivals: A,
        address: SocketAddr,
        purpose: Purpose,
    ) -> TlsConnections<A> {
        let (files, counts) = (Arc::clone(&self.files), Arc::clone(&self.handshakes));
        TlsConnections::new(arrivals, address, files, purpose, counts)
    }
}

/// How a TCP connection gets its caller.
#[derive(Clone)]
pub(super) enum Admitting {
    /// All are alike.
    Plaintext(Caller),
    /// Each shows a certificate.
    Tls(Tls, SocketAddr, Callers),
}

/// What answers calls, and whom.
#[derive(Clone)]
pub(super) struct Calls<S> {
    pub(super) service: S,
    pub(super) admission: Admitting,
    pub(super) shutdown: Shutdown,
}

impl<S: Answering> Calls<S> {
    /// Serves until the drain is over.
    ///
    /// # Errors
    /// A thread gave up.
    pub(super) async fn serve(
        self,
        threads: Threads,
        tcp: TcpArrivals,
        unix: Option<UnixArrivals>,
    ) -> io::Result<()> {
        let Threads::Own(count) = threads else {
            self.here(tcp, unix).await;
            return Ok(());
        };
        let (mut outboxes, mut serving) = (Vec::new(), Vec::new());
        for number in 0..count.get() {
            let (outbox, Inbox { tcp, unix }) = way();
            let calls = self.clone();
            outboxes.push(outbox);
            serving.push(Thread::start(number, move || calls.here(tcp, Some(unix)))?);
        }
        let spreading = async {
            let unix = async {
                if let Some(unix) = unix {
                    spread(unix, &outboxes, Outbox::unix, &self.shutdown).await;
                }
            };
            tokio::join!(spread(tcp, &outboxes, Outbox::tcp, &self.shutdown), unix);
            Ok::<_, io::Error>(())
        };
        let done = async {
            for thread in serving {
                thread.done().await?;
            }
            Ok(())
        };
        tokio::try_join!(spreading, done)?;
        Ok(())
    }

    /// On the threads of this runtime.
    async fn here(
        self,
        tcp: impl Arrivals<Stream = TcpStream>,
        unix: Option<impl Arrivals<Stream = UnixStream>>,
    ) {
        let Self { service, admission, shutdown } = self;
        let (over_tcp, over_unix) = (service.clone(), service);
        let tcp = async {
            let (service, shutdown) = (over_tcp, shutdown.clone());
            match admission {
                Admitting::Plaintext(caller) => {
                    connections::serve(Connections::new(tcp, caller), service, shutdown).await;
                }
                Admitting::Tls(tls, address, callers) => {
                    let incoming = tls.connections(tcp, address, Purpose::Grpc(callers));
                    connections::serve(incoming, service, shutdown).await;
                }
            }
        };
        let unix = async {
            if let Some(unix) = unix {
                let incoming = Connections::new(unix, Caller::UnixSocket);
                connections::serve(incoming, over_unix, shutdown.clone()).await;
            }
        };
        tokio::join!(tcp, unix);
    }
}
