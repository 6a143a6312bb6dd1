//! What the store's log holds beyond memory: steps of other issuers, and own ones whose outcome was not known. Appends nothing.

use std::sync::Arc;

use common::{
    encoding,
    revocation::{
        cursor::Cursor,
        entry::{Entry, unpack},
        head::Link,
    },
    token::kind::PerType,
};

use super::{AppendError, Published, Writer, published::note_versions};
use crate::domain::{
    chunks::Chunk,
    event::{self, What},
    ports::{LogEnd, StoreError},
};

impl Writer {
    /// A confirmed round: brings in what others appended, and tells since when nothing is missing. A log that does not
    /// go on from the one in memory has lost entries.
    ///
    /// # Errors
    /// [`AppendError::Lost`]; or the store did not answer, and nothing is known.
    pub(super) async fn catch_up(&mut self) -> Result<(), AppendError> {
        let before = Published::clone(&self.published.borrow());
        if before.lost {
            return Err(AppendError::Lost);
        }
        let sent = self.parts.clock.now().boot;
        let answered = self.parts.store.confirmed_end().await;
        self.parts.conditions.store_answered(answered.is_ok());
        let stands = answered?;
        let (epoch, ours) = (before.log.cursor().epoch, before.log.end());
        let goes_on = |end: &LogEnd| {
            end.epoch == epoch
                && (end.end == ours || end.end.sequence > ours.sequence && end.base.sequence <= ours.sequence)
        };
        let Some(end) = stands.filter(goes_on) else { return Err(self.lose(before, stands)) };
        if end.end != ours {
            // Trimmed meanwhile: asked for again at the next round.
            let runs = self.parts.store.runs(end, ours.sequence).await?.ok_or(StoreError::Unreachable)?;
            let Some((after, seen)) = extended(&before, &runs, end) else {
                return Err(self.lose(before, stands));
            };
            let (announcer, log) = (Arc::clone(&self.announcer), after.log.clone());
            // The log time of the store is durable already.
            let log_time = end.log_time.max(before.head.statement().log_time);
            let base = before.head.statement().base;
            let signed = self.pool.run(move || announcer.head(&log, base, log_time)).await;
            let head = signed.ok().and_then(Result::ok).ok_or(AppendError::Signing)?;
            let after = Published { head: Arc::new(head), ..after };
            let reach = (before.log.cursor(), after.log.cursor());
            let any = PerType::from_fn(|_| true);
            self.parts.followers.published(reach, any, &*self.parts.clock, || self.publish(after));
            self.note(&seen).await;
        }
        self.parts.conditions.confirmed(sent);
        Ok(())
    }

    /// Stops issuing and answering until what was lost is held again.
    pub(super) fn lose(&mut self, before: Published, stands: Option<LogEnd>) -> AppendError {
        // What is durable there must be reached before anything is called mended.
        self.highest = self.highest.max(stands.map_or(Cursor::ZERO, |stands| stands.cursor()));
        tracing::error!("the store's revocation log is not the one in memory: entries were lost");
        let longest = self.parts.policy.load().limits.longest_staleness();
        self.parts.followers.lost(self.parts.clock.now().boot, longest);
        self.publish(Published { lost: true, ..before });
        AppendError::Lost
    }

    /// The trail is this issuer's own copy of the log: it holds the entries of others too.
    async fn note(&self, seen: &[Chunk]) {
        let line = |run: &Chunk| {
            let what = What::Append(event::Append {
                epoch: self.published.borrow().log.cursor().epoch,
                first: run.first,
                last: run.last.sequence,
                previous: encoding::encode(&run.previous),
                entries: encoding::encode(&run.bytes),
                reason: "caught_up",
                comment: String::new(),
                project_id: None,
            });
            (Arc::from("issuer"), what)
        };
        // What cannot be written now is written late.
        self.parts.trail.write_or_owe(seen.iter().map(line).collect()).await.ok();
    }
}

/// The log with these runs behind it, and they as chunks, if they lead to that end.
fn extended(before: &Published, runs: &[Vec<u8>], end: LogEnd) -> Option<(Published, Vec<Chunk>)> {
    let (mut after, mut seen) = (before.clone(), Vec::new());
    for run in runs {
        let Link { sequence, hash: previous } = after.log.end();
        let entries: Vec<Entry> = unpack(run).ok()?;
        after.log.extend(run).ok()?;
        note_versions(&mut after.versions, &entries);
        let chunk = Chunk { first: sequence + 1, previous, last: after.log.end(), bytes: run.clone().into() };
        after.chunks = after.chunks.with(chunk.clone());
        seen.push(chunk);
    }
    after.log.confirmed(end.log_time);
    (after.log.end() == end.end).then_some((after, seen))
}
