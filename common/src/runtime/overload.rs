//! How many calls may be worked on at once, and how long a request may take to arrive. Refuses rather than queues.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
};

use http::{Request, Response};
use http_body::{Body as HttpBody, Frame, SizeHint};
use prost::bytes::Buf as _;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Sleep, sleep},
};
use tonic::{Code, Status, body::Body, codegen::StdError};
use tower::{Layer, Service};

use super::{
    caller::Peer,
    limits::{CALLS_SHARE, MAX_ARRIVING, RECEIVE_WITHIN, SHORT},
    methods::{HEALTH, Refusable},
    status,
};

/// One limit for all listeners and connections. A call counts until its response headers: a stream that stays open
/// for days counts only while it is being opened. Health is outside: being busy is not being dead.
#[derive(Clone, Debug)]
pub(super) struct OverloadLayer {
    free: Arc<Semaphore>,
    /// Bytes of requests that are not whole.
    arriving: Arc<AtomicUsize>,
}

impl OverloadLayer {
    pub(super) fn new(most: usize) -> Self {
        Self { free: Arc::new(Semaphore::new(most)), arriving: Arc::default() }
    }

    fn counted<S, B>(&self, inner: &mut S, request: Request<B>, place: Option<Place>) -> Counted<S::Future>
    where
        S: Service<Request<Received<B>>>,
        B: HttpBody,
    {
        let whole = request.body().is_end_stream();
        let arrived = Arc::new(AtomicBool::new(whole));
        let (told, all) = (Arc::clone(&arrived), Arc::clone(&self.arriving));
        let request = request.map(|body| Received { body, arrived: told, all, held: 0, refused: false });
        let arriving = (!whole).then_some(Arriving { arrived, until: None });
        Counted { answer: inner.call(request), arriving, _place: place }
    }

    /// A place for one more call of this connection.
    fn place(&self, peer: Option<&Peer>) -> Option<Place> {
        let share = self.free.available_permits() / CALLS_SHARE;
        let of_peer = peer.map(|peer| Arc::clone(&peer.calls));
        if of_peer.as_ref().is_some_and(|calls| calls.load(Ordering::Relaxed) > share) {
            return None;
        }
        // The semaphore is never closed: it has no place left.
        let permit = Arc::clone(&self.free).try_acquire_owned().ok()?;
        if let Some(calls) = &of_peer {
            calls.fetch_add(1, Ordering::Relaxed);
        }
        Some(Place { of_peer, _permit: permit })
    }
}

impl<S> Layer<S> for OverloadLayer {
    type Service = Limited<S>;

    fn layer(&self, inner: S) -> Limited<S> {
        Limited { inner, layer: self.clone() }
    }
}

/// A service behind the limit.
#[derive(Clone, Debug)]
pub(super) struct Limited<S> {
    inner: S,
    layer: OverloadLayer,
}

impl<S, B, R> Service<Request<B>> for Limited<S>
where
    S: Service<Request<Received<B>>, Response = Response<R>>,
    S::Future: Unpin,
    B: HttpBody,
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
            return Refusable::Passed(self.layer.counted(&mut self.inner, request, None));
        }
        match self.layer.place(request.extensions().get()) {
            Some(place) => Refusable::Passed(self.layer.counted(&mut self.inner, request, Some(place))),
            None => Refusable::refused(status::with_reason(
                Code::ResourceExhausted,
                "OVERLOADED",
                "too many calls at once",
            )),
        }
    }
}

/// What a call takes until it is answered.
#[derive(Debug)]
struct Place {
    of_peer: Option<Arc<AtomicUsize>>,
    _permit: OwnedSemaphorePermit,
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(calls) = &self.of_peer {
            calls.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// A call that takes a place, and whose request must arrive in time: whoever sends it byte by byte holds a place.
#[derive(Debug)]
pub(super) struct Counted<F> {
    answer: F,
    arriving: Option<Arriving>,
    _place: Option<Place>,
}

impl<F, R, E> Future for Counted<F>
where
    F: Future<Output = Result<Response<R>, E>> + Unpin,
    R: From<Body>,
{
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        if let Poll::Ready(answer) = Pin::new(&mut self.answer).poll(cx) {
            if let Some(arriving) = &self.arriving {
                arriving.arrived.store(true, Ordering::Relaxed);
            }
            return Poll::Ready(answer);
        }
        if let Some(arriving) = &mut self.arriving {
            if arriving.arrived.load(Ordering::Relaxed) {
                // How long an answer takes is the method's matter, and the caller's.
                self.arriving = None;
            } else if arriving.poll(cx).is_ready() {
                let late = status::with_reason(
                    Code::DeadlineExceeded,
                    "REQUEST_TOO_SLOW",
                    "the request did not arrive in time",
                );
                return Poll::Ready(Ok(late.into_http::<Body>().map(R::from)));
            }
        }
        Poll::Pending
    }
}

/// The wait for the rest of a request.
#[derive(Debug)]
struct Arriving {
    arrived: Arc<AtomicBool>,
    until: Option<Pin<Box<Sleep>>>,
}

impl Arriving {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.until.get_or_insert_with(|| Box::pin(sleep(RECEIVE_WITHIN))).as_mut().poll(cx)
    }
}

/// The body of a request, which tells when it is all there, and is held to what all of them may take together.
#[derive(Debug)]
pub struct Received<B> {
    body: B,
    arrived: Arc<AtomicBool>,
    all: Arc<AtomicUsize>,
    held: usize,
    refused: bool,
}

impl<B> Received<B> {
    /// Whether there is room for so many more bytes.
    fn hold(&mut self, bytes: usize) -> bool {
        self.held += bytes;
        let all = self.all.fetch_add(bytes, Ordering::Relaxed) + bytes;
        all <= MAX_ARRIVING || self.held <= SHORT
    }

    /// What comes in after the method began to answer is a stream of messages, bound by its window.
    fn let_go(&mut self) {
        self.all.fetch_sub(std::mem::take(&mut self.held), Ordering::Relaxed);
    }
}

impl<B> Drop for Received<B> {
    fn drop(&mut self) {
        self.let_go();
    }
}

impl<B> HttpBody for Received<B>
where
    B: HttpBody<Error: Into<StdError>> + Unpin,
{
    type Data = B::Data;
    type Error = StdError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, StdError>>> {
        if self.refused {
            return Poll::Ready(Some(Err(too_much().into())));
        }
        let polled = ready!(Pin::new(&mut self.body).poll_frame(cx));
        if self.arrived.load(Ordering::Relaxed) {
            self.let_go();
        } else if let Some(Ok(frame)) = &polled
            && let Some(data) = frame.data_ref()
            && !self.hold(data.remaining())
        {
            self.refused = true;
            return Poll::Ready(Some(Err(too_much().into())));
        }
        if self.body.is_end_stream() || matches!(polled, None | Some(Err(_))) {
            self.arrived.store(true, Ordering::Relaxed);
        }
        Poll::Ready(polled.map(|frame| frame.map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

fn too_much() -> Status {
    status::with_reason(Code::ResourceExhausted, "OVERLOADED", "too many long requests at once")
}

#[cfg(test)]
mod tests {
    use std::{convert::Infallible, future};

    use tonic_types::StatusExt;

    use super::*;
    use crate::runtime::caller::Caller;

    type Answer = Result<Response<Body>, Infallible>;

    #[tokio::test]
    async fn the_call_above_the_limit_is_refused_until_another_has_answered() {
        let layer = OverloadLayer::new(1);
        let mut busy =
            layer.layer(tower::service_fn(|_: Request<Received<Body>>| future::pending::<Answer>()));
        let mut quick = layer.layer(tower::service_fn(|_: Request<Received<Body>>| {
            future::ready(Answer::Ok(Response::new(Body::empty())))
        }));
        let held = busy.call(Request::new(Body::empty()));
        let refused = quick.call(Request::new(Body::empty())).await.unwrap();
        let status = Status::from_header_map(refused.headers()).unwrap();
        assert_eq!(status.code(), Code::ResourceExhausted);
        assert_eq!(status.get_details_error_info().unwrap().reason, "OVERLOADED");
        let probe = Request::builder().uri("/grpc.health.v1.Health/Check").body(Body::empty()).unwrap();
        assert!(Status::from_header_map(quick.call(probe).await.unwrap().headers()).is_none());
        drop(held);
        let answer = quick.call(Request::new(Body::empty())).await.unwrap();
        assert!(Status::from_header_map(answer.headers()).is_none());
        // The body is still open and takes no place.
        assert!(
            Status::from_header_map(quick.call(Request::new(Body::empty())).await.unwrap().headers())
                .is_none()
        );
    }

    #[tokio::test]
    async fn a_connection_takes_a_part_of_the_places_that_are_free_and_no_more() {
        let layer = OverloadLayer::new(10 * CALLS_SHARE);
        let peer = || Peer { caller: Caller::Nobody, calls: Arc::default(), failures: Arc::default() };
        let (greedy, other) = (peer(), peer());
        let taken: Vec<_> = std::iter::from_fn(|| layer.place(Some(&greedy))).collect();
        assert!((8..=11).contains(&taken.len()), "{}", taken.len());
        let first = layer.place(Some(&other)).unwrap();
        assert!(layer.place(Some(&greedy)).is_none());
        drop((taken, first));
        assert_eq!(greedy.calls.load(Ordering::Relaxed), 0);
        assert!(layer.place(Some(&greedy)).is_some());
    }
}
