//! How many calls may be worked on at once. Refuses the rest at once rather than queueing them.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use http::{Request, Response};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::{Code, body::Body};
use tower::{Layer, Service};

use super::{
    methods::{HEALTH, Refusable},
    status,
};

/// One limit for all listeners and connections. A call counts until its response headers: a stream that stays open
/// for days counts only while it is being opened. Health is outside: being busy is not being dead.
#[derive(Clone, Debug)]
pub(super) struct OverloadLayer(Arc<Semaphore>);

impl OverloadLayer {
    pub(super) fn new(most: usize) -> Self {
        Self(Arc::new(Semaphore::new(most)))
    }
}

impl<S> Layer<S> for OverloadLayer {
    type Service = Limited<S>;

    fn layer(&self, inner: S) -> Limited<S> {
        Limited { inner, free: Arc::clone(&self.0) }
    }
}

/// A service behind the limit.
#[derive(Clone, Debug)]
pub(super) struct Limited<S> {
    inner: S,
    free: Arc<Semaphore>,
}

impl<S, B, R> Service<Request<B>> for Limited<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Future: Unpin,
    R: From<Body>,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = Refusable<Counted<S::Future>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        if request.uri().path().starts_with(HEALTH) {
            return Refusable::Passed(Counted { answer: self.inner.call(request), _permit: None });
        }
        match Arc::clone(&self.free).try_acquire_owned() {
            Ok(permit) => {
                Refusable::Passed(Counted { answer: self.inner.call(request), _permit: Some(permit) })
            }
            // The semaphore is never closed: it has no place left.
            Err(_) => Refusable::refused(status::with_reason(
                Code::ResourceExhausted,
                "OVERLOADED",
                "too many calls at once",
            )),
        }
    }
}

/// A call that takes a place.
#[derive(Debug)]
pub(super) struct Counted<F> {
    answer: F,
    _permit: Option<OwnedSemaphorePermit>,
}

impl<F: Future + Unpin> Future for Counted<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        Pin::new(&mut self.answer).poll(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::{convert::Infallible, future};

    use tonic::Status;
    use tonic_types::StatusExt;

    use super::*;

    type Answer = Result<Response<Body>, Infallible>;

    #[tokio::test]
    async fn the_call_above_the_limit_is_refused_until_another_has_answered() {
        let layer = OverloadLayer::new(1);
        let mut busy = layer.layer(tower::service_fn(|_: Request<()>| future::pending::<Answer>()));
        let mut quick = layer.layer(tower::service_fn(|_: Request<()>| {
            future::ready(Answer::Ok(Response::new(Body::empty())))
        }));
        let held = busy.call(Request::new(()));
        let refused = quick.call(Request::new(())).await.unwrap();
        let status = Status::from_header_map(refused.headers()).unwrap();
        assert_eq!(status.code(), Code::ResourceExhausted);
        assert_eq!(status.get_details_error_info().unwrap().reason, "OVERLOADED");
        let probe = Request::builder().uri("/grpc.health.v1.Health/Check").body(()).unwrap();
        assert!(Status::from_header_map(quick.call(probe).await.unwrap().headers()).is_none());
        drop(held);
        let answer = quick.call(Request::new(())).await.unwrap();
        assert!(Status::from_header_map(answer.headers()).is_none());
        // The body is still open and takes no place.
        assert!(Status::from_header_map(quick.call(Request::new(())).await.unwrap().headers()).is_none());
    }
}
