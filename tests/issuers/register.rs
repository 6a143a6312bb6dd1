//! The register that issuers share: whose verifiers are waited for, for how long, and what a cut issuer says.

use std::time::Duration;

use common::proto::v1::{RefusalReason, verify_token_response::Verdict};
use harness::{
    calls::tokens,
    expect,
    orders::{self, OWNER},
    until,
};

use crate::realm::{Realm, SOON, issues, now};

/// Failure: an answer that does not count the other issuer's verifier, or one that waits out a lease although both see it.
#[tokio::test]
async fn a_revocation_on_one_issuer_is_seen_by_the_other_ones_verifiers_and_told_so_at_once() {
    let realm = Realm::start().await;
    realm.to_a.create(orders::reversible("study")).await.unwrap();
    let begun = now();
    for _ in 0..5 {
        let token = realm.to_a.issue(orders::pseudonymise("study", OWNER)).await.unwrap();
        let revoked = realm.to_a.revoke(tokens([&token.record.unwrap().token_id])).await.unwrap();
        assert_eq!(revoked.followers, 2, "of both issuers");
        let seen = realm.to_a.await_visibility(revoked.cursor.unwrap(), SOON).await.unwrap();
        assert!(seen.reached && seen.visible_to == 2, "{seen:?}");
        assert_eq!(realm.to_a.refused(&token.token).await, RefusalReason::Revoked);
        assert_eq!(realm.to_b.refused(&token.token).await, RefusalReason::Revoked);
    }
    eprintln!("visible at both after {:?} each", now().since(begun) / 5);
}

#[tokio::test]
async fn a_verifier_that_moves_to_another_issuer_keeps_its_row_and_is_seen_there() {
    let mut realm = Realm::start().await;
    realm.to_a.create(orders::reversible("study")).await.unwrap();
    let token = realm.to_a.issue(orders::pseudonymise("study", OWNER)).await.unwrap();
    realm.b.kill();
    until("the verifier follows the other issuer", async || {
        let revoked = realm.to_a.revoke(tokens(["AAAAAAAAAAAAAAAAAAAAAA"])).await.unwrap();
        let seen = realm.to_a.await_visibility(revoked.cursor.unwrap(), Duration::ZERO).await.unwrap();
        (seen.reached && seen.followers == 2).then_some(())
    })
    .await;
    let revoked = realm.to_a.revoke(tokens([&token.record.unwrap().token_id])).await.unwrap();
    let seen = realm.to_a.await_visibility(revoked.cursor.unwrap(), SOON).await.unwrap();
    assert!(seen.reached && seen.followers == 2, "no row of the issuer that is gone is left: {seen:?}");
    assert_eq!(realm.to_a.refused(&token.token).await, RefusalReason::Revoked);
}

/// Failure: the cut issuer acknowledges anything, its verifier goes on past its limit, or the other issuer calls an entry
/// visible while that verifier accepts.
#[tokio::test]
async fn an_issuer_cut_from_redis_ages_its_verifiers_lease_and_acknowledges_nothing() {
    let realm = Realm::start().await;
    realm.to_a.create(orders::reversible("study")).await.unwrap();
    let token = realm.to_a.issue(orders::reverse("study", OWNER)).await.unwrap();
    realm.to_b.accepted(&token.token).await;
    realm.line.cut(true);
    issues(&realm.to_a, false).await;
    let refused = realm.to_a.issue(orders::reverse("study", OWNER)).await.unwrap_err();
    assert_eq!(expect::reason(&refused), "STORE_UNREACHABLE");
    let refused = realm.to_a.revoke(tokens(["AAAAAAAAAAAAAAAAAAAAAA"])).await.unwrap_err();
    assert_eq!(expect::reason(&refused), "STORE_UNREACHABLE");
    let revoked = realm.to_b.revoke(tokens([&token.record.unwrap().token_id])).await.unwrap();
    assert_eq!(revoked.followers, 2);
    let seen = realm.to_b.await_visibility(revoked.cursor.unwrap(), Duration::from_secs(15)).await.unwrap();
    let verdict = realm.to_b.verify(&token.token).await.map(|answer| answer.verdict.unwrap());
    assert!(seen.reached, "its lease has ended: {seen:?}");
    assert!(!matches!(verdict, Ok(Verdict::Accepted(_))), "{verdict:?}");
    assert_eq!(realm.to_a.refused(&token.token).await, RefusalReason::Revoked);
    realm.line.cut(false);
    issues(&realm.to_a, true).await;
    until("its verifier hears of it", async || {
        let answer = realm.to_b.verify(&token.token).await.ok()?;
        matches!(answer.verdict?, Verdict::Refused(refused) if refused.reason() == RefusalReason::Revoked)
            .then_some(())
    })
    .await;
}

#[tokio::test]
async fn issuers_that_append_at_the_same_time_keep_one_chain() {
    let realm = Realm::start().await;
    let mut racing = tokio::task::JoinSet::new();
    for n in 0..200_u8 {
        let calls = if n % 2 == 0 { realm.to_a.clone() } else { realm.to_b.clone() };
        racing.spawn(async move {
            let id =
                format!("AAAAAAAAAAAAAAAAAAA{}{}A", char::from(b'a' + n / 16), char::from(b'a' + n % 16));
            calls.revoke(tokens([&id])).await.unwrap().cursor.unwrap()
        });
    }
    let mut cursors: Vec<_> = racing.join_all().await.iter().map(|cursor| cursor.sequence).collect();
    cursors.sort_unstable();
    assert_eq!(cursors, (2..=201).collect::<Vec<_>>(), "each entry has its place");
    let last = common::proto::v1::Cursor { epoch: 1, sequence: 201 };
    for calls in [&realm.to_a, &realm.to_b] {
        until("the end is seen everywhere", async || {
            calls.await_visibility(last, SOON).await.ok().filter(|seen| seen.reached)
        })
        .await;
    }
    for verifier in [&realm.to_a, &realm.to_b] {
        assert_eq!(verifier.view().await.unwrap().view.unwrap().cursor, Some(last));
    }
}
