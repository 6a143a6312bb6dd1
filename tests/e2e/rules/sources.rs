//! Rules 4 and 5: the source layer of a secondary token.

use common::proto::v1::{IssueTokenRequest, TokenType};
use harness::{
    expect,
    orders::{self, OTHER, OWNER, PARTNER, STRANGER, source},
    pair::Pair,
};

use super::broken;

/// The projects `first` and `second`, each owned by OWNER, with PARTNER and OTHER.
async fn pair_with_two() -> Pair {
    let pair = Pair::start().await;
    for id in ["first", "second"] {
        pair.create(orders::reversible(id)).await.unwrap();
    }
    pair
}

#[tokio::test]
async fn rule_04_a_secondary_token_names_its_source() {
    let pair = pair_with_two().await;
    let order = orders::order(TokenType::Secondary, "second", OWNER);
    assert_eq!(expect::fields(&pair.issue(order).await.unwrap_err()), ["source"]);
    let token = pair.token(orders::secondary("second", OWNER, source("first", PARTNER))).await;
    let accepted = pair.accepted(&token).await;
    assert_eq!(accepted.source, Some(source("first", PARTNER)));
    assert_eq!(accepted.project.unwrap().project_id, "second");
}

#[tokio::test]
async fn rule_04_a_source_is_forbidden_on_the_other_types() {
    let pair = pair_with_two().await;
    for kind in [TokenType::Pseudonymisation, TokenType::Reverse] {
        let source = Some(source("first", OWNER));
        let order = IssueTokenRequest { source, ..orders::order(kind, "second", OWNER) };
        assert_eq!(expect::fields(&pair.issue(order).await.unwrap_err()), ["source"]);
    }
}

#[tokio::test]
async fn rule_04_the_source_project_is_open_to_both_organisations() {
    let pair = pair_with_two().await;
    pair.collaborate("first", vec![orders::collaborator(OTHER, false)]).await.unwrap();
    for (who, from) in [
        // No such project, an organisation that is not in the source, and one that never made a layer there.
        (OWNER, source("nowhere", OWNER)),
        (PARTNER, source("first", OWNER)),
        (OWNER, source("first", PARTNER)),
        (OWNER, source("first", STRANGER)),
    ] {
        let refused = pair.issue(orders::secondary("second", who, from.clone())).await;
        assert_eq!(broken(refused), "SOURCE_NOT_ACCESSIBLE", "{who} {from:?}");
    }
    let stranger = orders::secondary("second", STRANGER, source("first", OWNER));
    assert_eq!(broken(pair.issue(stranger).await), "NOT_A_COLLABORATOR");
    pair.token(orders::secondary("second", OTHER, source("first", OWNER))).await;
}

#[tokio::test]
async fn rule_04_a_closed_source_gives_nothing() {
    let pair = pair_with_two().await;
    pair.close("first").await.unwrap();
    let order = orders::secondary("second", OWNER, source("first", PARTNER));
    let refused = pair.issue(order).await.unwrap_err();
    assert_eq!(expect::reason(&refused), "PROJECT_CLOSED");
}

#[tokio::test]
async fn rule_04_a_source_past_its_retention_gives_nothing() {
    let pair = pair_with_two().await;
    pair.create(orders::retained("short", 0, 0, 1)).await.unwrap();
    let order = || orders::secondary("second", OWNER, source("short", PARTNER));
    pair.token(order()).await;
    pair.advance(std::time::Duration::from_hours(24));
    assert_eq!(broken(pair.issue(order()).await), "RETENTION_ENDED");
}

#[tokio::test]
async fn rule_04_a_layer_is_not_its_own_source() {
    let pair = pair_with_two().await;
    let own = orders::secondary("second", OWNER, source("second", OWNER));
    assert_eq!(broken(pair.issue(own).await), "SOURCE_IS_SELF");
}

#[tokio::test]
async fn rule_05_another_organisations_layer_of_the_same_project_is_a_source() {
    let pair = pair_with_two().await;
    let token = pair.token(orders::secondary("second", OWNER, source("second", PARTNER))).await;
    let accepted = pair.accepted(&token).await;
    assert_eq!(
        (accepted.source.clone(), accepted.token_type()),
        (Some(source("second", PARTNER)), TokenType::Secondary)
    );
}

#[tokio::test]
async fn rule_05_the_second_layer_is_reversed_by_its_own_project_not_by_its_source() {
    let pair = Pair::start().await;
    pair.create(orders::reversible("first")).await.unwrap();
    pair.create(orders::not_reversible("second")).await.unwrap();
    pair.token(orders::secondary("second", OWNER, source("first", OWNER))).await;
    assert_eq!(broken(pair.issue(orders::reverse("second", OWNER)).await), "PROJECT_NOT_REVERSIBLE");
    let token = pair.token(orders::reverse("first", OWNER)).await;
    assert_eq!(pair.accepted(&token).await.source, None);
}
