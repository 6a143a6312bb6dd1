//! The verifier's service as its callers see it, on real sockets. Keys, log, lease and clocks are in the test's hands.

mod proxies;
mod rig;
#[expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a world that cannot be made must fail its test"
)]
mod world;

use std::time::Duration;

use common::{
    proto::v1::{self as pb, project_configuration::Method, verify_token_response::Verdict},
    revocation::cursor::Cursor,
    token::kind::{PerType, TokenType},
};
use rig::{Rig, unix_client};
use tokio_stream::StreamExt as _;
use tonic::Code;
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};
use tonic_types::StatusExt as _;
use verifier::domain::{alarm::Alarm, view::View};
use world::{BEGIN, World, log, rule, token};

const LOOPBACK: (&str, &str) = ("GRPC__INSECURE_LOOPBACK", "true");

fn ask(token: &str) -> pb::VerifyTokenRequest {
    pb::VerifyTokenRequest {
        token: token.to_owned(),
        accepted_types: vec![1, 2, 3],
        ..pb::VerifyTokenRequest::default()
    }
}

fn reason(status: &tonic::Status) -> (Code, String) {
    (status.code(), status.get_details_error_info().map(|info| info.reason).unwrap_or_default())
}

#[tokio::test]
async fn plaintext_has_no_role_unless_loopback_is_trusted() {
    let world = World::new();
    let rig = Rig::start(&world, &[]).await;
    let good = token(TokenType::Reverse, |_| ());
    let refused = rig.client().verify_token(ask(&good)).await.unwrap_err();
    assert_eq!(reason(&refused), (Code::PermissionDenied, "NO_ROLE".to_owned()));
    rig.end().await;
}

#[tokio::test]
async fn who_can_open_the_unix_socket_is_told_what_a_token_says() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("verifier.sock");
    let world = World::new();
    let rig = Rig::start(&world, &[("GRPC__UNIX_SOCKET", path.to_str().unwrap())]).await;
    let good = token(TokenType::Secondary, |_| ());
    let mut client = unix_client(&path).await;
    let answer = client.verify_token(ask(&good)).await.unwrap().into_inner();
    let Some(Verdict::Accepted(accepted)) = answer.verdict else { panic!("{answer:?}") };
    let seconds = |instant: Option<prost_types::Timestamp>| instant.unwrap().seconds.unsigned_abs() - BEGIN;
    let project = accepted.project.clone().unwrap();
    let Some(Method::Reversible(reversible)) = project.configuration.unwrap().method else { panic!() };
    assert_eq!((accepted.token_type(), &*project.project_id), (pb::TokenType::Secondary, "project-a"));
    assert_eq!((seconds(reversible.retention_end), reversible.retention), (7_200, None));
    assert_eq!(accepted.source.unwrap().project_id, "project-b");
    assert_eq!((seconds(accepted.expire_time), seconds(accepted.usable_until)), (3_600, 60));
    let view = answer.view.unwrap();
    assert_eq!(view.cursor, Some(pb::Cursor { epoch: 1, sequence: 1 }));
    assert_eq!(view.age, Some(prost_types::Duration::default()));
    drop(client);
    rig.end().await;
}

#[tokio::test]
async fn every_bad_field_of_a_batch_is_named_at_once_and_no_token_is_quoted() {
    let world = World::new();
    let rig = Rig::start(&world, &[LOOPBACK]).await;
    let bad = pb::VerifyTokenRequest {
        accepted_types: Vec::new(),
        max_staleness: Some(prost_types::Duration { seconds: -1, nanos: 0 }),
        holder_certificate_sha256: Some(vec![0; 33].into()),
        ..ask("secret")
    };
    let requests =
        vec![ask("secret"), bad, pb::VerifyTokenRequest { accepted_types: vec![0], ..ask("secret") }];
    let refused = rig.client().verify_tokens(pb::VerifyTokensRequest { requests }).await.unwrap_err();
    let told = refused.get_details_bad_request().unwrap().field_violations;
    let fields: Vec<_> = told.iter().map(|one| &*one.field).collect();
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert_eq!(
        fields,
        [
            "requests[1].accepted_types",
            "requests[1].max_staleness",
            "requests[1].holder_certificate_sha256",
            "requests[2].accepted_types[0]",
        ]
    );
    assert!(!format!("{refused:?}").contains("secret"));
    let none = rig.client().verify_tokens(pb::VerifyTokensRequest::default()).await.unwrap_err();
    assert_eq!(none.get_details_bad_request().unwrap().field_violations[0].field, "requests");
    rig.end().await;
}

#[tokio::test]
async fn a_refusal_is_an_answer_and_not_knowing_is_not() {
    let world = World::new();
    let rig = Rig::start(&world, &[LOOPBACK]).await;
    let mut client = rig.client();
    let good = token(TokenType::Reverse, |_| ());
    world.publish(|view| view.log = log(2, vec![Cursor::new(1, 5)], &[rule()]));
    let answer = client.verify_token(ask(&good)).await.unwrap().into_inner();
    let Some(Verdict::Refused(refused)) = answer.verdict else { panic!("{answer:?}") };
    assert_eq!((refused.reason(), &*refused.detail), (pb::RefusalReason::Revoked, "revoked"));

    world.publish(|view| view.log = log(2, vec![Cursor::new(1, 5)], &[]));
    let least =
        |sequence| pb::VerifyTokenRequest { at_least: Some(pb::Cursor { epoch: 1, sequence }), ..ask(&good) };
    client.verify_token(least(5)).await.unwrap();
    let lost = client.verify_token(least(6)).await.unwrap_err();
    assert_eq!(reason(&lost), (Code::DataLoss, "CURSOR_LOST".to_owned()));

    world.clock.advance(Duration::from_secs(11));
    let stale = client.verify_token(ask(&good)).await.unwrap_err();
    assert_eq!(reason(&stale), (Code::Unavailable, "REVOCATIONS_STALE".to_owned()));
    assert!(stale.get_details_retry_info().is_some());
    rig.end().await;
}

#[tokio::test]
async fn what_cannot_be_decided_is_told_in_its_place() {
    let world = World::new();
    let rig = Rig::start(&world, &[LOOPBACK]).await;
    world.clock.advance(Duration::from_secs(11));
    let [psn, reverse, _] = TokenType::ALL.map(|kind| token(kind, |_| ()));
    let requests = vec![ask(&reverse), ask(&psn), ask("no token")];
    let answer = rig.client().verify_tokens(pb::VerifyTokensRequest { requests }).await.unwrap().into_inner();
    let told: Vec<_> = answer
        .responses
        .into_iter()
        .map(|one| match one.verdict.unwrap() {
            Verdict::Accepted(accepted) => accepted.token_type().as_str_name().to_owned(),
            Verdict::Refused(refused) => refused.reason().as_str_name().to_owned(),
            Verdict::Undecided(undecided) => undecided.reason,
        })
        .collect();
    assert_eq!(told, ["REVOCATIONS_STALE", "TOKEN_TYPE_PSEUDONYMISATION", "REFUSAL_REASON_MALFORMED"]);
    let scrape = rig.admin("/metrics").await;
    for line in [
        r#"ipms_verifications_total{outcome="accepted",reason="",type="PSEUDONYMISATION"} 1"#,
        r#"ipms_verifications_total{outcome="refused",reason="MALFORMED",type=""} 1"#,
        r#"ipms_verifications_total{outcome="undecided",reason="REVOCATIONS_STALE",type=""} 1"#,
        r#"ipms_view_age_seconds{issuer="ipms"} 11"#,
        "ipms_view_sequence 1",
        r#"ipms_lease_left_seconds{type="REVERSE"} 0"#,
        r#"ipms_lease_left_seconds{type="SECONDARY"} 49"#,
    ] {
        assert!(scrape.lines().any(|told| told == line), "{line} is not in {scrape}");
    }
    rig.end().await;
}

#[tokio::test]
async fn the_trust_view_tells_the_limits_that_are_applied_and_what_stands_in_the_way() {
    let own = PerType { reverse: Some(Duration::from_secs(3)), ..PerType::default() };
    let world = World::with_limits(own);
    let rig = Rig::start(&world, &[LOOPBACK]).await;
    world.clock.advance(Duration::from_secs(4));
    let view = rig.client().get_trust_view(pb::GetTrustViewRequest {}).await.unwrap().into_inner();
    let types: Vec<_> =
        view.types.iter().map(|one| (one.staleness.unwrap().seconds, one.decidable)).collect();
    assert_eq!(types, [(900, true), (3, false), (60, true)]);
    assert_eq!((view.entries, view.key_ids.len(), &*view.follower_id), (1, 1, "follower-a"));
    assert_eq!(view.alarms.len(), 1);
    rig.alarms.raise(Alarm::IssuerForked);
    world.publish(|view| *view = View::empty());
    let view = rig.client().get_trust_view(pb::GetTrustViewRequest {}).await.unwrap().into_inner();
    assert!(view.types.iter().all(|one| one.staleness.is_none() && !one.decidable));
    assert_eq!((view.alarms.len(), view.view.unwrap().age), (4, None));
    rig.end().await;
}

#[tokio::test]
async fn each_type_is_healthy_while_it_can_be_decided() {
    let world = World::new();
    let rig = Rig::start(&world, &[]).await;
    let service = "ipms.token.v1.VerifierService/REVERSE".to_owned();
    let mut health = HealthClient::new(rig.channel());
    let mut watched = health.watch(HealthCheckRequest { service }).await.unwrap().into_inner();
    let mut until = async |wanted| while watched.next().await.unwrap().unwrap().status() != wanted {};
    until(ServingStatus::Serving).await;
    assert!(rig.admin("/readyz").await.starts_with("HTTP/1.1 200"));
    world.clock.advance(Duration::from_secs(11));
    until(ServingStatus::NotServing).await;
    let serving = |name: &str| rig.board.is_serving(&format!("ipms.token.v1.VerifierService{name}"));
    assert_eq!(["", "/PSEUDONYMISATION"].map(serving), [Some(true); 2]);
    assert!(rig.admin("/readyz").await.starts_with("HTTP/1.1 200"), "protecting data goes on");
    world.publish(|view| view.lease = None);
    rig.alarms.raise(Alarm::NotTrusted);
    let told = rig.admin("/readyz").await;
    assert!(told.starts_with("HTTP/1.1 503") && told.contains("REVERSE cannot be decided"), "{told}");
    assert!(told.contains(&Alarm::NotTrusted.to_string()), "{told}");
    assert!(rig.admin("/metrics").await.contains("ipms_alarm{alarm=\"NotTrusted\"} 1\n"));
    rig.end().await;
}
