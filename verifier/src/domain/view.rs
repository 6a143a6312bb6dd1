//! Everything a verdict is judged on, as one value: keys, limits, revocations, lease. Pure: `now` is an argument.

use std::{sync::Arc, time::Duration};

use common::{
    clock::{BootInstant, Now},
    revocation::{lease::Lease, log::Log},
    timestamp::Timestamp,
    token::{Limits, kind::TokenType},
    trust::{Trust, Verified},
};

/// What this verifier knows. Cheap to clone; one verdict, or one batch of them, looks at one view only.
#[derive(Clone, Debug)]
pub struct View {
    /// The revocation log.
    pub log: Log,
    /// Keys and limits; `None` until the log key's statement was heard.
    pub trust: Option<Arc<Verified<Trust>>>,
    /// Since when the end of the log is known to be its end.
    pub lease: Option<Lease>,
}

impl View {
    /// Knows nothing, so decides nothing.
    pub fn empty() -> Self {
        Self { log: Log::empty(), trust: None, lease: None }
    }

    /// The instant at which `exp` and retention are judged: the later of the own clock and the highest log time accepted
    /// (DESIGN section 5, *Trimming*).
    pub fn judged_at(&self, own: Timestamp) -> Timestamp {
        own.max(self.log.log_time())
    }

    /// The announced limits.
    pub fn limits(&self) -> Option<&Limits> {
        self.trust.as_deref().map(|trust| &trust.statement().limits)
    }

    /// The keys and limits, and how long from now a token of `kind` can still be decided on this view.
    ///
    /// `tightened` is what the caller allows at most; it never relaxes the announced limit.
    ///
    /// # Errors
    /// [`Stale`]: a verifier that cannot know whether a token is revoked does not accept it (rule 15).
    pub fn decidable(
        &self,
        kind: TokenType,
        tightened: Option<Duration>,
        now: BootInstant,
    ) -> Result<Duration, Stale> {
        let announced = self.limits().ok_or(Stale::NothingHeard)?.get(kind).staleness;
        let limit = tightened.map_or(announced, |own| own.min(announced));
        let lease = self.lease.as_ref().ok_or(Stale::NoLease)?;
        lease.left(limit, now).ok_or(Stale::TooOld)
    }

    /// How old the knowledge is. `None` without a lease.
    pub fn age(&self, now: &Now) -> Option<Duration> {
        self.lease.as_ref().map(|lease| lease.age(now.boot))
    }
}

/// Why nothing can be decided now. On the wire all are `REVOCATIONS_STALE`.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Stale {
    /// No issuer was ever heard, and no file holds what one said.
    #[error("nothing was heard from an issuer yet")]
    NothingHeard,
    /// Entries are held, but nobody knows whether they are all: after a reboot, or a wall clock that went back.
    #[error("no issuer has confirmed the revocations held since this verifier started")]
    NoLease,
    /// The last confirmation is older than the limit.
    #[error("the last confirmation by an issuer is older than the limit")]
    TooOld,
}
