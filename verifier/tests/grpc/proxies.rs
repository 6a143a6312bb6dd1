//! What proxies ask, over gRPC and over HTTP, on real sockets. Keys, log, lease and clocks are in the test's hands.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on must fail")]

use std::{collections::HashMap, time::Duration};

use common::{
    proto::envoy::service::auth::v3::{
        AttributeContext, CheckRequest, CheckResponse,
        attribute_context::{HttpRequest, Request},
        authorization_client::AuthorizationClient,
        check_response::HttpResponse,
    },
    token::kind::TokenType,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::UnixStream,
};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::{
    LOOPBACK, reason,
    rig::Rig,
    world::{World, log, rule, token},
};

const TRUSTED: (&str, &str) = ("AUTHZ__TRUSTED_PEERS", "loopback");
/// Of the certificate that [`word`] speaks of.
const HOLDER: [u8; 32] = [0xab; 32];

fn word() -> String {
    format!("Hash={}", "ab".repeat(32))
}

fn map(pairs: &[(&str, &str)]) -> HashMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

async fn check(rig: &Rig, route: &[(&str, &str)], headers: &[(&str, &str)]) -> Result<CheckResponse, Status> {
    let http = HttpRequest { headers: map(headers), header_map: None };
    let attributes =
        AttributeContext { request: Some(Request { http: Some(http) }), context_extensions: map(route) };
    let request = CheckRequest { attributes: Some(attributes) };
    Ok(AuthorizationClient::new(rig.channel()).check(request).await?.into_inner())
}

/// The challenge of a denial; `None` when the request passes.
fn challenge(answer: &CheckResponse) -> Option<&str> {
    match answer.http_response.as_ref().unwrap() {
        HttpResponse::OkResponse(_) => {
            assert_eq!(answer.status.as_ref().unwrap().code, 0);
            None
        }
        HttpResponse::DeniedResponse(denied) => {
            assert_ne!(answer.status.as_ref().unwrap().code, 0, "{answer:?}");
            assert_eq!((denied.status.unwrap().code, &*denied.body), (401, ""));
            assert_eq!(answer.dynamic_metadata, None);
            let header = denied.headers[0].header.as_ref().unwrap();
            assert_eq!((&*header.key, denied.headers.len()), ("www-authenticate", 1));
            Some(&header.value)
        }
    }
}

const REFUSED: Option<&str> = Some("Bearer error=\"invalid_token\"");
const ALL: (&str, &str) = ("accepted_types", "PSEUDONYMISATION,REVERSE,SECONDARY");

#[tokio::test]
async fn the_route_says_which_types_and_which_audience_are_taken() {
    let world = World::new();
    let rig = Rig::start(&world, &[LOOPBACK]).await;
    let good = format!("Bearer {}", token(TokenType::Reverse, |_| ()));
    for (route, expected) in [
        (&[ALL][..], None),
        (&[("accepted_types", "REVERSE"), ("audience", "incert")], None),
        (&[("accepted_types", "SECONDARY, PSEUDONYMISATION")], REFUSED),
        // It only tightens.
        (&[ALL, ("audience", "other")], REFUSED),
    ] {
        let answer = check(&rig, route, &[("authorization", &good)]).await.unwrap();
        assert_eq!(challenge(&answer), expected, "{route:?}");
    }
    let meant = format!("Bearer {}", token(TokenType::Reverse, |claims| claims.audience = "other".into()));
    let answer = check(&rig, &[ALL, ("audience", "other")], &[("authorization", &meant)]).await.unwrap();
    assert_eq!(challenge(&answer), REFUSED, "a route widens nothing");
    for route in [&[][..], &[("accepted_types", "EVERYTHING")], &[ALL, ("audiense", "incert")]] {
        let refused = check(&rig, route, &[("authorization", &good)]).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{route:?}");
        let fields = refused.get_details_bad_request().unwrap().field_violations;
        assert!(
            fields.iter().all(|one| one.field.starts_with("attributes.context_extensions")),
            "{fields:?}"
        );
    }
    rig.end().await;
}

#[tokio::test]
async fn who_is_no_component_is_not_answered() {
    let world = World::new();
    let rig = Rig::start(&world, &[]).await;
    let refused = check(&rig, &[ALL], &[]).await.unwrap_err();
    assert_eq!(reason(&refused), (Code::PermissionDenied, "NO_ROLE".to_owned()));
    rig.end().await;
}

#[tokio::test]
async fn a_denial_is_alike_for_every_reason_and_not_knowing_is_an_error() {
    let world = World::new();
    let rig = Rig::start(&world, &[LOOPBACK]).await;
    let good = format!("Bearer {}", token(TokenType::Reverse, |_| ()));
    let ask = async |value: &str| check(&rig, &[ALL], &[("authorization", value)]).await;
    let refused = ask("Bearer a.b.c").await.unwrap();
    assert_eq!(challenge(&refused), REFUSED);
    let late = token(TokenType::Reverse, |claims| claims.expires_at = claims.issued_at);
    world.publish(|view| view.log = log(2, Vec::new(), &[rule()]));
    for value in [&*good, &format!("Bearer {late}"), "Bearer", "Bearer a b", "Bearer a,Bearer b"] {
        assert_eq!(ask(value).await.unwrap(), refused, "{value}");
    }
    for headers in [&[][..], &[("authorization", "Basic YTpi")]] {
        let answer = check(&rig, &[ALL], headers).await.unwrap();
        assert_eq!(challenge(&answer), Some("Bearer"), "{headers:?}");
    }
    world.publish(|view| view.log = log(2, Vec::new(), &[]));
    assert_eq!(challenge(&ask(&good).await.unwrap()), None);
    world.clock.advance(Duration::from_secs(11));
    let undecided = ask(&good).await.unwrap_err();
    assert_eq!(reason(&undecided), (Code::Unavailable, "REVOCATIONS_STALE".to_owned()));
    rig.end().await;
}

#[tokio::test]
async fn what_a_token_says_is_in_headers_and_metadata_and_what_it_does_not_say_is_taken_out() {
    let world = World::new();
    let rig = Rig::start(&world, &[LOOPBACK]).await;
    for (kind, source) in [(TokenType::Secondary, true), (TokenType::Reverse, false)] {
        let good = format!("Bearer {}", token(kind, |_| ()));
        let answer = check(&rig, &[ALL], &[("authorization", &good)]).await.unwrap();
        let Some(HttpResponse::OkResponse(ok)) = &answer.http_response else { panic!("{answer:?}") };
        let set: Vec<_> = ok.headers.iter().map(|one| one.header.clone().unwrap()).collect();
        let of = |name: &str| set.iter().find(|one| one.key == name).map(|one| &*one.value);
        assert!(ok.headers.iter().all(|one| one.append_action == 2), "each replaces what is there");
        assert_eq!(of("x-ipms-token-type"), Some(kind.as_str()));
        assert_eq!(of("x-ipms-retention-end"), Some("2027-01-15T10:00:00Z"));
        assert_eq!(of("x-ipms-source-project-id"), source.then_some("project-b"));
        let mut all: Vec<_> = set.iter().map(|one| &*one.key).collect();
        all.extend(ok.headers_to_remove.iter().map(String::as_str));
        all.sort_unstable();
        let mut expected: Vec<_> = verifier::transport::authz::HEADERS.to_vec();
        expected.push("authorization");
        expected.sort_unstable();
        assert_eq!(all, expected, "each is set or taken out");
        let told = format!("{:?}", answer.dynamic_metadata.as_ref().unwrap());
        for word in ["project-a", "REVERSIBLE", "ALWAYS_SAME", "ALPHANUMERIC", kind.as_str()] {
            assert!(told.contains(word), "{word}: {told}");
        }
        assert_eq!(told.contains("project-b"), source);
        assert!(!format!("{answer:?}").contains(good.strip_prefix("Bearer ").unwrap()));
    }
    rig.end().await;
}

#[tokio::test]
async fn only_a_trusted_peer_is_believed_about_the_holder() {
    let bound = format!("Bearer {}", token(TokenType::Reverse, |claims| claims.holder = Some(HOLDER)));
    let headers = [("authorization", &*bound), ("x-forwarded-client-cert", &*word())];
    for (settings, expected) in [(&[LOOPBACK, TRUSTED][..], None), (&[LOOPBACK], REFUSED)] {
        let world = World::new();
        let rig = Rig::start(&world, settings).await;
        let answer = check(&rig, &[ALL], &headers).await.unwrap();
        assert_eq!(challenge(&answer), expected, "{settings:?}");
        rig.end().await;
    }
}

/// The head of the answer over the Unix socket.
async fn get(path: &std::path::Path, target: &str, headers: &[(&str, &str)]) -> String {
    let mut stream = UnixStream::connect(path).await.unwrap();
    let lines: Vec<_> = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let lines = lines.concat();
    let request = format!("GET {target} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n{lines}\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn over_http_the_same_is_asked_and_answered() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("authz.sock");
    let listen = format!("unix:{}", path.display());
    let world = World::new();
    let settings = [("AUTHZ__LISTEN", &*listen), ("AUTHZ__TRUSTED_PEERS", "unix-socket")];
    let rig = Rig::start(&world, &settings).await;
    let good = format!("Bearer {}", token(TokenType::Reverse, |claims| claims.holder = Some(HOLDER)));
    let (all, told) = ("/authz?accepted_types=REVERSE,SECONDARY&audience=incert", word());
    let shown = [("authorization", &*good), ("x-forwarded-client-cert", &*told)];
    let answer = get(&path, all, &shown).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    for line in ["x-ipms-project-id: project-a", "x-ipms-token-type: REVERSE", "cache-control: no-store"] {
        assert!(answer.lines().any(|told| told == line), "{line}: {answer}");
    }
    for (headers, line) in [
        (&shown[..1], "www-authenticate: Bearer error=\"invalid_token\""),
        (&shown[1..], "www-authenticate: Bearer"),
    ] {
        let answer = get(&path, all, headers).await;
        assert!(answer.starts_with("HTTP/1.1 401 ") && answer.lines().any(|told| told == line), "{answer}");
    }
    for target in ["/authz", "/authz?accepted_types=ALL", "/authz?accepted_types=REVERSE&more=1"] {
        assert!(get(&path, target, &shown).await.starts_with("HTTP/1.1 503 "), "{target}");
    }
    assert!(get(&path, "/", &shown).await.starts_with("HTTP/1.1 404 "));
    world.clock.advance(Duration::from_secs(11));
    let answer = get(&path, all, &shown).await;
    assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("retry-after: 1\r\n"), "{answer}");
    rig.end().await;
    assert!(!path.exists());
}
