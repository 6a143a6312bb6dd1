//! The confirmed rounds of this process: what each must find, and what the last one showed. Never what came of the log.

use std::{sync::Arc, time::Duration};

use common::{clock::BootInstant, timestamp::Timestamp, token::kind::PerType};

use super::Writer;
use crate::domain::{
    event::What,
    policy_record::PolicyRecord,
    ports::StoreError,
    rounds::{Entry, IssuerRow, Round, Rounded, Standing},
};

/// Where this process stands with its rounds.
#[derive(Debug)]
pub(super) struct Rounds {
    issuer: IssuerRow,
    number: u64,
    entry: Entry,
    /// When the last confirmed one was sent.
    confirmed: Option<BootInstant>,
    /// The register's version that was merged last.
    known: Option<u64>,
    /// The latest log time that one showed, of whatever log.
    pub(super) log_time: Timestamp,
    /// Until then an issuer that starts must be told that the store has lost rows.
    after_loss: Option<BootInstant>,
}

impl Rounds {
    pub(super) const fn new(issuer: IssuerRow) -> Self {
        Self {
            issuer,
            number: 0,
            entry: Entry::New,
            confirmed: None,
            known: None,
            log_time: Timestamp::EPOCH,
            after_loss: None,
        }
    }
}

/// What a round came to.
pub(super) struct Shown {
    pub(super) rounded: Rounded,
    pub(super) sent: BootInstant,
    /// This issuer's row stood as it must: nothing that it had told others is lost.
    pub(super) kept: bool,
}

impl Writer {
    /// Asks the store. What it shows of the register counts only once [`Writer::confirm`] was told.
    pub(super) async fn round(&mut self) -> Result<Shown, StoreError> {
        let sent = self.parts.clock.now().boot;
        self.rounds.number += 1;
        self.rounds.issuer.after_loss = self.rounds.after_loss.is_some_and(|until| sent < until);
        let acknowledged = self.parts.followers.untold();
        let round = Round {
            issuer: self.rounds.issuer.clone(),
            number: self.rounds.number,
            entry: self.rounds.entry,
            acknowledged: acknowledged.clone(),
            known: self.rounds.known,
        };
        let answered = self.parts.store.round(round).await;
        self.parts.conditions.store_answered(answered.is_ok());
        let rounded = answered?;
        self.rounds.log_time =
            self.rounds.log_time.max(rounded.end.map_or(Timestamp::EPOCH, |end| end.log_time));
        let kept = rounded.standing == Standing::Kept;
        if kept {
            self.rounds.entry = Entry::Stands(self.rounds.number);
            self.parts.followers.told(&acknowledged);
        } else {
            self.rounds.known = None;
            self.enter_again(rounded.standing, sent);
        }
        Ok(Shown { rounded, sent, kept })
    }

    /// Everything that the round showed is published here: verifiers may be told of it, and the register counts.
    pub(super) fn confirm(&mut self, shown: &Shown) {
        self.rounds.confirmed = Some(shown.sent);
        self.rounds.known = Some(shown.rounded.register);
        // First the round, then the register: who was not in it before is answered by this round, not by an earlier one.
        self.parts.conditions.confirmed(shown.sent);
        let now = self.parts.clock.now().boot;
        self.parts.followers.shown(&shown.rounded, self.staleness(), shown.sent, now);
    }

    /// The store lacks what this process had written there.
    fn enter_again(&mut self, standing: Standing, now: BootInstant) {
        let longest = self.parts.policy.load().limits.longest_staleness();
        let silent = self.rounds.confirmed.map_or(Duration::MAX, |confirmed| now.since(confirmed));
        if standing == Standing::Absent && silent > longest {
            // Others gave this process up, as they may: no lease of its verifiers can be running.
            self.rounds.entry = Entry::New;
            return;
        }
        if self.rounds.entry != Entry::AfterLoss {
            tracing::error!(
                "the store has lost rows of the register: nothing is called visible for the longest limit"
            );
        }
        self.rounds.entry = Entry::AfterLoss;
        self.rounds.after_loss = Some(now.plus(longest));
        self.parts.followers.lost(now, longest);
    }

    /// Limits and key roles that the store has lost stand there again.
    pub(super) async fn put_policy_back(&self, stands: u64) {
        let held = self.parts.policy.load_full();
        if stands >= held.version {
            return;
        }
        let record = PolicyRecord { version: stands + 1, ..PolicyRecord::clone(&held) };
        // Tried again at the next round; another issuer may be first.
        if let Ok(true) = self.parts.store.save_policy(record.clone()).await {
            let what = What::Policy { version: record.version, action: "put_back" };
            self.parts.policy.store(Arc::new(record));
            self.parts.trail.write("issuer", what).await.ok();
        }
    }

    /// Takes out the rows of issuers that are gone for longer than any lease of their verifiers.
    pub(super) async fn expel_silent(&self) {
        for (issuer, number) in self.parts.followers.silent() {
            if let Ok(true) = self.parts.store.expel(issuer, number).await {
                tracing::info!(issuer, "the rows of an issuer that is gone were taken out");
            }
        }
    }

    pub(super) fn staleness(&self) -> PerType<Duration> {
        let limits = self.parts.policy.load().limits;
        PerType::from_fn(|kind| limits.get(kind).staleness)
    }
}
