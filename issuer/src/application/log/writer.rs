//! The log's only writer: gathers what is asked for and does one thing after the other. How a step is taken is in
//! `appending`, what time brings in `upkeep`, what others did in `others`, how a lost log is
//! made whole in `recovery`.

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use common::{
    clock::Clock,
    revocation::{cursor::Cursor, entry::Entry, log::Log},
    timestamp::Timestamp,
};
use tokio::sync::{mpsc, watch};

use super::{
    Announcer, Asked, Command, LogHandle, Published, published::note_versions, recovery::Loss, rounds::Rounds,
};
use crate::{
    application::{
        conditions::Conditions, followers::Followers, key_book::KeyBook, signing_pool::SigningPool,
        timer::Timer, trail::Trail,
    },
    domain::{
        chunks::Chunks,
        policy_record::PolicyRecord,
        ports::{Store, StoreError},
        rounds::IssuerRow,
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
    /// How it passes.
    pub timer: Arc<dyn Timer>,
    /// Where heads and trust are signed: a thread of the writer's own.
    pub pool: SigningPool,
    /// Signs heads and trust.
    pub announcer: Announcer,
    /// Who waits for them.
    pub followers: Arc<Followers>,
    /// Who holds which token key.
    pub keys: Arc<KeyBook>,
    /// Told what goes wrong.
    pub conditions: Arc<Conditions>,
    /// Limits and key roles as the store holds them. Changed here only.
    pub policy: Arc<ArcSwap<PolicyRecord>>,
    /// This process, as other issuers see it.
    pub issuer: IssuerRow,
}

/// The writer. Runs until the last [`LogHandle`] is gone.
#[derive(Debug)]
pub struct Writer {
    pub(super) parts: WriterParts,
    pub(super) announcer: Arc<Announcer>,
    orders: mpsc::Receiver<Command>,
    pub(super) published: watch::Sender<Arc<Published>>,
    pub(super) loss: Loss,
    pub(super) rounds: Rounds,
}

impl Writer {
    /// Makes a writer that goes on from `log`, whose entries are `chunks`. A log that is
    /// `lost`, of which this position is known to have been reached, takes no entry.
    ///
    /// # Errors
    /// When the head cannot be signed.
    pub fn new(
        parts: WriterParts,
        log: Log,
        chunks: Chunks,
        entries: &[Entry],
        lost: Option<Cursor>,
    ) -> Result<(Self, LogHandle), CannotStart> {
        let now = if parts.store.clock_off() { Timestamp::EPOCH } else { parts.clock.now().wall };
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
        let (orders, waiting) = mpsc::channel(QUEUE);
        // The announcer is shared with the signing thread.
        let announcer = Arc::new(parts.announcer.clone());
        let rounds = Rounds::new(parts.issuer.clone());
        let writer =
            Self { parts, announcer, orders: waiting, published: publish, loss: Loss::of(lost), rounds };
        Ok((writer, LogHandle { orders, published }))
    }

    /// Works until nobody can ask any more.
    pub async fn run(mut self) {
        let mut tick = self.parts.timer.sleep(Duration::ZERO);
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
                    () = &mut tick => {
                        tick = self.parts.timer.sleep(TICK);
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
                Command::Noticed(head) => self.notice(&head).await,
                Command::Keys(asked) => {
                    let (order, reply) = *asked;
                    // Who no longer waits has lost interest; what was done stands all the same.
                    reply.send(self.change_keys(order).await).ok();
                }
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
    /// The store did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

const QUEUE: usize = 1_024;
const BATCH: usize = 256;
/// A step that holds so many rules waits for no more.
const LARGE: usize = 4_000;
const TICK: Duration = Duration::from_millis(200);
