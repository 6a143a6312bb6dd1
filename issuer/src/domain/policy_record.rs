//! Limits and key roles: one record, the same for all issuers of a realm. Pure: never a store, never a clock.

use common::{
    timestamp::Timestamp,
    token::{
        Limits,
        kind::{PerType, TokenType},
        limits::TypeLimit,
    },
};

use crate::domain::key_roles::KeyRoles;

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
    pub keys: KeyRoles,
}

/// Ceilings that were lowered.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct EarlierCeilings {
    /// As they were.
    pub limits: Limits,
    /// From this instant on no token that they allowed is live (exclusive end).
    pub until: Timestamp,
}

impl PolicyRecord {
    /// The first record of a realm.
    pub fn first(limits: Limits) -> Self {
        Self { version: 1, limits, earlier: Vec::new(), keys: KeyRoles::default() }
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

    /// The record once the roles are `keys`. `None` when they are already.
    #[must_use]
    pub fn with_keys(&self, keys: KeyRoles) -> Option<Self> {
        let version = self.version.saturating_add(1);
        (keys != self.keys).then(|| Self { version, keys, ..self.clone() })
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
