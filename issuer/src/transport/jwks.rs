//! The key set over HTTP (RFC 7517), for parties that check signatures only. They learn of no revocation.

use std::{sync::Arc, time::Duration};

use aws_lc_rs::digest::{SHA256, digest};
use axum::{
    Router,
    http::{
        HeaderMap, StatusCode,
        header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH},
    },
    response::{IntoResponse as _, Response},
    routing::get,
};
use common::{encoding, proto::v1 as pb};
use serde_json::{Value, json};

/// `/.well-known/jwks.json`. A copy may be used for `max_age`, after which no key has signed that is not in it.
pub fn routes(keys: impl Fn() -> pb::GetKeySetResponse + Send + Sync + 'static, max_age: Duration) -> Router {
    let keys = Arc::new(keys);
    let answer = move |asked: HeaderMap| {
        let keys = Arc::clone(&keys);
        async move { respond(&keys(), &asked, max_age) }
    };
    Router::new().route("/.well-known/jwks.json", get(answer))
}

fn respond(keys: &pb::GetKeySetResponse, asked: &HeaderMap, max_age: Duration) -> Response {
    let body = set(keys).to_string();
    // The body's own: equal issuers give equal tags.
    let tag = format!("\"{}\"", encoding::encode(digest(&SHA256, body.as_bytes()).as_ref()));
    let cache = format!("public, max-age={}, must-revalidate", max_age.as_secs());
    let known = asked.get_all(IF_NONE_MATCH).iter().filter_map(|given| given.to_str().ok());
    if known.flat_map(|given| given.split(',')).any(|one| matches(one.trim(), &tag)) {
        return (StatusCode::NOT_MODIFIED, [(CACHE_CONTROL, cache), (ETAG, tag)]).into_response();
    }
    let kind = "application/jwk-set+json".to_owned();
    ([(CONTENT_TYPE, kind), (CACHE_CONTROL, cache), (ETAG, tag)], body).into_response()
}

/// By the weak comparison (RFC 9110 section 13.1.2).
fn matches(given: &str, tag: &str) -> bool {
    given == "*" || given.strip_prefix("W/").unwrap_or(given) == tag
}

fn set(keys: &pb::GetKeySetResponse) -> Value {
    let jwk = |key: &pb::JsonWebKey| json!({ "kty": key.kty, "use": key.r#use, "alg": key.alg, "kid": key.kid, "n": key.n, "e": key.e });
    json!({ "keys": keys.keys.iter().map(jwk).collect::<Vec<_>>() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_that_is_still_right_is_not_sent_again() {
        let set = |kid: &str| pb::GetKeySetResponse {
            keys: vec![pb::JsonWebKey { kid: kid.to_owned(), ..pb::JsonWebKey::default() }],
        };
        let ask = |set: &pb::GetKeySetResponse, given: &[&str]| {
            let mut asked = HeaderMap::new();
            for one in given {
                asked.append(IF_NONE_MATCH, one.parse().unwrap());
            }
            respond(set, &asked, Duration::from_mins(1))
        };
        let first = ask(&set("a"), &[]);
        assert_eq!(first.status(), StatusCode::OK);
        assert_eq!(first.headers()[CACHE_CONTROL], "public, max-age=60, must-revalidate");
        let tag = first.headers()[ETAG].to_str().unwrap().to_owned();
        for given in [&[&*tag][..], &["\"x\"", &tag], &[&format!("\"x\", W/{tag}")], &["*"]] {
            let again = ask(&set("a"), given);
            assert_eq!(
                (again.status(), &again.headers()[ETAG]),
                (StatusCode::NOT_MODIFIED, &first.headers()[ETAG])
            );
        }
        for (set, given) in [(set("b"), &*tag), (set("a"), "\"x\""), (set("a"), "")] {
            assert_eq!(ask(&set, &[given]).status(), StatusCode::OK);
        }
    }
}
