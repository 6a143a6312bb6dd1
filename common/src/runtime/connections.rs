//! HTTP/2 on open connections, until the drain or for as long as a connection may be. Every request carries its [`Peer`];
//! knows no service and no listener.

use std::{
    convert::Infallible,
    io,
    pin::pin,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use http::{Request, Response};
use http_body::Body as HttpBody;
use hyper::{body::Incoming, server::conn::http2, service::Service as HyperService};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use prost::bytes::Bytes;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::mpsc,
    time::{sleep, timeout},
};
use tokio_stream::{Stream, StreamExt as _};
use tower::{Service, ServiceExt as _, util::Oneshot};

use super::{
    caller::Peer,
    limits::{
        CONNECTION_AGE, CONNECTION_GRACE, CONNECTION_WINDOW, KEEPALIVE_EVERY, KEEPALIVE_TIMEOUT, MAX_HEADERS,
        MAX_OWN_RESETS, MAX_PENDING_RESETS, MAX_STREAMS, MAX_UNSENT, STREAM_WINDOW,
    },
    listener::Connection,
    shutdown::Shutdown,
};

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
            let service = Tagged { peer: connection.peer(), service: service.clone() };
            let (http2, shutdown, open) = (http2.clone(), shutdown.clone(), open.clone());
            tokio::spawn(async move {
                let mut served = pin!(http2.serve_connection(TokioIo::new(connection), service));
                let ended = tokio::select! {
                    ended = served.as_mut() => ended,
                    () = shutdown.begun() => {
                        served.as_mut().graceful_shutdown();
                        served.await
                    }
                    () = sleep(CONNECTION_AGE + spread(CONNECTION_AGE / 4)) => {
                        served.as_mut().graceful_shutdown();
                        // Streams that are still open are cut.
                        timeout(CONNECTION_GRACE, served).await.unwrap_or(Ok(()))
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
        .initial_stream_window_size(Some(STREAM_WINDOW))
        .initial_connection_window_size(Some(CONNECTION_WINDOW))
        .max_send_buf_size(MAX_UNSENT)
        .max_concurrent_streams(Some(MAX_STREAMS))
        .max_header_list_size(MAX_HEADERS)
        .max_pending_accept_reset_streams(Some(MAX_PENDING_RESETS))
        .max_local_error_reset_streams(Some(MAX_OWN_RESETS));
    builder
}

/// Some part of `span`, for each connection another, evenly.
fn spread(span: Duration) -> Duration {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    // Steps of the golden ratio never crowd.
    let step = NEXT.fetch_add(0x9E37_79B9, Ordering::Relaxed);
    span.mul_f64(f64::from(step) / f64::from(u32::MAX))
}

/// A service and who calls it on this connection.
struct Tagged<S> {
    peer: Peer,
    service: S,
}

impl<S: Answering> HyperService<Request<Incoming>> for Tagged<S> {
    type Response = S::Response;
    type Error = Infallible;
    type Future = Oneshot<S, Request<Incoming>>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        request.extensions_mut().insert(self.peer.clone());
        self.service.clone().oneshot(request)
    }
}
