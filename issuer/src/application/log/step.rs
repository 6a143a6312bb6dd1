//! What a batch of orders comes to: numbered entries, and for each order where it will stand. Pure.

use std::time::Duration;

use common::{
    revocation::{
        cursor::Cursor,
        entry::{Body, Entry},
    },
    timestamp::Timestamp,
    token::kind::PerType,
};

use super::{AppendDone, Asked, Published};
use crate::{application::followers::union, domain::policy_record::PolicyRecord};

/// What a batch comes to.
pub(super) struct Step {
    pub(super) log_time: Timestamp,
    pub(super) entries: Vec<Entry>,
    /// The hash of the chain before each entry.
    pub(super) hashes: Vec<[u8; 32]>,
    pub(super) hits: PerType<bool>,
    /// Which entries are whose.
    pub(super) parts: Vec<std::ops::Range<usize>>,
    pub(super) done: Vec<AppendDone>,
}

impl Step {
    pub(super) fn plan(
        before: &Published,
        policy: &PolicyRecord,
        batch: &[Asked],
        log_time: Timestamp,
    ) -> Self {
        let ceiling = log_time.plus(policy.announced(log_time).longest_lifetime()).plus(AHEAD);
        let start = before.log.cursor();
        let mut step = Self {
            log_time,
            entries: Vec::new(),
            hashes: Vec::new(),
            hits: PerType::default(),
            parts: Vec::new(),
            done: Vec::new(),
        };
        let mut hash = before.log.end().hash;
        for (order, _) in batch {
            let first = step.entries.len();
            let mut done = AppendDone { cursor: Cursor::ZERO, hits: PerType::default() };
            for planned in &order.rules {
                done.hits = union(done.hits, planned.hits);
                // A token or a key is revoked once; its rule stays where it was first recorded.
                if let Some(recorded) = before.log.set().recorded(&planned.rule) {
                    done.cursor = done.cursor.max(recorded);
                    continue;
                }
                let cursor = Cursor::new(start.epoch, start.sequence + 1 + step.entries.len() as u64);
                let project =
                    order.change.as_ref().map(|change| (change.project.id.clone(), change.project.version));
                let body =
                    Body::Rule { rule: planned.rule.clone(), reason: planned.reason, cut: cursor, project };
                let expires_at = planned.expires_at.unwrap_or(ceiling);
                let entry = Entry { cursor, recorded_at: log_time, expires_at, body };
                step.hashes.push(hash);
                hash = entry.link(&hash);
                step.entries.push(entry);
                done.cursor = cursor;
            }
            if done.cursor == Cursor::ZERO {
                // Nothing to append: what stands is all that it needs.
                done.cursor = start;
            }
            step.hits = union(step.hits, done.hits);
            step.parts.push(first..step.entries.len());
            step.done.push(done);
        }
        step
    }
}

/// A token may have been issued later than the log time says, if the clock was set back since; but no more than this,
/// because a head is signed at least each minute. No rule may expire before the last token that it hits.
pub(in crate::application) const AHEAD: Duration = Duration::from_mins(5);
