//! What goes on with keys while the issuer serves: the folder is looked at, other issuers are told, the schedule is kept,
//! and all of it is measured. Decides nothing.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use common::runtime::{metrics_text::MetricsText, shutdown::Shutdown};

use crate::{
    application::{
        realm::Realm,
        rotate_keys::{by_schedule, refresh},
    },
    domain::{key_roles::KeyRole, rotation::due},
};

/// The schedule, and whether it is behind.
#[derive(Debug)]
pub struct Rotation {
    every: Option<Duration>,
    overdue: AtomicBool,
}

impl Rotation {
    /// Each key signs for `every`; without it until an operator says otherwise.
    pub const fn new(every: Option<Duration>) -> Self {
        Self { every, overdue: AtomicBool::new(false) }
    }

    /// Looks each second, until the issuer goes down; then the others need not wait for it.
    pub async fn keep(self: Arc<Self>, realm: Arc<Realm>, shutdown: Shutdown) {
        let mut tick = tokio::time::interval(TICK);
        loop {
            tokio::select! {
                () = shutdown.begun() => break,
                _ = tick.tick() => {}
            }
            // What fails is seen by health and tried again.
            if refresh(&realm).await.is_err() {
                continue;
            }
            if let Some(every) = self.every
                && let Ok(overdue) = by_schedule(&realm, every).await
            {
                if overdue && !self.overdue.swap(overdue, Ordering::Relaxed) {
                    tracing::warn!(
                        "a key rotation is due, and no key is ready: put one into keys.directory of every issuer"
                    );
                }
                self.overdue.store(overdue, Ordering::Relaxed);
            }
        }
        realm.keys.retract(&*realm.store).await;
    }

    /// Writes the metrics.
    pub fn measure(&self, realm: &Realm, text: &mut MetricsText) {
        let (policy, now) = (realm.policy.load(), realm.clock.now().wall);
        let gauge = |number: u64| u32::try_from(number).map_or(f64::from(u32::MAX), f64::from);
        let published = |wanted: fn(KeyRole) -> bool| {
            policy.keys.all().iter().filter(|key| key.public.is_some() && wanted(key.role)).count()
        };
        for (role, count) in [
            ("prepared", published(|role| role == KeyRole::Prepared)),
            ("active", published(|role| role == KeyRole::Active)),
            ("retired", published(|role| matches!(role, KeyRole::Retired { .. }))),
            ("revoked", published(|role| role == KeyRole::Revoked)),
        ] {
            text.gauge("ipms_keys", "Published token keys.", &[("role", role)], gauge(count as u64));
        }
        if let Some(active) = policy.keys.active() {
            let age = now.seconds().saturating_sub(active.since.seconds());
            text.gauge("ipms_key_age_seconds", "How long the active key has signed.", &[], gauge(age));
        }
        if let Some(next) = self.every.and_then(|every| due(&policy.keys, every)) {
            let left = next.seconds().saturating_sub(now.seconds());
            text.gauge(
                "ipms_key_rotation_in_seconds",
                "Until the next scheduled rotation.",
                &[],
                gauge(left),
            );
            let overdue = f64::from(u8::from(self.overdue.load(Ordering::Relaxed)));
            text.gauge("ipms_key_rotation_overdue", "1 while it is due and no key is ready.", &[], overdue);
        }
    }
}

const TICK: Duration = Duration::from_secs(1);
