//! One span per call whose caller records the trace: made when the call has ended, queued, sent in batches. Never a payload,
//! never metadata, never a caller's text.

use std::{
    borrow::Cow,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use http::HeaderMap;
use opentelemetry::{
    InstrumentationScope, KeyValue, SpanId, TraceFlags,
    trace::{SpanContext, SpanKind, Status, TraceState},
};
use opentelemetry_otlp::SpanExporter;
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanExporter as _, SpanLinks};
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
};
use tonic::Code;

use super::trace_parent::TraceParent;
use crate::runtime::metrics_text::MetricsText;

/// Where spans go. Never waits: what the collector does not take in time is dropped and counted.
#[derive(Clone, Debug)]
pub(in crate::runtime) struct Spans {
    queue: mpsc::Sender<SpanData>,
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    sent: AtomicU64,
    failed: AtomicU64,
    dropped: AtomicU64,
}

/// A call that has begun and will be a span.
#[derive(Debug)]
pub(in crate::runtime) struct Begun {
    parent: TraceParent,
    at: SystemTime,
    spans: Spans,
}

impl Spans {
    /// Sends what is queued through `exporter`, until told to stop and nothing is queued any more.
    pub(super) fn start(exporter: SpanExporter, stop: oneshot::Receiver<()>) -> (Self, JoinHandle<()>) {
        let (queue, queued) = mpsc::channel(QUEUE);
        let counts = Arc::new(Counts::default());
        let sending = tokio::spawn(send(exporter, queued, Arc::clone(&counts), stop));
        (Self { queue, counts }, sending)
    }

    /// Whether this call is recorded: if it bears the `traceparent` of a trace that is, and no second one. Whoever begins a trace
    /// decides.
    pub(in crate::runtime) fn begun(&self, headers: &HeaderMap) -> Option<Begun> {
        let mut given = headers.get_all("traceparent").iter();
        let parent = TraceParent::sampled(given.next()?.as_bytes()).filter(|_| given.next().is_none())?;
        Some(Begun { parent, at: wall_clock(), spans: self.clone() })
    }

    pub(super) fn write(&self, text: &mut MetricsText) {
        let counts =
            [("sent", &self.counts.sent), ("failed", &self.counts.failed), ("dropped", &self.counts.dropped)];
        for (outcome, count) in counts {
            let count = count.load(Ordering::Relaxed);
            text.counter(
                "ipms_otlp_spans_total",
                "Spans, by what became of them.",
                &[("outcome", outcome)],
                count,
            );
        }
    }
}

impl Begun {
    /// The call of gRPC has ended. `path` is a method of ours, or says that it is none.
    pub(in crate::runtime) fn rpc(self, path: &'static str, code: Code) {
        let name = path.trim_start_matches('/');
        let (service, method) = name.split_once('/').unwrap_or(("unknown", name));
        let attributes = vec![
            KeyValue::new("rpc.system", "grpc"),
            KeyValue::new("rpc.service", service),
            KeyValue::new("rpc.method", method),
            KeyValue::new("rpc.grpc.status_code", i64::from(i32::from(code))),
        ];
        // The semantic conventions: on the server's side what the caller did wrong is no error.
        let ours = matches!(
            code,
            Code::Unknown
                | Code::DeadlineExceeded
                | Code::Unimplemented
                | Code::Internal
                | Code::Unavailable
                | Code::DataLoss
        );
        self.end(name.into(), attributes, ours);
    }

    /// The call of HTTP has ended.
    pub(in crate::runtime) fn http(self, method: &'static str, route: String, status: u16) {
        let name = format!("{method} {route}");
        let attributes = vec![
            KeyValue::new("http.request.method", method),
            KeyValue::new("http.route", route),
            KeyValue::new("http.response.status_code", i64::from(status)),
        ];
        self.end(name.into(), attributes, status >= 500);
    }

    fn end(self, name: Cow<'static, str>, attributes: Vec<KeyValue>, error: bool) {
        let Self { parent, at, spans } = self;
        let mut id = [0; 8];
        if aws_lc_rs::rand::fill(&mut id).is_err() {
            return;
        }
        let flags = TraceFlags::SAMPLED;
        let context = SpanContext::new(parent.trace, SpanId::from_bytes(id), flags, false, TraceState::NONE);
        let span = SpanData {
            span_context: context,
            parent_span_id: parent.span,
            parent_span_is_remote: true,
            span_kind: SpanKind::Server,
            name,
            start_time: at,
            end_time: wall_clock(),
            attributes,
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status: if error { Status::error("") } else { Status::Unset },
            instrumentation_scope: InstrumentationScope::builder("ipms").build(),
        };
        if spans.queue.try_send(span).is_err() {
            spans.counts.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

async fn send(
    exporter: SpanExporter,
    mut queued: mpsc::Receiver<SpanData>,
    counts: Arc<Counts>,
    mut stop: oneshot::Receiver<()>,
) {
    let (mut well, mut stopped) = (true, false);
    loop {
        let mut batch = Vec::new();
        tokio::select! {
            length = queued.recv_many(&mut batch, BATCH) => if length == 0 {
                return;
            },
            _ = &mut stop, if !stopped => {
                stopped = true;
                queued.close();
                continue;
            }
        }
        let length = batch.len() as u64;
        let sent = matches!(tokio::time::timeout(PATIENCE, exporter.export(batch)).await, Ok(Ok(())));
        let count = if sent { &counts.sent } else { &counts.failed };
        count.fetch_add(length, Ordering::Relaxed);
        if sent != well {
            well = sent;
            if sent {
                tracing::info!("the collector takes spans again");
            } else {
                tracing::warn!("the collector takes no spans: they are dropped and counted");
            }
        }
        if !stopped {
            // More come together meanwhile.
            tokio::time::sleep(TOGETHER).await;
        }
    }
}

/// Spans are stamped for people: no decision rests on it.
#[expect(
    clippy::disallowed_methods,
    reason = "a span's time is data for a collector, in nanoseconds, and decides nothing"
)]
fn wall_clock() -> SystemTime {
    SystemTime::now()
}

const QUEUE: usize = 2_048;
const BATCH: usize = 512;
const PATIENCE: Duration = Duration::from_secs(5);
const TOGETHER: Duration = Duration::from_millis(200);
