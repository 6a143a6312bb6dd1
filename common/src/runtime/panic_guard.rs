//! A panic in a handler ends that call and nothing else. Never shows what the panic said.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    task::{Context, Poll, ready},
};

use http::{HeaderMap, Request, Response};
use http_body::{Body as HttpBody, Frame, SizeHint};
use tonic::Status;
use tower::{Layer, Service};

/// Answers `INTERNAL` where a handler panics, in the call or in the stream of its answers.
#[derive(Clone, Copy, Debug)]
pub(super) struct PanicGuardLayer;

impl<S> Layer<S> for PanicGuardLayer {
    type Service = PanicGuard<S>;

    fn layer(&self, inner: S) -> PanicGuard<S> {
        PanicGuard { inner }
    }
}

/// A service whose panics are caught.
#[derive(Clone, Debug)]
pub(super) struct PanicGuard<S> {
    inner: S,
}

impl<S, R, B> Service<Request<R>> for PanicGuard<S>
where
    S: Service<Request<R>, Response = Response<B>>,
    S::Future: Unpin,
{
    type Response = Response<CaughtBody<B>>;
    type Error = S::Error;
    type Future = Caught<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<R>) -> Self::Future {
        // Whatever the handler left half done is its own: what calls share is behind locks that tell of poison.
        Caught(caught(|| self.inner.call(request)).ok())
    }
}

/// An answer being made; empty when making it panicked.
#[derive(Debug)]
pub(super) struct Caught<F>(Option<F>);

impl<F, B, E> Future for Caught<F>
where
    F: Future<Output = Result<Response<B>, E>> + Unpin,
{
    type Output = Result<Response<CaughtBody<B>>, E>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(answer) = &mut self.0 else {
            return Poll::Ready(Ok(internal_error().into_http()));
        };
        if let Ok(polled) = caught(|| Pin::new(answer).poll(cx)) {
            return polled.map_ok(|answer| answer.map(|body| CaughtBody(Some(body))));
        }
        self.0 = None;
        Poll::Ready(Ok(internal_error().into_http()))
    }
}

/// The body of an answer; empty once it panicked.
#[derive(Debug)]
pub(super) struct CaughtBody<B>(Option<B>);

impl<B> Default for CaughtBody<B> {
    fn default() -> Self {
        Self(None)
    }
}

impl<B: HttpBody + Unpin> HttpBody for CaughtBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let Some(body) = &mut self.0 else { return Poll::Ready(None) };
        if let Ok(polled) = caught(|| Pin::new(body).poll_frame(cx)) {
            return Poll::Ready(ready!(polled));
        }
        self.0 = None;
        let mut trailers = HeaderMap::new();
        // It holds a code and a text of ours: both fit a header.
        let _ = internal_error().add_header(&mut trailers);
        Poll::Ready(Some(Ok(Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.0.as_ref().map_or_else(|| SizeHint::with_exact(0), HttpBody::size_hint)
    }
}

struct Panicked;

fn caught<T>(work: impl FnOnce() -> T) -> Result<T, Panicked> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|said: Box<dyn Any + Send>| {
        // It may quote what the caller sent. Where it happened is told by the panic hook.
        drop(said);
        tracing::error!("a handler panicked; the caller got INTERNAL");
        Panicked
    })
}

fn internal_error() -> Status {
    Status::internal("internal error")
}

#[cfg(test)]
mod tests {
    use std::{convert::Infallible, future};

    use tonic::{Code, body::Body};

    use super::*;

    /// A body that has nothing to send but a panic.
    struct Bomb;

    impl HttpBody for Bomb {
        type Data = &'static [u8];
        type Error = Infallible;

        fn poll_frame(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Self::Data>, Infallible>>> {
            panic!("secret");
        }
    }

    #[tokio::test]
    async fn a_panic_in_the_call_is_an_internal_error() {
        let service = tower::service_fn(|_: Request<()>| {
            Box::pin(async {
                assert!(future::ready(false).await, "secret");
                Ok::<_, Infallible>(Response::new(Body::empty()))
            })
        });
        let answer = PanicGuardLayer.layer(service).call(Request::new(())).await.unwrap();
        let status = Status::from_header_map(answer.headers()).unwrap();
        assert_eq!((status.code(), status.message()), (Code::Internal, "internal error"));
    }

    #[tokio::test]
    async fn a_panic_in_the_stream_ends_it_with_an_internal_error() {
        let service =
            tower::service_fn(|_: Request<()>| future::ready(Ok::<_, Infallible>(Response::new(Bomb))));
        let answer = PanicGuardLayer.layer(service).call(Request::new(())).await.unwrap();
        let mut body = answer.into_body();
        let frame = future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await.unwrap().unwrap();
        let status = Status::from_header_map(frame.trailers_ref().unwrap()).unwrap();
        assert_eq!(status.code(), Code::Internal);
        assert!(body.is_end_stream());
    }
}
