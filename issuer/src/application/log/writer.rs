//! The log's only writer: gathers what is asked for, appends it in one step, signs the head, tells everybody.

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use common::{
    clock::{BootInstant, Clock},
    encoding,
    revocation::{
        cursor::Cursor,
        entry::{Entry, pack},
        head::Link,
        log::Log,
    },
    timestamp::Timestamp,
    token::kind::PerType,
};
use tokio::{
    sync::{mpsc, watch},
    time::MissedTickBehavior,
};

use super::{
    Announcer, AppendError, Asked, Command, LogHandle, Published, published::note_versions, step::Step,
};
use crate::{
    application::{
        conditions::Conditions, followers::Followers, restore::RUN, signing_pool::SigningPool, trail::Trail,
    },
    domain::{
        chunks::{Chunk, Chunks},
        event::{self, What},
        policy_record::PolicyRecord,
        ports::{Append, Appended, LogEnd, Store, StoreError},
    },
};

/// What the writer works with.
#[derive(Debug)]
pub struct WriterParts {
    /// Where entries become durable.
    pub store: Arc<dyn Store>,
    /// Where they are written down.
    pub trail: Arc<Trail>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Signs heads and trust.
    pub announcer: Announcer,
    /// Who waits for them.
    pub followers: Arc<Followers>,
    /// Told what goes wrong.
    pub conditions: Arc<Conditions>,
    /// Limits and key roles as the store holds them. Changed here only.
    pub policy: Arc<ArcSwap<PolicyRecord>>,
}

impl WriterParts {
    /// Whoever follows another issuer of the same log is waited for too.
    fn count_others(&self, now: BootInstant) {
        if self.store.shared() {
            let limits = self.policy.load().limits;
            self.followers.others(PerType::from_fn(|kind| limits.get(kind).staleness), now);
        }
    }
}

/// The writer. Runs until the last [`LogHandle`] is gone.
#[derive(Debug)]
pub struct Writer {
    pub(super) parts: WriterParts,
    pub(super) announcer: Arc<Announcer>,
    pub(super) pool: SigningPool,
    orders: mpsc::Receiver<Command>,
    pub(super) published: watch::Sender<Arc<Published>>,
    /// Of a lost log: the highest position that is known to have been reached.
    pub(super) highest: Cursor,
}

impl Writer {
    /// Makes a writer that goes on from `log`, whose entries are `chunks`. A log that is
    /// `lost`, of which this position is known to have been reached, takes no entry.
    ///
    /// # Errors
    /// When the head cannot be signed, or the system starts no thread.
    pub fn new(
        parts: WriterParts,
        log: Log,
        chunks: Chunks,
        entries: &[Entry],
        lost: Option<Cursor>,
    ) -> Result<(Self, LogHandle), CannotStart> {
        parts.count_others(parts.clock.now().boot);
        let now = parts.clock.now().wall;
        let log_time = log.log_time().max(now);
        let head = parts.announcer.head(&log, log.base(), log_time)?;
        let trust = parts.announcer.trust(&parts.policy.load(), &log, log_time)?;
        let mut versions = Arc::default();
        note_versions(&mut versions, entries);
        let mut log = log;
        log.confirmed(log_time);
        let published = Published {
            log,
            chunks,
            head: Arc::new(head),
            trust: Arc::new(trust),
            versions,
            lost: lost.is_some(),
        };
        let (publish, published) = watch::channel(Arc::new(published));
        let highest = lost.unwrap_or(Cursor::ZERO);
        let (orders, waiting) = mpsc::channel(QUEUE);
        let pool = SigningPool::start(std::num::NonZeroUsize::MIN, 2)?;
        // The announcer is shared with the signing thread.
        let announcer = Arc::new(Announcer {
            issuer: parts.announcer.issuer.clone(),
            realm: parts.announcer.realm.clone(),
            key: Arc::clone(&parts.announcer.key),
            held: parts.announcer.held.clone(),
        });
        let writer = Self { parts, announcer, pool, orders: waiting, published: publish, highest };
        Ok((writer, LogHandle { orders, published }))
    }

    /// Works until nobody can ask any more.
    pub async fn run(mut self) {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut kept = None;
        loop {
            let command = if let Some(command) = kept.take() {
                command
            } else {
                tokio::select! {
                    biased;
                    command = self.orders.recv() => match command {
                        Some(command) => command,
                        None => return,
                    },
                    _ = tick.tick() => {
                        if self.parts.store.shared() {
                            // Told to health where it is seen; tried again at the next round.
                            self.catch_up().await.ok();
                        }
                        self.keep_house().await;
                        continue;
                    }
                }
            };
            match command {
                Command::Noticed(head) => self.notice(&head),
                Command::Offered(offer) => {
                    let (chain, head) = *offer;
                    self.mend(chain, &head).await;
                }
                Command::Append(asked) => {
                    let mut batch = vec![*asked];
                    kept = self.gather(&mut batch);
                    self.append(batch).await;
                }
            }
        }
    }

    /// What else is waiting, as far as one step can hold it. A change of a project is a step of its own: if it
    /// conflicts, nobody else's rule may be lost with it.
    fn gather(&mut self, batch: &mut Vec<Asked>) -> Option<Command> {
        let alone = |batch: &[Asked]| batch.iter().any(|(order, _)| order.change.is_some());
        let rules = |batch: &[Asked]| batch.iter().map(|(order, _)| order.rules.len()).sum::<usize>();
        while batch.len() < BATCH && rules(batch) < LARGE && !alone(batch) {
            match self.orders.try_recv() {
                Ok(Command::Append(asked)) if asked.0.change.is_none() => batch.push(*asked),
                Ok(command) => return Some(command),
                Err(_nothing_waits) => break,
            }
        }
        None
    }

    async fn append(&mut self, batch: Vec<Asked>) {
        let before = Arc::clone(&self.published.borrow());
        if before.lost {
            for (_, reply) in batch {
                reply.send(Err(AppendError::Lost)).ok();
            }
            return;
        }
        let (step, outcome) = self.commit_all(&batch).await;
        match outcome {
            Ok(()) => self.write_down(&step, &batch).await,
            Err(error) => tracing::warn!(%error, "an append to the revocation log failed"),
        }
        for ((_, reply), done) in batch.into_iter().zip(step.done) {
            // Who no longer waits has lost interest; the step stands all the same.
            reply.send(outcome.map(|()| done)).ok();
        }
    }

    /// Plans and commits; again behind what other issuers appended meanwhile.
    async fn commit_all(&mut self, batch: &[Asked]) -> (Step, Result<(), AppendError>) {
        let mut attempts = 0;
        loop {
            let before = Arc::clone(&self.published.borrow());
            let step = Step::plan(&before, &self.parts.policy.load(), batch, self.parts.clock.now().wall);
            let outcome = match self.commit(&before, &step, batch).await {
                Err(AppendError::Behind) => self.catch_up().await.and(Err(AppendError::Behind)),
                outcome => outcome,
            };
            attempts += 1;
            if outcome != Err(AppendError::Behind) || attempts == ATTEMPTS {
                return (step, outcome);
            }
        }
    }

    /// Makes the step durable, and tells the followers at once: a revocation takes effect as early as it can.
    async fn commit(&mut self, before: &Published, step: &Step, batch: &[Asked]) -> Result<(), AppendError> {
        let change = batch.iter().find_map(|(order, _)| order.change.clone());
        if step.entries.is_empty() && change.is_none() {
            return Ok(());
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
        let signing = self.pool.run(move || announcer.head(&log, base, log_time));
        let (appended, signed) = tokio::join!(self.parts.store.append(append), signing);
        self.parts.conditions.store_answered(appended.is_ok());
        match appended? {
            Appended::Done => {}
            Appended::ProjectChanged => return Err(AppendError::ProjectChanged),
            Appended::EndedElsewhere(_) if self.parts.store.shared() => return Err(AppendError::Behind),
            Appended::EndedElsewhere(stands) => return Err(self.lose(before.clone(), stands)),
        }
        after.head = Arc::new(signed.ok().and_then(Result::ok).ok_or(AppendError::Signing)?);
        for (run, previous) in step.entries.chunks(RUN).zip(step.hashes.iter().step_by(RUN)) {
            let (Some(first), Some(last)) = (run.first(), run.last()) else { continue };
            let (first, end) = (first.cursor.sequence, last.cursor.sequence);
            let hash = run.iter().fold(*previous, |hash, entry| entry.link(&hash));
            let last = Link { sequence: end, hash };
            after.chunks =
                after.chunks.with(Chunk { first, previous: *previous, last, bytes: pack(run).into() });
        }
        let reach = (before.log.cursor(), after.log.cursor());
        self.parts.followers.published(reach, step.hits, &*self.parts.clock, || self.publish(after));
        Ok(())
    }

    /// At least one line of the trail for each order that did something, all as one write. The trail may be broken:
    /// revoking goes on, and the missing lines are written at the next start.
    async fn write_down(&self, step: &Step, batch: &[Asked]) {
        let mut lines = Vec::new();
        for ((order, _), part) in batch.iter().zip(&step.parts) {
            let project_id = order.change.as_ref().map(|change| change.project.id.to_string());
            if let Some(change) = order.change.as_ref().filter(|_| part.is_empty()) {
                let (project_id, version) = (change.project.id.to_string(), change.project.version);
                lines.push((&*order.actor, What::Project { project_id, version, action: order.action }));
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
                    comment: &order.comment,
                    project_id: project_id.clone(),
                    late: false,
                });
                lines.push((&*order.actor, what));
            }
        }
        self.parts.trail.write_all(lines).await.ok();
    }

    /// What time alone brings: verifiers whose lease ran out, entries that expired, a head at least each minute.
    async fn keep_house(&mut self) {
        let now = self.parts.clock.now();
        self.parts.count_others(now.boot);
        let gone = self.parts.followers.expire(now.boot);
        // Of a shared store a row may be another issuer's, whose follower is running.
        if !gone.is_empty() && !self.parts.store.shared() {
            self.parts.store.remove_followers(gone).await.ok();
        }
        self.bury_keys().await;
        let before = Arc::clone(&self.published.borrow());
        let last = before.head.statement().log_time;
        if now.wall >= last.plus(MINUTE) && !before.lost {
            // The log time is durable and told before anything goes that it says has expired.
            self.announce_again().await;
            self.trim(now.wall).await;
        }
    }

    /// A key that the log revokes signs nothing for good, also once the rule against it has expired and is trimmed.
    async fn bury_keys(&self) {
        let revoked = Arc::clone(&self.published.borrow());
        let Some(next) = self.parts.policy.load().with_revoked(revoked.log.set().keys()) else { return };
        let version = next.version;
        // Tried again at the next round: the rule itself stands in the log meanwhile.
        if let Ok(true) = self.parts.store.save_policy(next.clone()).await {
            self.parts.policy.store(Arc::new(next));
            self.parts.trail.write("issuer", What::Policy { version, action: "revoke_key" }).await.ok();
            self.announce_again().await;
        }
    }

    /// Takes away what has expired by log time and by the own clock, at the old end only.
    async fn trim(&self, now: Timestamp) {
        let before = Published::clone(&self.published.borrow());
        let Some(base) = before.log.expired(now) else { return };
        let Ok(()) = self.parts.store.trim(before.log.cursor().epoch, base).await else { return };
        let log = before.log.trimmed(base.sequence, now);
        let chunks = before.chunks.trimmed(base.sequence);
        // The head that names the new base, and keys without those whose rule is gone, follow at once.
        self.publish_signed(Published { log, chunks, ..before }, base).await;
    }

    async fn announce_again(&self) {
        let before = Published::clone(&self.published.borrow());
        let base = before.head.statement().base;
        self.publish_signed(before, base).await;
    }

    /// Signs head and trust anew and publishes them. Their log time is durable first, so that it never goes back.
    pub(super) async fn publish_signed(&self, mut next: Published, base: Link) {
        let log_time = next.head.statement().log_time.max(self.parts.clock.now().wall);
        let (epoch, end) = (next.log.cursor().epoch, next.log.end());
        let append = Append {
            after: Some((epoch, end)),
            entries: Vec::new(),
            end: LogEnd { epoch, base, end, log_time },
            change: None,
            audit: self.parts.trail.mark(),
        };
        let appended = self.parts.store.append(append).await;
        self.parts.conditions.store_answered(appended.is_ok());
        let Ok(Appended::Done) = appended else { return };
        next.log.confirmed(log_time);
        let (announcer, policy, log) =
            (Arc::clone(&self.announcer), self.parts.policy.load_full(), next.log.clone());
        let job = move || {
            Some((announcer.head(&log, base, log_time).ok()?, announcer.trust(&policy, &log, log_time).ok()?))
        };
        let Ok(Some((head, trust))) = self.pool.run(job).await else {
            tracing::error!("the head of the revocation log could not be signed");
            return;
        };
        next.head = Arc::new(head);
        if !trust.statement().says_the_same(next.trust.statement()) {
            next.trust = Arc::new(trust);
        }
        self.publish(next);
    }

    pub(super) fn publish(&self, next: Published) {
        self.published.send_replace(Arc::new(next));
    }
}

/// Why the writer does not start.
#[derive(Debug, thiserror::Error)]
pub enum CannotStart {
    /// Head or trust could not be signed.
    #[error("the head of the revocation log could not be signed")]
    Signing(#[from] common::trust::signed::SignError),
    /// No thread.
    #[error("the system starts no more threads")]
    Thread(#[from] std::io::Error),
    /// The store did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// An order that other issuers overtake so often in a row is given back.
const ATTEMPTS: u32 = 8;
const QUEUE: usize = 1_024;
const BATCH: usize = 256;
/// A step that holds so many rules waits for no more.
const LARGE: usize = 4_000;
const TICK: Duration = Duration::from_millis(200);
const MINUTE: Duration = Duration::from_mins(1);
