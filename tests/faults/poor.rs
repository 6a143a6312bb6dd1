//! A way that is slow, or loses: everything arrives late, and nothing is accepted meanwhile that should not be.

use std::time::Duration;

use common::proto::v1::{RefusalReason, verify_token_response::Verdict};
use harness::{
    calls::{Selector, tokens},
    until,
};

use crate::{
    link::State,
    stand::{LIMIT, Stand, now},
};

/// Failure: a revoked token is accepted while the log trickles in, or an issuer that keeps in memory what the link cannot take.
#[tokio::test]
async fn f16_over_a_slow_link_a_new_verifier_accepts_nothing_before_it_has_the_whole_log() {
    let mut stand = Stand::without_verifier().await;
    let (good, _) = stand.reverse().await;
    let (gone, id) = stand.reverse().await;
    stand.calls.revoke(tokens([&id])).await.unwrap();
    for thousand in 0..ENTRIES / 1_000 {
        let ids = (0..1_000_u32)
            .map(|number| common::encoding::encode(&u128::from(thousand * 1_000 + number + 1).to_be_bytes()));
        let ids = common::proto::v1::TokenIds { token_ids: ids.collect() };
        stand.calls.revoke(Selector::TokenIds(ids)).await.unwrap();
    }
    let before = stand.issuer.memory("VmRSS");
    stand.link.set(State::Slow(RATE));
    let begun = now();
    stand.verifier.spawn();
    let mut undecided = 0;
    until("the verifier refuses what is revoked", async || {
        match stand.calls.verify(&gone).await.ok()?.verdict? {
            Verdict::Refused(refused) => (refused.reason() == RefusalReason::Revoked).then_some(()),
            Verdict::Accepted(_) => panic!("accepted after {:?}", now().since(begun)),
            Verdict::Undecided(_) => None,
        }
        .or_else(|| {
            undecided += 1;
            None
        })
    })
    .await;
    let took = now().since(begun);
    let grown = stand.issuer.memory("VmHWM").saturating_sub(before);
    println!("{ENTRIES} entries at {RATE} bytes/s: after {took:?}; the issuer grew by {grown} bytes");
    let least = Duration::from_secs(1) * ENTRIES * LEAST / RATE;
    assert!(took > least, "the link was not slow: {took:?}");
    assert!(grown < 32 << 20, "{grown}");
    stand.link.set(State::Well);
    stand.calls.fresh().await;
    assert!(!stand.stale(&good).await);
}

/// Failure: a revocation that is not visible within the limit, or a good token that is not answered.
#[tokio::test]
async fn f17_over_a_link_that_loses_a_fifth_revocations_are_late_and_within_the_limit() {
    let stand = Stand::start().await;
    let (good, _) = stand.reverse().await;
    stand.link.set(State::Losing);
    let mut spans = Vec::new();
    for _ in 0..30 {
        let (gone, id) = stand.reverse().await;
        let begun = now();
        let revoked = stand.calls.revoke(tokens([&id])).await.unwrap();
        stand.calls.seen(&revoked).await;
        spans.push(now().since(begun));
        assert_eq!(stand.calls.refused(&gone).await, RefusalReason::Revoked);
        assert!(!stand.stale(&good).await, "the lease has ended");
    }
    spans.sort();
    println!("visible over a link that loses a fifth: p50 {:?}, slowest {:?}", spans[15], spans[29]);
    assert!(spans[29] < LIMIT + Duration::from_secs(1), "{spans:?}");
}

const ENTRIES: u32 = 3_000;
/// 256 kbit.
const RATE: u32 = 32 << 10;
/// An entry takes at least so many bytes.
const LEAST: u32 = 32;
