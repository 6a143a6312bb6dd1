//! What the failed credentials that came over a connection have cost. Knows no credential, and refuses nothing.

use std::{num::NonZeroU32, sync::Arc};

use super::{
    caller::Peer,
    limits::{FAILURES, FAILURES_PER_SECOND},
    methods::Rate,
    rate_limit::Bucket,
};
use crate::clock::BootInstant;

/// How much a connection has failed of late.
#[derive(Debug, Default)]
pub struct Failures(Bucket);

impl Failures {
    /// Of the connection that a request came over, or what somebody put in its place; nothing, if there is neither.
    pub fn of(extensions: &http::Extensions) -> Option<&Arc<Self>> {
        extensions.get::<Peer>().map(|peer| &peer.failures).or_else(|| extensions.get())
    }

    /// So many credentials cost a check, and failed it.
    pub fn note(&self, failed: NonZeroU32, now: BootInstant) {
        self.0.owe(RATE, failed, now);
    }

    /// Whether the connection fails more than anybody does who means well: what it asks for next, and what costs a
    /// check, is to take nothing from others.
    pub fn too_many(&self, now: BootInstant) -> bool {
        self.0.is_empty(RATE, now)
    }
}

const RATE: Rate = Rate { per_second: FAILURES_PER_SECOND, burst: FAILURES };

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_burst_of_failures_is_forgiven_and_more_is_remembered_for_a_while() {
        let at = |milliseconds| BootInstant::from_duration(Duration::from_millis(milliseconds));
        let failures = Failures::default();
        let note = |many, now| failures.note(NonZeroU32::new(many).unwrap(), now);
        assert!(!failures.too_many(at(0)));
        note(FAILURES, at(1_000));
        assert!(!failures.too_many(at(1_000)), "as many as may be");
        note(1, at(1_000));
        assert!(failures.too_many(at(1_000)));
        let each = 1_000 / u64::from(FAILURES_PER_SECOND);
        assert!(failures.too_many(at(999 + each)));
        assert!(!failures.too_many(at(1_000 + each)), "one was forgiven");
        // However many there were, a connection that stops is as any other after twice the burst.
        note(u32::MAX, at(2_000));
        let whole = each * u64::from(FAILURES);
        assert!(failures.too_many(at(1_999 + whole)));
        assert!(!failures.too_many(at(2_000 + whole)));
    }
}
