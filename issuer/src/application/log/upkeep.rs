//! What time alone brings to the log: ended leases, keys to bury, a head each minute, expired entries. Appends no rule.

use std::{sync::Arc, time::Duration};

use common::{encoding, revocation::head::Link, timestamp::Timestamp, trust::signed::SignError};

use super::{Published, Writer};
use crate::{
    application::signing_pool::NotRun,
    domain::{
        event::What,
        ports::{Append, Appended, LogEnd},
    },
};

impl Writer {
    /// What time alone brings: verifiers whose lease ran out, entries that expired, a head at least each minute.
    pub(super) async fn keep_house(&mut self) {
        let now = self.parts.clock.now();
        let gone = self.parts.followers.expire(now.boot);
        for (follower, _) in &gone {
            self.parts.keys.leave(follower);
        }
        if !gone.is_empty() {
            // Tried again as long as one of them is seen there.
            let gone = gone.into_iter().map(|(follower, tenure)| (follower, Some(tenure))).collect();
            self.parts.store.remove_followers(gone).await.ok();
        }
        self.expel_silent().await;
        self.keep_keys().await;
        let before = Arc::clone(&self.published.borrow());
        let (last, log_now) = (before.head.statement().log_time, self.log_now());
        if log_now >= last.plus(MINUTE) && !before.lost {
            // The log time is durable and told before anything goes that it says has expired.
            self.announce_again().await;
            self.trim(now.wall.min(log_now)).await;
        }
    }

    /// Takes away what has expired by log time and by the own clock, at the old end only.
    async fn trim(&self, now: Timestamp) {
        let before = Published::clone(&self.published.borrow());
        let Some(base) = before.log.expired(now) else { return };
        let epoch = before.log.cursor().epoch;
        let Ok(()) = self.parts.store.trim(epoch, base).await else { return };
        let what = What::Trim { epoch, base: base.sequence, hash: encoding::encode(&base.hash) };
        self.parts.trail.write_or_owe(vec![(Arc::from("issuer"), what)]).await.ok();
        let log = before.log.trimmed(base.sequence, now);
        let chunks = before.chunks.trimmed(base.sequence);
        // The head that names the new base, and keys without those whose rule is gone, follow at once.
        self.publish_signed(Published { log, chunks, ..before }, base).await;
    }

    pub(super) async fn announce_again(&self) {
        let before = Published::clone(&self.published.borrow());
        let base = before.head.statement().base;
        self.publish_signed(before, base).await;
    }

    /// Signs head and trust anew and publishes them. Their log time is durable first, so that it never goes back.
    pub(super) async fn publish_signed(&self, mut next: Published, base: Link) {
        let log_time = self.log_now().max(next.head.statement().log_time).max(next.log.log_time());
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
        let job =
            move || Ok((announcer.head(&log, base, log_time)?, announcer.trust(&policy, &log, log_time)?));
        let Some((head, trust)) = self.signed(self.parts.pool.run(job).await) else {
            tracing::error!("the head of the revocation log could not be signed");
            return;
        };
        next.head = Arc::new(head);
        if !trust.statement().says_the_same(next.trust.statement()) {
            next.trust = Arc::new(trust);
        }
        self.publish(next);
    }

    /// What was signed; what went wrong with it is told to health.
    pub(super) fn signed<T>(&self, signed: Result<Result<T, SignError>, NotRun>) -> Option<T> {
        match signed {
            Ok(Ok(signed)) => Some(signed),
            Ok(Err(SignError::Failed(why))) => {
                self.parts.conditions.signing_failed(why);
                None
            }
            Ok(Err(SignError::Unwritable(_))) | Err(_) => None,
        }
    }
}

const MINUTE: Duration = Duration::from_mins(1);
