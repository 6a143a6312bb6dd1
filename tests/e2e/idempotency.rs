//! What an order repeated under its idempotency key is answered.

use std::time::Duration;

use common::proto::v1::{IssueTokenRequest, RefusalReason};
use harness::{
    calls::tokens,
    expect,
    orders::{self, OTHER, OWNER, PARTNER},
    pair::Pair,
};
use tonic::Code;

fn keyed(order: IssueTokenRequest) -> IssueTokenRequest {
    IssueTokenRequest { idempotency_key: Some("key 1".to_owned()), ..order }
}

async fn pair_with_studies() -> Pair {
    let pair = Pair::start().await;
    for id in ["study", "second"] {
        pair.create(orders::reversible(id)).await.unwrap();
    }
    pair
}

#[tokio::test]
async fn a_repeat_gets_the_same_claims_freshly_signed() {
    let pair = pair_with_studies().await;
    let order = keyed(orders::reverse("study", PARTNER));
    let first = pair.issue(order.clone()).await.unwrap();
    pair.advance(Duration::from_mins(30));
    pair.fresh().await;
    let again = pair.issue(order).await.unwrap();
    assert_eq!(again.record, first.record);
    let parts = |token: &str| token.split('.').map(str::to_owned).collect::<Vec<_>>();
    let (first_parts, again_parts) = (parts(&first.token), parts(&again.token));
    assert_eq!(first_parts[..2], again_parts[..2]);
    assert_ne!(first_parts[2], again_parts[2], "PS256 signs with fresh salt");
    for token in [&first.token, &again.token] {
        pair.accepted(token).await;
    }
}

#[tokio::test]
async fn without_a_key_every_order_is_another_token() {
    let pair = pair_with_studies().await;
    let order = || orders::pseudonymise("study", OWNER);
    let ids = [pair.issue(order()).await, pair.issue(order()).await]
        .map(|issued| issued.unwrap().record.unwrap().token_id);
    assert_ne!(ids[0], ids[1]);
}

#[tokio::test]
async fn a_key_is_used_for_one_order_of_one_project() {
    let pair = pair_with_studies().await;
    let order = || keyed(orders::pseudonymise("study", OWNER));
    let first = pair.issue(order()).await.unwrap();
    let mut approval = orders::approval();
    approval.request_id = "request-2".to_owned();
    for other in [
        keyed(orders::pseudonymise("study", OTHER)),
        keyed(orders::reverse("study", OWNER)),
        IssueTokenRequest { lifetime: Some(orders::seconds(60)), ..order() },
        IssueTokenRequest { approval: Some(approval), ..order() },
        IssueTokenRequest { holder_certificate_sha256: Some(vec![1; 32].into()), ..order() },
    ] {
        let refused = pair.issue(other).await.unwrap_err();
        assert_eq!(
            (refused.code(), &*expect::reason(&refused)),
            (Code::FailedPrecondition, "IDEMPOTENCY_KEY_REUSED")
        );
    }
    let elsewhere = pair.issue(keyed(orders::pseudonymise("second", OWNER))).await.unwrap();
    assert_ne!(elsewhere.record.unwrap().token_id, first.record.unwrap().token_id);
}

#[tokio::test]
async fn a_repeat_after_revocation_or_expiry_gets_nothing() {
    let pair = pair_with_studies().await;
    let revoked = keyed(orders::reverse("study", OWNER));
    let first = pair.issue(revoked.clone()).await.unwrap();
    pair.revoke(tokens([&first.record.unwrap().token_id])).await.unwrap();
    assert_eq!(expect::reason(&pair.issue(revoked).await.unwrap_err()), "TOKEN_NO_LONGER_LIVE");
    let expired = IssueTokenRequest {
        lifetime: Some(orders::seconds(60)),
        ..keyed(orders::pseudonymise("second", OWNER))
    };
    pair.issue(expired.clone()).await.unwrap();
    pair.advance(Duration::from_mins(1));
    assert_eq!(expect::reason(&pair.issue(expired).await.unwrap_err()), "TOKEN_NO_LONGER_LIVE");
}

#[tokio::test]
async fn a_repeat_after_a_withdrawal_is_what_policy_says_now() {
    let pair = pair_with_studies().await;
    let order = keyed(orders::reverse("study", PARTNER));
    let first = pair.token(order.clone()).await;
    let without = vec![orders::collaborator(PARTNER, false)];
    let changed = pair.collaborate("study", without).await.unwrap();
    assert_eq!(expect::reason(&pair.issue(order.clone()).await.unwrap_err()), "REVERSE_NOT_GRANTED");
    pair.collaborate("study", vec![orders::collaborator(PARTNER, true)]).await.unwrap();
    assert_eq!(expect::reason(&pair.issue(order.clone()).await.unwrap_err()), "TOKEN_NO_LONGER_LIVE");
    pair.seen(&changed.revocation.unwrap()).await;
    assert_eq!(pair.refused(&first).await, RefusalReason::Revoked);
    pair.close("study").await.unwrap();
    assert_eq!(expect::reason(&pair.issue(order).await.unwrap_err()), "PROJECT_CLOSED");
}

#[tokio::test]
async fn a_repeat_is_answered_over_a_restart_of_the_issuer() {
    let mut pair = pair_with_studies().await;
    let order = keyed(orders::reverse("study", PARTNER));
    let first = pair.issue(order.clone()).await.unwrap();
    pair.kill_issuer();
    pair.start_issuer().await.unwrap();
    assert_eq!(pair.issue(order).await.unwrap().record, first.record);
}
