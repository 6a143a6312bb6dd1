//! Traces and metrics to a collector over OTLP/gRPC, if the settings name one. A collector that is slow or gone delays no
//! call, and stops nothing.

mod meters;
mod spans;
mod trace_parent;

use std::{sync::Arc, time::Duration};

use opentelemetry::KeyValue;
use opentelemetry_otlp::{MetricExporter, SpanExporter, WithTonicConfig as _};
use opentelemetry_sdk::{Resource, trace::SpanExporter as _};
use tokio::{sync::oneshot, task::JoinHandle};
use tonic::transport::Channel;

pub(super) use self::{
    meters::Measure,
    spans::{Begun, Spans},
};
use super::metrics_text::MetricsText;

/// What is sent, and by whom.
#[derive(Debug)]
pub(super) struct Otlp {
    pub(super) spans: Spans,
    sending: JoinHandle<()>,
    stop: oneshot::Sender<()>,
    metrics: MetricExporter,
    resource: Resource,
    counts: Arc<meters::Counts>,
}

impl Otlp {
    /// Over a channel that connects when there is something to send.
    ///
    /// # Errors
    /// The exporter refuses what it was given, in its own words.
    pub(super) fn start(program: &'static str, channel: Channel) -> Result<Self, String> {
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let resource = Resource::builder_empty().with_attributes([
            KeyValue::new("service.namespace", "ipms"),
            KeyValue::new("service.name", program),
            KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
            KeyValue::new("host.name", host),
            KeyValue::new("process.pid", i64::from(std::process::id())),
        ]);
        let resource = resource.build();
        let mut spans = SpanExporter::builder()
            .with_tonic()
            .with_channel(channel.clone())
            .build()
            .map_err(|error| error.to_string())?;
        spans.set_resource(&resource);
        let metrics = MetricExporter::builder()
            .with_tonic()
            .with_channel(channel)
            .build()
            .map_err(|error| error.to_string())?;
        let (stop, stopped) = oneshot::channel();
        let (spans, sending) = Spans::start(spans, stopped);
        Ok(Self { spans, sending, stop, metrics, resource, counts: Arc::default() })
    }

    /// Writes what became of spans and metrics.
    pub(super) fn measure(&self) -> impl Fn(&mut MetricsText) + Send + Sync + 'static {
        let (spans, counts) = (self.spans.clone(), Arc::clone(&self.counts));
        move |text| {
            spans.write(text);
            counts.write(text);
        }
    }

    /// Sends metrics for as long as it is polled, and what is queued of spans afterwards, which takes [`LAST`] at most.
    pub(super) fn keep(self, measure: Arc<Measure>) -> (impl Future<Output = ()>, impl Future<Output = ()>) {
        let Self { spans: _, sending, stop, metrics, resource, counts } = self;
        let last = async move {
            // It may have ended by itself.
            stop.send(()).ok();
            // What is not sent by then is lost.
            tokio::time::timeout(LAST, sending).await.ok();
        };
        (meters::keep(metrics, resource, measure, counts), last)
    }
}

/// How long the end waits for spans.
const LAST: Duration = Duration::from_secs(1);
