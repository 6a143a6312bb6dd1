//! Limits and key roles: one record, the same for all issuers of a realm. Pure: never a store, never a clock.

use common::{
    key_id::KeyId,
    timestamp::Timestamp,
    token::{
        Limits,
        kind::{PerType, TokenType},
        limits::TypeLimit,
    },
};

/// The record as the store holds it, sealed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PolicyRecord {
    /// From 1, one more with every change.
    pub version: u64,
    /// What binds issuing now.
    pub limits: Limits,
    /// Ceilings that were higher, each until its last token has expired. Verifiers still honour them.
    pub earlier: Vec<EarlierCeilings>,
    /// The token keys that have a role.
    pub keys: Vec<(KeyId, KeyRole)>,
}

/// Ceilings that were lowered.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct EarlierCeilings {
    /// As they were.
    pub limits: Limits,
    /// From this instant on no token that they allowed is live (exclusive end).
    pub until: Timestamp,
}

/// What a token key is used for.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum KeyRole {
    /// Published, not signing: takes over only when the active one is revoked.
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

impl PolicyRecord {
    /// The first record of a realm.
    pub const fn first(limits: Limits) -> Self {
        Self { version: 1, limits, earlier: Vec::new(), keys: Vec::new() }
    }

    /// The record once `limits` hold from `now` on. `None` when they hold already.
    #[must_use]
    pub fn with_limits(&self, limits: Limits, now: Timestamp) -> Option<Self> {
        if limits == self.limits {
            return None;
        }
        let mut earlier = self.earlier_at(now);
        earlier
            .push(EarlierCeilings { limits: self.limits, until: now.plus(self.limits.longest_lifetime()) });
        Some(Self { version: self.version.saturating_add(1), limits, earlier, keys: self.keys.clone() })
    }

    /// The record once the roles are `keys`.
    #[must_use]
    pub fn with_keys(&self, keys: Vec<(KeyId, KeyRole)>) -> Self {
        Self { version: self.version.saturating_add(1), keys, ..self.clone() }
    }

    /// The record once every key of `held`, the newest first, has a role: one signs, the others are published. `None`
    /// when each has one already.
    #[must_use]
    pub fn with_held(&self, held: &[KeyId]) -> Option<Self> {
        let mut keys = self.keys.clone();
        for id in held {
            if !keys.iter().any(|(key, _)| key == id) {
                let signs = !keys.iter().any(|(_, role)| *role == KeyRole::Active);
                keys.push((*id, if signs { KeyRole::Active } else { KeyRole::Prepared }));
            }
        }
        (keys != self.keys).then(|| self.with_keys(keys))
    }

    /// The record once these keys are revoked for good. `None` when all of them are already.
    #[must_use]
    pub fn with_revoked<'a>(&self, revoked: impl Iterator<Item = &'a KeyId>) -> Option<Self> {
        let mut keys = self.keys.clone();
        for id in revoked {
            match keys.iter_mut().find(|(key, _)| key == id) {
                Some((_, role)) => *role = KeyRole::Revoked,
                None => keys.push((*id, KeyRole::Revoked)),
            }
        }
        (keys != self.keys).then(|| self.with_keys(keys))
    }

    /// What verifiers are told: staleness as it is, and each ceiling the highest that a live token may have been issued
    /// under. A lowered ceiling binds them when its last older token has expired (DESIGN section 5, *Freshness*).
    pub fn announced(&self, now: Timestamp) -> Limits {
        let earlier = self.earlier_at(now);
        let lifetime = |kind: TokenType| {
            earlier
                .iter()
                .map(|one| one.limits.get(kind).lifetime)
                .fold(self.limits.get(kind).lifetime, Ord::max)
        };
        Limits(PerType::from_fn(|kind| TypeLimit {
            lifetime: lifetime(kind),
            staleness: self.limits.get(kind).staleness,
        }))
    }

    /// The key that signs.
    pub fn active_key(&self) -> Option<KeyId> {
        self.keys.iter().find(|(_, role)| *role == KeyRole::Active).map(|(key, _)| *key)
    }

    fn earlier_at(&self, now: Timestamp) -> Vec<EarlierCeilings> {
        self.earlier.iter().filter(|one| one.until > now).copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn section_5_a_lowered_ceiling_binds_issuing_at_once_and_verifiers_when_its_last_older_token_has_expired()
    {
        let now = Timestamp::from_seconds(1_000_000).unwrap();
        let first = PolicyRecord::first(Limits::default());
        let mut lower = Limits::default();
        lower.0.secondary.lifetime = Duration::from_mins(1);
        let second = first.with_limits(lower, now).unwrap();
        assert_eq!(second.limits.get(TokenType::Secondary).lifetime, Duration::from_mins(1));
        let last_older = now.plus(Limits::default().longest_lifetime());
        let announced = |at: Timestamp| second.announced(at).get(TokenType::Secondary).lifetime;
        let just_before = Timestamp::from_seconds(last_older.seconds() - 1).unwrap();
        assert_eq!(announced(just_before), Limits::default().get(TokenType::Secondary).lifetime);
        assert_eq!(announced(last_older), Duration::from_mins(1));
    }

    #[test]
    fn the_same_limits_again_change_nothing() {
        assert_eq!(
            PolicyRecord::first(Limits::default()).with_limits(Limits::default(), Timestamp::EPOCH),
            None
        );
    }

    #[test]
    fn the_newest_of_new_keys_signs_and_later_ones_are_only_published() {
        let [old, new, newest] = [1, 2, 3].map(|n| KeyId::from_bytes([n; 32]));
        let first = PolicyRecord::first(Limits::default()).with_held(&[new, old]).unwrap();
        assert_eq!(first.active_key(), Some(new));
        let second = first.with_held(&[newest, new, old]).unwrap();
        assert_eq!((second.active_key(), second.keys.len()), (Some(new), 3));
        assert_eq!(second.with_held(&[newest, new]), None);
    }

    #[test]
    fn a_revoked_key_stays_revoked_whether_it_had_a_role_or_not() {
        let [ours, stranger] = [1, 2].map(|n| KeyId::from_bytes([n; 32]));
        let record = PolicyRecord::first(Limits::default()).with_held(&[ours]).unwrap();
        let after = record.with_revoked([ours, stranger].iter()).unwrap();
        assert_eq!((after.active_key(), after.version), (None, record.version + 1));
        assert_eq!(after.with_revoked([stranger].iter()), None);
        assert_eq!(after.with_held(&[ours, stranger]), None);
    }

    #[test]
    fn a_changed_staleness_is_announced_at_once() {
        let mut tighter = Limits::default();
        tighter.0.reverse.staleness = Duration::from_secs(3);
        let record = PolicyRecord::first(Limits::default()).with_limits(tighter, Timestamp::EPOCH).unwrap();
        assert_eq!(
            record.announced(Timestamp::EPOCH).get(TokenType::Reverse).staleness,
            Duration::from_secs(3)
        );
    }
}
