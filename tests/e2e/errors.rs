//! What is told to callers who ask badly, may not ask, or only want to know what is there.

use common::proto::v1::{
    self as pb, Approval, IssueTokenRequest, ListTokensRequest, approval::Approval as By,
};
use harness::{
    calls::{Selector, serving},
    expect,
    orders::{self, OWNER},
    pair::{Pair, Setup},
};
use tonic::{Code, Status, client::Grpc, transport::Channel};
use tonic_prost::ProstCodec;
use tonic_reflection::pb::{
    v1::{
        ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
        server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
    },
    v1alpha,
};

/// 129 characters, one more than any reference may have.
fn long() -> String {
    "x".repeat(129)
}

#[tokio::test]
async fn every_bad_field_of_an_order_is_named_at_once() {
    let pair = Pair::start().await;
    let order = IssueTokenRequest {
        project_id: "A B".to_owned(),
        organisation_id: "nobody".to_owned(),
        token_type: 9,
        source: Some(orders::source("", "")),
        lifetime: Some(prost_types::Duration { seconds: 1, nanos: 1 }),
        approval: Some(Approval {
            request_id: String::new(),
            requested_by: "caf\u{e9}".to_owned(),
            approval: Some(By::ApprovedBy(long())),
            purpose: "x".repeat(1_001),
        }),
        holder_certificate_sha256: Some(vec![0; 31].into()),
        idempotency_key: Some(long()),
    };
    let fields = expect::fields(&pair.issue(order).await.unwrap_err());
    let expected = [
        "approval.approved_by",
        "approval.purpose",
        "approval.request_id",
        "approval.requested_by",
        "holder_certificate_sha256",
        "idempotency_key",
        "lifetime",
        "organisation_id",
        "project_id",
        "source.organisation_id",
        "source.project_id",
        "token_type",
    ];
    assert_eq!(fields, expected);
}

#[tokio::test]
async fn every_bad_field_of_a_project_is_named_at_once() {
    let pair = Pair::start().await;
    let empty = pair.create(pb::CreateProjectRequest::default()).await.unwrap_err();
    assert_eq!(expect::fields(&empty), ["configuration", "owner_organisation_id", "project_id"]);
    let mut request = orders::reversible("study");
    request.collaborators = vec![
        orders::collaborator(OWNER, true),
        orders::collaborator("", false),
        orders::collaborator("", false),
    ];
    let configuration = request.configuration.as_mut().unwrap();
    configuration.method = None;
    configuration.treatment = 0;
    configuration.output_format = Some(pb::OutputFormat { alphabet: 0, length: 1 });
    let fields = expect::fields(&pair.create(request).await.unwrap_err());
    for named in [
        "collaborators[0].organisation_id",
        "collaborators[1].organisation_id",
        "collaborators[2].organisation_id",
        "configuration.method",
        "configuration.treatment",
        "configuration.output_format.alphabet",
    ] {
        assert!(fields.iter().any(|field| field == named), "{named} in {fields:?}");
    }
}

#[tokio::test]
async fn every_bad_field_of_a_revocation_is_named_at_once() {
    let pair = Pair::start().await;
    let ask = async |selector: Option<Selector>, reason: i32| {
        let comment = "x".repeat(1_001);
        let request = pb::RevokeRequest { selector, reason, comment };
        expect::fields(&pair.revoking().revoke(request).await.unwrap_err())
    };
    assert_eq!(ask(None, 0).await, ["comment", "reason", "selector"]);
    let ids = vec!["bad".to_owned(), "AAAAAAAAAAAAAAAAAAAAAA".to_owned(), String::new()];
    let named = ["comment", "reason", "token_ids.token_ids[0]", "token_ids.token_ids[2]"];
    assert_eq!(ask(Some(Selector::TokenIds(pb::TokenIds { token_ids: ids })), 9).await, named);
    let none = Selector::TokenIds(pb::TokenIds { token_ids: Vec::new() });
    assert_eq!(ask(Some(none), 1).await, ["comment", "token_ids.token_ids"]);
    let many = vec!["AAAAAAAAAAAAAAAAAAAAAA".to_owned(); 1_001];
    let many = Selector::TokenIds(pb::TokenIds { token_ids: many });
    assert_eq!(ask(Some(many), 1).await, ["comment", "token_ids.token_ids"]);
    let project =
        pb::ProjectSelector { project_id: String::new(), organisation_id: "x".to_owned(), token_type: 7 };
    let named = ["comment", "project.organisation_id", "project.project_id", "project.token_type"];
    assert_eq!(ask(Some(Selector::Project(project)), 1).await, named);
    assert_eq!(ask(Some(Selector::KeyId("k".to_owned())), 1).await, ["comment", "key_id"]);
    let request = Selector::ApprovalRequestId(long());
    assert_eq!(ask(Some(request), 1).await, ["approval_request_id", "comment"]);
    let cursor = pb::AwaitVisibilityRequest { cursor: None, timeout: Some(orders::seconds(901)) };
    let refused = pair.revoking().await_visibility(cursor).await.unwrap_err();
    assert_eq!(expect::fields(&refused), ["cursor", "timeout"]);
}

#[tokio::test]
async fn every_bad_field_of_a_question_is_named_at_once() {
    let pair = Pair::start().await;
    let question = pb::VerifyTokenRequest {
        token: String::new(),
        accepted_types: vec![1, 0, 9],
        at_least: None,
        max_staleness: Some(orders::seconds(-1)),
        holder_certificate_sha256: Some(vec![1].into()),
    };
    let fields = expect::fields(&pair.verifying().verify_token(question).await.unwrap_err());
    for named in ["accepted_types[1]", "accepted_types[2]", "holder_certificate_sha256", "max_staleness"] {
        assert!(fields.iter().any(|field| field == named), "{named} in {fields:?}");
    }
    let nothing = pair.verifying().verify_tokens(pb::VerifyTokensRequest::default()).await.unwrap_err();
    assert_eq!(expect::fields(&nothing), ["requests"]);
    let requests = vec![pb::VerifyTokenRequest::default(); 65];
    let many = pair.verifying().verify_tokens(pb::VerifyTokensRequest { requests }).await.unwrap_err();
    assert!(expect::fields(&many).contains(&"requests".to_owned()));
}

#[tokio::test]
async fn lists_refuse_bad_filters_sizes_and_page_tokens() {
    let pair = Pair::start().await;
    let filter = ListTokensRequest {
        project_id: "A".to_owned(),
        organisation_id: "x".to_owned(),
        token_type: 9,
        state: 9,
        page_size: 1_001,
        page_token: "%".to_owned(),
    };
    let fields = expect::fields(&pair.issuing().list_tokens(filter).await.unwrap_err());
    let expected = ["organisation_id", "page_size", "page_token", "project_id", "state", "token_type"];
    assert_eq!(fields, expected);
    for id in ["a", "b"] {
        pair.create(orders::reversible(id)).await.unwrap();
    }
    let list = async |request| Ok::<_, Status>(pair.projects().list_projects(request).await?.into_inner());
    let first = pb::ListProjectsRequest { page_size: 1, ..pb::ListProjectsRequest::default() };
    let page = list(first.clone()).await.unwrap();
    assert_eq!((page.projects.len(), page.projects[0].project_id.as_str()), (1, "a"));
    let second = pb::ListProjectsRequest { page_token: page.next_page_token, ..first };
    let rest = list(second.clone()).await.unwrap();
    assert_eq!((rest.projects[0].project_id.as_str(), rest.next_page_token.as_str()), ("b", ""));
    let other = pb::ListProjectsRequest { organisation_id: OWNER.to_owned(), ..second };
    assert_eq!(expect::fields(&list(other).await.unwrap_err()), ["page_token"]);
}

#[tokio::test]
async fn what_does_not_exist_is_not_found() {
    let pair = Pair::start().await;
    assert_eq!(pair.project("nowhere").await.unwrap_err().code(), Code::NotFound);
    let order = orders::pseudonymise("nowhere", OWNER);
    assert_eq!(pair.issue(order).await.unwrap_err().code(), Code::NotFound);
    let request = pb::CloseProjectRequest { project_id: "nowhere".to_owned(), etag: "1".to_owned() };
    assert_eq!(pair.projects().close_project(request).await.unwrap_err().code(), Code::NotFound);
}

#[tokio::test]
async fn plaintext_without_insecure_loopback_has_no_role() {
    let closed = vec![("GRPC__INSECURE_LOOPBACK", "false")];
    let pair = Pair::unheard(Setup { issuer: closed.clone(), verifier: closed, ..Setup::default() }).await;
    let denied = [
        pair.create(orders::reversible("study")).await.unwrap_err(),
        pair.issue(orders::pseudonymise("study", OWNER)).await.unwrap_err(),
        pair.revoke(harness::calls::tokens(["AAAAAAAAAAAAAAAAAAAAAA"])).await.unwrap_err(),
        pair.trust().get_key_set(pb::GetKeySetRequest {}).await.unwrap_err(),
        pair.verify("token").await.unwrap_err(),
        pair.view().await.unwrap_err(),
    ];
    for status in denied {
        assert_eq!(status.code(), Code::PermissionDenied);
    }
    assert!(serving(pair.issuer(), "").await.unwrap(), "health is for anyone");
}

async fn call(channel: Channel, path: &'static str) -> Code {
    let mut client = Grpc::new(channel);
    client.ready().await.unwrap();
    let codec = ProstCodec::<pb::GetTrustViewRequest, pb::GetTrustViewResponse>::default();
    let path = http::uri::PathAndQuery::from_static(path);
    let request = tonic::Request::new(pb::GetTrustViewRequest {});
    client.unary(request, path, codec).await.unwrap_err().code()
}

#[tokio::test]
async fn an_unknown_method_or_service_is_unimplemented() {
    let pair = Pair::start().await;
    for path in ["/ipms.token.v1.IssuerService/StealToken", "/ipms.token.v2.IssuerService/IssueToken", "/a/b"]
    {
        assert_eq!(call(pair.issuer(), path).await, Code::Unimplemented, "{path}");
        assert_eq!(call(pair.verifier(), path).await, Code::Unimplemented, "{path}");
    }
    let elsewhere = "/ipms.token.v1.IssuerService/IssueToken";
    assert_eq!(call(pair.verifier(), elsewhere).await, Code::Unimplemented);
}

async fn listed(channel: Channel) -> Vec<String> {
    let request = ServerReflectionRequest {
        message_request: Some(MessageRequest::ListServices(String::new())),
        ..ServerReflectionRequest::default()
    };
    let answer =
        ServerReflectionClient::new(channel).server_reflection_info(tokio_stream::once(request)).await;
    let answer = answer.unwrap().into_inner().message().await.unwrap().unwrap();
    let Some(MessageResponse::ListServicesResponse(list)) = answer.message_response else {
        return Vec::new();
    };
    list.service.into_iter().map(|one| one.name).collect()
}

async fn listed_alpha(channel: Channel) -> Vec<String> {
    use v1alpha::{
        server_reflection_client::ServerReflectionClient, server_reflection_request::MessageRequest,
        server_reflection_response::MessageResponse,
    };
    let request = v1alpha::ServerReflectionRequest {
        message_request: Some(MessageRequest::ListServices(String::new())),
        ..v1alpha::ServerReflectionRequest::default()
    };
    let answer =
        ServerReflectionClient::new(channel).server_reflection_info(tokio_stream::once(request)).await;
    let answer = answer.unwrap().into_inner().message().await.unwrap().unwrap();
    let Some(MessageResponse::ListServicesResponse(list)) = answer.message_response else {
        return Vec::new();
    };
    list.service.into_iter().map(|one| one.name).collect()
}

#[tokio::test]
async fn reflection_lists_the_services_in_both_versions() {
    let pair = Pair::start().await;
    let ours = ["ProjectService", "IssuerService", "RevocationService", "TrustService"];
    for listed in [listed(pair.issuer()).await, listed_alpha(pair.issuer()).await] {
        for name in ours {
            assert!(listed.contains(&format!("ipms.token.v1.{name}")), "{name} in {listed:?}");
        }
        assert!(listed.contains(&"grpc.health.v1.Health".to_owned()));
    }
    for listed in [listed(pair.verifier()).await, listed_alpha(pair.verifier()).await] {
        assert!(listed.contains(&"ipms.token.v1.VerifierService".to_owned()), "{listed:?}");
    }
}

#[tokio::test]
async fn each_service_tells_its_health() {
    let pair = Pair::start().await;
    for name in ["ProjectService", "IssuerService", "RevocationService", "TrustService"] {
        assert!(serving(pair.issuer(), &format!("ipms.token.v1.{name}")).await.unwrap(), "{name}");
    }
    let unknown = serving(pair.issuer(), "ipms.token.v1.Nothing").await.unwrap_err();
    assert_eq!(unknown.code(), Code::NotFound);
}

#[tokio::test]
async fn what_is_no_token_is_malformed_and_a_forged_one_is_refused() {
    let pair = Pair::start().await;
    pair.create(orders::reversible("study")).await.unwrap();
    let token = pair.token(orders::reverse("study", OWNER)).await;
    for bad in ["x", "a.b.c", &format!("{token}A"), &format!("{token}\n"), &"A".repeat(5_000)] {
        assert_eq!(pair.refused(bad).await, pb::RefusalReason::Malformed);
    }
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let other = pair.token(orders::pseudonymise("study", OWNER)).await;
    let (other_signed, _) = other.rsplit_once('.').unwrap();
    assert_ne!(signed, other_signed);
    let forged = format!("{other_signed}.{signature}");
    assert_eq!(pair.refused(&forged).await, pb::RefusalReason::BadSignature);
}
