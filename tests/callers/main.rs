//! Both programs over TLS: who may call what, how far a narrowed caller gets, and which tokens must be bound.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

#[path = "../../common/tests/tls/pki.rs"]
mod pki;
mod world;

use std::sync::Arc;

use common::{
    clock::SystemClock,
    proto::v1::{self as pb, RefusalReason, TokenType},
    runtime::{
        doctor::Page,
        methods::{Method, Role},
    },
};
use harness::{
    calls::{self, Selector, tokens},
    orders::{self, OWNER, PARTNER, pseudonymise, reversible},
};
use issuer::commands::doctor::round_trip_alone;
use tonic::{Code, Request, Status, transport::Channel};
use tonic_types::StatusExt as _;
use world::{COMPONENT, NARROW, OPERATOR, PORTAL, STRANGER, TESTER, VERIFIER, World};

/// Which of the two a table is of.
type Reach = fn(&calls::Calls) -> Channel;

#[tokio::test(flavor = "multi_thread")]
async fn every_cell_of_the_matrix_is_as_the_tables_say() {
    let world = World::start().await;
    world.ours().fresh().await;
    let tables: [(&[Method], Reach); 2] = [
        (issuer::transport::methods::METHODS.0, calls::Calls::issuer),
        (verifier::transport::methods::METHODS.0, calls::Calls::verifier),
    ];
    let callers = [
        (PORTAL, Some(Role::Portal)),
        (NARROW, Some(Role::Portal)),
        (VERIFIER, Some(Role::Verifier)),
        (COMPONENT, Some(Role::Component)),
        (OPERATOR, Some(Role::Operator)),
        (STRANGER, None),
    ];
    let mut cells = 0;
    for (name, role) in callers {
        let caller = world.calls(name);
        for (methods, reach) in tables {
            for method in methods {
                let refused = empty_call(reach(&caller), method.path).await.err();
                let reason = refused.as_ref().and_then(tonic_types::StatusExt::get_details_error_info);
                let no_role = reason.is_some_and(|info| info.reason == "NO_ROLE");
                assert_eq!(no_role, role != Some(method.role), "{name} {}: {refused:?}", method.path);
                cells += 1;
            }
        }
    }
    assert_eq!(cells, 6 * (tables[0].0.len() + tables[1].0.len()));
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_round_trip_needs_one_organisation_at_the_issuer_and_a_component_at_the_verifier() {
    let world = World::start().await;
    world.ours().fresh().await;
    let clock = || Arc::new(SystemClock);
    let told = round_trip_alone(&world.trip(TESTER), clock()).await.to_string();
    assert!(told.contains("ok    round trip: issued, accepted, revoked, and refused"), "{told}");
    for name in [STRANGER, COMPONENT] {
        let told = round_trip_alone(&world.trip(name), clock()).await.to_string();
        assert!(told.contains("FAIL  round trip") && told.contains(Page::Callers.address()), "{told}");
    }
    // Let in by the issuer alone: what it began is closed all the same.
    let told = round_trip_alone(&world.trip(PORTAL), clock()).await.to_string();
    assert!(told.contains("FAIL  round trip: the verifier did not accept"), "{told}");
    let closed = world.trail().lines().filter(|line| line.contains("\"reason\":\"close_project\"")).count();
    assert_eq!(closed, 2, "{}", world.trail());
    world.end().await;
}

/// A message without a field: what is judged after the role answers in its own way.
async fn empty_call(channel: Channel, path: &'static str) -> Result<(), Status> {
    let mut client = tonic::client::Grpc::new(channel);
    client.ready().await.unwrap();
    let codec = tonic_prost::ProstCodec::<(), ()>::default();
    client.unary(Request::new(()), path.parse().unwrap(), codec).await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_goes_its_whole_way_over_tls_and_the_trail_names_the_certificate() {
    let world = World::start().await;
    let ours = world.ours();
    ours.fresh().await;
    ours.create(reversible("p1")).await.unwrap();
    let issued = ours.issue(pseudonymise("p1", OWNER)).await.unwrap();
    ours.accepted(&issued.token).await;
    let id = issued.record.unwrap().token_id;
    let revoked = ours.revoke(tokens([&*id])).await.unwrap();
    ours.seen(&revoked).await;
    assert_eq!(ours.refused(&issued.token).await, RefusalReason::Revoked);
    let named = format!("\"actor\":\"{PORTAL}\"");
    assert!(world.trail().lines().filter(|line| line.contains(&named)).count() >= 3, "{}", world.trail());
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_narrowed_caller_gets_no_further_than_its_bounds() {
    let world = World::start().await;
    let (ours, narrow) = (world.ours(), world.calls(NARROW));
    ours.fresh().await;
    for project in ["p1", "p2"] {
        ours.create(reversible(project)).await.unwrap();
    }
    let inside = narrow.issue(pseudonymise("p1", OWNER)).await.unwrap().record.unwrap().token_id;
    let outside = ours.issue(pseudonymise("p2", OWNER)).await.unwrap().record.unwrap().token_id;
    let by = |project: &str, organisation: &str, kind: TokenType| {
        let (project_id, organisation_id) = (project.to_owned(), organisation.to_owned());
        Selector::Project(pb::ProjectSelector { project_id, organisation_id, token_type: kind.into() })
    };
    let pseudonyms = TokenType::Pseudonymisation;

    let secondary = orders::secondary("p1", OWNER, orders::source("p2", OWNER));
    for order in [pseudonymise("p2", OWNER), pseudonymise("p1", PARTNER), secondary] {
        refused(narrow.issue(order).await);
    }
    refused(narrow.create(reversible("p3")).await);
    refused(narrow.project("p2").await);
    refused(narrow.record(&outside).await);
    // A change withdraws tokens of every type.
    refused(narrow.close("p1").await);
    refused(narrow.collaborate("p1", Vec::new()).await);
    for selector in [
        by("p2", OWNER, pseudonyms),
        by("p1", PARTNER, pseudonyms),
        by("p1", OWNER, TokenType::Reverse),
        by("p1", OWNER, TokenType::Unspecified),
        by("p1", "", pseudonyms),
        tokens([&*inside, &*outside]),
        Selector::ApprovalRequestId("request-1".into()),
        Selector::Everything(pb::EverythingSelector { token_type: pseudonyms.into() }),
    ] {
        refused(narrow.revoke(selector).await);
    }
    assert_eq!(ours.record(&inside).await.unwrap().state(), pb::TokenState::Live);
    // Each of them is in the trail, by method and subject.
    let trail = world.trail();
    let denied: Vec<_> = trail.lines().filter(|line| line.contains("\"what\":\"deny\"")).collect();
    assert_eq!(denied.len(), 8 + 8, "{denied:#?}");
    assert!(denied.iter().all(|line| line.contains(&format!("\"actor\":\"{NARROW}\""))), "{denied:#?}");
    for told in [
        "\"method\":\"IssueToken\",\"project_id\":\"p2\"",
        "\"method\":\"CreateProject\",\"project_id\":\"p3\"",
        "\"method\":\"GetProject\",\"project_id\":\"p2\"",
        "\"method\":\"GetToken\",\"project_id\":\"p2\"",
        "\"method\":\"CloseProject\",\"project_id\":\"p1\"",
        "\"method\":\"SetCollaborators\",\"project_id\":\"p1\"",
        "\"token_type\":\"REVERSE\"",
        "\"method\":\"Revoke\"}",
    ] {
        assert!(denied.iter().any(|line| line.contains(told)), "{told} in {denied:#?}");
    }
    narrow.project("p1").await.unwrap();
    narrow.revoke(by("p1", OWNER, pseudonyms)).await.unwrap();
    narrow.revoke(tokens([&*inside])).await.unwrap();
    assert_eq!(ours.record(&inside).await.unwrap().state(), pb::TokenState::Revoked);
    assert_eq!(ours.record(&outside).await.unwrap().state(), pb::TokenState::Live);
    world.end().await;
}

fn refused<T>(answer: Result<T, Status>) {
    let status = answer.err().unwrap();
    assert_eq!(status.code(), Code::PermissionDenied, "{status:?}");
    assert_eq!(status.get_details_error_info().unwrap().reason, "NOT_FOR_THIS_CALLER");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_type_that_must_be_bound_is_not_issued_without_a_holder() {
    let world = World::start().await;
    let ours = world.ours();
    ours.fresh().await;
    ours.create(reversible("p1")).await.unwrap();
    let refused = ours.issue(orders::reverse("p1", OWNER)).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    let fields = refused.get_details_bad_request().unwrap().field_violations;
    assert_eq!(fields.first().unwrap().field, "holder_certificate_sha256");
    let holder_certificate_sha256 = Some(vec![7; 32].into());
    let bound = pb::IssueTokenRequest { holder_certificate_sha256, ..orders::reverse("p1", OWNER) };
    let token = ours.token(bound).await;
    assert_eq!(ours.refused(&token).await, RefusalReason::WrongHolder);
    // The other types need none.
    ours.accepted(&ours.token(pseudonymise("p1", OWNER)).await).await;
    world.end().await;
}
