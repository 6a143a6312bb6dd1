//! What stands in the way of promises, told by name: to health, to readiness, and to whoever asks for a token.

use std::sync::atomic::{AtomicBool, Ordering};

/// Conditions of this process. Each is set where it is seen.
#[derive(Debug, Default)]
pub struct Conditions {
    audit_broken: AtomicBool,
    store_failed: AtomicBool,
}

impl Conditions {
    /// The audit trail cannot be written: no issuing until this process starts anew. Revoking goes on.
    pub fn audit_broke(&self) {
        self.audit_broken.store(true, Ordering::Relaxed);
    }

    /// Whether [`Conditions::audit_broke`].
    pub fn audit_broken(&self) -> bool {
        self.audit_broken.load(Ordering::Relaxed)
    }

    /// Whether the last step of the store failed.
    pub fn store_answered(&self, well: bool) {
        self.store_failed.store(!well, Ordering::Relaxed);
    }

    /// The last step of the store failed.
    pub fn store_failed(&self) -> bool {
        self.store_failed.load(Ordering::Relaxed)
    }
}
