//! The component's HTTP side: two endpoints behind the guard. Knows neither how pseudonyms are made nor where they are kept.
//!
//! The pattern to copy: the guard judges the token; the handler reads the body, looks once more whether the answer still
//! holds, and applies what the admission says. Nothing a caller sends decides anything but the data.

mod body;
mod crypto;
mod key_folder;
mod layer;
mod pseudonym;
mod vault;

use std::{sync::Arc, time::Duration};

use axum::{
    Extension, Router,
    body::Bytes,
    extract::{DefaultBodyLimit, State},
    response::{IntoResponse, Response},
    routing::post,
};
use common::{
    clock::Clock,
    guard::{Admission, Guard, Judge},
    token::kind::TokenType,
};
use http::{
    HeaderMap, HeaderValue, StatusCode,
    header::{CACHE_CONTROL, RETRY_AFTER, WWW_AUTHENTICATE},
};

use self::body::Shape;

pub(crate) use self::{
    layer::Layer,
    vault::{Vault, VaultError},
};

/// Both endpoints. `judge` decides about tokens, `vault` holds the data.
pub(crate) fn routes<J: Judge>(judge: &Arc<J>, vault: Arc<Vault>, clock: Arc<dyn Clock>) -> Router {
    let guard = |kinds: &[TokenType]| Guard::new(Arc::clone(judge), kinds);
    let forward = guard(&[TokenType::Pseudonymisation, TokenType::Secondary]);
    let backward = guard(&[TokenType::Reverse]);
    Router::new()
        .route("/api/request-psn", post(answer).route_layer(forward))
        .route("/api/request-psn-rev", post(answer).route_layer(backward))
        .layer(DefaultBodyLimit::max(body::MOST_BYTES))
        .with_state(Component { vault, clock })
}

/// Severs what is due, for as long as the program runs. Accesses do so too; this is for data that nobody asks for.
pub(crate) async fn keep_severing(vault: Arc<Vault>, clock: Arc<dyn Clock>) {
    let mut tick = tokio::time::interval(Duration::from_secs(1));
    loop {
        tick.tick().await;
        let (vault, now) = (Arc::clone(&vault), clock.now().wall);
        match tokio::task::spawn_blocking(move || vault.sever(now)).await {
            Ok(Ok(0)) => {}
            Ok(Ok(layers)) => tracing::info!(layers, "severed at the end of their retention"),
            Ok(Err(error)) => tracing::error!(%error, "cannot sever what is due"),
            Err(error) => tracing::error!(%error, "severing ended before its time"),
        }
    }
}

#[derive(Clone)]
struct Component {
    vault: Arc<Vault>,
    clock: Arc<dyn Clock>,
}

async fn answer(
    State(Component { vault, clock }): State<Component>,
    Extension(admission): Extension<Admission>,
    headers: HeaderMap,
    sent: Bytes,
) -> Result<Response, Failure> {
    let shape = Shape::of(&headers).ok_or(Failure::Shape)?;
    let values = shape.read(&sent).ok_or(Failure::Body)?;
    // The body may have taken its time, and the token may have been revoked meanwhile.
    let now = clock.now().wall;
    if now >= admission.usable_until {
        return Err(Failure::TooLate);
    }
    let id = admission.token_id;
    let work = move || {
        let (project, organisation) = (&admission.project, admission.organisation);
        let own = Layer::first(project, organisation);
        match (admission.kind, &admission.source) {
            (TokenType::Pseudonymisation, None) => {
                vault.add(&own, None, admission.configuration, &values, now)
            }
            (TokenType::Secondary, Some(source)) => {
                let below = Layer::first(&source.project, source.organisation);
                let layer = Layer::second(project, organisation, source);
                vault.add(&layer, Some(&below), admission.configuration, &values, now)
            }
            (TokenType::Reverse, None) => vault.reverse(&own, &values, now),
            // No verifier accepts such a token.
            (TokenType::Pseudonymisation | TokenType::Reverse, Some(_)) | (TokenType::Secondary, None) => {
                Err(VaultError::Severed)
            }
        }
    };
    let done = tokio::task::spawn_blocking(work).await.map_err(|_ended| Failure::Broken)?;
    let made = done.map_err(|error| match error {
        VaultError::Unknown => Failure::Body,
        VaultError::Severed => Failure::Severed,
        error @ (VaultError::Key | VaultError::Secret(_) | VaultError::File(_) | VaultError::Mappings(_)) => {
            tracing::error!(%error, "the vault fails");
            Failure::Broken
        }
    })?;
    tracing::info!(token = %id, values = made.len(), "answered");
    let mut response = shape.write(&made);
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// Why there is no answer. Callers are told the kind of it, and nothing of the data.
enum Failure {
    Shape,
    Body,
    TooLate,
    Severed,
    Broken,
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let refused = HeaderValue::from_static(r#"Bearer error="invalid_token""#);
        match self {
            Self::Shape => StatusCode::UNSUPPORTED_MEDIA_TYPE.into_response(),
            Self::Body => StatusCode::UNPROCESSABLE_ENTITY.into_response(),
            Self::TooLate => {
                (StatusCode::SERVICE_UNAVAILABLE, [(RETRY_AFTER, HeaderValue::from(1))]).into_response()
            }
            Self::Severed => (StatusCode::UNAUTHORIZED, [(WWW_AUTHENTICATE, refused)]).into_response(),
            Self::Broken => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        }
    }
}
