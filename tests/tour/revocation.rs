//! Revoking a token: how soon it is refused, and that it stays refused when the verifier is restarted alone.

use std::time::Duration;

use common::{
    clock::{Clock as _, SystemClock},
    proto::v1::{
        AwaitVisibilityRequest, RefusalReason, RevocationReason, RevokeRequest, TokenIds, TokenType,
        revoke_request::Selector, verify_token_response::Verdict,
    },
};

use crate::{
    clients::{Clients, LOOK_EVERY, LOOKS},
    kept::Kept,
    show,
    unmet::{Outcome, Unmet, call},
    walk::Tokens,
};

/// How long the tour waits for visibility: longer than a verifier that vanished may be waited for in `deploy/dev`.
const VISIBLE_WITHIN: prost_types::Duration = prost_types::Duration { seconds: 55, nanos: 0 };

/// Revokes the pseudonymisation token, asks until it is refused, and waits for visibility.
pub(crate) async fn revoked(clients: &mut Clients, tokens: &Tokens) -> Outcome {
    show::heading("Revoked");
    let token = &tokens.pseudonymisation;
    let ids = token.record.iter().map(|record| record.token_id.clone()).collect();
    let request = RevokeRequest {
        selector: Some(Selector::TokenIds(TokenIds { token_ids: ids })),
        reason: RevocationReason::TokenLeaked.into(),
        comment: "Tour".to_owned(),
    };
    let clock = SystemClock;
    let begun = clock.now().boot;
    let revoked = clients.revocations.revoke(request).await.map_err(call("Revoke"))?.into_inner();
    let durable = clock.now().boot.since(begun);
    println!("durable at {} after {}", show::cursor(revoked.cursor.as_ref()), milliseconds(durable));
    println!("effective by {} at the latest", show::time(revoked.effective_by.as_ref()));

    let verifications = until_revoked(clients, &token.token).await?;
    let refused = clock.now().boot.since(begun);
    println!("refused REVOKED after {}, at verification {verifications}", milliseconds(refused));

    let wait = AwaitVisibilityRequest { cursor: revoked.cursor, timeout: Some(VISIBLE_WITHIN) };
    let seen =
        clients.revocations.await_visibility(wait).await.map_err(call("AwaitVisibility"))?.into_inner();
    let visible = clock.now().boot.since(begun);
    if !seen.reached {
        return Err(Unmet::answer("AwaitVisibility", "reached", &seen));
    }
    println!(
        "AwaitVisibility: {} of {} verifiers see it, after {}",
        seen.visible_to,
        seen.followers,
        milliseconds(visible)
    );
    let refused = clients.refused(&token.token, TokenType::Pseudonymisation, RefusalReason::Revoked).await?;
    show::refusal("the revoked token", &show::verdict(&refused));
    Ok(())
}

/// Waits for the next answer of the issuer. The lease that it renews is in the verifier's snapshot, since all entries are
/// there: without it a verifier that is restarted alone would know the revocations, but not that they are all.
pub(crate) async fn confirmed_again(clients: &mut Clients) -> Outcome {
    let mut before = age(clients).await?;
    for _ in 0..LOOKS {
        tokio::time::sleep(LOOK_EVERY).await;
        let now = age(clients).await?;
        if now < before {
            return Ok(());
        }
        before = now;
    }
    Err(Unmet::answer("GetTrustView", "a renewed lease", &before))
}

async fn age(clients: &mut Clients) -> Outcome<Duration> {
    let view = clients.trust_view().await?.view;
    let age = view.as_ref().and_then(|view| view.age).and_then(|age| Duration::try_from(age).ok());
    age.ok_or_else(|| Unmet::answer("GetTrustView", "a lease", &view))
}

/// Returns how many verifications it took.
async fn until_revoked(clients: &mut Clients, token: &str) -> Outcome<u32> {
    let mut verifications = 0;
    let mut looks = 0;
    while looks < LOOKS {
        verifications += 1;
        match clients.verify(token, TokenType::Pseudonymisation).await?.verdict {
            Some(Verdict::Refused(refused)) if refused.reason() == RefusalReason::Revoked => {
                return Ok(verifications);
            }
            Some(Verdict::Accepted(_)) => {}
            other => return Err(Unmet::answer("VerifyToken", "accepted, then REVOKED", &other)),
        }
        // The first hundred come at once: what is measured is short.
        if verifications > 100 {
            looks += 1;
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
    Err(Unmet::answer("VerifyToken", "REVOKED", &"still accepted"))
}

/// The issuer is stopped and the verifier restarted: it must go on from its snapshot.
pub(crate) async fn refused_still(clients: &mut Clients, kept: &Kept) -> Outcome {
    show::heading("The verifier restarted, the issuer stopped");
    answers(clients).await?;
    let refused = clients.refused(&kept.revoked, TokenType::Pseudonymisation, RefusalReason::Revoked).await?;
    show::refusal("the revoked token", &show::verdict(&refused));
    clients.accepted(&kept.live, TokenType::Secondary).await?;
    println!("the secondary token\n  accepted");
    let view = clients.trust_view().await?.view.unwrap_or_default();
    let age = view.age.and_then(|age| Duration::try_from(age).ok()).unwrap_or_default();
    println!(
        "judged at {}, known to be the end {} ago",
        show::cursor(view.cursor.as_ref()),
        milliseconds(age)
    );
    Ok(())
}

/// Waits until the verifier listens.
async fn answers(clients: &mut Clients) -> Outcome {
    for _ in 0..LOOKS {
        if clients.trust_view().await.is_ok() {
            return Ok(());
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    clients.trust_view().await.map(drop)
}

fn milliseconds(span: Duration) -> String {
    format!("{} ms", span.as_millis())
}
