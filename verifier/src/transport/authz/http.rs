//! `/authz` over HTTP: parse, ask, render. What the route says is in the query, which the proxy sets and its clients cannot.

use axum::{
    Router,
    extract::{RawQuery, Request, State},
    http::{
        HeaderMap, HeaderName, HeaderValue, StatusCode,
        header::{CACHE_CONTROL, RETRY_AFTER, WWW_AUTHENTICATE},
        request::Parts,
    },
    response::{IntoResponse, Response},
    routing::any,
};
use common::runtime::{bearer::bearer, caller::Caller};

use super::{CHALLENGE, Door, FORWARDED, Outcome, REFUSAL, route::Route, told};
use crate::transport::status::RETRY;

impl Door {
    /// `/authz` and nothing else.
    pub fn routes(self) -> Router {
        Router::new().route("/authz", any(authz)).with_state(self)
    }
}

/// 200 with the token's headers; 401 to who shows no token, and, alike, to every refusal; 503 when nobody can tell, or when
/// the route says something that is not understood.
async fn authz(State(door): State<Door>, RawQuery(query): RawQuery, request: Request) -> Response {
    let (Parts { headers, extensions, .. }, _) = request.into_parts();
    let words = query.as_deref().unwrap_or_default().split('&').filter(|word| !word.is_empty());
    let words = words.map(|word| word.split_once('=').unwrap_or((word, "")));
    let route = match Route::read("query", words) {
        Ok(route) => route,
        Err(bad) => {
            let told: Vec<_> =
                bad.found().iter().map(|one| format!("{} {}\n", one.field, one.description)).collect();
            tracing::warn!(
                actor = Caller::of(&extensions).actor(),
                "a proxy asks with a query that is not understood"
            );
            return (StatusCode::SERVICE_UNAVAILABLE, told.concat()).into_response();
        }
    };
    // What is no text names nobody.
    let forwarded = headers.get_all(FORWARDED).iter().map(|value| value.to_str().unwrap_or_default());
    let answer = match door.ask(&extensions, &route, bearer(&headers), forwarded).await {
        Ok(Outcome::Passes(accepted)) => {
            // All of them: what the token does not say is empty. Proxies copy headers over those of the client, and some
            // copy nonsense where there is none.
            let told = told::headers(&accepted).filter_map(|(name, value)| {
                let value = HeaderValue::try_from(value.unwrap_or_default()).ok()?;
                Some((HeaderName::from_static(name), value))
            });
            told.collect::<HeaderMap>().into_response()
        }
        Ok(Outcome::NoCredentials) => challenge(CHALLENGE),
        Ok(Outcome::Refused) => challenge(REFUSAL),
        Err(_undecided) => {
            (StatusCode::SERVICE_UNAVAILABLE, [(RETRY_AFTER, HeaderValue::from(RETRY.as_secs()))])
                .into_response()
        }
    };
    // Judged at every use: an answer that is kept would outlive its reasons.
    ([(CACHE_CONTROL, HeaderValue::from_static("no-store"))], answer).into_response()
}

fn challenge(text: &'static str) -> Response {
    (StatusCode::UNAUTHORIZED, [(WWW_AUTHENTICATE, HeaderValue::from_static(text))]).into_response()
}
