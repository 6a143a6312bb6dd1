//! What is told and tidied while time passes: health by service, readiness, records past their keeping.

use std::{sync::Arc, time::Duration};

use crate::{application::realm::Realm, domain::ports::StoreError};

/// Something that stands in the way of a promise.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Obstacle {
    /// `STORE_LOST_DATA`.
    LogLost,
    /// `STORE_UNREACHABLE`.
    StoreFailed,
    /// `AUDIT_UNAVAILABLE`.
    AuditBroken,
    /// `CLOCK_SUSPECT`.
    ClockSuspect,
    /// `NO_SIGNING_KEY`.
    NoSigningKey,
    /// `SIGNER_UNAVAILABLE`.
    SignerUnavailable,
    /// `SIGNATURE_FAULTY`.
    SignatureFaulty,
}

impl Obstacle {
    /// For people.
    pub const fn words(self) -> &'static str {
        match self {
            Self::LogLost => "the revocation log has lost entries (STORE_LOST_DATA)",
            Self::StoreFailed => "the store's last step failed (STORE_UNREACHABLE)",
            Self::AuditBroken => "the audit trail cannot be written (AUDIT_UNAVAILABLE)",
            Self::ClockSuspect => {
                "the clock is behind the log's last time, or over 5 s off the store's (CLOCK_SUSPECT)"
            }
            Self::NoSigningKey => "no key may sign (NO_SIGNING_KEY)",
            Self::SignerUnavailable => "what holds the keys does not sign (SIGNER_UNAVAILABLE)",
            Self::SignatureFaulty => "a wrong signature was made and thrown away (SIGNATURE_FAULTY)",
        }
    }

    /// Whether projects can be kept and tokens be revoked all the same.
    pub const fn spares_the_store(self) -> bool {
        match self {
            Self::LogLost | Self::StoreFailed => false,
            Self::AuditBroken
            | Self::ClockSuspect
            | Self::NoSigningKey
            | Self::SignerUnavailable
            | Self::SignatureFaulty => true,
        }
    }

    /// Whether verifiers can be fed all the same.
    pub const fn spares_the_feed(self) -> bool {
        match self {
            Self::LogLost => false,
            Self::StoreFailed
            | Self::AuditBroken
            | Self::ClockSuspect
            | Self::NoSigningKey
            | Self::SignerUnavailable
            | Self::SignatureFaulty => true,
        }
    }
}

/// What stands in the way now. Any obstacle stops issuing.
pub fn obstacles(realm: &Realm) -> Vec<Obstacle> {
    let published = realm.log.published();
    let conditions = &realm.conditions;
    let suspect = realm.clock.now().wall < published.head.statement().log_time || realm.store.clock_off();
    [
        (Obstacle::LogLost, published.lost),
        (Obstacle::StoreFailed, conditions.store_failed()),
        (Obstacle::AuditBroken, conditions.audit_broken()),
        (Obstacle::ClockSuspect, suspect),
        (Obstacle::NoSigningKey, realm.signing_key(&published).is_none()),
        (Obstacle::SignerUnavailable, conditions.signer_unavailable()),
        (Obstacle::SignatureFaulty, conditions.signature_faulty()),
    ]
    .into_iter()
    .filter_map(|(obstacle, stands)| stands.then_some(obstacle))
    .collect()
}

/// After a failure, or while the place of the keys complains: has the key that signs tokens and the log key sign something that is worth nothing. When both do,
/// issuing goes on.
pub async fn try_signers(realm: &Realm) {
    let conditions = &realm.conditions;
    let failed = conditions.signer_unavailable() || conditions.signature_faulty();
    if !failed && realm.keys.complaint().is_none() {
        return;
    }
    let token_key = realm.signing_key(&realm.log.published());
    let keys = [token_key, Some(Arc::clone(&realm.log_signer))];
    let trial = move || keys.iter().flatten().try_for_each(|key| key.sign(TRIAL, b"").map(drop));
    match tokio::time::timeout(TRIED, realm.pool.run(trial)).await {
        Ok(Ok(Ok(()))) => {
            if failed {
                tracing::info!("the keys sign again");
                conditions.signs_again();
            }
        }
        Ok(Ok(Err(why))) => conditions.signing_failed(why),
        // Busy, a panic that was logged, or a device that does not answer: tried again at the next look.
        Ok(Err(_)) | Err(_) => {}
    }
}

/// Writes what the audit trail is owed, and signs for it when `sign`.
pub async fn keep_trail(realm: &Realm, sign: bool) {
    realm.trail.heal().await;
    if sign {
        // Told to health where it is seen.
        realm.trail.seal().await.ok();
    }
}

/// Forgets records that expired longer ago than `keep`, a few at a time.
///
/// # Errors
/// When the store does not answer; nothing is lost by trying again later.
pub async fn forget_old_tokens(realm: &Arc<Realm>, keep: Duration) -> Result<usize, StoreError> {
    let now = realm.clock.now().wall;
    let Some(before) =
        now.seconds().checked_sub(keep.as_secs()).and_then(common::timestamp::Timestamp::from_seconds)
    else {
        return Ok(0);
    };
    realm.store.forget_tokens(before, AT_ONCE).await
}

/// A trial that takes longer is not waited for.
const TRIED: Duration = Duration::from_secs(1);
const AT_ONCE: usize = 1_000;
/// What a signature on trial begins with: it is one over nothing else.
const TRIAL: &[u8] = b"ipms-trial/v1\0";
