//! The admin port: HTTP for probes and metrics. Shows no secret and changes nothing.

use std::sync::Arc;

use axum::{
    Router,
    http::{StatusCode, header},
    response::IntoResponse,
    routing::get,
};

use super::{metrics_text::MetricsText, otlp::Measure as Metrics, shutdown::Shutdown};

type Ready = dyn Fn() -> Result<(), Vec<String>> + Send + Sync;

type Notes = dyn Fn() -> Vec<String> + Send + Sync;

/// What the admin port tells.
#[derive(Clone)]
pub struct Admin {
    ready: Arc<Ready>,
    metrics: Arc<Metrics>,
    notes: Vec<Arc<Notes>>,
    more_metrics: Vec<Arc<Metrics>>,
    routes: Router,
}

impl Admin {
    /// `ready` tells in plain words why not; `metrics` writes a whole scrape. Both are quick and never block.
    pub fn new(
        ready: impl Fn() -> Result<(), Vec<String>> + Send + Sync + 'static,
        metrics: impl Fn(&mut MetricsText) + Send + Sync + 'static,
    ) -> Self {
        Self {
            ready: Arc::new(ready),
            metrics: Arc::new(metrics),
            notes: Vec::new(),
            more_metrics: Vec::new(),
            routes: Router::new(),
        }
    }

    /// Adds what `/readyz` says besides, ready or not, and further metrics.
    #[must_use]
    pub fn with_notes(
        mut self,
        notes: impl Fn() -> Vec<String> + Send + Sync + 'static,
        metrics: impl Fn(&mut MetricsText) + Send + Sync + 'static,
    ) -> Self {
        self.notes.push(Arc::new(notes));
        self.more_metrics.push(Arc::new(metrics));
        self
    }

    /// Adds routes of the program's own.
    #[must_use]
    pub fn with_routes(mut self, routes: Router) -> Self {
        self.routes = self.routes.merge(routes);
        self
    }

    /// Writes all metrics.
    pub(super) fn measure(&self) -> Arc<Metrics> {
        let (own, more) = (Arc::clone(&self.metrics), self.more_metrics.clone());
        Arc::new(move |text| {
            own(text);
            for more in &more {
                more(text);
            }
        })
    }

    pub(super) fn into_router(self, shutdown: Shutdown) -> Router {
        let metrics = self.measure();
        let Self { ready, notes, routes, .. } = self;
        routes
            .route("/livez", get(|| async { "ok\n" }))
            .route("/readyz", get(move || async move { readiness(&*ready, &notes, &shutdown) }))
            .route("/metrics", get(move || async move { scrape(&*metrics) }))
    }
}

fn readiness(ready: &Ready, notes: &[Arc<Notes>], shutdown: &Shutdown) -> (StatusCode, String) {
    let answer = if shutdown.is_begun() { Err(vec!["draining".to_owned()]) } else { ready() };
    let (code, mut lines) = match answer {
        Ok(()) => (StatusCode::OK, vec!["ready".to_owned()]),
        Err(reasons) => (StatusCode::SERVICE_UNAVAILABLE, reasons),
    };
    lines.extend(notes.iter().flat_map(|notes| notes()));
    (code, lines.join("\n") + "\n")
}

fn scrape(metrics: &Metrics) -> impl IntoResponse + use<> {
    let mut text = MetricsText::default();
    metrics(&mut text);
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text.finish())
}
