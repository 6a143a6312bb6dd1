//! What stands in the way of promises, told by name: to health, to readiness, and to whoever asks for a token.

use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::Duration,
};

use common::{clock::BootInstant, keys::SigningFailed};

/// Conditions of this process. Each is set where it is seen.
#[derive(Debug, Default)]
pub struct Conditions {
    audit_cut: AtomicBool,
    audit_down: AtomicBool,
    signer_unavailable: AtomicBool,
    signature_faulty: AtomicBool,
    faulty_signatures: AtomicU64,
    store_failed: AtomicBool,
    /// Of the boot clock, in milliseconds, plus one; 0: never.
    confirmed: AtomicU64,
    losses: AtomicU64,
    mended: AtomicU64,
    refilled: AtomicU64,
}

impl Conditions {
    /// The audit trail lacks lines that were written: no issuing by this process. Revoking goes on.
    pub fn audit_is_cut(&self) {
        self.audit_cut.store(true, Ordering::Relaxed);
    }

    /// The audit trail cannot be written: no issuing meanwhile. Revoking goes on.
    pub fn audit_down(&self, down: bool) {
        self.audit_down.store(down, Ordering::Relaxed);
    }

    /// What came of a signature, or of a trial. Only [`Conditions::signs_again`] takes a failure back.
    pub fn signing_failed(&self, why: SigningFailed) {
        match why {
            SigningFailed::Unavailable(_) => self.signer_unavailable.store(true, Ordering::Relaxed),
            SigningFailed::Faulty => {
                tracing::error!(
                    "a wrong signature was made and thrown away: memory, processor or device are faulty"
                );
                self.signature_faulty.store(true, Ordering::Relaxed);
                self.faulty_signatures.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Every key in use has just signed.
    pub fn signs_again(&self) {
        self.signer_unavailable.store(false, Ordering::Relaxed);
        self.signature_faulty.store(false, Ordering::Relaxed);
    }

    /// A key in use did not sign when it was last asked.
    pub fn signer_unavailable(&self) -> bool {
        self.signer_unavailable.load(Ordering::Relaxed)
    }

    /// A wrong signature was made, and no good one by every key in use since.
    pub fn signature_faulty(&self) -> bool {
        self.signature_faulty.load(Ordering::Relaxed)
    }

    /// Wrong signatures since the start.
    pub fn faulty_signatures(&self) -> u64 {
        self.faulty_signatures.load(Ordering::Relaxed)
    }

    /// Whether the audit trail stands in the way of issuing.
    pub fn audit_broken(&self) -> bool {
        self.audit_cut.load(Ordering::Relaxed) || self.audit_down.load(Ordering::Relaxed)
    }

    /// Whether the last step of the store failed.
    pub fn store_answered(&self, well: bool) {
        self.store_failed.store(!well, Ordering::Relaxed);
    }

    /// Everything that the store had acknowledged to any issuer by `sent` is published here.
    pub fn confirmed(&self, sent: BootInstant) {
        let millis = u64::try_from(sent.since(BootInstant::default()).as_millis()).unwrap_or(u64::MAX - 1);
        self.confirmed.fetch_max(millis + 1, Ordering::Relaxed);
    }

    /// How long ago that was, never less; `None`: it never was.
    pub fn confirmed_age(&self, now: BootInstant) -> Option<Duration> {
        let millis = self.confirmed.load(Ordering::Relaxed).checked_sub(1)?;
        Some(now.since(BootInstant::default()).saturating_sub(Duration::from_millis(millis)))
    }

    /// The log was seen to have lost entries.
    pub fn lost(&self) {
        self.losses.fetch_add(1, Ordering::Relaxed);
    }

    /// It is whole again, with so many entries.
    pub fn mended(&self, entries: u64) {
        self.mended.fetch_add(1, Ordering::Relaxed);
        self.refilled.store(entries, Ordering::Relaxed);
    }

    /// How often entries were lost and how often all of them came back since the start, and how many there were last.
    pub fn losses(&self) -> [u64; 3] {
        [&self.losses, &self.mended, &self.refilled].map(|count| count.load(Ordering::Relaxed))
    }

    /// The last step of the store failed.
    pub fn store_failed(&self) -> bool {
        self.store_failed.load(Ordering::Relaxed)
    }
}
