//! Claims about the guard: what passes, what does not, and what a caller is told. Judges and verifiers are made here.

use std::{
    convert::Infallible,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use axum::{Extension, Router, body::Body, routing::post};
use http::{Request, Response, StatusCode, header};
use tonic::{Code, Status};
use tower::{Layer as _, ServiceExt as _, service_fn};

use super::*;
use crate::{
    project::{Alphabet, OutputFormat, Treatment},
    token::claims::TokenMethod,
};

/// Says what it was told to, and notes what it was asked.
#[derive(Debug)]
struct Told {
    answer: Result<Admission, NotAdmitted>,
    asked: Mutex<Vec<(Vec<TokenType>, Option<HolderCertificate>)>>,
}

impl Judge for Told {
    async fn judge(&self, shown: Shown<'_>) -> Result<Admission, NotAdmitted> {
        self.asked.lock().unwrap().push((shown.accepted_types.to_vec(), shown.holder));
        self.answer.clone()
    }
}

fn told(answer: Result<Admission, NotAdmitted>) -> Arc<Told> {
    Arc::new(Told { answer, asked: Mutex::default() })
}

fn admission(kind: TokenType) -> Admission {
    Admission {
        token_id: TokenId::from_bytes([7; 16]),
        kind,
        organisation: OrganisationId::from_bytes([1; 16]),
        project: "study".parse().unwrap(),
        configuration: TokenConfiguration {
            method: TokenMethod::Reversible { retention_end: Timestamp::MAX },
            treatment: Treatment::AlwaysSame,
            output_format: OutputFormat::new(Alphabet::Uuid, 36).unwrap(),
        },
        source: None,
        usable_until: Timestamp::MAX,
    }
}

async fn ask(judge: &Arc<Told>, change: impl FnOnce(&mut Request<Body>)) -> Response<Body> {
    let handler = async |Extension(admission): Extension<Admission>, request: Request<Body>| {
        assert!(!request.headers().contains_key(header::AUTHORIZATION), "the token goes no further");
        admission.project.to_string()
    };
    let guard = Guard::new(Arc::clone(judge), [TokenType::Reverse]);
    let routes = Router::new().route("/", post(handler)).route_layer(guard);
    let mut request = Request::post("/").body(Body::empty()).unwrap();
    change(&mut request);
    routes.oneshot(request).await.unwrap()
}

fn bearing(request: &mut Request<Body>) {
    request.headers_mut().insert(header::AUTHORIZATION, "Bearer a.b.c".parse().unwrap());
}

fn challenge(response: &Response<Body>) -> (StatusCode, &str) {
    let value = response.headers().get(header::WWW_AUTHENTICATE);
    (response.status(), value.map_or("", |value| value.to_str().unwrap()))
}

#[tokio::test]
async fn what_passes_carries_its_admission_and_its_token_no_more() {
    let judge = told(Ok(admission(TokenType::Reverse)));
    let holder = HolderCertificate([3; 32]);
    let response = ask(&judge, |request| {
        bearing(request);
        request.extensions_mut().insert(holder);
    })
    .await;
    assert_eq!(response.status(), StatusCode::OK);
    let body = axum::body::to_bytes(response.into_body(), 64).await.unwrap();
    assert_eq!(&*body, b"study");
    assert_eq!(*judge.asked.lock().unwrap(), [(vec![TokenType::Reverse], Some(holder))]);
}

#[tokio::test]
async fn no_credentials_get_a_bare_challenge_and_no_judge_is_asked() {
    let judge = told(Ok(admission(TokenType::Reverse)));
    let response = ask(&judge, |_| ()).await;
    assert_eq!(challenge(&response), (StatusCode::UNAUTHORIZED, "Bearer"));
    assert!(judge.asked.lock().unwrap().is_empty());
}

#[tokio::test]
async fn every_refusal_looks_the_same() {
    let refused = ask(&told(Err(NotAdmitted::Refused)), bearing).await;
    let other_type = ask(&told(Ok(admission(TokenType::Secondary))), bearing).await;
    let no_token = ask(&told(Ok(admission(TokenType::Reverse))), |request| {
        request.headers_mut().insert(header::AUTHORIZATION, "Bearer a b".parse().unwrap());
    })
    .await;
    for response in [refused, other_type, no_token] {
        let expected = (StatusCode::UNAUTHORIZED, r#"Bearer error="invalid_token""#);
        assert_eq!(challenge(&response), expected);
        assert_eq!(response.headers().len(), 2, "{:?}", response.headers());
        assert!(axum::body::to_bytes(response.into_body(), 64).await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn not_knowing_is_503_with_a_time_that_is_never_cut_short() {
    for (retry_after, seconds) in [(0, "1"), (1_000, "1"), (1_001, "2")] {
        let retry_after = Duration::from_millis(retry_after);
        let response = ask(&told(Err(NotAdmitted::Undecided { retry_after })), bearing).await;
        assert_eq!(challenge(&response), (StatusCode::SERVICE_UNAVAILABLE, ""));
        assert_eq!(response.headers()[header::RETRY_AFTER], seconds);
    }
}

#[tokio::test]
async fn a_grpc_call_is_turned_away_with_a_status() {
    let undecided = NotAdmitted::Undecided { retry_after: Duration::from_secs(1) };
    for (answer, code) in [(NotAdmitted::Refused, Code::Unauthenticated), (undecided, Code::Unavailable)] {
        let inner =
            service_fn(async |_: Request<Body>| Ok::<Response<Body>, Infallible>(Response::default()));
        let guarded = Guard::new(told(Err(answer)), [TokenType::Reverse]).layer(inner);
        let mut request = Request::post("/").body(Body::empty()).unwrap();
        bearing(&mut request);
        request.headers_mut().insert(header::CONTENT_TYPE, "application/grpc+proto".parse().unwrap());
        let response = guarded.oneshot(request).await.unwrap();
        let status = Status::from_header_map(response.headers()).unwrap();
        assert_eq!((response.status(), status.code()), (StatusCode::OK, code));
    }
}

mod calling;
