//! The key set over HTTP (RFC 7517), for parties that check signatures only. They learn of no revocation.

use std::sync::Arc;

use axum::{
    Router,
    http::header::{CACHE_CONTROL, CONTENT_TYPE},
    routing::get,
};
use common::proto::v1 as pb;
use serde_json::{Value, json};

/// `/.well-known/jwks.json`.
pub fn routes(keys: impl Fn() -> pb::GetKeySetResponse + Send + Sync + 'static) -> Router {
    let keys = Arc::new(keys);
    let answer = move || {
        let keys = Arc::clone(&keys);
        async move {
            let headers = [(CONTENT_TYPE, "application/jwk-set+json"), (CACHE_CONTROL, "max-age=60")];
            (headers, set(&keys()).to_string())
        }
    };
    Router::new().route("/.well-known/jwks.json", get(answer))
}

fn set(keys: &pb::GetKeySetResponse) -> Value {
    let jwk = |key: &pb::JsonWebKey| json!({ "kty": key.kty, "use": key.r#use, "alg": key.alg, "kid": key.kid, "n": key.n, "e": key.e });
    json!({ "keys": keys.keys.iter().map(jwk).collect::<Vec<_>>() })
}
