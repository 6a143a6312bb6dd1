//! Keys rotate again and again under load: two issuers on one Redis, many verifiers, all of them processes of their own.
//!
//! Failure: a good token that is refused; a token that is accepted after its expiry, or after its key was revoked and that
//! was visible. No failure: an order or a question that is told to come again.
//!
//! `IPMS_ROTATIONS` and `IPMS_FOLLOWERS` say how often and how many: 200 and 20 are the figures that are promised.

#[cfg(test)]
mod stand;
#[cfg(test)]
mod traffic;

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use harness::{calls::Selector, expect, until};
    use tonic::Code;

    use crate::{stand::Stand, traffic::Traffic};

    #[tokio::test(flavor = "multi_thread")]
    async fn rotations_under_load_refuse_no_good_token_and_accept_no_bad_one() {
        #[expect(clippy::disallowed_methods, reason = "a test's own knob")]
        let number = |name: &str, usual: usize| {
            std::env::var(name).map_or(usual, |given| given.parse().expect("a number"))
        };
        let (rotations, followers) = (number("IPMS_ROTATIONS", 4), number("IPMS_FOLLOWERS", 6));
        let stand = Stand::start(followers).await;
        let traffic = Arc::new(Traffic::default());
        let running = traffic.begin(&stand);
        for round in 0..rotations {
            let issuer = &stand.issuers[round % 2];
            let new = stand.put_key(round);
            until("the key is published", async || issuer.prepare(&new).await.ok()).await;
            if round == 0 {
                half_of_the_verifiers_are_cut(&stand, round, &new).await;
            }
            if round % 10 == 3 {
                // In wrong hands: the one that stands by takes over, at both.
                until("every party holds the one that stands by", async || {
                    let key = issuer.key(&new).await?;
                    (key.followers_without.is_empty() && key.missing_at.is_empty()).then_some(())
                })
                .await;
                let old = stand.active(round).await;
                traffic.suspect(&old);
                let revoked = issuer.revoke(Selector::KeyId(old.clone())).await.unwrap();
                issuer.seen(&revoked).await;
                traffic.revoked(&old);
            } else {
                let mut told = String::new();
                until("every party holds the key", async || match issuer.activate(&new, false).await {
                    Ok(activated) => {
                        assert!(activated.risks.is_empty(), "{activated:?}");
                        Some(())
                    }
                    Err(status) if status.code() == Code::Unavailable => None,
                    Err(status) => {
                        assert_eq!(expect::reason(&status), "KEY_NOT_EVERYWHERE", "{status:?}");
                        // If it lasts, somebody will want to know for whom.
                        let key = issuer.key(&new).await?;
                        let lack = format!("{:?} {:?}", key.followers_without, key.missing_at);
                        if lack != told {
                            println!("round {round}: without the key are {lack}");
                            told = lack;
                        }
                        None
                    }
                })
                .await;
            }
            for issuer in &stand.issuers {
                until("both sign with it", async || issuer.key(&new).await.filter(|key| key.signs_here))
                    .await;
            }
            traffic.some_more(&new).await;
        }
        running.end().await;
        let told = traffic.told();
        println!("{rotations} rotations, {followers} verifiers, 2 issuers on one Redis: {told}");
        assert_eq!((told.wrong_refusals, told.wrong_acceptances), (0, 0), "{told}: {:?}", traffic.wrong());
        assert!(told.accepted > 20 * rotations as u64, "{told}");
        assert!(told.expired > 0, "{told}");
    }

    /// Failure: activation while some verifiers may still judge by an older key set.
    async fn half_of_the_verifiers_are_cut(stand: &Stand, round: usize, new: &str) {
        let issuer = &stand.issuers[round % 2];
        let half = stand.verifiers.len() / 2;
        stand.freeze(half);
        let next = stand.put_key(1_000);
        until("the next key is published", async || issuer.prepare(&next).await.ok()).await;
        // Longer than it takes those that are not cut.
        let missing = until("only those that are cut lack it", async || {
            let key = issuer.key(&next).await?;
            (key.followers_without.len() == half).then_some(key.followers_without)
        });
        let missing = missing.await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        let refused = issuer.activate(&next, false).await.unwrap_err();
        assert_eq!(expect::reason(&refused), "KEY_NOT_EVERYWHERE");
        stand.thaw(half);
        assert_eq!(missing, stand.names(half));
        until("it is taken out of use again", async || issuer.retire(&next).await.ok()).await;
        assert!(issuer.key(new).await.is_some());
    }
}
