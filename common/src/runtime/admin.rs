//! The admin port: HTTP for probes and metrics. Shows no secret and changes nothing.

use std::sync::Arc;

use axum::{
    Router,
    http::{StatusCode, header},
    response::IntoResponse,
    routing::get,
};

use super::{metrics_text::MetricsText, shutdown::Shutdown};

type Ready = dyn Fn() -> Result<(), Vec<String>> + Send + Sync;
type Metrics = dyn Fn(&mut MetricsText) + Send + Sync;

/// What the admin port tells.
#[derive(Clone)]
pub struct Admin {
    ready: Arc<Ready>,
    metrics: Arc<Metrics>,
    routes: Router,
}

impl Admin {
    /// `ready` tells in plain words why not; `metrics` writes a whole scrape. Both are quick and never block.
    pub fn new(
        ready: impl Fn() -> Result<(), Vec<String>> + Send + Sync + 'static,
        metrics: impl Fn(&mut MetricsText) + Send + Sync + 'static,
    ) -> Self {
        Self { ready: Arc::new(ready), metrics: Arc::new(metrics), routes: Router::new() }
    }

    /// Adds routes of the program's own.
    #[must_use]
    pub fn with_routes(mut self, routes: Router) -> Self {
        self.routes = self.routes.merge(routes);
        self
    }

    pub(super) fn into_router(self, shutdown: Shutdown) -> Router {
        let Self { ready, metrics, routes } = self;
        routes
            .route("/livez", get(|| async { "ok\n" }))
            .route("/readyz", get(move || async move { readiness(&*ready, &shutdown) }))
            .route("/metrics", get(move || async move { scrape(&*metrics) }))
    }
}

fn readiness(ready: &Ready, shutdown: &Shutdown) -> (StatusCode, String) {
    let answer = if shutdown.is_begun() { Err(vec!["draining".to_owned()]) } else { ready() };
    match answer {
        Ok(()) => (StatusCode::OK, "ready\n".to_owned()),
        Err(reasons) => (StatusCode::SERVICE_UNAVAILABLE, reasons.join("\n") + "\n"),
    }
}

fn scrape(metrics: &Metrics) -> impl IntoResponse + use<> {
    let mut text = MetricsText::default();
    metrics(&mut text);
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text.finish())
}
