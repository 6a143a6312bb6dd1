//! The issuer's files come back older, or are gone: what was revoked stays refused.

use std::{fs, time::Duration};

use common::proto::v1::{Cursor, RefusalReason, verify_token_response::Verdict};
use harness::{
    calls::tokens,
    expect,
    orders::{self, OWNER, PARTNER},
    pair::Pair,
    until,
};

const STORE: &str = "issuer.redb";
const AUDIT: &str = "audit.jsonl";

/// A reverse token that was revoked and one of pseudonymisation that was not, in `study`; the verifier has seen it.
struct Stand {
    revoked: String,
    spared: String,
    cursor: Cursor,
}

async fn stand(pair: &Pair) -> Stand {
    pair.create(orders::reversible("study")).await.unwrap();
    let revoked = pair.issue(orders::reverse("study", PARTNER)).await.unwrap();
    let spared = pair.token(orders::pseudonymise("study", OWNER)).await;
    let answer = pair.revoke(tokens([&revoked.record.unwrap().token_id])).await.unwrap();
    pair.seen(&answer).await;
    Stand { revoked: revoked.token, spared, cursor: answer.cursor.unwrap() }
}

/// Waits until the verifier has moved to this epoch and can decide every type.
async fn moved_to(pair: &Pair, epoch: u64) {
    until("the verifier moves over", async || {
        let view = pair.view().await.ok()?;
        let there = view.view?.cursor?.epoch == epoch && view.types.iter().all(|one| one.decidable);
        there.then_some(())
    })
    .await;
}

#[tokio::test]
async fn an_older_store_is_noticed_and_refilled_in_a_new_epoch() {
    let mut pair = Pair::start().await;
    pair.create(orders::reversible("early")).await.unwrap();
    pair.end_issuer().await;
    fs::copy(pair.path(STORE), pair.path("older")).unwrap();
    pair.start_issuer().await.unwrap();
    let stand = stand(&pair).await;
    pair.end_issuer().await;
    fs::copy(pair.path("older"), pair.path(STORE)).unwrap();
    pair.start_issuer().await.unwrap();
    moved_to(&pair, stand.cursor.epoch + 1).await;
    assert_eq!(pair.refused(&stand.revoked).await, RefusalReason::Revoked);
    pair.accepted(&stand.spared).await;
    let seen = pair.await_visibility(stand.cursor, Duration::ZERO).await;
    assert!(seen.is_ok(), "the old cursor was carried over: {seen:?}");
    let new = pair.token(orders::pseudonymise("early", OWNER)).await;
    pair.accepted(&new).await;
}

/// Failure: an entry that nobody holds any more is called reached, or not there yet.
#[tokio::test]
async fn a_cursor_beyond_what_was_carried_over_is_lost_by_name() {
    let mut pair = Pair::start().await;
    pair.end_verifier().await;
    pair.end_issuer().await;
    fs::copy(pair.path(STORE), pair.path("older")).unwrap();
    pair.start_issuer().await.unwrap();
    let kept = pair.revoke(tokens(["AAAAAAAAAAAAAAAAAAAAAA"])).await.unwrap().cursor.unwrap();
    pair.end_issuer().await;
    fs::copy(pair.path(AUDIT), pair.path("older-audit")).unwrap();
    pair.start_issuer().await.unwrap();
    let lost = pair.revoke(tokens(["AAAAAAAAAAAAAAAAAAAAAQ"])).await.unwrap().cursor.unwrap();
    pair.end_issuer().await;
    // The store comes back without both entries, the trail without the last one; no verifier has it.
    fs::copy(pair.path("older"), pair.path(STORE)).unwrap();
    fs::copy(pair.path("older-audit"), pair.path(AUDIT)).unwrap();
    pair.start_issuer().await.unwrap();
    let refused = pair.await_visibility(lost, Duration::ZERO).await.unwrap_err();
    assert_eq!((refused.code(), &*expect::reason(&refused)), (tonic::Code::DataLoss, "CURSOR_LOST"));
    let carried = pair.await_visibility(kept, Duration::ZERO).await;
    assert!(carried.is_ok(), "what was carried over is not lost: {carried:?}");
}

#[tokio::test]
async fn a_store_that_lost_a_withdrawal_does_not_grant_what_was_withdrawn() {
    let mut pair = Pair::start().await;
    pair.create(orders::reversible("study")).await.unwrap();
    let token = pair.token(orders::reverse("study", PARTNER)).await;
    pair.end_issuer().await;
    fs::copy(pair.path(STORE), pair.path("older")).unwrap();
    pair.start_issuer().await.unwrap();
    let list = vec![orders::collaborator(PARTNER, false)];
    let changed = pair.collaborate("study", list.clone()).await.unwrap();
    pair.seen(&changed.revocation.unwrap()).await;
    pair.end_issuer().await;
    fs::copy(pair.path("older"), pair.path(STORE)).unwrap();
    pair.start_issuer().await.unwrap();
    moved_to(&pair, 2).await;
    assert_eq!(pair.refused(&token).await, RefusalReason::Revoked);
    for order in [orders::reverse("study", PARTNER), orders::pseudonymise("study", OWNER)] {
        let refused = pair.issue(order).await.unwrap_err();
        assert_eq!(expect::reason(&refused), "PROJECT_ROLLED_BACK");
    }
    pair.collaborate("study", list).await.unwrap();
    let refused = pair.issue(orders::reverse("study", PARTNER)).await.unwrap_err();
    assert_eq!(expect::reason(&refused), "REVERSE_NOT_GRANTED");
    let new = pair.token(orders::pseudonymise("study", PARTNER)).await;
    pair.accepted(&new).await;
}

#[tokio::test]
async fn a_store_that_is_gone_is_refilled_from_the_audit_trail() {
    let mut pair = Pair::start().await;
    let stand = stand(&pair).await;
    pair.end_issuer().await;
    fs::remove_file(pair.path(STORE)).unwrap();
    pair.start_issuer().await.unwrap();
    moved_to(&pair, 2).await;
    assert_eq!(pair.refused(&stand.revoked).await, RefusalReason::Revoked);
    pair.accepted(&stand.spared).await;
    assert_eq!(pair.project("study").await.unwrap_err().code(), tonic::Code::NotFound);
    pair.create(orders::reversible("study")).await.unwrap();
    let new = pair.token(orders::reverse("study", PARTNER)).await;
    pair.accepted(&new).await;
}

#[tokio::test]
async fn an_audit_trail_that_is_gone_stops_issuing_and_gets_the_log_late() {
    let mut pair = Pair::start().await;
    let stand = stand(&pair).await;
    pair.end_issuer().await;
    fs::remove_file(pair.path(AUDIT)).unwrap();
    pair.start_issuer().await.unwrap();
    let audit = fs::read_to_string(pair.path(AUDIT)).unwrap();
    assert!(audit.contains(r#""late":true"#), "{audit}");
    let refused = pair.issue(orders::pseudonymise("study", OWNER)).await.unwrap_err();
    assert_eq!(expect::reason(&refused), "AUDIT_UNAVAILABLE");
    pair.fresh().await;
    assert_eq!(pair.view().await.unwrap().view.unwrap().cursor, Some(stand.cursor), "the log is the same");
    assert_eq!(pair.refused(&stand.revoked).await, RefusalReason::Revoked);
    pair.accepted(&stand.spared).await;
    let everything = harness::calls::Selector::Everything(common::proto::v1::EverythingSelector::default());
    let revoked = pair.revoke(everything).await.unwrap();
    pair.seen(&revoked).await;
    assert_eq!(pair.refused(&stand.spared).await, RefusalReason::Revoked);
}

#[tokio::test]
async fn with_store_and_audit_gone_the_verifier_accepts_nothing_that_it_refused() {
    let mut pair = Pair::start().await;
    let stand = stand(&pair).await;
    pair.end_issuer().await;
    for file in [STORE, AUDIT] {
        fs::remove_file(pair.path(file)).unwrap();
    }
    pair.start_issuer().await.unwrap();
    until("the loss is noticed, and mended or told", async || {
        let verdict = pair.verify(&stand.revoked).await.unwrap().verdict.unwrap();
        assert!(matches!(verdict, Verdict::Refused(_)), "{verdict:?}");
        let view = pair.view().await.unwrap();
        let epoch = view.view.unwrap().cursor.unwrap().epoch;
        (epoch > stand.cursor.epoch || !view.alarms.is_empty()).then_some(())
    })
    .await;
    assert_eq!(pair.refused(&stand.revoked).await, RefusalReason::Revoked);
}

#[tokio::test]
async fn with_older_copies_of_both_the_verifiers_file_mends_the_log() {
    let mut pair = Pair::start().await;
    pair.create(orders::reversible("early")).await.unwrap();
    pair.end_issuer().await;
    for file in [STORE, AUDIT] {
        fs::copy(pair.path(file), pair.path(&format!("older-{file}"))).unwrap();
    }
    pair.start_issuer().await.unwrap();
    let stand = stand(&pair).await;
    pair.end_issuer().await;
    for file in [STORE, AUDIT] {
        fs::copy(pair.path(&format!("older-{file}")), pair.path(file)).unwrap();
    }
    pair.start_issuer().await.unwrap();
    moved_to(&pair, stand.cursor.epoch + 1).await;
    assert_eq!(pair.refused(&stand.revoked).await, RefusalReason::Revoked);
    pair.accepted(&stand.spared).await;
    let new = pair.token(orders::pseudonymise("early", OWNER)).await;
    pair.accepted(&new).await;
}

#[tokio::test]
async fn after_a_loss_nothing_is_called_visible_until_the_longest_limit_has_passed() {
    let mut pair = Pair::start().await;
    let stand = stand(&pair).await;
    pair.end_issuer().await;
    fs::remove_file(pair.path(STORE)).unwrap();
    pair.start_issuer().await.unwrap();
    moved_to(&pair, 2).await;
    let reached = async || pair.await_visibility(stand.cursor, Duration::ZERO).await.unwrap().reached;
    assert!(!reached().await, "the register of verifiers was lost too");
    pair.advance(Duration::from_mins(15) + Duration::from_secs(1));
    pair.fresh().await;
    assert!(reached().await);
}
