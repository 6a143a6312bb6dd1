//! The way to the issuer is cut, wholly or in one direction: answers up to the limit, none after it, and all of it again soon
//! after the cut is mended.

use std::time::Duration;

use common::proto::v1::{RefusalReason, verify_token_response::Verdict};
use harness::{
    calls::tokens,
    orders::{self, OWNER},
    until,
};

use crate::{
    link::{State, Way},
    stand::{LIMIT, Stand, now},
};

/// Failure: a good token that is not answered up to its limit, one that is accepted 1 s after it, a cut that is not noticed,
/// or a revocation that is not caught up with.
async fn cut(stand: &Stand, state: State) {
    let (good, _) = stand.reverse().await;
    let longer = stand.calls.token(orders::pseudonymise("study", OWNER)).await;
    let (gone, id) = stand.reverse().await;
    stand.calls.fresh().await;
    let made = stand.link.made();
    let begun = now();
    stand.link.set(state);
    let revoked = stand.calls.revoke(tokens([&id])).await.unwrap();
    let (mut accepted, mut undecided, mut noticed) = (0, 0, None);
    // Until both are seen: the lease has ended, and the verifier tries to get another connection.
    while undecided < 50 || noticed.is_none() {
        let asked = now().since(begun);
        if stand.stale(&good).await {
            let answered = now().since(begun);
            assert!(answered + HEARTBEAT >= LIMIT, "{state:?}: nothing is decided after {answered:?}");
            undecided += 1;
        } else {
            assert!(asked <= LIMIT + Duration::from_secs(1), "{state:?}: accepted after {asked:?}");
            assert_eq!(undecided, 0, "{state:?}: accepted again");
            accepted += 1;
        }
        // It is not protecting that stops.
        stand.calls.accepted(&longer).await;
        if noticed.is_none() && stand.link.made() > made {
            noticed = Some(now().since(begun));
        }
        assert!(asked < NOTICED, "{state:?}: the cut is not noticed");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(accepted > 20, "{state:?}: {accepted}");
    let mended = now();
    stand.link.set(State::Well);
    until("the verifier catches up", async || {
        let verdict = stand.calls.verify(&gone).await.ok()?.verdict?;
        matches!(verdict, Verdict::Refused(refused) if refused.reason() == RefusalReason::Revoked)
            .then_some(())
    })
    .await;
    let caught_up = now().since(mended);
    stand.calls.fresh().await;
    assert!(!stand.stale(&good).await);
    stand.calls.seen(&revoked).await;
    println!(
        "{state:?}: {accepted} accepted, noticed after {noticed:?}, caught up {caught_up:?} after it was mended"
    );
    assert!(caught_up < CAUGHT_UP, "{state:?}: caught up after {caught_up:?}");
}

#[tokio::test]
async fn f14_cut_from_its_issuer_a_verifier_serves_up_to_the_limit_and_catches_up() {
    let stand = Stand::start().await;
    cut(&stand, State::Cut).await;
    cut(&stand, State::Held(Way::Both)).await;
}

#[tokio::test]
async fn f15_a_connection_that_is_open_in_one_direction_only_renews_no_lease_and_is_left() {
    let stand = Stand::start().await;
    cut(&stand, State::Held(Way::Out)).await;
    cut(&stand, State::Held(Way::In)).await;
}

/// A lease is renewed so often, and this late at the most when the cut comes.
const HEARTBEAT: Duration = Duration::from_millis(1_500);
/// Silence is noticed after 5 s; another connection is tried after a pause of at most 5 s.
const NOTICED: Duration = Duration::from_secs(15);
/// A connection that is tried and a pause before it.
const CAUGHT_UP: Duration = Duration::from_secs(10);
