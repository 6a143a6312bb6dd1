//! What proxies ask before they pass a request on, whatever they speak. Decides nothing: parses, asks, renders.

mod certificate;
pub mod envoy;
pub mod http;
mod route;
mod told;

use common::runtime::{bearer::Bearer, caller::Caller};
use tonic::Status;

use self::route::Route;
pub use self::told::HEADERS;
use super::{fairness::Fairness, status, wire::forged};
use crate::{
    application::verify::{Accepted, Question, Verdict},
    settings::TrustedPeers,
};

/// A door through which proxies ask a verifier.
#[derive(Clone, Debug)]
pub struct Door {
    fairness: Fairness,
    trusted_peers: TrustedPeers,
}

/// What becomes of a request, if it can be told.
enum Outcome {
    /// It may pass.
    Passes(Accepted),
    /// It shows no token.
    NoCredentials,
    /// What it shows is refused. Why is nothing that its sender is told.
    Refused,
}

impl Door {
    /// In front of the verifier of `fairness`: one proxy brings the forgeries of many. Of `trusted_peers` is believed which certificate the holder showed.
    pub const fn new(fairness: Fairness, trusted_peers: TrustedPeers) -> Self {
        Self { fairness, trusted_peers }
    }

    /// `forwarded` are the values of `x-forwarded-client-cert`.
    ///
    /// # Errors
    /// Nobody can tell now, as a status.
    async fn ask<'a>(
        &self,
        extensions: &::http::Extensions,
        route: &Route<'_>,
        shown: Bearer<'_>,
        forwarded: impl Iterator<Item = &'a str>,
    ) -> Result<Outcome, Status> {
        let token = match shown {
            Bearer::None => return Ok(Outcome::NoCredentials),
            Bearer::Unusable => return Ok(Outcome::Refused),
            Bearer::Token(token) => token.to_owned(),
        };
        let believed = self.trusted_peers.trust(&Caller::of(extensions));
        let holder = if believed { certificate::forwarded(forwarded) } else { None };
        let accepted_types = route.accepted_types.clone();
        let audience = route.audience.map(str::to_owned);
        let looked_at = token.clone();
        let judging = self.fairness.judge(
            extensions,
            move |verifier| verifier.knows(&looked_at),
            move |verifier| {
                let question = Question {
                    token: &token,
                    accepted_types,
                    at_least: None,
                    max_staleness: None,
                    holder,
                    audience: audience.as_deref(),
                };
                let answer = verifier.verify(&question).answer;
                let forged = forged(&answer);
                (answer, forged)
            },
        )?;
        Ok(match judging.done().await?.map_err(status::undecided)? {
            Verdict::Accepted(accepted) => Outcome::Passes(accepted),
            Verdict::Refused(refusal) => {
                // For whoever runs the proxy; whoever asked it is told nothing of it.
                tracing::debug!(%refusal, "a token is refused");
                Outcome::Refused
            }
        })
    }
}

/// The challenge to who shows no token (RFC 6750 section 3.1).
const CHALLENGE: &str = "Bearer";
/// The one challenge to every refusal.
const REFUSAL: &str = r#"Bearer error="invalid_token""#;
/// The header in which proxies tell the certificate that was shown to them.
const FORWARDED: &str = "x-forwarded-client-cert";
