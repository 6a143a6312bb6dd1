//! Each selector hits exactly what was recorded before it, and the preview counts it.

use common::proto::v1::{
    self as pb, EverythingSelector, OrganisationSelector, ProjectSelector, TokenType,
    preview_revocation_request::Selector as Previewed,
};
use harness::{
    calls::{Selector, tokens},
    expect,
    orders::{self, OTHER, OWNER, PARTNER},
    pair::{Pair, Setup},
};
use tonic::Code;

use super::{batch, pair_with_projects, refused};

const UNKNOWN: &str = "AAAAAAAAAAAAAAAAAAAAAA";

async fn preview(pair: &Pair, selector: Selector) -> pb::PreviewRevocationResponse {
    let selector = match selector {
        Selector::TokenIds(ids) => Previewed::TokenIds(ids),
        Selector::Project(project) => Previewed::Project(project),
        Selector::Organisation(organisation) => Previewed::Organisation(organisation),
        Selector::ApprovalRequestId(request) => Previewed::ApprovalRequestId(request),
        Selector::KeyId(key) => Previewed::KeyId(key),
        Selector::Everything(everything) => Previewed::Everything(everything),
    };
    let request = pb::PreviewRevocationRequest { selector: Some(selector) };
    pair.revoking().preview_revocation(request).await.unwrap().into_inner()
}

/// Revokes; exactly `hit` of the batch, which lies in so many projects, is refused then, and nothing issued later.
async fn hits(selector: Selector, hit: &[usize], projects: u64) {
    let pair = pair_with_projects().await;
    let before = batch(&pair).await;
    let counted = preview(&pair, selector.clone()).await;
    assert_eq!((counted.live_tokens, counted.projects), (hit.len() as u64, projects));
    assert_eq!(counted.latest_expiry.is_some(), !hit.is_empty());
    let revoked = pair.revoke(selector.clone()).await.unwrap();
    let after = batch(&pair).await;
    pair.seen(&revoked).await;
    assert_eq!(refused(&pair, &before).await, hit);
    assert_eq!(refused(&pair, &after).await, Vec::<usize>::new());
    assert_eq!(preview(&pair, selector).await.live_tokens, hit.len() as u64, "only the later ones are left");
}

fn project(organisation: &str, token_type: TokenType) -> Selector {
    Selector::Project(ProjectSelector {
        project_id: "a".to_owned(),
        organisation_id: organisation.to_owned(),
        token_type: token_type.into(),
    })
}

#[tokio::test]
async fn a_project() {
    hits(project("", TokenType::Unspecified), &[0, 1, 2, 3], 1).await;
}

#[tokio::test]
async fn an_organisation_of_a_project() {
    hits(project(PARTNER, TokenType::Unspecified), &[1, 2, 3], 1).await;
}

#[tokio::test]
async fn a_type_of_an_organisation_of_a_project() {
    hits(project(PARTNER, TokenType::Reverse), &[2], 1).await;
}

#[tokio::test]
async fn a_type_of_a_project() {
    hits(project("", TokenType::Pseudonymisation), &[0, 1], 1).await;
}

#[tokio::test]
async fn an_organisation_in_all_projects() {
    let selector = |token_type: TokenType| {
        Selector::Organisation(OrganisationSelector {
            organisation_id: PARTNER.to_owned(),
            token_type: token_type.into(),
        })
    };
    hits(selector(TokenType::Unspecified), &[1, 2, 3, 5], 2).await;
    hits(selector(TokenType::Reverse), &[2, 5], 2).await;
}

#[tokio::test]
async fn everything_and_every_token_of_a_type() {
    let selector =
        |token_type: TokenType| Selector::Everything(EverythingSelector { token_type: token_type.into() });
    hits(selector(TokenType::Unspecified), &[0, 1, 2, 3, 4, 5], 2).await;
    hits(selector(TokenType::Secondary), &[3], 1).await;
}

#[tokio::test]
async fn an_approved_request() {
    hits(Selector::ApprovalRequestId("request-2".to_owned()), &[5], 1).await;
    hits(Selector::ApprovalRequestId("request-3".to_owned()), &[], 0).await;
}

#[tokio::test]
async fn single_tokens_and_one_that_nobody_knows() {
    let pair = pair_with_projects().await;
    let batch = batch(&pair).await;
    let selector = tokens([&batch[1].id, UNKNOWN, &batch[4].id, &batch[1].id]);
    assert_eq!(preview(&pair, selector.clone()).await.live_tokens, 2);
    let before = pair.view().await.unwrap().view.unwrap().cursor.unwrap();
    let revoked = pair.revoke(selector).await.unwrap();
    assert_eq!(revoked.cursor.unwrap().sequence, before.sequence + 3, "the unknown one is recorded");
    pair.seen(&revoked).await;
    assert_eq!(refused(&pair, &batch).await, [1, 4]);
}

#[tokio::test]
async fn a_repeat_adds_nothing_and_keeps_the_first_position() {
    let pair = pair_with_projects().await;
    let batch = batch(&pair).await;
    let ids = || tokens([&batch[0].id, &batch[1].id]);
    let first = pair.revoke(ids()).await.unwrap();
    assert_eq!(pair.revoke(ids()).await.unwrap().cursor, first.cursor);
    let one = pair.revoke(tokens([&batch[0].id])).await.unwrap();
    assert!(one.cursor.unwrap().sequence <= first.cursor.unwrap().sequence);
    assert_eq!(first.durable_copies, 1);
}

#[tokio::test]
async fn a_scope_again_hits_what_was_recorded_since() {
    let pair = pair_with_projects().await;
    let old = batch(&pair).await;
    pair.revoke(project("", TokenType::Unspecified)).await.unwrap();
    let new = batch(&pair).await;
    let revoked = pair.revoke(project("", TokenType::Unspecified)).await.unwrap();
    pair.seen(&revoked).await;
    for batch in [&old, &new] {
        assert_eq!(refused(&pair, batch).await, [0, 1, 2, 3]);
    }
}

#[tokio::test]
async fn the_only_key() {
    let pair = pair_with_projects().await;
    let batch = batch(&pair).await;
    let key = pair.record(&batch[0].id).await.unwrap().key_id;
    let selector = Selector::KeyId(key.clone());
    assert_eq!(preview(&pair, selector.clone()).await.live_tokens, 6);
    let revoked = pair.revoke(selector.clone()).await.unwrap();
    pair.seen(&revoked).await;
    assert_eq!(refused(&pair, &batch).await, [0, 1, 2, 3, 4, 5]);
    let none = pair.issue(orders::pseudonymise("a", OWNER)).await.unwrap_err();
    assert_eq!((none.code(), &*expect::reason(&none)), (Code::Unavailable, "NO_SIGNING_KEY"));
    let keys = pair.trust().get_key_set(pb::GetKeySetRequest {}).await.unwrap().into_inner().keys;
    assert!(keys.iter().all(|one| one.kid != key), "it is not published any more");
    assert_eq!(pair.revoke(selector).await.unwrap().cursor, revoked.cursor);
}

#[tokio::test]
async fn one_key_of_two_leaves_the_other_and_stays_out_over_a_restart() {
    let mut pair = Pair::with(Setup { token_keys: 2, ..Setup::default() }).await;
    pair.create(orders::reversible("a")).await.unwrap();
    let first = pair.issue(orders::pseudonymise("a", OTHER)).await.unwrap();
    let stolen = first.record.unwrap().key_id;
    let revoked = pair.revoke(Selector::KeyId(stolen.clone())).await.unwrap();
    pair.seen(&revoked).await;
    assert_eq!(pair.refused(&first.token).await, pb::RefusalReason::Revoked);
    // The other one takes over at once, and verifiers know it already.
    let next = pair.issue(orders::pseudonymise("a", OTHER)).await.unwrap();
    let other = next.record.unwrap().key_id;
    assert_ne!(other, stolen);
    pair.accepted(&next.token).await;
    pair.kill_issuer();
    pair.start_issuer().await.unwrap();
    let again = pair.issue(orders::pseudonymise("a", OTHER)).await.unwrap();
    assert_eq!(again.record.unwrap().key_id, other);
    assert_eq!(pair.refused(&first.token).await, pb::RefusalReason::Revoked);
}
