//! Rules 11 and 15: what is withdrawn is revoked in the same step, and what cannot be known is not accepted.

use std::collections::BTreeMap;

use common::proto::v1::{IssueTokenRequest, RefusalReason, RevokeResponse};
use harness::{
    expect,
    orders::{self, OTHER, OWNER, PARTNER, source},
    pair::Pair,
};
use tonic::Code;

/// Tokens of every kind that a withdrawal in `study` could hit or must spare.
async fn tokens(pair: &Pair) -> BTreeMap<&'static str, String> {
    for id in ["study", "second"] {
        pair.create(orders::reversible(id)).await.unwrap();
    }
    let named: [(&str, IssueTokenRequest); 11] = [
        ("partner reverse", orders::reverse("study", PARTNER)),
        ("partner pseudonymise", orders::pseudonymise("study", PARTNER)),
        ("partner secondary", orders::secondary("study", PARTNER, source("second", OWNER))),
        ("from partner's layer", orders::secondary("second", OWNER, source("study", PARTNER))),
        ("issued to partner from study", orders::secondary("second", PARTNER, source("study", OWNER))),
        ("owner reverse", orders::reverse("study", OWNER)),
        ("owner pseudonymise", orders::pseudonymise("study", OWNER)),
        ("other pseudonymise", orders::pseudonymise("study", OTHER)),
        ("from owner's layer", orders::secondary("second", OTHER, source("study", OWNER))),
        ("partner elsewhere", orders::reverse("second", PARTNER)),
        ("owner elsewhere", orders::pseudonymise("second", OWNER)),
    ];
    let mut tokens = BTreeMap::new();
    for (name, order) in named {
        tokens.insert(name, pair.token(order).await);
    }
    tokens
}

/// Exactly these are refused now, all others accepted.
async fn hits(pair: &Pair, tokens: &BTreeMap<&str, String>, revoked: Option<RevokeResponse>, hit: &[&str]) {
    pair.seen(&revoked.unwrap()).await;
    for (name, token) in tokens {
        if hit.contains(name) {
            assert_eq!(pair.refused(token).await, RefusalReason::Revoked, "{name}");
        } else {
            pair.accepted(token).await;
        }
    }
}

#[tokio::test]
async fn rule_11_withdrawing_can_reverse_revokes_that_organisations_reverse_tokens_there() {
    let pair = Pair::start().await;
    let tokens = tokens(&pair).await;
    let list = vec![orders::collaborator(PARTNER, false), orders::collaborator(OTHER, false)];
    let changed = pair.collaborate("study", list).await.unwrap();
    hits(&pair, &tokens, changed.revocation, &["partner reverse"]).await;
    let refused = pair.issue(orders::reverse("study", PARTNER)).await.unwrap_err();
    assert_eq!(expect::reason(&refused), "REVERSE_NOT_GRANTED");
}

#[tokio::test]
async fn rule_11_removing_a_collaborator_revokes_what_it_had_and_what_came_from_it() {
    let pair = Pair::start().await;
    let tokens = tokens(&pair).await;
    let changed = pair.collaborate("study", vec![orders::collaborator(OTHER, false)]).await.unwrap();
    let hit = [
        "partner reverse",
        "partner pseudonymise",
        "partner secondary",
        "from partner's layer",
        "issued to partner from study",
    ];
    hits(&pair, &tokens, changed.revocation, &hit).await;
}

#[tokio::test]
async fn rule_11_closing_revokes_all_of_a_project_and_what_came_from_it() {
    let pair = Pair::start().await;
    let tokens = tokens(&pair).await;
    let closed = pair.close("study").await.unwrap();
    assert!(closed.project.unwrap().close_time.is_some());
    let spared = ["partner elsewhere", "owner elsewhere"];
    let hit: Vec<_> = tokens.keys().copied().filter(|name| !spared.contains(name)).collect();
    hits(&pair, &tokens, closed.revocation, &hit).await;
    let again = pair.close("study").await.unwrap();
    assert_eq!(again.revocation, None);
    let refused = pair.issue(orders::pseudonymise("study", OWNER)).await.unwrap_err();
    assert_eq!(expect::reason(&refused), "PROJECT_CLOSED");
}

#[tokio::test]
async fn rule_11_adding_withdraws_nothing_and_what_is_given_back_stays_revoked() {
    let pair = Pair::start().await;
    let tokens = tokens(&pair).await;
    let both = || vec![orders::collaborator(OTHER, true), orders::collaborator(PARTNER, true)];
    let more = pair.collaborate("study", both()).await.unwrap();
    assert_eq!(more.revocation, None);
    let fewer = pair.collaborate("study", vec![orders::collaborator(OTHER, true)]).await.unwrap();
    pair.collaborate("study", both()).await.unwrap();
    pair.seen(&fewer.revocation.unwrap()).await;
    assert_eq!(pair.refused(&tokens["partner reverse"]).await, RefusalReason::Revoked);
    let new = pair.token(orders::reverse("study", PARTNER)).await;
    pair.accepted(&new).await;
}

#[tokio::test]
async fn rule_11_a_change_over_an_old_etag_changes_nothing() {
    let pair = Pair::start().await;
    let tokens = tokens(&pair).await;
    let etag = pair.project("study").await.unwrap().etag;
    pair.collaborate("study", vec![orders::collaborator(PARTNER, true)]).await.unwrap();
    let request = common::proto::v1::SetCollaboratorsRequest {
        project_id: "study".to_owned(),
        etag: etag.clone(),
        collaborators: Vec::new(),
    };
    assert_eq!(pair.projects().set_collaborators(request).await.unwrap_err().code(), Code::Aborted);
    let request = common::proto::v1::CloseProjectRequest { project_id: "study".to_owned(), etag };
    assert_eq!(pair.projects().close_project(request).await.unwrap_err().code(), Code::Aborted);
    pair.accepted(&tokens["partner reverse"]).await;
}

#[tokio::test]
async fn rule_15_a_verifier_that_never_heard_of_an_issuer_decides_nothing() {
    let mut pair = Pair::start().await;
    pair.create(orders::reversible("study")).await.unwrap();
    let token = pair.token(orders::pseudonymise("study", OWNER)).await;
    pair.kill_issuer();
    pair.kill_verifier();
    std::fs::remove_file(pair.path("view")).unwrap();
    pair.start_verifier(harness::pair::BOOT).await.unwrap();
    let undecided = pair.verify(&token).await.unwrap_err();
    assert_eq!(
        (undecided.code(), expect::reason(&undecided).as_str()),
        (Code::Unavailable, "REVOCATIONS_STALE")
    );
}
