//! A verifier's process that does not run for a while, as on a machine that sleeps or swaps.

use std::time::Duration;

use common::proto::v1::{RefusalReason, verify_token_response::Verdict};
use harness::calls::tokens;
use rustix::process::{Pid, Signal, kill_process};

use crate::{
    link::{State, Way},
    stand::{LIMIT, Stand},
};

/// Failure: its first answer after the sleep is on a lease that has ended meanwhile.
#[tokio::test]
async fn f30_a_verifier_that_was_stopped_longer_than_its_limit_decides_nothing_until_an_issuer_answers() {
    let stand = Stand::start().await;
    let (good, _) = stand.reverse().await;
    let (gone, id) = stand.reverse().await;
    assert!(!stand.stale(&gone).await && !stand.stale(&good).await);
    let process = Pid::from_raw(stand.verifier.id().unwrap().try_into().unwrap()).unwrap();
    kill_process(process, Signal::STOP).unwrap();
    let revoked = stand.calls.revoke(tokens([&id])).await.unwrap();
    let seen = stand.calls.await_visibility(revoked.cursor.unwrap(), Duration::from_secs(1)).await.unwrap();
    assert!(
        !seen.reached && seen.waiting_for.len() == 1,
        "it may accept until its longest lease ends: {seen:?}"
    );
    tokio::time::sleep(LIMIT).await;
    // Nothing that an issuer says can be in time.
    stand.link.set(State::Held(Way::Both));
    kill_process(process, Signal::CONT).unwrap();
    for token in [&gone, &good] {
        let verdict = stand.calls.verify(token).await;
        let accepted = matches!(&verdict, Ok(answer) if matches!(answer.verdict, Some(Verdict::Accepted(_))));
        assert!(!accepted, "on a lease of before the sleep");
    }
    assert!(stand.stale(&good).await);
    stand.link.set(State::Well);
    stand.calls.fresh().await;
    assert_eq!(stand.calls.refused(&gone).await, RefusalReason::Revoked);
    assert!(!stand.stale(&good).await);
    stand.calls.seen(&revoked).await;
}
