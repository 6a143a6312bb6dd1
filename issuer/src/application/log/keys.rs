//! Key roles: one record for all issuers, changed by whoever is first, read again when another one was. Appends no rule.

use std::sync::Arc;

use common::{key_id::KeyId, keys::PublicKey, timestamp::Timestamp};

use super::Writer;
use crate::domain::{
    event::What,
    key_roles::{KeyRoles, RoleError},
    policy_record::PolicyRecord,
    ports::StoreError,
};

/// Another role for a key.
#[derive(Clone, Debug)]
pub enum KeyChange {
    /// It is published.
    Prepare(PublicKey),
    /// It signs. `forced`: although some party may lack it.
    Activate {
        /// Which.
        id: KeyId,
        /// For the trail.
        forced: bool,
    },
    /// It signs no more.
    Retire(KeyId),
}

/// What is to be done, and who asked.
#[derive(Clone, Debug)]
pub struct KeyOrder {
    /// What.
    pub change: KeyChange,
    /// For the audit trail: the caller.
    pub actor: Arc<str>,
}

/// Why nothing changed, as far as is known.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum KeyOrderError {
    /// The key cannot have that role.
    #[error(transparent)]
    Role(#[from] RoleError),
    /// Other issuers changed the record first, again and again. Asking again is safe.
    #[error("other issuers changed the key roles first")]
    Behind,
    /// The store did not answer: whether it happened is not known. Asking again is safe.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It was done, and could not be written down.
    #[error("the audit trail cannot be written")]
    AuditUnavailable,
    /// This process is going down.
    #[error("the log's writer has stopped")]
    Stopped,
}

impl KeyChange {
    /// The roles afterwards.
    fn applied(&self, policy: &PolicyRecord, now: Timestamp) -> Result<KeyRoles, RoleError> {
        let longest = policy.announced(now).longest_lifetime();
        match self {
            Self::Prepare(public) => policy.keys.with_prepared(public, now),
            Self::Activate { id, .. } => policy.keys.with_active(*id, longest, now),
            Self::Retire(id) => policy.keys.with_retired(*id, longest, now),
        }
    }

    fn line(&self, version: u64) -> What<'static> {
        let (action, id, forced) = match self {
            Self::Prepare(public) => ("prepare", public.id(), false),
            Self::Activate { id, forced } => ("activate", *id, *forced),
            Self::Retire(id) => ("retire", *id, false),
        };
        What::Key { version, action, key_id: id.to_string(), forced }
    }
}

impl Writer {
    /// On the record that stands: again if another issuer was first.
    pub(super) async fn change_keys(&mut self, order: KeyOrder) -> Result<(), KeyOrderError> {
        for _ in 0..ATTEMPTS {
            // A key that was revoked a moment ago hands over to one that was ready then, never to one of this order.
            self.keep_keys().await;
            let stands = self.parts.policy.load_full();
            if stands.keys != self.buried(&stands) {
                self.read_policy().await?;
                continue;
            }
            let keys = order.change.applied(&stands, self.log_now())?;
            let Some(next) = stands.with_keys(keys) else { return Ok(()) };
            let version = next.version;
            if self.save_policy(next).await? {
                let written = self.parts.trail.write(&order.actor, order.change.line(version)).await;
                self.announce_again().await;
                return written.map_err(|_broken| KeyOrderError::AuditUnavailable);
            }
            self.read_policy().await?;
        }
        Err(KeyOrderError::Behind)
    }

    /// A key that the log revokes signs nothing for good, also once the rule against it has expired and is trimmed; what is
    /// published no more needs no public half. Tried again at the next round.
    pub(super) async fn keep_keys(&self) {
        let published = Arc::clone(&self.published.borrow());
        let (stands, now) = (self.parts.policy.load_full(), self.log_now());
        let holds_rule = |id: &KeyId| published.log.set().holds_key(id);
        let buried = self.buried(&stands);
        let (keys, action) = if buried == stands.keys {
            (stands.keys.swept(now, holds_rule), "sweep_keys")
        } else {
            (buried, "revoke_key")
        };
        if let Some(next) = stands.with_keys(keys) {
            let version = next.version;
            if let Ok(true) = self.save_policy(next).await {
                let what = What::Policy { version, action };
                self.parts.trail.write_or_owe(vec![(Arc::from("issuer"), what)]).await.ok();
            }
        }
        if !published.lost && self.trust_is_due() {
            self.announce_again().await;
        }
    }

    /// The roles, once every key that the log revokes is revoked.
    fn buried(&self, stands: &PolicyRecord) -> KeyRoles {
        stands.keys.with_revoked(self.published.borrow().log.set().keys(), self.log_now())
    }

    /// What stands in the store, if another issuer changed it.
    ///
    /// # Errors
    /// The store did not answer; or it holds an older record than this process has seen, so it lost one.
    pub(super) async fn read_policy(&self) -> Result<(), StoreError> {
        let read = self.parts.store.policy().await;
        let held = self.parts.policy.load();
        let newer = match read? {
            Some(record) if record.version >= held.version => record,
            Some(_) | None => {
                tracing::error!("the store's record of limits and key roles is older than the one in memory");
                self.parts.conditions.store_answered(false);
                return Err(StoreError::LostData);
            }
        };
        if newer.version > held.version {
            self.parts.policy.store(Arc::new(newer));
        }
        Ok(())
    }

    async fn save_policy(&self, next: PolicyRecord) -> Result<bool, StoreError> {
        let saved = self.parts.store.save_policy(next.clone()).await;
        self.parts.conditions.store_answered(saved.is_ok());
        if saved? {
            self.parts.policy.store(Arc::new(next));
            return Ok(true);
        }
        Ok(false)
    }

    /// Whether followers were told something else than what holds now.
    fn trust_is_due(&self) -> bool {
        let published = Arc::clone(&self.published.borrow());
        let (policy, now, told) = (self.parts.policy.load(), self.log_now(), published.trust.statement());
        told.keys != policy.keys.published(now, |id| published.log.set().holds_key(id))
            || told.limits != policy.announced(now)
    }

    /// The log time of a step that is made now: never behind what any issuer made durable. A calendar that the store's clock
    /// contradicts does not move it: verifiers take no head from the future, of anybody, until that has come.
    pub(super) fn log_now(&self) -> Timestamp {
        let published = self.published.borrow();
        let stands =
            published.head.statement().log_time.max(published.log.log_time()).max(self.rounds.log_time);
        if self.parts.store.clock_off() { stands } else { stands.max(self.parts.clock.now().wall) }
    }
}

/// A change that other issuers overtake so often in a row is given back.
const ATTEMPTS: u32 = 8;
