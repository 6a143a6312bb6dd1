//! `VerifyToken` and `VerifyTokens` without the generated server between the connection and the verdict
//! (docs/adr/0013). Whatever is not a plain request goes to the generated server, which answers alike.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll, ready},
};

use common::runtime::{aside::panicked, limits::MAX_BATCH};
use http::{HeaderValue, Request, Response, header::CONTENT_TYPE};
use http_body::Body as HttpBody;
use prost::bytes::{Bytes, BytesMut};
use tokio::sync::oneshot;
use tonic::body::Body;
use tower::{Layer, Service};

use super::{
    answer::Answer,
    fairness::{Fairness, Judging},
    wire::{self, Answered, Method, NoAnswer, PREFIX},
};

/// Answers plain requests itself and leaves others to the service within.
#[derive(Clone, Debug)]
pub struct DirectLayer(pub Fairness);

impl<S> Layer<S> for DirectLayer {
    type Service = Direct<S>;

    fn layer(&self, inner: S) -> Direct<S> {
        Direct { inner, fairness: self.0.clone() }
    }
}

/// See [`DirectLayer`].
#[derive(Clone, Debug)]
pub struct Direct<S> {
    inner: S,
    fairness: Fairness,
}

impl<S, B> Service<Request<B>> for Direct<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Unpin,
    S::Future: Unpin,
    B: HttpBody<Data = Bytes, Error: Into<tonic::codegen::StdError>> + Send + Unpin + 'static,
{
    type Response = Response<Answer>;
    type Error = Infallible;
    type Future = Call<S, B>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let method = match request.uri().path() {
            "/ipms.token.v1.VerifierService/VerifyToken" => wire::VERIFY_TOKEN,
            "/ipms.token.v1.VerifierService/VerifyTokens" => wire::VERIFY_TOKENS,
            _ => return Call::Elsewhere(self.inner.call(request.map(Body::new))),
        };
        Call::Here(Some(Box::new(Here {
            method,
            request,
            read: Read::Nothing,
            later: None,
            fairness: self.fairness.clone(),
            inner: self.inner.clone(),
        })))
    }
}

/// An answer being made.
pub enum Call<S: Service<Request<Body>>, B> {
    /// Out of the request itself. In a box: every layer moves it.
    Here(Option<Box<Here<S, B>>>),
    /// By the service within.
    Elsewhere(S::Future),
}

/// A request being read.
pub struct Here<S, B> {
    method: Method,
    request: Request<B>,
    read: Read,
    /// What was put aside.
    later: Option<oneshot::Receiver<Outcome>>,
    fairness: Fairness,
    inner: S,
}

impl<S, B> Future for Call<S, B>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Unpin,
    S::Future: Unpin,
    B: HttpBody<Data = Bytes, Error: Into<tonic::codegen::StdError>> + Send + Unpin + 'static,
{
    type Output = Result<Response<Answer>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            match &mut *self {
                Self::Elsewhere(answer) => {
                    return Pin::new(answer).poll(cx).map_ok(|answer| answer.map(Answer::from));
                }
                Self::Here(here) => {
                    let Some(reading) = here else { return Poll::Pending };
                    let outcome = ready!(reading.poll_outcome(cx));
                    let Some(reading) = here.take() else { return Poll::Pending };
                    match outcome {
                        Ok(answered) => return Poll::Ready(Ok(response(answered.message))),
                        Err(NoAnswer::Status(status)) => {
                            return Poll::Ready(Ok(status.into_http::<Body>().map(Answer::from)));
                        }
                        Err(NoAnswer::Unread) => *self = Self::Elsewhere(reading.pass_on()),
                    }
                }
            }
        }
    }
}

impl<S, B> Here<S, B>
where
    S: Service<Request<Body>>,
    B: HttpBody<Data = Bytes, Error: Into<tonic::codegen::StdError>> + Send + Unpin + 'static,
{
    fn poll_outcome(&mut self, cx: &mut Context<'_>) -> Poll<Outcome> {
        if self.later.is_none() {
            if !ready!(self.poll_read(cx)) || self.request.headers().contains_key("grpc-encoding") {
                return Poll::Ready(Err(NoAnswer::Unread));
            }
            let message = self.read.message().ok_or(NoAnswer::Unread)?;
            let (Method { answer, is_known }, looked_at) = (self.method, message.clone());
            let judging = self.fairness.judge(
                self.request.extensions(),
                move |verifier| is_known(verifier, looked_at),
                move |verifier| {
                    let outcome = answer(verifier, message);
                    let forged = outcome.as_ref().map_or(0, |answered| answered.forged);
                    (outcome, forged)
                },
            )?;
            match judging {
                Judging::Done(outcome) => return Poll::Ready(outcome),
                Judging::Later(outcome) => self.later = Some(outcome),
            }
        }
        let Some(later) = &mut self.later else { return Poll::Pending };
        let outcome = ready!(Pin::new(later).poll(cx));
        Poll::Ready(outcome.unwrap_or_else(|_gone| Err(panicked().into())))
    }

    /// Whether there is a whole request; if not, it is none that is answered here.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        let body = self.request.body_mut();
        while !body.is_end_stream() {
            match ready!(Pin::new(&mut *body).poll_frame(cx)) {
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        self.read.add(data);
                    }
                }
                // What went wrong is told by who reads on.
                Some(Err(_)) => return Poll::Ready(false),
                None => break,
            }
            if self.read.len() > PREFIX + MAX_BATCH {
                return Poll::Ready(false);
            }
        }
        Poll::Ready(true)
    }

    fn pass_on(mut self) -> S::Future {
        let read = Some(self.read.bytes()).filter(|read| !read.is_empty());
        self.inner.call(self.request.map(|rest| Body::new(Replayed { read, rest })))
    }
}

type Outcome = Result<Answered, NoAnswer>;

fn response(message: Bytes) -> Response<Answer> {
    let mut response = Response::new(Answer::of(message));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    response
}

/// What was read of a body.
enum Read {
    Nothing,
    /// As it came: nothing is copied.
    Once(Bytes),
    More(BytesMut),
}

impl Read {
    fn len(&self) -> usize {
        match self {
            Self::Nothing => 0,
            Self::Once(bytes) => bytes.len(),
            Self::More(bytes) => bytes.len(),
        }
    }

    fn add(&mut self, data: Bytes) {
        match self {
            Self::Nothing => *self = Self::Once(data),
            Self::Once(bytes) => {
                let mut all = BytesMut::with_capacity(announced(bytes).max(bytes.len() + data.len()));
                all.extend_from_slice(bytes);
                all.extend_from_slice(&data);
                *self = Self::More(all);
            }
            Self::More(all) => all.extend_from_slice(&data),
        }
    }

    fn bytes(&mut self) -> Bytes {
        let bytes = match std::mem::replace(self, Self::Nothing) {
            Self::Nothing => Bytes::new(),
            Self::Once(bytes) => bytes,
            Self::More(bytes) => bytes.freeze(),
        };
        *self = Self::Once(bytes.clone());
        bytes
    }

    /// The one message, if there is one, not compressed, and nothing else.
    fn message(&mut self) -> Option<Bytes> {
        let bytes = self.bytes();
        let ([0, length @ ..], message) = bytes.split_first_chunk::<PREFIX>()? else { return None };
        (usize::try_from(u32::from_be_bytes(*length)) == Ok(message.len())).then(|| bytes.slice(PREFIX..))
    }
}

/// How long a body is that begins so, if it says the truth; never more than is taken.
fn announced(begin: &[u8]) -> usize {
    let length = begin.split_first_chunk::<PREFIX>().map(|([_, length @ ..], _)| u32::from_be_bytes(*length));
    PREFIX + length.and_then(|length| usize::try_from(length).ok()).unwrap_or_default().min(MAX_BATCH)
}

/// A body of which something was read.
struct Replayed<B> {
    read: Option<Bytes>,
    rest: B,
}

impl<B: HttpBody<Data = Bytes> + Unpin> HttpBody for Replayed<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, B::Error>>> {
        match self.read.take() {
            Some(read) => Poll::Ready(Some(Ok(http_body::Frame::data(read)))),
            None => Pin::new(&mut self.rest).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.read.is_none() && self.rest.is_end_stream()
    }
}

#[cfg(test)]
mod tests;
