//! What is answered here, what is left to the service within, and that both say the same bytes.

use std::{
    collections::VecDeque,
    future::{Ready, poll_fn},
    sync::{Arc, mpsc},
    time::Duration,
};

use common::{
    proto::v1::{self as pb, verifier_service_server::VerifierServiceServer},
    runtime::{aside::Aside, failures::Failures},
    token::{Limits, kind::TokenType},
    token_id::TokenId,
};
use http_body::Frame;
use prost::Message as _;
use tonic::{Code, Status};

use super::*;
use crate::{
    application::alarms::Alarms,
    transport::grpc::VerifierService,
    world::{World, key, rule, token},
};

const ONE: &str = "/ipms.token.v1.VerifierService/VerifyToken";
const MANY: &str = "/ipms.token.v1.VerifierService/VerifyTokens";

/// A body in these pieces.
struct Pieces(VecDeque<Bytes>);

impl HttpBody for Pieces {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        Poll::Ready(self.0.pop_front().map(|piece| Ok(Frame::data(piece))))
    }
}

fn request(path: &str, pieces: &[&[u8]]) -> Request<Pieces> {
    let pieces = pieces.iter().map(|piece| Bytes::copy_from_slice(piece)).collect();
    Request::builder().uri(path).body(Pieces(pieces)).unwrap()
}

fn message(message: &[u8]) -> Vec<u8> {
    [&[0][..], &u32::try_from(message.len()).unwrap().to_be_bytes(), message].concat()
}

/// Everything that comes back: headers, data and trailers in one.
async fn told<B: HttpBody<Data = Bytes> + Unpin>(answer: Response<B>) -> (Option<Status>, Vec<u8>) {
    let (parts, mut body) = answer.into_parts();
    let (mut status, mut data) = (Status::from_header_map(&parts.headers), Vec::new());
    while let Some(Ok(frame)) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        status = frame.trailers_ref().and_then(Status::from_header_map).or(status);
        data.extend(frame.into_data().unwrap_or_default());
    }
    (status, data)
}

fn fairness(world: &World, aside: &Aside) -> Fairness {
    Fairness::new(world.verifier.clone(), aside.clone(), world.clock.clone())
}

fn here(world: &World) -> DirectLayer {
    DirectLayer(fairness(world, &Aside::start().unwrap()))
}

fn service(world: &World) -> VerifierServiceServer<VerifierService> {
    let (alarms, fairness) = (Arc::new(Alarms::default()), fairness(world, &Aside::start().unwrap()));
    VerifierService::server(world.verifier.clone(), fairness, alarms, String::new())
}

/// By both; fails if the one here had to ask the other.
async fn both(world: &World, path: &str, asked: &[u8]) -> (Code, Vec<u8>) {
    let nobody = tower::service_fn(|_: Request<Body>| -> Ready<Result<Response<Body>, Infallible>> {
        panic!("left to the service within")
    });
    let mut here = here(world).layer(nobody);
    let framed = message(asked);
    let (direct, bytes) = told(here.call(request(path, &[&framed])).await.unwrap()).await;
    let generated = service(world).call(request(path, &[&framed])).await.unwrap();
    let (status, expected) = told(generated).await;
    let (direct, status) = (direct.unwrap(), status.unwrap());
    assert_eq!(
        (direct.code(), direct.message(), direct.details()),
        (status.code(), status.message(), status.details())
    );
    assert_eq!(bytes, expected);
    (direct.code(), bytes)
}

fn question(token: String) -> pb::VerifyTokenRequest {
    pb::VerifyTokenRequest { token, accepted_types: vec![1, 2, 3], ..Default::default() }
}

fn questions() -> Vec<pb::VerifyTokenRequest> {
    let tightest = prost_types::Duration { seconds: 0, nanos: 1 };
    let good = || token(TokenType::Secondary, |_| ());
    let mut all: Vec<_> = TokenType::ALL.into_iter().map(|kind| question(token(kind, |_| ()))).collect();
    all.extend([
        question(token(TokenType::Reverse, |claims| claims.holder = Some([3; 32]))),
        question(token(TokenType::Reverse, |claims| claims.audience = "other".into())),
        question("not a token".into()),
        question(String::new()),
        pb::VerifyTokenRequest { max_staleness: Some(tightest), ..question(good()) },
        pb::VerifyTokenRequest { at_least: Some(pb::Cursor { epoch: 1, sequence: 99 }), ..question(good()) },
        pb::VerifyTokenRequest { holder_certificate_sha256: Some(vec![3; 32].into()), ..question(good()) },
    ]);
    all
}

#[tokio::test]
async fn both_ways_answer_with_the_same_bytes() {
    let world = World::new();
    world.clock.advance(Duration::from_millis(1_500));
    let mut codes = Vec::new();
    // A second look finds them in the cache, and what is kept beside them.
    for _ in 0..2 {
        for one in questions() {
            codes.push(both(&world, ONE, &one.encode_to_vec()).await.0);
        }
        let batch = pb::VerifyTokensRequest { requests: questions() };
        assert_eq!(both(&world, MANY, &batch.encode_to_vec()).await.0, Code::Ok);
    }
    assert!(codes.contains(&Code::Ok) && codes.contains(&Code::Unavailable));
    world.publish(|view| view.log = crate::world::log(1, Vec::new(), &[rule()]));
    let revoked = both(&world, ONE, &question(token(TokenType::Reverse, |_| ())).encode_to_vec()).await.1;
    let answer = pb::VerifyTokenResponse::decode(revoked.get(PREFIX..).unwrap()).unwrap();
    assert!(matches!(answer.verdict, Some(pb::verify_token_response::Verdict::Refused(_))));
    world.publish(|view| view.lease = None);
    let good = question(token(TokenType::Reverse, |claims| claims.id = TokenId::from_bytes([8; 16])));
    assert_eq!(both(&world, ONE, &good.encode_to_vec()).await.0, Code::Unavailable);
    world.publish(|view| view.trust = Some(crate::world::trust(&[key(1).public()], Limits::default())));
    both(&world, ONE, &question(token(TokenType::Reverse, |_| ())).encode_to_vec()).await;
    let bad = pb::VerifyTokenRequest { accepted_types: vec![9], ..good };
    assert_eq!(both(&world, ONE, &bad.encode_to_vec()).await.0, Code::InvalidArgument);
    let bad = pb::VerifyTokensRequest { requests: vec![bad] };
    assert_eq!(both(&world, MANY, &bad.encode_to_vec()).await.0, Code::InvalidArgument);
    assert_eq!(both(&world, MANY, &[]).await.0, Code::InvalidArgument);
}

#[tokio::test]
async fn pieces_are_put_together_and_what_is_not_plain_is_passed_on_whole() {
    let world = World::new();
    let good = message(&question(token(TokenType::Reverse, |_| ())).encode_to_vec());
    let mut service = here(&world).layer(service(&world));
    let expected = told(service.call(request(ONE, &[&good])).await.unwrap()).await.1;
    for cut in [1, PREFIX, PREFIX + 1, good.len() - 1] {
        let (first, last) = good.split_at(cut);
        let (status, bytes) = told(service.call(request(ONE, &[first, b"", last, b""])).await.unwrap()).await;
        assert_eq!((status.unwrap().code(), &bytes), (Code::Ok, &expected), "{cut}");
    }
    // The generated server tells what is wrong: cut short, compressed, no text, no message at all.
    let mut compressed = good.clone();
    compressed[0] = 1;
    let no_text = message(&[0x0A, 2, 0xC3, 0x28, 0x12, 1, 1]);
    for (pieces, path) in [
        (vec![&good[..good.len() - 1]], ONE),
        (vec![&compressed[..]], ONE),
        (vec![&no_text[..]], ONE),
        (vec![&no_text[..]], MANY),
        (vec![], ONE),
    ] {
        let (status, bytes) = told(service.call(request(path, &pieces)).await.unwrap()).await;
        assert!(status.unwrap().code() != Code::Ok && bytes.is_empty(), "{pieces:?}");
    }
    let mut encoded = request(ONE, &[&good]);
    encoded.headers_mut().insert("grpc-encoding", HeaderValue::from_static("gzip"));
    let status = told(service.call(encoded).await.unwrap()).await.0.unwrap();
    assert_eq!(status.code(), Code::Unimplemented);
    let large = vec![0; PREFIX + MAX_BATCH + 1];
    let status = told(service.call(request(ONE, &[&message(&large)])).await.unwrap()).await.0.unwrap();
    assert_eq!(status.code(), Code::OutOfRange);
}

/// Failure: forged tokens of one connection keep another's waiting, or a known token of their own; or a verdict differs.
#[tokio::test]
async fn a_connection_with_too_many_forged_tokens_waits_behind_others_for_each_check_and_for_nothing_else() {
    let world = World::new();
    let (aside, failures) = (Aside::start().unwrap(), Arc::<Failures>::default());
    let layer = DirectLayer(fairness(&world, &aside));
    let alarms = Arc::new(Alarms::default());
    let generated =
        VerifierService::server(world.verifier.clone(), fairness(&world, &aside), alarms, String::new());
    let mut service = layer.layer(generated);
    let from = |failures: &Arc<Failures>, mut request: Request<Pieces>| {
        request.extensions_mut().insert(failures.clone());
        request
    };
    let fresh = |id: u8| token(TokenType::Reverse, |claims| claims.id = TokenId::from_bytes([id; 16]));
    let forged = |id: u8| {
        let (start, _) =
            fresh(id).rsplit_once('.').map(|(start, end)| (start.to_owned(), end.len())).unwrap();
        format!("{start}.{}", fresh(id.wrapping_add(1)).rsplit('.').next().unwrap())
    };
    let one = |token| message(&question(token).encode_to_vec());
    let many = |tokens: Vec<String>| {
        let requests = tokens.into_iter().map(question).collect();
        message(&pb::VerifyTokensRequest { requests }.encode_to_vec())
    };
    let known = fresh(1);
    told(service.call(from(&failures, request(ONE, &[&one(known.clone())]))).await.unwrap()).await;
    // As many as may be, and one more: all of them judged at once.
    let all = (0..63).map(|id| forged(100 + id)).collect();
    for asked in
        [request(MANY, &[&many(all)]), request(ONE, &[&one(forged(1))]), request(ONE, &[&one(forged(3))])]
    {
        assert_eq!(
            told(service.call(from(&failures, asked)).await.unwrap()).await.0.unwrap().code(),
            Code::Ok
        );
    }

    let (go, wait) = mpsc::channel::<()>();
    let busy = aside.begin(move || wait.recv().is_ok()).unwrap();
    let mut compressed = request(ONE, &[&one(forged(5))]);
    compressed.headers_mut().insert("grpc-encoding", HeaderValue::from_static("identity"));
    let mut waiting = [
        request(ONE, &[&one(forged(4))]),
        request(ONE, &[&one(fresh(2))]),
        request(MANY, &[&many(vec![known.clone(), fresh(3)])]),
        compressed,
    ]
    .map(|asked| service.call(from(&failures, asked)));
    for answer in &mut waiting {
        assert!(poll_fn(|cx| Poll::Ready(Pin::new(&mut *answer).poll(cx).is_pending())).await);
    }
    for asked in [
        from(&failures, request(ONE, &[&one(known.clone())])),
        from(&failures, request(MANY, &[&many(vec![known.clone(), known])])),
        from(&Arc::default(), request(ONE, &[&one(fresh(4))])),
        request(ONE, &[&one(forged(6))]),
    ] {
        let mut answer = service.call(asked);
        assert!(poll_fn(|cx| Poll::Ready(Pin::new(&mut answer).poll(cx).is_ready())).await, "at once");
    }
    go.send(()).unwrap();
    assert!(busy.await.unwrap());
    let mut accepted = Vec::new();
    for answer in waiting {
        let (status, bytes) = told(answer.await.unwrap()).await;
        assert_eq!(status.unwrap().code(), Code::Ok);
        let one = pb::VerifyTokenResponse::decode(bytes.get(PREFIX..).unwrap()).ok();
        accepted.push(match one.and_then(|one| one.verdict) {
            Some(pb::verify_token_response::Verdict::Accepted(_)) => "accepted",
            Some(pb::verify_token_response::Verdict::Refused(_)) => "refused",
            Some(pb::verify_token_response::Verdict::Undecided(_)) | None => "a batch",
        });
    }
    assert_eq!(accepted, ["refused", "accepted", "a batch", "refused"]);

    world.clock.advance(Duration::from_secs(2));
    let mut answer = service.call(from(&failures, request(ONE, &[&one(forged(7))])));
    assert!(poll_fn(|cx| Poll::Ready(Pin::new(&mut answer).poll(cx).is_ready())).await, "forgiven");
}
