//! The verifier as the judge of a guard in its own process: asked by a call, not over a wire. No rule.

use common::guard::{Admission, Judge, NotAdmitted, Shown};

use super::status::RETRY;
use crate::application::verify::{Question, Verdict, Verifier};

impl Judge for Verifier {
    async fn judge(&self, shown: Shown<'_>) -> Result<Admission, NotAdmitted> {
        let question = Question {
            token: shown.token,
            accepted_types: shown.accepted_types.to_vec(),
            at_least: None,
            max_staleness: None,
            holder: shown.holder.map(|holder| holder.0),
            audience: None,
        };
        let accepted = match self.verify(&question).answer {
            Ok(Verdict::Accepted(accepted)) => accepted,
            Ok(Verdict::Refused(refusal)) => {
                // For whoever runs the component; the caller is told nothing of it.
                tracing::info!(%refusal, "a token is refused");
                return Err(NotAdmitted::Refused);
            }
            Err(why) => {
                tracing::warn!(%why, "a token cannot be judged");
                return Err(NotAdmitted::Undecided { retry_after: RETRY });
            }
        };
        let claims = accepted.token.claims();
        Ok(Admission {
            token_id: claims.id,
            kind: claims.kind,
            organisation: claims.organisation,
            project: claims.project.clone(),
            configuration: claims.configuration,
            source: claims.source.clone(),
            usable_until: accepted.usable_until,
        })
    }
}
