//! One debug line, one count and, if its trace is recorded, one span per call: method, caller, code, milliseconds. Never metadata, never a payload.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
};

use http::{HeaderMap, Request, Response};
use http_body::{Body as HttpBody, Frame, SizeHint};
use tonic::Code;
use tower::{Layer, Service};

use super::{
    caller::Caller,
    methods::{Found, Methods},
    metrics_text::MetricsText,
    otlp::{Begun, Spans},
};
use crate::clock::{BootInstant, Clock};

/// In the order of their numbers.
const CODES: [(Code, &str); 17] = [
    (Code::Ok, "OK"),
    (Code::Cancelled, "CANCELLED"),
    (Code::Unknown, "UNKNOWN"),
    (Code::InvalidArgument, "INVALID_ARGUMENT"),
    (Code::DeadlineExceeded, "DEADLINE_EXCEEDED"),
    (Code::NotFound, "NOT_FOUND"),
    (Code::AlreadyExists, "ALREADY_EXISTS"),
    (Code::PermissionDenied, "PERMISSION_DENIED"),
    (Code::ResourceExhausted, "RESOURCE_EXHAUSTED"),
    (Code::FailedPrecondition, "FAILED_PRECONDITION"),
    (Code::Aborted, "ABORTED"),
    (Code::OutOfRange, "OUT_OF_RANGE"),
    (Code::Unimplemented, "UNIMPLEMENTED"),
    (Code::Internal, "INTERNAL"),
    (Code::Unavailable, "UNAVAILABLE"),
    (Code::DataLoss, "DATA_LOSS"),
    (Code::Unauthenticated, "UNAUTHENTICATED"),
];

/// The path told for a method that does not exist: the one asked for is the caller's text.
const UNKNOWN: &str = "unknown";

/// How many calls ended, per method and code.
#[derive(Debug)]
pub struct RpcCounts {
    methods: &'static Methods,
    /// A row per method, then one for everything that is not in the table.
    rows: Vec<[AtomicU64; CODES.len()]>,
}

impl RpcCounts {
    /// All zero.
    pub fn new(methods: &'static Methods) -> Self {
        Self { methods, rows: (0..=methods.0.len()).map(|_| Default::default()).collect() }
    }

    /// How many calls of a method of the table ended with this code.
    pub fn of(&self, path: &str, code: Code) -> u64 {
        match self.methods.find(path) {
            Found::Listed(row) => self.cell(row, code).map_or(0, |count| count.load(Ordering::Relaxed)),
            Found::Common(_) | Found::Unknown => 0,
        }
    }

    /// Writes `ipms_rpc_total`, with the labels `method` and `code`. What never happened is left out.
    pub fn write(&self, text: &mut MetricsText) {
        let paths = self.methods.0.iter().map(|method| method.path).chain(["other"]);
        for (path, row) in paths.zip(&self.rows) {
            for ((_, code), count) in CODES.iter().zip(row) {
                let count = count.load(Ordering::Relaxed);
                if count > 0 {
                    let labels = [("method", path), ("code", code)];
                    text.counter("ipms_rpc_total", "Calls that ended, by gRPC code.", &labels, count);
                }
            }
        }
    }

    fn count(&self, found: Found, code: Code) {
        let row = match found {
            Found::Listed(row) => row,
            Found::Common(_) | Found::Unknown => self.methods.0.len(),
        };
        if let Some(count) = self.cell(row, code) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn cell(&self, row: usize, code: Code) -> Option<&AtomicU64> {
        self.rows.get(row)?.get(usize::try_from(i32::from(code)).ok()?)
    }
}

/// Logs and counts each call.
#[derive(Clone, Debug)]
pub(super) struct RpcLogLayer(Arc<RpcLog>);

/// What every call needs, behind one pointer: each has a copy of it.
#[derive(Debug)]
struct RpcLog {
    counts: Arc<RpcCounts>,
    clock: Arc<dyn Clock>,
    spans: Option<Spans>,
}

impl RpcLogLayer {
    pub(super) fn new(counts: Arc<RpcCounts>, clock: Arc<dyn Clock>, spans: Option<Spans>) -> Self {
        Self(Arc::new(RpcLog { counts, clock, spans }))
    }
}

impl<S> Layer<S> for RpcLogLayer {
    type Service = Logged<S>;

    fn layer(&self, inner: S) -> Logged<S> {
        Logged { inner, log: Arc::clone(&self.0) }
    }
}

/// A service whose calls are logged.
#[derive(Clone, Debug)]
pub(super) struct Logged<S> {
    inner: S,
    log: Arc<RpcLog>,
}

impl<S, R, B> Service<Request<R>> for Logged<S>
where
    S: Service<Request<R>, Response = Response<B>>,
    S::Future: Unpin,
{
    type Response = Response<LoggedBody<B>>;
    type Error = S::Error;
    type Future = LoggedCall<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<R>) -> Self::Future {
        let caller = Caller::of(request.extensions());
        // Who has shown nothing takes no place from others' spans.
        let spans = self.log.spans.as_ref().filter(|_| !matches!(caller, Caller::Nobody));
        let call = Call {
            found: self.log.counts.methods.find(request.uri().path()),
            span: spans.and_then(|spans| spans.begun(request.headers())),
            caller,
            code: Code::Cancelled,
            begun: self.log.clock.now().boot,
            log: Arc::clone(&self.log),
        };
        LoggedCall { answer: self.inner.call(request), call: Some(call) }
    }
}

/// A call under way. Its end, whatever it is, drops it; dropped before there was a code, it was cancelled.
#[derive(Debug)]
struct Call {
    found: Found,
    caller: Caller,
    code: Code,
    begun: BootInstant,
    span: Option<Begun>,
    log: Arc<RpcLog>,
}

impl Call {
    fn read(&mut self, headers: &HeaderMap) -> bool {
        let code = headers.get("grpc-status").map(|code| Code::from_bytes(code.as_bytes()));
        self.code = code.unwrap_or(self.code);
        code.is_some()
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let Self { found, caller, code, begun, span, log } = self;
        log.counts.count(*found, *code);
        let method = || match *found {
            Found::Listed(index) => log.counts.methods.0.get(index).map_or(UNKNOWN, |method| method.path),
            Found::Common(service) => service,
            Found::Unknown => UNKNOWN,
        };
        if let Some(span) = span.take() {
            span.rpc(method(), *code);
        }
        if tracing::enabled!(tracing::Level::DEBUG) {
            let method = method();
            let name = CODES.iter().find(|(known, _)| known == code).map_or(UNKNOWN, |(_, name)| name);
            let milliseconds = log.clock.now().boot.since(*begun).as_millis();
            tracing::debug!(method, actor = caller.actor(), code = name, milliseconds, "rpc");
        }
    }
}

/// An answer being made.
#[derive(Debug)]
pub(super) struct LoggedCall<F> {
    answer: F,
    call: Option<Call>,
}

impl<F, B, E> Future for LoggedCall<F>
where
    F: Future<Output = Result<Response<B>, E>> + Unpin,
{
    type Output = Result<Response<LoggedBody<B>>, E>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let answer = ready!(Pin::new(&mut self.answer).poll(cx))?;
        let mut call = self.call.take();
        // An answer without messages has its code in the headers, and its body may never be asked for anything.
        if call.as_mut().is_some_and(|call| call.read(answer.headers())) {
            call = None;
        }
        Poll::Ready(Ok(answer.map(|body| LoggedBody { body, call })))
    }
}

/// The body of an answer, until its trailers.
#[derive(Debug)]
pub(super) struct LoggedBody<B> {
    body: B,
    call: Option<Call>,
}

impl<B: HttpBody + Unpin> HttpBody for LoggedBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let polled = ready!(Pin::new(&mut self.body).poll_frame(cx));
        match &polled {
            Some(Ok(frame)) => {
                if let (Some(trailers), Some(call)) = (frame.trailers_ref(), &mut self.call) {
                    call.read(trailers);
                    self.call = None;
                }
            }
            Some(Err(_)) | None => self.call = None,
        }
        Poll::Ready(polled)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests;
