//! What each token key is for, and what it may become (DESIGN section 6). Pure: never a private key, never a clock.

use std::time::Duration;

use common::{key_id::KeyId, keys::PublicKey, timestamp::Timestamp, trust::Trust};

/// What a token key is used for.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum KeyRole {
    /// Published, not signing: takes over by itself only when the active one is revoked.
    Prepared,
    /// Signs.
    Active,
    /// Verifies until its last token has expired.
    Retired {
        /// Exclusive.
        until: Timestamp,
    },
    /// In wrong hands: signs nothing, for good. Published only while the log still holds the rule against it.
    Revoked,
}

/// A key that has a role.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RoledKey {
    /// Its name. Kept for good, so that no key comes back in another role.
    pub id: KeyId,
    /// What it is for.
    pub role: KeyRole,
    /// Since when.
    pub since: Timestamp,
    /// Its public half, so that every issuer publishes the same keys. `None` once it is published no more.
    pub public: Option<PublicKey>,
}

/// The keys that have a role: the one that was given its first role last comes last. At most one is active.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct KeyRoles(Vec<RoledKey>);

impl KeyRoles {
    /// As a record holds them. `None` when more than one is active, or a name comes twice.
    pub fn new(keys: Vec<RoledKey>) -> Option<Self> {
        let active = keys.iter().filter(|key| key.role == KeyRole::Active).count();
        let twice = keys.iter().enumerate().any(|(n, key)| keys.iter().take(n).any(|one| one.id == key.id));
        let other = |key: &RoledKey| key.public.as_ref().is_some_and(|public| public.id() != key.id);
        (active <= 1 && !twice && !keys.iter().any(other)).then_some(Self(keys))
    }

    /// All of them.
    pub fn all(&self) -> &[RoledKey] {
        &self.0
    }

    /// The key of this name.
    pub fn get(&self, id: KeyId) -> Option<&RoledKey> {
        self.0.iter().find(|key| key.id == id)
    }

    /// The key that signs.
    pub fn active(&self) -> Option<&RoledKey> {
        self.0.iter().find(|key| key.role == KeyRole::Active)
    }

    /// The prepared keys, the newest first.
    pub fn prepared(&self) -> impl Iterator<Item = &RoledKey> {
        self.0.iter().rev().filter(|key| key.role == KeyRole::Prepared)
    }

    /// Those that may sign, in the order of preference: where the first is not held or was revoked, the next one does.
    pub fn signers(&self) -> impl Iterator<Item = KeyId> {
        self.active().into_iter().chain(self.prepared()).map(|key| key.id)
    }

    /// Whether this key is published until a token that expires then has expired: none may outlive its key.
    pub fn covers(&self, id: KeyId, expires_at: Timestamp) -> bool {
        self.get(id).is_some_and(|key| match key.role {
            KeyRole::Prepared | KeyRole::Active => true,
            KeyRole::Retired { until } => expires_at <= until,
            KeyRole::Revoked => false,
        })
    }

    /// The public keys that are in the key set at `now`, in the order of their ids. `holds_rule`: the log holds a rule
    /// against this one, so that its tokens are told *revoked*.
    pub fn published(&self, now: Timestamp, holds_rule: impl Fn(&KeyId) -> bool) -> Vec<PublicKey> {
        let stays = |key: &&RoledKey| match key.role {
            KeyRole::Prepared | KeyRole::Active => true,
            KeyRole::Retired { until } => now < until,
            KeyRole::Revoked => holds_rule(&key.id),
        };
        let mut keys: Vec<_> = self.0.iter().filter(stays).filter_map(|key| key.public.clone()).collect();
        keys.sort_by_key(PublicKey::id);
        // No statement holds more; none is ever given a role beyond that (`room`).
        keys.truncate(Trust::MOST_KEYS);
        keys
    }

    /// Whether anybody may still ask who holds this key: it is published, or has no role yet.
    pub fn is_of_use(&self, id: KeyId) -> bool {
        self.get(id).is_none_or(|key| key.public.is_some())
    }

    /// Once every key of `held`, the newest first, has a role: where none signs the newest does, the others are only
    /// published. Keys beyond what can be published get none. Fills in public halves that older records lack.
    #[must_use]
    pub fn with_held(&self, held: &[PublicKey], now: Timestamp) -> Self {
        let mut next = self.clone();
        let unknown = held.iter().filter(|public| self.get(public.id()).is_none());
        let chosen: Vec<_> = unknown.take(self.room()).collect();
        for public in chosen.into_iter().rev() {
            if next.get(public.id()).is_none() {
                let (id, role) = (public.id(), KeyRole::Prepared);
                next.0.push(RoledKey { id, role, since: now, public: Some(public.clone()) });
            }
        }
        for key in &mut next.0 {
            let gone = matches!(key.role, KeyRole::Retired { until } if until <= now);
            let lacks = key.public.is_none() && !gone && key.role != KeyRole::Revoked;
            if let Some(public) = held.iter().find(|public| lacks && public.id() == key.id) {
                key.public = Some(public.clone());
                // An older record does not say since when.
                key.since = if key.since == Timestamp::EPOCH { now } else { key.since };
            }
        }
        let news = next.0.len() > self.0.len();
        if news && next.active().is_none() {
            next.promote(now);
        }
        next
    }

    /// Once `public` is published. A key that is prepared or active stays what it is.
    ///
    /// # Errors
    /// [`RoleError::Retired`], [`RoleError::Revoked`], [`RoleError::TooMany`].
    pub fn with_prepared(&self, public: &PublicKey, now: Timestamp) -> Result<Self, RoleError> {
        match self.get(public.id()).map(|key| key.role) {
            Some(KeyRole::Prepared | KeyRole::Active) => Ok(self.clone()),
            Some(KeyRole::Retired { .. }) => Err(RoleError::Retired),
            Some(KeyRole::Revoked) => Err(RoleError::Revoked),
            None if self.room() == 0 => Err(RoleError::TooMany),
            None => Ok(self.with_held(std::slice::from_ref(public), now)),
        }
    }

    /// Once a prepared key signs. The one that did verifies until the last of its tokens has expired, of which none lives
    /// longer than `longest`.
    ///
    /// # Errors
    /// [`RoleError::NoSuchKey`], [`RoleError::Retired`], [`RoleError::Revoked`].
    pub fn with_active(&self, id: KeyId, longest: Duration, now: Timestamp) -> Result<Self, RoleError> {
        match self.get(id).ok_or(RoleError::NoSuchKey)?.role {
            KeyRole::Active => return Ok(self.clone()),
            KeyRole::Retired { .. } => return Err(RoleError::Retired),
            KeyRole::Revoked => return Err(RoleError::Revoked),
            KeyRole::Prepared => {}
        }
        let mut next = self.clone();
        for key in &mut next.0 {
            if key.id == id {
                (key.role, key.since) = (KeyRole::Active, now);
            } else if key.role == KeyRole::Active {
                (key.role, key.since) = (last_expiry(longest, now), now);
            }
        }
        Ok(next)
    }

    /// Once a prepared key signs no more. It may have, where the active one was not held, so it stays published.
    ///
    /// # Errors
    /// [`RoleError::NoSuchKey`], [`RoleError::Active`], [`RoleError::Revoked`].
    pub fn with_retired(&self, id: KeyId, longest: Duration, now: Timestamp) -> Result<Self, RoleError> {
        let mut next = self.clone();
        let key = next.0.iter_mut().find(|key| key.id == id).ok_or(RoleError::NoSuchKey)?;
        match key.role {
            KeyRole::Active => Err(RoleError::Active),
            KeyRole::Revoked => Err(RoleError::Revoked),
            KeyRole::Retired { .. } => Ok(next),
            KeyRole::Prepared => {
                (key.role, key.since) = (last_expiry(longest, now), now);
                Ok(next)
            }
        }
    }

    /// Once these keys are revoked for good, whether they had a role or not. If the active one is, the newest prepared one
    /// signs.
    #[must_use]
    pub fn with_revoked<'a>(&self, revoked: impl Iterator<Item = &'a KeyId>, now: Timestamp) -> Self {
        let mut next = self.clone();
        for id in revoked {
            match next.0.iter_mut().find(|key| key.id == *id) {
                Some(key) if key.role == KeyRole::Revoked => {}
                Some(key) => (key.role, key.since) = (KeyRole::Revoked, now),
                None => next.0.push(RoledKey { id: *id, role: KeyRole::Revoked, since: now, public: None }),
            }
        }
        if self.active().is_some() && next.active().is_none() {
            next.promote(now);
        }
        next
    }

    /// Without the public halves of keys that are published no more. Their names stay.
    #[must_use]
    pub fn swept(&self, now: Timestamp, holds_rule: impl Fn(&KeyId) -> bool) -> Self {
        let mut next = self.clone();
        for key in &mut next.0 {
            let gone = match key.role {
                KeyRole::Prepared | KeyRole::Active => false,
                KeyRole::Retired { until } => until <= now,
                KeyRole::Revoked => !holds_rule(&key.id),
            };
            if gone {
                key.public = None;
            }
        }
        next
    }

    fn promote(&mut self, now: Timestamp) {
        if let Some(key) = self.0.iter_mut().rev().find(|key| key.role == KeyRole::Prepared) {
            (key.role, key.since) = (KeyRole::Active, now);
        }
    }

    /// How many more can be published.
    fn room(&self) -> usize {
        Trust::MOST_KEYS.saturating_sub(self.0.iter().filter(|key| key.public.is_some()).count())
    }
}

/// Why a key is not given a role.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum RoleError {
    /// No key of this name has a role.
    #[error("no key of this name has a role")]
    NoSuchKey,
    /// It is retired for good.
    #[error("the key is retired: it never signs again")]
    Retired,
    /// It is revoked for good.
    #[error("the key is revoked: it never signs again")]
    Revoked,
    /// It signs.
    #[error("the key signs: activate another one first")]
    Active,
    /// No more can be published.
    #[error("{} keys are published: retire some, and wait until they are gone", Trust::MOST_KEYS)]
    TooMany,
}

/// Until when a key verifies that stops to sign now. Another issuer may go on for a moment, on a clock of its own.
const fn last_expiry(longest: Duration, now: Timestamp) -> KeyRole {
    KeyRole::Retired { until: now.plus(longest).plus(STRAGGLERS) }
}

/// An issuer that has not read a record for 10 s issues nothing, and two clocks that the store is compared with differ by
/// 10 s at most; with 10 s to spare.
pub const STRAGGLERS: Duration = Duration::from_secs(30);

#[cfg(test)]
pub(crate) mod tests;
