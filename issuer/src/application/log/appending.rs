//! One step of the log: planned, made durable, signed, published, written down. Never what time alone brings.

use std::{pin::pin, sync::Arc, time::Duration};

use common::{
    encoding,
    revocation::{entry::pack, head::Link},
};

use super::{AppendError, Asked, Published, Writer, published::note_versions, step::Step};
use crate::{
    application::{restore::RUN, timer::within},
    domain::{
        chunks::Chunk,
        event::{self, What},
        ports::{Append, Appended, LogEnd, NotWritten},
    },
};

impl Writer {
    pub(super) async fn append(&mut self, batch: Vec<Asked>) {
        let before = Arc::clone(&self.published.borrow());
        if before.lost {
            for (_, reply) in batch {
                reply.send(Err(AppendError::Lost)).ok();
            }
            return;
        }
        // What only grants waits for the trail; what takes away never does. A change is alone in its batch.
        let grants = batch.iter().any(|(order, _)| order.change.is_some() && order.rules.is_empty());
        if grants && self.parts.trail.down().is_some() {
            for (_, reply) in batch {
                reply.send(Err(AppendError::Unaudited)).ok();
            }
            return;
        }
        let (step, committed) = self.commit_all(&batch).await;
        let outcome = match committed {
            Ok(after) => {
                // Waking a thousand streams puts the answer to the caller behind a thousand tasks. So the lines go to the
                // disk first, which mostly takes less than this; a slow or broken one holds no revocation up for longer.
                let mut writing = pin!(self.write_down(&step, &batch));
                let at_once = within(&*self.parts.timer, AT_ONCE, &mut writing).await;
                self.tell(after, &step);
                let written = match at_once {
                    Some(written) => written,
                    None => writing.await,
                };
                if grants { written.map_err(|_why| AppendError::Unaudited) } else { Ok(()) }
            }
            Err(error) => {
                tracing::warn!(%error, "an append to the revocation log failed");
                Err(error)
            }
        };
        for ((_, reply), done) in batch.into_iter().zip(step.done) {
            // Who no longer waits has lost interest; the step stands all the same.
            reply.send(outcome.map(|()| done)).ok();
        }
    }

    /// Plans and commits; again behind what other issuers appended meanwhile.
    async fn commit_all(&mut self, batch: &[Asked]) -> (Step, Result<Option<Published>, AppendError>) {
        let mut attempts = 0;
        loop {
            let before = Arc::clone(&self.published.borrow());
            let step = Step::plan(&before, &self.parts.policy.load(), batch, self.log_now());
            let outcome = match self.commit(&before, &step, batch).await {
                Err(AppendError::Behind) => self.catch_up().await.and(Err(AppendError::Behind)),
                outcome => outcome,
            };
            attempts += 1;
            if !matches!(outcome, Err(AppendError::Behind)) || attempts == ATTEMPTS {
                return (step, outcome);
            }
        }
    }

    /// Makes the step durable and signs the head behind it. `None` when there was nothing to do.
    async fn commit(
        &mut self,
        before: &Published,
        step: &Step,
        batch: &[Asked],
    ) -> Result<Option<Published>, AppendError> {
        let change = batch.iter().find_map(|(order, _)| order.change.clone());
        if step.entries.is_empty() && change.is_none() {
            return Ok(None);
        }
        let mut after = before.clone();
        let packed = pack(&step.entries);
        after.log.extend(&packed).map_err(|_impossible| AppendError::Lost)?;
        after.log.confirmed(step.log_time);
        note_versions(&mut after.versions, &step.entries);
        let base = before.head.statement().base;
        let end =
            LogEnd { epoch: after.log.cursor().epoch, base, end: after.log.end(), log_time: step.log_time };
        let append = Append {
            after: Some((before.log.cursor().epoch, before.log.end())),
            entries: packed,
            end,
            change,
            audit: self.parts.trail.mark(),
        };
        let (announcer, log) = (Arc::clone(&self.announcer), after.log.clone());
        let log_time = step.log_time;
        // Signed while the disk turns. A head over a step that fails is dropped here and seen by nobody.
        let signing = self.parts.pool.run(move || announcer.head(&log, base, log_time));
        let (appended, signed) = tokio::join!(self.parts.store.append(append), signing);
        self.parts.conditions.store_answered(appended.is_ok());
        match appended? {
            Appended::Done => {}
            Appended::ProjectChanged => return Err(AppendError::ProjectChanged),
            Appended::EndedElsewhere(_) if self.parts.store.shared() => return Err(AppendError::Behind),
            Appended::EndedElsewhere(stands) => {
                return Err(self.lose(before.clone(), stands, super::others::ELSEWHERE).await);
            }
        }
        after.head = Arc::new(self.signed(signed).ok_or(AppendError::Signing)?);
        for (run, previous) in step.entries.chunks(RUN).zip(step.hashes.iter().step_by(RUN)) {
            let (Some(first), Some(last)) = (run.first(), run.last()) else { continue };
            let (first, end) = (first.cursor.sequence, last.cursor.sequence);
            let hash = run.iter().fold(*previous, |hash, entry| entry.link(&hash));
            let last = Link { sequence: end, hash };
            after.chunks =
                after.chunks.with(Chunk { first, previous: *previous, last, bytes: pack(run).into() });
        }
        Ok(Some(after))
    }

    /// Tells the followers, as early as it can be: a revocation takes effect here.
    fn tell(&self, after: Option<Published>, step: &Step) {
        let Some(after) = after else { return };
        let reach = (self.published.borrow().log.cursor(), after.log.cursor());
        self.parts.followers.published(reach, step.hits, &*self.parts.clock, || self.publish(after));
    }

    /// At least one line of the trail for each order that did something, all as one write. The trail may be down:
    /// revoking goes on, and the missing lines are written late.
    async fn write_down(&self, step: &Step, batch: &[Asked]) -> Result<(), NotWritten> {
        let mut lines = Vec::new();
        for ((order, _), part) in batch.iter().zip(&step.parts) {
            let project_id = order.change.as_ref().map(|change| change.project.id.to_string());
            if let Some(change) = order.change.as_ref().filter(|_| part.is_empty()) {
                let (project_id, version) = (change.project.id.to_string(), change.project.version);
                let what = What::Project { project_id, version, action: order.action };
                lines.push((Arc::clone(&order.actor), what));
            }
            let entries = step.entries.get(part.clone()).unwrap_or_default();
            let hashes = step.hashes.get(part.clone()).unwrap_or_default();
            for (run, previous) in entries.chunks(RUN).zip(hashes.iter().step_by(RUN)) {
                let (Some(first), Some(last)) = (run.first(), run.last()) else { continue };
                let what = What::Append(event::Append {
                    epoch: first.cursor.epoch,
                    first: first.cursor.sequence,
                    last: last.cursor.sequence,
                    previous: encoding::encode(previous),
                    entries: encoding::encode(&pack(run)),
                    reason: order.action,
                    comment: order.comment.clone(),
                    project_id: project_id.clone(),
                });
                lines.push((Arc::clone(&order.actor), what));
            }
        }
        self.parts.trail.write_or_owe(lines).await
    }
}

/// An order that other issuers overtake so often in a row is given back.
const ATTEMPTS: u32 = 8;
/// How long a publication waits for the trail.
const AT_ONCE: Duration = Duration::from_millis(1);
