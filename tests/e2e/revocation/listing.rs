//! What the ledger tells of tokens: their state, the rule that hit them, lists and pages.

use std::time::Duration;

use common::proto::v1::{
    IssueTokenRequest, ListTokensRequest, ListTokensResponse, ProjectSelector, TokenState, TokenType,
};
use harness::{
    calls::{Selector, tokens},
    expect,
    orders::{self, OWNER, PARTNER},
    pair::Pair,
};
use tonic::{Code, Status};

use super::{Held, batch, pair_with_projects};

async fn list(pair: &Pair, filter: ListTokensRequest) -> Result<ListTokensResponse, Status> {
    Ok(pair.issuing().list_tokens(filter).await?.into_inner())
}

/// The places in the batch of what is listed, in the order of the list.
async fn places(pair: &Pair, batch: &[Held], filter: ListTokensRequest) -> Vec<usize> {
    let listed = list(pair, filter).await.unwrap().records;
    let place = |id: &str| batch.iter().position(|held| held.id == id).unwrap();
    listed.iter().map(|record| place(&record.token_id)).collect()
}

#[tokio::test]
async fn a_revoked_token_tells_the_rule_in_words() {
    let pair = pair_with_projects().await;
    let batch = batch(&pair).await;
    let live = pair.record(&batch[0].id).await.unwrap();
    assert_eq!((live.state(), live.revocation.clone()), (TokenState::Live, None));
    let scope = ProjectSelector {
        project_id: "a".to_owned(),
        organisation_id: String::new(),
        token_type: TokenType::Reverse.into(),
    };
    let by_scope = pair.revoke(Selector::Project(scope)).await.unwrap();
    let by_id = pair.revoke(tokens([&batch[0].id])).await.unwrap();
    for (held, revoked, words) in
        [(&batch[2], by_scope, "project=a token_type=REVERSE"), (&batch[0], by_id, "token")]
    {
        let record = pair.record(&held.id).await.unwrap();
        let revocation = record.revocation.clone().unwrap();
        assert_eq!(record.state(), TokenState::Revoked);
        assert_eq!((revocation.rule.as_str(), revocation.cursor), (words, revoked.cursor));
        assert_eq!(revocation.reason(), common::proto::v1::RevocationReason::TokenLeaked);
        assert!(revocation.record_time.is_some());
    }
}

#[tokio::test]
async fn a_token_that_nobody_knows_is_not_found() {
    let pair = Pair::start().await;
    let unknown = pair.record("AAAAAAAAAAAAAAAAAAAAAA").await.unwrap_err();
    assert_eq!(unknown.code(), Code::NotFound);
}

#[tokio::test]
async fn lists_are_filtered_newest_first() {
    let pair = pair_with_projects().await;
    let batch = batch(&pair).await;
    let all = ListTokensRequest::default();
    assert_eq!(places(&pair, &batch, all.clone()).await, [5, 4, 3, 2, 1, 0]);
    let project = ListTokensRequest { project_id: "a".to_owned(), ..all.clone() };
    assert_eq!(places(&pair, &batch, project.clone()).await, [3, 2, 1, 0]);
    let organisation = ListTokensRequest { organisation_id: PARTNER.to_owned(), ..all.clone() };
    assert_eq!(places(&pair, &batch, organisation).await, [5, 3, 2, 1]);
    let kind = ListTokensRequest { token_type: TokenType::Reverse.into(), ..project };
    assert_eq!(places(&pair, &batch, kind).await, [2]);
    pair.revoke(tokens([&batch[1].id, &batch[5].id])).await.unwrap();
    let state = |state: TokenState| ListTokensRequest { state: state.into(), ..all.clone() };
    assert_eq!(places(&pair, &batch, state(TokenState::Revoked)).await, [5, 1]);
    assert_eq!(places(&pair, &batch, state(TokenState::Live)).await, [4, 3, 2, 0]);
    pair.advance(Duration::from_hours(1));
    assert_eq!(
        places(&pair, &batch, state(TokenState::Expired)).await,
        [5, 2],
        "reverse tokens live an hour"
    );
}

#[tokio::test]
async fn pages_follow_each_other_without_a_gap_and_hold_only_with_their_filter() {
    let pair = pair_with_projects().await;
    let mut ids = Vec::new();
    for _ in 0..5 {
        let order: IssueTokenRequest = orders::pseudonymise("a", OWNER);
        ids.push(pair.issue(order).await.unwrap().record.unwrap().token_id);
    }
    ids.reverse();
    let filter =
        ListTokensRequest { page_size: 2, project_id: "a".to_owned(), ..ListTokensRequest::default() };
    let (mut listed, mut page_token, mut sizes) = (Vec::new(), String::new(), Vec::new());
    loop {
        let page = list(&pair, ListTokensRequest { page_token, ..filter.clone() }).await.unwrap();
        sizes.push(page.records.len());
        listed.extend(page.records.into_iter().map(|record| record.token_id));
        if page.next_page_token.is_empty() {
            break;
        }
        page_token = page.next_page_token;
    }
    assert_eq!((listed, sizes), (ids, vec![2, 2, 1]));
    let first = list(&pair, filter.clone()).await.unwrap();
    let other = ListTokensRequest { page_token: first.next_page_token, project_id: "b".to_owned(), ..filter };
    assert_eq!(expect::fields(&list(&pair, other).await.unwrap_err()), ["page_token"]);
}
