//! How long a token may live and how stale a verifier may be, for each token type. One record, equal for all issuers.

use std::time::Duration;

use crate::token::kind::{PerType, TokenType};

/// The limits of one token type.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct TypeLimit {
    /// The ceiling of `exp - iat`, inclusive (rule 7).
    pub lifetime: Duration,
    /// How old a verifier's knowledge of the log may be, inclusive.
    pub staleness: Duration,
}

/// The limits of each token type.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Limits(pub PerType<TypeLimit>);

impl Limits {
    /// The limits of `kind`.
    pub const fn get(&self, kind: TokenType) -> &TypeLimit {
        self.0.get(kind)
    }

    /// The longest ceiling of all: no token lives longer.
    pub fn longest_lifetime(&self) -> Duration {
        TokenType::ALL.into_iter().map(|kind| self.get(kind).lifetime).max().unwrap_or_default()
    }

    /// The longest lease of all.
    pub fn longest_staleness(&self) -> Duration {
        TokenType::ALL.into_iter().map(|kind| self.get(kind).staleness).max().unwrap_or_default()
    }

    /// Each value the smaller of both: followers may only tighten.
    #[must_use]
    pub fn tightened_by(&self, other: &Self) -> Self {
        Self(PerType::from_fn(|kind| TypeLimit {
            lifetime: self.get(kind).lifetime.min(other.get(kind).lifetime),
            staleness: self.get(kind).staleness.min(other.get(kind).staleness),
        }))
    }
}

impl Default for Limits {
    /// Protecting data goes on through an outage, exposing it does not (DESIGN, section 5).
    fn default() -> Self {
        let limit = |lifetime, staleness| TypeLimit { lifetime, staleness };
        Self(PerType {
            pseudonymisation: limit(30 * DAY, Duration::from_mins(15)),
            reverse: limit(Duration::from_hours(1), Duration::from_secs(10)),
            secondary: limit(30 * DAY, Duration::from_mins(1)),
        })
    }
}

const DAY: Duration = Duration::from_hours(24);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tightening_never_relaxes() {
        let ours = Limits::default();
        let mut theirs = ours;
        theirs.0.reverse.staleness = Duration::from_secs(3);
        theirs.0.secondary.lifetime = 60 * DAY;
        let both = ours.tightened_by(&theirs);
        assert_eq!(both, theirs.tightened_by(&ours));
        assert_eq!(both.0.reverse.staleness, Duration::from_secs(3));
        assert_eq!(both.0.secondary.lifetime, 30 * DAY);
        assert_eq!((both.longest_lifetime(), both.longest_staleness()), (30 * DAY, Duration::from_mins(15)));
    }
}
