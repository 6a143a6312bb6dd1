//! Issuers and Redis are gone at once: verification goes on up to the type's limit, and ends there.

use std::time::Duration;

use common::proto::v1::verify_token_response::Verdict;
use harness::{
    expect,
    orders::{self, OWNER},
};

use crate::realm::{Realm, now};

/// Failure: a good token that is not answered before its type's limit, or one that is 1 s after it.
#[tokio::test]
async fn without_issuers_and_redis_good_tokens_are_answered_up_to_the_types_limit_and_refused_after_it() {
    let mut realm = Realm::start().await;
    realm.to_a.create(orders::reversible("study")).await.unwrap();
    let reverse = realm.to_a.token(orders::reverse("study", OWNER)).await;
    let longer = realm.to_a.token(orders::pseudonymise("study", OWNER)).await;
    for calls in [&realm.to_a, &realm.to_b] {
        calls.accepted(&reverse).await;
        calls.accepted(&longer).await;
    }
    let age = realm.to_a.view().await.unwrap().view.unwrap().age.unwrap();
    let age = Duration::try_from(age).unwrap();
    let gone = now();
    realm.a.kill();
    realm.b.kill();
    realm.redis.kill();
    let (mut accepted, mut refused, mut slowest) = (0_u32, 0_u32, Duration::ZERO);
    while now().since(gone) < LIMIT + Duration::from_secs(3) {
        let asked = now();
        let answer = realm.to_a.verify(&reverse).await;
        let answered = now();
        slowest = slowest.max(answered.since(asked));
        match answer {
            Ok(answer) => {
                let verdict = answer.verdict.unwrap();
                assert!(matches!(verdict, Verdict::Accepted(_)), "a good token: {verdict:?}");
                // Its last lease may have begun after it was looked at.
                assert!(
                    asked.since(gone) <= LIMIT + Duration::from_secs(1),
                    "accepted {:?} after",
                    asked.since(gone)
                );
                accepted += 1;
            }
            Err(status) => {
                assert_eq!(expect::reason(&status), "REVOCATIONS_STALE");
                assert!(
                    answered.since(gone) + age + HEARTBEAT >= LIMIT,
                    "refused {:?} after",
                    answered.since(gone)
                );
                refused += 1;
            }
        }
        realm.to_a.accepted(&longer).await;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    eprintln!(
        "{accepted} accepted up to the limit, {refused} refused after it, none between; slowest {slowest:?}"
    );
    assert!(accepted > 50 && refused > 50, "{accepted} {refused}");
}

/// Of reverse tokens, in this realm.
const LIMIT: Duration = Duration::from_secs(4);
/// A lease is renewed so often, from a head of so long ago.
const HEARTBEAT: Duration = Duration::from_millis(1_500);
