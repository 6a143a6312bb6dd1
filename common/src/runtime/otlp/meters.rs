//! The program's own measurements, as `/metrics` tells them, sent to a collector at intervals: one truth, the same names.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use opentelemetry::{
    KeyValue,
    metrics::{AsyncInstrument, Meter, MeterProvider as _},
};
use opentelemetry_otlp::MetricExporter;
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    metrics::{
        InstrumentKind, ManualReader, Pipeline, SdkMeterProvider, Temporality, data::ResourceMetrics,
        exporter::PushMetricExporter as _, reader::MetricReader,
    },
};

use crate::runtime::metrics_text::{Family, MetricsText, Sample, Value};

/// Writes a whole scrape.
pub(in crate::runtime) type Measure = dyn Fn(&mut MetricsText) + Send + Sync;

type Latest = Arc<Mutex<BTreeMap<&'static str, Vec<Sample>>>>;

/// How often it was tried, with which outcome.
#[derive(Debug, Default)]
pub(super) struct Counts {
    sent: AtomicU64,
    failed: AtomicU64,
}

impl Counts {
    pub(super) fn write(&self, text: &mut MetricsText) {
        for (outcome, count) in [("sent", &self.sent), ("failed", &self.failed)] {
            let count = count.load(Ordering::Relaxed);
            let help = "Times that all metrics were sent to the collector, by what became of it.";
            text.counter("ipms_otlp_metrics_total", help, &[("outcome", outcome)], count);
        }
    }
}

/// Sends for as long as it is polled. Dropped, it is gone at once: nothing waits for a collector then.
pub(super) async fn keep(
    exporter: MetricExporter,
    resource: Resource,
    measure: Arc<Measure>,
    counts: Arc<Counts>,
) {
    let reader = Asked::default();
    let provider = SdkMeterProvider::builder().with_reader(reader.clone()).with_resource(resource).build();
    let (meter, latest) = (provider.meter("ipms"), Latest::default());
    let mut known = BTreeSet::new();
    let mut tick = tokio::time::interval(INTERVAL);
    loop {
        tick.tick().await;
        let mut text = MetricsText::default();
        measure(&mut text);
        let families = text.into_families();
        for family in families.iter().filter(|family| known.insert(family.name)) {
            instrument(&meter, family, &latest);
        }
        *latest.lock().unwrap_or_else(PoisonError::into_inner) =
            families.into_iter().map(|family| (family.name, family.samples)).collect();
        let mut all = ResourceMetrics::default();
        let sent = reader.collect(&mut all).is_ok()
            && matches!(tokio::time::timeout(PATIENCE, exporter.export(&all)).await, Ok(Ok(())));
        let count = if sent { &counts.sent } else { &counts.failed };
        count.fetch_add(1, Ordering::Relaxed);
    }
}

/// A reader that is asked when there is something new. The usual one has a thread, whose end waits for the collector.
#[derive(Clone, Debug, Default)]
struct Asked(Arc<ManualReader>);

impl MetricReader for Asked {
    fn register_pipeline(&self, pipeline: Weak<Pipeline>) {
        self.0.register_pipeline(pipeline);
    }

    fn collect(&self, metrics: &mut ResourceMetrics) -> OTelSdkResult {
        self.0.collect(metrics)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.0.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.0.shutdown_with_timeout(timeout)
    }

    fn temporality(&self, kind: InstrumentKind) -> Temporality {
        self.0.temporality(kind)
    }
}

fn instrument(meter: &Meter, family: &Family, latest: &Latest) {
    let (name, help, latest) = (family.name, family.help.clone(), Arc::clone(latest));
    match family.samples.first().map(|sample| sample.value) {
        Some(Value::Counter(_)) => {
            let counts = |value| if let Value::Counter(count) = value { Some(count) } else { None };
            let observe = observing(name, latest, counts);
            meter.u64_observable_counter(name).with_description(help).with_callback(observe).build();
        }
        Some(Value::Gauge(_)) => {
            let level = |value| if let Value::Gauge(level) = value { Some(level) } else { None };
            let observe = observing(name, latest, level);
            meter.f64_observable_gauge(name).with_description(help).with_callback(observe).build();
        }
        None => {}
    }
}

/// Tells what was measured last under this name.
fn observing<T>(
    name: &'static str,
    latest: Latest,
    of: impl Fn(Value) -> Option<T>,
) -> impl Fn(&dyn AsyncInstrument<T>) {
    move |observer| {
        let latest = latest.lock().unwrap_or_else(PoisonError::into_inner);
        for Sample { labels, value } in latest.get(name).into_iter().flatten() {
            let attributes: Vec<_> =
                labels.iter().map(|(label, value)| KeyValue::new(label.clone(), value.clone())).collect();
            if let Some(value) = of(*value) {
                observer.observe(value, &attributes);
            }
        }
    }
}

const INTERVAL: Duration = Duration::from_secs(15);
const PATIENCE: Duration = Duration::from_secs(5);
