//! When a revocation has taken effect: nobody follows, one does, one has stopped without a word.

use std::time::Duration;

use common::proto::v1::{Cursor, RefusalReason};
use harness::{
    calls::tokens,
    expect,
    orders::{self, OWNER},
    pair::{BOOT, Pair},
    until,
};
use tonic::Code;

use super::held;

const UNKNOWN: &str = "AAAAAAAAAAAAAAAAAAAAAA";

#[tokio::test]
async fn with_one_verifier_it_is_reached_when_that_one_refuses() {
    let pair = Pair::start().await;
    pair.create(orders::reversible("study")).await.unwrap();
    let reverse = held(pair.issue(orders::reverse("study", OWNER)).await.unwrap());
    pair.accepted(&reverse.token).await;
    let revoked = pair.revoke(tokens([&reverse.id])).await.unwrap();
    assert_eq!(revoked.followers, 1);
    let seen = pair.await_visibility(revoked.cursor.unwrap(), Duration::from_secs(20)).await.unwrap();
    assert_eq!((seen.reached, seen.visible_to, seen.followers), (true, 1, 1));
    assert_eq!(seen.waiting_for, Vec::<String>::new());
    assert_eq!(pair.refused(&reverse.token).await, RefusalReason::Revoked);
}

#[tokio::test]
async fn with_no_verifier_it_is_reached_at_once() {
    let mut pair = Pair::start().await;
    pair.end_verifier().await;
    until("the goodbye is heard", async || {
        let revoked = pair.revoke(tokens([UNKNOWN])).await.unwrap();
        (revoked.followers == 0).then_some(())
    })
    .await;
    let revoked = pair.revoke(tokens([UNKNOWN])).await.unwrap();
    let seen = pair.await_visibility(revoked.cursor.unwrap(), Duration::ZERO).await.unwrap();
    assert_eq!((seen.reached, seen.visible_to, seen.followers), (true, 0, 0));
}

#[tokio::test]
async fn a_verifier_that_was_killed_is_waited_for_until_its_lease_has_run_out() {
    let mut pair = Pair::start().await;
    pair.create(orders::reversible("study")).await.unwrap();
    let reverse = held(pair.issue(orders::reverse("study", OWNER)).await.unwrap());
    let protect = held(pair.issue(orders::pseudonymise("study", OWNER)).await.unwrap());
    pair.kill_verifier();
    let first = pair.revoke(tokens([&reverse.id])).await.unwrap().cursor.unwrap();
    let waiting = pair.await_visibility(first, Duration::ZERO).await.unwrap();
    assert_eq!((waiting.reached, waiting.visible_to, waiting.followers), (false, 0, 1));
    assert_eq!(waiting.waiting_for, ["follower-a"]);
    let second = pair.revoke(tokens([&protect.id])).await.unwrap().cursor.unwrap();
    pair.issuer_clock.advance(Duration::from_secs(11));
    let reached = async |cursor| pair.await_visibility(cursor, Duration::ZERO).await.unwrap().reached;
    assert!(reached(first).await, "no reverse token can be accepted any more");
    assert!(!reached(second).await, "a pseudonymisation token can");
    pair.issuer_clock.advance(Duration::from_mins(15));
    assert!(reached(second).await);
    until("it is taken out", async || {
        let seen = pair.await_visibility(second, Duration::ZERO).await.unwrap();
        (seen.followers == 0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn who_waits_is_told_when_a_lease_runs_out() {
    let mut pair = Pair::start().await;
    pair.create(orders::reversible("study")).await.unwrap();
    let reverse = held(pair.issue(orders::reverse("study", OWNER)).await.unwrap());
    pair.kill_verifier();
    let cursor = pair.revoke(tokens([&reverse.id])).await.unwrap().cursor.unwrap();
    let turned = async {
        pair.issuer_clock.advance(Duration::from_secs(11));
    };
    let (seen, ()) = tokio::join!(pair.await_visibility(cursor, Duration::from_secs(20)), turned);
    assert!(seen.unwrap().reached);
}

#[tokio::test]
async fn a_killed_verifier_comes_back_and_has_missed_nothing() {
    let mut pair = Pair::start().await;
    pair.create(orders::reversible("study")).await.unwrap();
    let reverse = held(pair.issue(orders::reverse("study", OWNER)).await.unwrap());
    pair.kill_verifier();
    let revoked = pair.revoke(tokens([&reverse.id])).await.unwrap();
    pair.start_verifier(BOOT).await.unwrap();
    until("it catches up", async || {
        let cursor = pair.view().await.unwrap().view.unwrap().cursor;
        (cursor == revoked.cursor).then_some(())
    })
    .await;
    assert_eq!(pair.refused(&reverse.token).await, RefusalReason::Revoked);
}

#[tokio::test]
async fn effective_by_is_after_the_longest_lease_that_it_can_concern() {
    let pair = Pair::start().await;
    pair.create(orders::reversible("study")).await.unwrap();
    let now = i64::try_from(harness::pair::BEGIN).unwrap();
    for (order, lease) in [(orders::reverse("study", OWNER), 10), (orders::pseudonymise("study", OWNER), 900)]
    {
        let held = held(pair.issue(order).await.unwrap());
        let revoked = pair.revoke(tokens([&held.id])).await.unwrap();
        let by = revoked.effective_by.unwrap().seconds - now;
        assert!((lease..=lease + 3).contains(&by), "{by} s for a lease of {lease} s");
    }
}

#[tokio::test]
async fn a_cursor_that_the_log_has_not_reached_is_unknown() {
    let pair = Pair::start().await;
    for cursor in [Cursor { epoch: 1, sequence: 99 }, Cursor { epoch: 2, sequence: 1 }] {
        let unknown = pair.await_visibility(cursor, Duration::ZERO).await.unwrap_err();
        assert_eq!((unknown.code(), &*expect::reason(&unknown)), (Code::OutOfRange, "CURSOR_UNKNOWN"));
    }
}
