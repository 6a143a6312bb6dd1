//! Rules 1, 2, 3, 6 and 12: what is granted to whom, and what never changes.

use common::proto::v1::{
    self as pb, Approval, IssueTokenRequest, TokenType, approval::Approval as By,
    project_configuration::Method,
};
use harness::{
    expect,
    orders::{self, APPROVER, ASKER, OTHER, OWNER, PARTNER, PURPOSE, STRANGER},
    pair::Pair,
};
use tonic::Code;

use super::{broken, pair_with_study};

fn with(approval: Option<Approval>, order: IssueTokenRequest) -> IssueTokenRequest {
    IssueTokenRequest { approval, ..order }
}

#[tokio::test]
async fn rule_01_a_token_is_accepted_for_its_own_type_only() {
    let pair = pair_with_study().await;
    for kind in [TokenType::Pseudonymisation, TokenType::Reverse] {
        let token = pair.token(orders::order(kind, "study", OWNER)).await;
        assert_eq!(pair.accepted(&token).await.token_type(), kind);
        for other in [TokenType::Pseudonymisation, TokenType::Reverse, TokenType::Secondary] {
            let question = pb::VerifyTokenRequest {
                token: token.clone(),
                accepted_types: vec![other.into()],
                ..pb::VerifyTokenRequest::default()
            };
            let verdict = pair.verifying().verify_token(question).await.unwrap().into_inner().verdict;
            match verdict.unwrap() {
                pb::verify_token_response::Verdict::Accepted(_) => assert_eq!(other, kind),
                pb::verify_token_response::Verdict::Refused(refused) => {
                    assert_ne!(other, kind);
                    assert_eq!(refused.reason(), pb::RefusalReason::WrongType);
                }
                pb::verify_token_response::Verdict::Undecided(_) => panic!("undecided"),
            }
        }
    }
}

#[tokio::test]
async fn rule_02_the_approved_request_is_recorded() {
    let pair = pair_with_study().await;
    let approval = Approval { request_id: "request-4711".to_owned(), ..orders::approval() };
    let issued = pair.issue(with(Some(approval), orders::reverse("study", OWNER))).await.unwrap();
    let id = issued.record.unwrap().token_id;
    assert_eq!(pair.record(&id).await.unwrap().approval_request_id, "request-4711");
}

#[tokio::test]
async fn rule_02_nothing_is_granted_without_an_approval_and_reversing_needs_a_person() {
    let pair = pair_with_study().await;
    let undecided = Approval { approval: None, ..orders::approval() };
    for approval in [None, Some(undecided)] {
        let order = with(approval, orders::pseudonymise("study", OWNER));
        assert_eq!(broken(pair.issue(order).await), "APPROVAL_MISSING");
    }
    let automatic = Some(Approval { purpose: PURPOSE.to_owned(), ..orders::automatic() });
    let order = with(automatic.clone(), orders::reverse("study", OWNER));
    assert_eq!(broken(pair.issue(order).await), "AUTOMATIC_APPROVAL_REFUSED");
    let token = pair.token(with(automatic, orders::pseudonymise("study", OWNER))).await;
    assert_eq!(pair.accepted(&token).await.token_type(), TokenType::Pseudonymisation);
}

#[tokio::test]
async fn rule_03_only_a_reversible_project_is_reversed() {
    let pair = Pair::start().await;
    pair.create(orders::not_reversible("study")).await.unwrap();
    assert_eq!(broken(pair.issue(orders::reverse("study", OWNER)).await), "PROJECT_NOT_REVERSIBLE");
    let token = pair.token(orders::pseudonymise("study", OWNER)).await;
    let configuration = pair.accepted(&token).await.project.unwrap().configuration.unwrap();
    assert_eq!(configuration.method, Some(Method::NotReversible(pb::NotReversible {})));
}

#[tokio::test]
async fn rule_03_a_collaborator_reverses_only_with_can_reverse_and_a_stranger_gets_nothing() {
    let pair = pair_with_study().await;
    for may in [OWNER, PARTNER] {
        let token = pair.token(orders::reverse("study", may)).await;
        assert_eq!(pair.accepted(&token).await.organisation_id, may);
    }
    assert_eq!(broken(pair.issue(orders::reverse("study", OTHER)).await), "REVERSE_NOT_GRANTED");
    pair.token(orders::pseudonymise("study", OTHER)).await;
    for order in [orders::reverse("study", STRANGER), orders::pseudonymise("study", STRANGER)] {
        assert_eq!(broken(pair.issue(order).await), "NOT_A_COLLABORATOR");
    }
}

#[tokio::test]
async fn rule_06_creating_again_returns_the_project_and_other_content_is_refused() {
    let pair = Pair::start().await;
    let first = pair.create(orders::reversible("study")).await.unwrap();
    assert_eq!(pair.create(orders::reversible("study")).await.unwrap(), first);
    let mut format = orders::reversible("study");
    format.configuration.as_mut().unwrap().output_format.as_mut().unwrap().length = 41;
    let mut treatment = orders::reversible("study");
    treatment.configuration.as_mut().unwrap().treatment = pb::Treatment::AlwaysDifferent.into();
    let mut owner = orders::reversible("study");
    owner.owner_organisation_id = STRANGER.to_owned();
    let longer = orders::retained("study", 1, 0, 1);
    for other in [format, treatment, owner, longer, orders::not_reversible("study")] {
        assert_eq!(pair.create(other).await.unwrap_err().code(), Code::AlreadyExists);
    }
    assert_eq!(pair.project("study").await.unwrap(), first);
}

#[tokio::test]
async fn rule_06_collaborators_change_and_the_configuration_stays() {
    let pair = Pair::start().await;
    let first = pair.create(orders::reversible("study")).await.unwrap();
    let changed = pair.collaborate("study", vec![orders::collaborator(STRANGER, true)]).await.unwrap();
    let changed = changed.project.unwrap();
    assert_eq!((changed.configuration, changed.create_time), (first.configuration, first.create_time));
    assert_ne!(changed.etag, first.etag);
    pair.token(orders::reverse("study", STRANGER)).await;
}

#[tokio::test]
async fn rule_06_a_retention_is_not_zero_and_not_more_than_100_years() {
    let pair = Pair::start().await;
    for (years, months, days) in [(0, 0, 0), (101, 0, 0), (100, 0, 1), (99, 13, 0), (0, 0, 36_526)] {
        let refused = pair.create(orders::retained("study", years, months, days)).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{years} {months} {days}");
        let fields = expect::fields(&refused);
        let named = fields.iter().all(|field| field.starts_with("configuration.reversible.retention"));
        assert!(named, "{fields:?}");
    }
    pair.create(orders::retained("study", 100, 0, 0)).await.unwrap();
}

#[tokio::test]
async fn rule_12_reversing_needs_a_purpose_and_two_persons_and_the_audit_keeps_both() {
    let pair = pair_with_study().await;
    let reverse = || orders::reverse("study", OWNER);
    let blank = Approval { purpose: " \n".to_owned(), ..orders::approval() };
    assert_eq!(broken(pair.issue(with(Some(blank), reverse())).await), "PURPOSE_MISSING");
    for same in [ASKER.to_owned(), format!(" {} ", ASKER.to_uppercase())] {
        let alone = Approval { approval: Some(By::ApprovedBy(same)), ..orders::approval() };
        assert_eq!(broken(pair.issue(with(Some(alone), reverse())).await), "APPROVER_IS_REQUESTER");
    }
    let id = pair.issue(reverse()).await.unwrap().record.unwrap().token_id;
    let audit = std::fs::read_to_string(pair.path("audit.jsonl")).unwrap();
    let line = audit.lines().find(|line| line.contains(&id)).unwrap();
    let line: serde_json::Value = serde_json::from_str(line).unwrap();
    let approval = line.pointer("/event/order/approval").unwrap();
    let said = ["requested_by", "approved_by", "purpose"].map(|name| approval[name].as_str().unwrap());
    assert_eq!(said, [ASKER, APPROVER, PURPOSE]);
    for refusal in ["PURPOSE_MISSING", "APPROVER_IS_REQUESTER"] {
        assert!(audit.contains(refusal), "{refusal} is in the audit trail");
    }
}
