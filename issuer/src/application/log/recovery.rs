//! How a log that lost entries is whole again while this process runs: out of its own memory, out of what other issuers
//! wrote, out of what a verifier offers (docs/adr/0006, 0012). One issuer opens the new epoch; the others adopt it.

use std::{sync::Arc, time::Duration};

use common::{
    clock::BootInstant,
    revocation::{cursor::Cursor, head::Head, log::Reach},
    timestamp::Timestamp,
};

use super::{AppendError, Published, Writer, published::note_versions};
use crate::{
    application::restore::{built, chain_of, open_epoch, write_base, write_down},
    domain::{
        chain::Chain,
        event::What,
        mending::{goes_on, join, renewed},
        ports::LogEnd,
    },
};

/// Of a lost log: what is known of it, and what was tried.
#[derive(Debug, Default)]
pub(super) struct Loss {
    /// The highest position that a verifier's signed head says was reached.
    pub(super) highest: Cursor,
    /// When it was noticed.
    pub(super) since: Option<BootInstant>,
    /// What the last look found, so that the same is not read again.
    looked: Option<(Option<LogEnd>, bool, Cursor)>,
}

impl Loss {
    /// Of a log that is lost, and of which this position is known to have been reached.
    pub(super) fn of(reached: Option<Cursor>) -> Self {
        Self { highest: reached.unwrap_or(Cursor::ZERO), ..Self::default() }
    }
}

impl Writer {
    /// Looks whether the log in the store holds everything again; otherwise makes it so, if what is held here reaches
    /// everything that is known to have been promised.
    pub(super) async fn recover(&mut self, before: Published) -> Result<(), AppendError> {
        let shown = self.round().await?;
        let (stands, now) = (shown.rounded.end, self.parts.clock.now());
        // Other issuers may hold more, and verifiers may know of more: they are heard first.
        let claims_more = stands.is_some_and(|end| end.cursor() > before.log.cursor());
        let patience = if claims_more { LONGER } else { HEARING };
        let heard = self.loss.since.is_none_or(|since| now.boot.since(since) >= patience);
        let look = (stands, heard, self.loss.highest);
        if self.loss.looked == Some(look) {
            return Err(AppendError::Lost);
        }
        let runs = match stands {
            Some(end) => self.parts.store.runs(end, end.base.sequence).await,
            None => Ok(None),
        };
        let stored = match (stands, runs) {
            _ if shown.rounded.gaps => None,
            (Some(end), Ok(Some(runs))) => Some(chain_of(&end, &runs)),
            (Some(_), Ok(None)) => return Err(AppendError::Lost),
            (None, _) | (_, Err(crate::domain::ports::StoreError::LostData)) => None,
            (_, Err(error)) => return Err(error.into()),
        };
        self.loss.looked = Some(look);
        let stored = stored.filter(|(_, broken)| !broken).map(|(chain, _)| chain);
        let (epoch, base) = (before.log.cursor().epoch, before.log.base());
        let Ok(memory) = before.chunks.chain(epoch, base) else { return Err(AppendError::Lost) };
        if let Some(stored) = &stored
            && self.adopt(&before, &memory, stored, stands).await
        {
            return Ok(());
        }
        if !heard || epoch == 0 {
            return Err(AppendError::Lost);
        }
        let chain = match &stored {
            Some(stored) => join(&[&memory, stored], self.log_now()),
            None => renewed(&memory, self.log_now()),
        };
        let chain = chain.ok_or(AppendError::Lost)?;
        self.reopen(before, chain, stands, "memory").await
    }

    /// Opens a new epoch out of what is held and what a verifier offers, if that reaches the highest head known.
    pub(super) async fn mend(&mut self, offered: Chain, head: &Head) {
        let before = Published::clone(&self.published.borrow());
        if !before.lost || head.cursor() < self.loss.highest {
            return;
        }
        self.loss.highest = head.cursor();
        let Ok(loaded) = self.parts.store.load().await else { return };
        let stands = loaded.end;
        let memory = before.chunks.chain(before.log.cursor().epoch, before.log.base());
        let Ok(memory) = memory else { return };
        // The store may hold a step whose answer was lost, and what others appended; or it is behind, and memory holds more.
        let stored = stands.map(|end| chain_of(&end, &loaded.runs)).filter(|(_, broken)| !broken);
        let stored = stored.map(|(chain, _)| chain);
        if let Some(stored) = &stored
            && self.adopt(&before, &memory, stored, stands).await
        {
            return;
        }
        let all: Vec<_> = [&memory, &offered].into_iter().chain(&stored).collect();
        let Some(chain) = join(&all, self.log_now()) else { return };
        // Tried again with the next offer, or at the next look.
        self.reopen(before, chain, stands, "verifier").await.ok();
    }

    /// Takes over the epoch that another issuer opened, or a log that was only away, if it revokes all that is revoked here and
    /// reaches what is known.
    async fn adopt(
        &mut self,
        before: &Published,
        memory: &Chain,
        stored: &Chain,
        stands: Option<LogEnd>,
    ) -> bool {
        let Some((mut log, chunks)) = built(stored) else { return false };
        let now = self.parts.clock.now().wall;
        // Live is what has not expired by the log time, too.
        let now = now.min(told(stands).max(before.log.log_time()));
        if !goes_on(stored, memory, now) || log.reaches(self.loss.highest) != Reach::Reached {
            return false;
        }
        log.confirmed(told(stands));
        write_base(&self.parts.trail, stored).await;
        write_down(&self.parts.trail, stored.entries(), stored.base().hash, "adopted", false).await;
        let mut versions = Arc::clone(&before.versions);
        note_versions(&mut versions, stored.entries());
        let base = log.base();
        let next = Published { log, chunks, versions, lost: false, ..before.clone() };
        self.found(next, base, stored, "another_issuer").await.is_ok()
    }

    async fn reopen(
        &mut self,
        before: Published,
        chain: Chain,
        stands: Option<LogEnd>,
        from: &'static str,
    ) -> Result<(), AppendError> {
        let (mut log, chunks) = built(&chain).ok_or(AppendError::Lost)?;
        log.confirmed(told(stands));
        if log.reaches(self.loss.highest) != Reach::Reached {
            return Err(AppendError::Lost);
        }
        let now = self.log_now();
        let opened = open_epoch(&*self.parts.store, &self.parts.trail, stands, &chain, now).await;
        // Another issuer may have been first: then its epoch is looked at.
        let elsewhere = opened == Err(crate::domain::ports::StoreError::LostData);
        self.parts.conditions.store_answered(opened.is_ok() || elsewhere);
        if opened.is_err() {
            self.loss.looked = None;
        }
        opened?;
        let mut versions = Arc::clone(&before.versions);
        note_versions(&mut versions, chain.entries());
        let base = log.base();
        self.found(Published { log, chunks, versions, lost: false, ..before }, base, &chain, from).await
    }

    /// The log is whole again, and said to be.
    async fn found(
        &mut self,
        next: Published,
        base: common::revocation::head::Link,
        chain: &Chain,
        from: &'static str,
    ) -> Result<(), AppendError> {
        let longest = self.parts.policy.load().limits.longest_staleness();
        self.parts.followers.lost(self.parts.clock.now().boot, longest);
        self.publish_signed(next, base).await;
        if self.published.borrow().lost {
            // Another issuer appended meanwhile, or the store went away: looked at again.
            self.loss.looked = None;
            return Err(AppendError::Lost);
        }
        let (epoch, sequence, entries) = (chain.epoch(), chain.end().sequence, chain.entries().len() as u64);
        tracing::warn!(epoch, sequence, entries, from, "the revocation log is whole again");
        let what = What::Mended { epoch, sequence, held: entries, from };
        self.parts.trail.write("issuer", what).await.ok();
        self.parts.conditions.mended(entries);
        self.loss.highest = Cursor::ZERO;
        self.loss.since = None;
        self.loss.looked = None;
        Ok(())
    }

    /// A verifier holds a signed head that this log has not: stops issuing and answering until what it speaks of is held.
    pub(super) async fn notice(&mut self, head: &Head) {
        let before = Published::clone(&self.published.borrow());
        if before.holds(head) {
            return;
        }
        self.loss.highest = self.loss.highest.max(head.cursor());
        if !before.lost {
            self.lose(
                before,
                None,
                "a verifier holds entries of the revocation log that this issuer has lost",
            )
            .await;
        }
    }

    /// Stops issuing and answering until what was lost is held again.
    pub(super) async fn lose(
        &mut self,
        before: Published,
        stands: Option<LogEnd>,
        why: &'static str,
    ) -> AppendError {
        if !self.parts.store.shared() {
            // What is durable there must be reached before anything is called mended.
            self.loss.highest = self.loss.highest.max(stands.map_or(Cursor::ZERO, |stands| stands.cursor()));
        }
        let now = self.parts.clock.now().boot;
        let (held, found) = (before.log.cursor(), stands.map(|stands| stands.cursor()));
        let found = found.map_or_else(|| "nothing".to_owned(), |found| found.to_string());
        tracing::error!(%held, %found, "{why}: issuing is stopped");
        let longest = self.parts.policy.load().limits.longest_staleness();
        self.parts.followers.lost(now, longest);
        self.loss.since = Some(now);
        self.loss.looked = None;
        self.parts.conditions.lost();
        self.publish(Published { lost: true, ..before });
        let what = What::Lost { epoch: held.epoch, sequence: held.sequence, found: &found, why };
        self.parts.trail.write("issuer", what).await.ok();
        AppendError::Lost
    }
}

/// The log time that the store holds: nothing is said of an earlier one.
fn told(stands: Option<LogEnd>) -> Timestamp {
    stands.map_or(Timestamp::EPOCH, |end| end.log_time)
}

/// For so long other issuers and verifiers are heard before this issuer mends out of its own memory.
const HEARING: Duration = Duration::from_secs(1);
/// The same when the store says that there were entries which this issuer never saw: who appended them holds them.
const LONGER: Duration = Duration::from_secs(3);
