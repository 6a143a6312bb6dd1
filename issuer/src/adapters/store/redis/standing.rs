//! How the store stands, as its connections saw it last: what an operator has to mend, and whose clock is off. Asks nobody.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use common::{clock::Clock, timestamp::Timestamp};

/// Shared by all connections of a store.
#[derive(Debug, Default)]
pub(super) struct Standing {
    complaint: Mutex<Option<String>>,
    clock_off: AtomicBool,
}

impl Standing {
    /// The last call or attempt failed for this reason.
    pub(super) fn complain(&self, reason: &dyn std::fmt::Display) {
        *self.complaint.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason.to_string());
    }

    /// The last call was answered.
    pub(super) fn well(&self) {
        *self.complaint.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    pub(super) fn complaint(&self) -> Option<String> {
        self.complaint.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn clock_off(&self) -> bool {
        self.clock_off.load(Ordering::Relaxed)
    }

    /// The server's clock said `theirs` at some moment between `asked` and now.
    pub(super) fn compare_clocks(&self, asked: Timestamp, theirs: u64, clock: &dyn Clock) {
        let now = clock.now().wall;
        let off = theirs.saturating_add(TOLERANCE) < asked.seconds()
            || theirs > now.seconds().saturating_add(TOLERANCE);
        if self.clock_off.swap(off, Ordering::Relaxed) != off {
            if off {
                tracing::error!(theirs, ours = now.seconds(), "the clock of Redis is over 5 s off ours");
            } else {
                tracing::warn!("the clock of Redis agrees with ours again");
            }
        }
    }
}

/// Seconds that the clocks may differ by.
const TOLERANCE: u64 = 5;
