//! What the store's log holds beyond memory: steps of other issuers, and own ones whose outcome was not known. Appends nothing.

use std::sync::Arc;

use common::{
    encoding,
    revocation::{
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
            return self.recover(before).await;
        }
        let shown = match self.round().await {
            Err(StoreError::LostData) => return Err(self.lose(before, None, UNREADABLE).await),
            shown => shown?,
        };
        // No round is confirmed of which the limits and key roles are not known.
        if shown.rounded.policy_version > self.parts.policy.load().version {
            self.read_policy().await?;
        }
        let stands = shown.rounded.end;
        let (epoch, ours) = (before.log.cursor().epoch, before.log.end());
        let goes_on = |end: &LogEnd| {
            end.epoch == epoch
                && (end.end == ours || end.end.sequence > ours.sequence && end.base.sequence <= ours.sequence)
        };
        if shown.rounded.gaps && stands.is_some() {
            return Err(self.lose(before, stands, GAPS).await);
        }
        let Some(end) = stands.filter(goes_on) else {
            return Err(self.lose(before, stands, ELSEWHERE).await);
        };
        if end.end != ours {
            // Trimmed meanwhile: asked for again at the next round.
            let runs = match self.parts.store.runs(end, ours.sequence).await {
                Err(StoreError::LostData) => return Err(self.lose(before, stands, UNREADABLE).await),
                runs => runs?.ok_or(StoreError::Unreachable)?,
            };
            let Some((after, seen)) = extended(&before, &runs, end) else {
                return Err(self.lose(before, stands, BROKEN).await);
            };
            let (announcer, log) = (Arc::clone(&self.announcer), after.log.clone());
            // The log time of the store is durable already.
            let log_time = end.log_time.max(before.head.statement().log_time);
            let base = before.head.statement().base;
            let signed = self.parts.pool.run(move || announcer.head(&log, base, log_time)).await;
            let head = self.signed(signed).ok_or(AppendError::Signing)?;
            let after = Published { head: Arc::new(head), ..after };
            let reach = (before.log.cursor(), after.log.cursor());
            let any = PerType::from_fn(|_| true);
            self.parts.followers.published(reach, any, &*self.parts.clock, || self.publish(after));
            self.note(&seen).await;
        }
        if shown.kept {
            self.confirm(&shown);
            self.put_policy_back(shown.rounded.policy_version).await;
        }
        Ok(())
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

const UNREADABLE: &str = "the store's revocation log cannot be read";
const GAPS: &str = "entries of the store's revocation log are gone";
const BROKEN: &str = "the store's revocation log does not lead to its own end";
pub(super) const ELSEWHERE: &str = "the store's revocation log is not the one in memory";

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
