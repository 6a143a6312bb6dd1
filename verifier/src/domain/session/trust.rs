//! Keys and limits: taken only if they are the issuer's, and longer limits only once the issuer was told. No entries.

use std::{sync::Arc, time::Duration};

use common::{
    clock::Now,
    revocation::{lease::applied_limit, log::Refused},
    token::{
        Limits,
        kind::{PerType, TokenType},
    },
    trust::{Signed, Trust, Verified},
};

use super::{Action, Keep, Reason, Session};

impl Session {
    pub(super) fn trust(
        &mut self,
        signed: &Signed,
        now: Now,
        actions: &mut Vec<Action>,
    ) -> Result<(), Reason> {
        if self.stream.is_none() {
            return Ok(());
        }
        let trust = self.expected.log_keys.check::<Trust>(signed)?;
        self.is_ours(&trust.statement().issuer, &trust.statement().realm)?;
        let held = self.view.trust.as_deref().map(Verified::statement);
        let same = held.is_some_and(|held| held.says_the_same(trust.statement()));
        // Another issuer may have said the same before: that takes nothing back.
        if !same && held.is_some_and(|held| trust.statement().stated_at < held.stated_at) {
            return Err(Reason::TrustRolledBack);
        }
        if !same && trust.statement().stated_at > now.wall.plus(FUTURE) {
            return Err(Reason::Refused(Refused::Future));
        }
        // Said again under the other pinned log key, it is kept under that one: the former will be pinned no more.
        let under = |trust: &Verified<Trust>| trust.signed().key;
        let signed_anew = self.view.trust.as_deref().is_some_and(|held| under(held) != under(&trust))
            && held.is_some_and(|held| trust.statement().stated_at >= held.stated_at);
        if !same || signed_anew {
            self.take_trust(trust, actions)?;
        }
        if let Some(stream) = &mut self.stream {
            stream.trusted = true;
        }
        Ok(())
    }

    fn take_trust(&mut self, trust: Verified<Trust>, actions: &mut Vec<Action>) -> Result<(), Reason> {
        let limits = self.applied(&trust.statement().limits);
        let before = self.view.limits().map(|limits| self.applied(limits));
        let above = |lower: &PerType<Duration>| {
            TokenType::ALL.into_iter().any(|kind| limits.get(kind) > lower.get(kind))
        };
        // Issuers wait no longer than for the limits they were told, so longer ones are told first (docs/adr/0005).
        if above(&self.limits) {
            self.limits = limits;
            return Err(Reason::LimitsRaised);
        }
        // And an old lease is not revived by them: revocations may have been called visible when it had run out.
        if before.is_none_or(|before| above(&before)) {
            self.view.lease = None;
        }
        self.limits = limits;
        self.view.trust = Some(Arc::new(trust.clone()));
        actions.push(Action::Publish(self.view.clone()));
        if self.expected.keeps_file {
            actions.push(Action::Keep(Keep::Trust(trust)));
        } else {
            self.kept_keys = trust.statement().key_ids();
            self.acknowledge(actions);
        }
        Ok(())
    }

    pub(super) fn is_ours(&self, issuer: &str, realm: &str) -> Result<(), Reason> {
        let ours = issuer == self.expected.issuer && realm == self.expected.realm;
        if ours { Ok(()) } else { Err(Reason::OtherIssuer) }
    }

    /// What is announced, tightened by this verifier's own limits.
    pub(super) fn applied(&self, announced: &Limits) -> PerType<Duration> {
        PerType::from_fn(|kind| {
            applied_limit(announced.get(kind).staleness, *self.expected.own_staleness.get(kind))
        })
    }
}

/// A statement may be this far ahead of the own clock, as a head may: one from the future would bar all that follow it.
const FUTURE: Duration = Duration::from_mins(1);
