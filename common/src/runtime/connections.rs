//! HTTP/2 on open connections, until the drain. Every request carries its [`Caller`]; knows no service and no listener.

use std::{convert::Infallible, io, pin::pin, time::Duration};

use http::{Request, Response};
use http_body::Body as HttpBody;
use hyper::{body::Incoming, server::conn::http2, service::Service as HyperService};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use prost::bytes::Bytes;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::mpsc,
};
use tokio_stream::{Stream, StreamExt as _};
use tower::{Service, ServiceExt as _, util::Oneshot};

use super::{caller::Caller, listener::Connection, shutdown::Shutdown};

/// What answers requests on connections.
pub(super) trait Answering:
    Service<Request<Incoming>, Response = Response<Self::Body>, Error = Infallible, Future: Send>
    + Clone
    + Send
    + 'static
{
    /// Of its answers.
    type Body: HttpBody<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + 'static;
}

impl<S, B> Answering for S
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible, Future: Send>
        + Clone
        + Send
        + 'static,
    B: HttpBody<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + 'static,
{
    type Body = B;
}

/// Serves what comes until the drain begins; then takes no more, and returns when the last connection has ended.
pub(super) async fn serve<S, IO>(
    incoming: impl Stream<Item = io::Result<Connection<IO>>>,
    service: S,
    shutdown: Shutdown,
) where
    S: Answering,
    IO: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (open, mut closed) = mpsc::channel::<Infallible>(1);
    let http2 = http2();
    {
        // Dropped with the listener in it when the drain begins, so that nobody waits in line in vain.
        let mut incoming = pin!(incoming);
        let mut begun = pin!(shutdown.begun());
        loop {
            let connection = tokio::select! {
                () = &mut begun => break,
                next = incoming.next() => match next {
                    Some(Ok(connection)) => connection,
                    Some(Err(error)) => {
                        tracing::debug!(%error, "a connection was gone before it was served");
                        continue;
                    }
                    None => break,
                },
            };
            let service = Tagged { caller: connection.caller(), service: service.clone() };
            let (http2, shutdown, open) = (http2.clone(), shutdown.clone(), open.clone());
            tokio::spawn(async move {
                let mut served = pin!(http2.serve_connection(TokioIo::new(connection), service));
                let ended = tokio::select! {
                    ended = served.as_mut() => ended,
                    () = shutdown.begun() => {
                        served.as_mut().graceful_shutdown();
                        served.await
                    }
                };
                if let Err(error) = ended {
                    tracing::debug!(%error, "a connection ended");
                }
                drop(open);
            });
        }
    }
    drop(open);
    // Nothing is ever sent: this waits for the last sender.
    while closed.recv().await.is_some() {}
}

fn http2() -> http2::Builder<TokioExecutor> {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .keep_alive_interval(Some(KEEPALIVE_EVERY))
        .keep_alive_timeout(KEEPALIVE_TIMEOUT)
        .max_concurrent_streams(Some(MAX_STREAMS))
        .max_header_list_size(MAX_HEADERS)
        .max_pending_accept_reset_streams(Some(MAX_PENDING_RESETS));
    builder
}

/// A service and who calls it on this connection.
struct Tagged<S> {
    caller: Caller,
    service: S,
}

impl<S: Answering> HyperService<Request<Incoming>> for Tagged<S> {
    type Response = S::Response;
    type Error = Infallible;
    type Future = Oneshot<S, Request<Incoming>>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        request.extensions_mut().insert(self.caller.clone());
        self.service.clone().oneshot(request)
    }
}

const MAX_STREAMS: u32 = 1_024;
const MAX_HEADERS: u32 = 16 * 1024;
/// Streams that the peer reset before we answered (CVE-2023-44487).
const MAX_PENDING_RESETS: usize = 20;
const KEEPALIVE_EVERY: Duration = Duration::from_secs(30);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);
