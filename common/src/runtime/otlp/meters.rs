//! The program's own measurements, as `/metrics` tells them, sent to a collector at intervals: one truth, the same names.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex, PoisonError,
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
    metrics::{PeriodicReader, SdkMeterProvider},
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

/// Sends for as long as it is polled.
pub(super) async fn keep(
    exporter: MetricExporter,
    resource: Resource,
    measure: Arc<Measure>,
    counts: Arc<Counts>,
) {
    // Asked to when there is something new, never by itself.
    let reader = PeriodicReader::builder(exporter).with_interval(NEVER).build();
    let provider = SdkMeterProvider::builder().with_reader(reader).with_resource(resource).build();
    let (meter, latest) = (provider.meter("ipms"), Latest::default());
    let mut known = BTreeSet::new();
    let mut tick = tokio::time::interval(INTERVAL);
    loop {
        tick.tick().await;
        let mut text = MetricsText::default();
        measure(&mut text);
        let families = text.into_families();
        for family in &families {
            if known.insert(family.name) {
                instrument(&meter, family, &latest);
            }
        }
        *latest.lock().unwrap_or_else(PoisonError::into_inner) =
            families.into_iter().map(|family| (family.name, family.samples)).collect();
        let provider = provider.clone();
        // It waits for the exporter, which needs this runtime.
        let sent = tokio::task::spawn_blocking(move || provider.force_flush()).await;
        let count = if matches!(sent, Ok(Ok(()))) { &counts.sent } else { &counts.failed };
        count.fetch_add(1, Ordering::Relaxed);
    }
}

fn instrument(meter: &Meter, family: &Family, latest: &Latest) {
    let (name, latest) = (family.name, Arc::clone(latest));
    let held =
        move || latest.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned().unwrap_or_default();
    match family.samples.first().map(|sample| sample.value) {
        Some(Value::Counter(_)) => {
            let observe = move |observer: &dyn AsyncInstrument<u64>| {
                for Sample { labels, value } in held() {
                    if let Value::Counter(value) = value {
                        observer.observe(value, &attributes(labels));
                    }
                }
            };
            meter
                .u64_observable_counter(name)
                .with_description(family.help.clone())
                .with_callback(observe)
                .build();
        }
        Some(Value::Gauge(_)) => {
            let observe = move |observer: &dyn AsyncInstrument<f64>| {
                for Sample { labels, value } in held() {
                    if let Value::Gauge(value) = value {
                        observer.observe(value, &attributes(labels));
                    }
                }
            };
            meter
                .f64_observable_gauge(name)
                .with_description(family.help.clone())
                .with_callback(observe)
                .build();
        }
        None => {}
    }
}

fn attributes(labels: Vec<(String, String)>) -> Vec<KeyValue> {
    labels.into_iter().map(|(label, value)| KeyValue::new(label, value)).collect()
}

const INTERVAL: Duration = Duration::from_secs(15);
const NEVER: Duration = Duration::from_hours(24 * 365);
