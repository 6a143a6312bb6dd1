//! Revoking: what each selector hits, what is counted beforehand, and when it has taken effect.

mod listing;
mod selectors;
mod visibility;

use common::proto::v1::{IssueTokenResponse, RefusalReason, verify_token_response::Verdict};
use harness::{
    orders::{self, OTHER, OWNER, PARTNER, source},
    pair::Pair,
};

/// A token and its id.
struct Held {
    id: String,
    token: String,
}

fn held(issued: IssueTokenResponse) -> Held {
    Held { id: issued.record.unwrap().token_id, token: issued.token }
}

/// The tokens that every test here looks at: of two projects, three organisations, three types.
async fn batch(pair: &Pair) -> Vec<Held> {
    let mut request = orders::reverse("b", PARTNER);
    "request-2".clone_into(&mut request.approval.as_mut().unwrap().request_id);
    let mut batch = Vec::new();
    for order in [
        orders::pseudonymise("a", OWNER),
        orders::pseudonymise("a", PARTNER),
        orders::reverse("a", PARTNER),
        orders::secondary("a", PARTNER, source("b", OTHER)),
        orders::pseudonymise("b", OTHER),
        request,
    ] {
        batch.push(held(pair.issue(order).await.unwrap()));
    }
    batch
}

async fn pair_with_projects() -> Pair {
    let pair = Pair::start().await;
    for id in ["a", "b"] {
        pair.create(orders::reversible(id)).await.unwrap();
    }
    pair
}

/// Which of the batch are refused as revoked; the others must be accepted.
async fn refused(pair: &Pair, batch: &[Held]) -> Vec<usize> {
    let mut hit = Vec::new();
    for (index, held) in batch.iter().enumerate() {
        let answer = pair.verify(&held.token).await.unwrap();
        if let Some(Verdict::Refused(refused)) = answer.verdict {
            assert_eq!(refused.reason(), RefusalReason::Revoked);
            hit.push(index);
        } else {
            assert!(matches!(answer.verdict, Some(Verdict::Accepted(_))), "{answer:?}");
        }
    }
    hit
}
