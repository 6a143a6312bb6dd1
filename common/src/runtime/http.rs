//! HTTP/1.1 that components ask, beside gRPC: listeners, who calls, and whether they may. What is answered is the program's
//! matter.

use std::{
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use axum::{
    Router,
    extract::{ConnectInfo, MatchedPath, Request, State, connect_info::Connected},
    http::{Method, StatusCode},
    middleware::{self, Next},
    response::{IntoResponse as _, Response},
    serve::{IncomingStream, Listener},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
};
use tokio_stream::StreamExt as _;

use super::{
    arrivals::{Arrivals, Portable as _, TcpArrivals},
    caller::{Caller, Peer},
    calls::Admitting,
    listener::{BindError, Connection, UnixArrivals, bind_tcp},
    methods::Role,
    otlp::Spans,
    shutdown::Shutdown,
    tls::{Purpose, TlsConnections},
};

/// Where it is, and what it answers.
#[derive(Clone, Debug)]
pub struct Http {
    /// Where to listen.
    pub listen: HttpAddress,
    /// What to answer. The extensions of every request tell its [`Caller`] and what its connection has failed; a caller without
    /// the role `component` gets 403.
    pub routes: Router,
}

/// Where HTTP is served.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum HttpAddress {
    /// With TLS, if the program has it.
    Tcp(SocketAddr),
    /// Who can open it is a component.
    Unix(PathBuf),
}

/// Callers wait in line.
pub(super) enum BoundHttp {
    Tcp(TcpListener),
    Unix(UnixArrivals),
}

impl HttpAddress {
    pub(super) async fn bind(&self, places: usize) -> Result<BoundHttp, BindError> {
        match self {
            Self::Tcp(address) => bind_tcp(*address).await.map(BoundHttp::Tcp),
            Self::Unix(path) => UnixArrivals::bind(path, places).await.map(BoundHttp::Unix),
        }
    }
}

impl BoundHttp {
    pub(super) fn address(&self) -> io::Result<HttpAddress> {
        match self {
            Self::Tcp(listener) => listener.local_addr().map(HttpAddress::Tcp),
            Self::Unix(arrivals) => Ok(HttpAddress::Unix(Path::to_owned(arrivals.path()))),
        }
    }

    /// Serves until the drain begins and the last answer is given.
    pub(super) async fn serve(
        self,
        routes: Router,
        admitting: &Admitting,
        places: usize,
        spans: Option<Spans>,
        shutdown: Shutdown,
    ) -> io::Result<()> {
        let routes = routes.layer(middleware::from_fn_with_state(spans, record));
        match self {
            Self::Unix(arrivals) => serve(Alike(arrivals, Caller::UnixSocket), routes, shutdown).await,
            Self::Tcp(listener) => {
                let address = listener.local_addr()?;
                let arrivals = TcpArrivals::new(listener, places);
                match admitting {
                    Admitting::Plaintext(caller) => {
                        serve(Alike(arrivals, caller.clone()), routes, shutdown).await
                    }
                    Admitting::Tls(tls, _, callers) => {
                        let purpose = Purpose::Http(callers.clone());
                        serve(Shown(tls.connections(arrivals, address, purpose)), routes, shutdown).await
                    }
                }
            }
        }
    }
}

async fn serve<L>(listener: L, routes: Router, shutdown: Shutdown) -> io::Result<()>
where
    L: Listener<Addr = Caller>,
    Calling: for<'a> Connected<IncomingStream<'a, L>>,
{
    let service = routes.layer(middleware::from_fn(admit)).into_make_service_with_connect_info::<Calling>();
    let drain = async move { shutdown.begun().await };
    axum::serve(listener, service).with_graceful_shutdown(drain).await
}

/// Whose connection it is, and what its requests share.
#[derive(Clone)]
struct Calling(Peer);

impl<A: Arrivals<Stream: AsyncRead + AsyncWrite>> Connected<IncomingStream<'_, Alike<A>>> for Calling {
    fn connect_info(stream: IncomingStream<'_, Alike<A>>) -> Self {
        Self(stream.io().peer())
    }
}

impl Connected<IncomingStream<'_, Shown>> for Calling {
    fn connect_info(stream: IncomingStream<'_, Shown>) -> Self {
        Self(stream.io().peer())
    }
}

async fn admit(
    ConnectInfo(Calling(peer)): ConnectInfo<Calling>,
    mut request: Request,
    next: Next,
) -> Response {
    if !peer.caller.holds(Role::Component) {
        tracing::warn!(actor = peer.caller.actor(), "a caller of HTTP is no component");
        return StatusCode::FORBIDDEN.into_response();
    }
    request.extensions_mut().insert(peer);
    next.run(request).await
}

async fn record(State(spans): State<Option<Spans>>, request: Request, next: Next) -> Response {
    let Some(begun) = spans.and_then(|spans| spans.begun(request.headers())) else {
        return next.run(request).await;
    };
    let route = request.extensions().get::<MatchedPath>().map(|route| route.as_str().to_owned());
    // What a caller made up is not told.
    let method = match *request.method() {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        _ => "_OTHER",
    };
    let response = next.run(request).await;
    begun.http(method, route.unwrap_or_default(), response.status().as_u16());
    response
}

/// Connections whose callers are all alike.
struct Alike<A>(A, Caller);

impl<A: Arrivals<Stream: AsyncRead + AsyncWrite>> Listener for Alike<A> {
    type Io = Connection<A::Stream>;
    type Addr = Caller;

    async fn accept(&mut self) -> (Self::Io, Caller) {
        loop {
            if let Some((stream, place)) = std::future::poll_fn(|cx| self.0.poll_arrival(cx)).await
                && stream.prepare().is_ok()
            {
                let caller = self.1.clone();
                return (Connection::http(stream, caller.clone(), place), caller);
            }
        }
    }

    fn local_addr(&self) -> io::Result<Caller> {
        Ok(self.1.clone())
    }
}

/// Connections whose callers have shown certificates.
struct Shown(TlsConnections);

impl Listener for Shown {
    type Io = <TlsConnections as Listener>::Io;
    type Addr = Caller;

    async fn accept(&mut self) -> (Self::Io, Caller) {
        loop {
            if let Some(Ok(accepted)) = self.0.next().await {
                let caller = accepted.peer().caller;
                return (accepted, caller);
            }
        }
    }

    fn local_addr(&self) -> io::Result<Caller> {
        Ok(Caller::Nobody)
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use axum::routing::any;
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpStream,
    };

    use super::*;
    use crate::{clock::BootInstant, runtime::failures::Failures};

    /// Fails a thousand times, and says whether the connection had failed too much before.
    async fn failing(request: Request) -> String {
        let (failures, now) = (Failures::of(request.extensions()).unwrap(), BootInstant::from_duration(HOUR));
        let before = failures.too_many(now);
        failures.note(NonZeroU32::new(1_000).unwrap(), now);
        format!("{} {before}", Caller::of(request.extensions()).actor())
    }

    const HOUR: std::time::Duration = std::time::Duration::from_hours(1);

    async fn ask(stream: &mut TcpStream) -> String {
        stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"true") && !answer.ends_with(b"false") {
            assert!(stream.read_buf(&mut answer).await.unwrap() > 0, "closed");
        }
        String::from_utf8(answer).unwrap().rsplit("\r\n").next().unwrap().to_owned()
    }

    #[tokio::test]
    async fn what_a_connection_failed_is_known_at_its_next_request_and_at_no_others() {
        let bound = HttpAddress::Tcp(([127, 0, 0, 1], 0).into()).bind(8).await.unwrap();
        let HttpAddress::Tcp(address) = bound.address().unwrap() else { panic!() };
        let shutdown = Shutdown::manual();
        let stop = shutdown.clone();
        let serving = tokio::spawn(async move {
            let admitting = Admitting::Plaintext(Caller::Loopback);
            bound.serve(Router::new().route("/", any(failing)), &admitting, 8, None, stop).await
        });
        let mut one = TcpStream::connect(address).await.unwrap();
        let mut other = TcpStream::connect(address).await.unwrap();
        assert_eq!(ask(&mut one).await, "loopback false");
        assert_eq!(ask(&mut one).await, "loopback true");
        assert_eq!(ask(&mut other).await, "loopback false");
        drop((one, other));
        shutdown.begin();
        serving.await.unwrap().unwrap();
    }
}
