//! What a view amounts to at one instant: for people, probes and metrics. Judges no token.

use std::time::Duration;

use common::{
    clock::Now,
    key_id::KeyId,
    keys::PublicKey,
    revocation::{cursor::Cursor, lease::applied_limit},
    timestamp::Timestamp,
    token::{
        kind::{PerType, TokenType},
        limits::TypeLimit,
    },
    trust::Verified,
};

use super::view::{Stale, View};

/// How far a view reaches, and how old it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Position {
    /// The last entry.
    pub cursor: Cursor,
    /// How old the knowledge is that it was the last. `None` without a lease.
    pub age: Option<Duration>,
}

impl Position {
    /// Of `view` at `now`.
    pub fn of(view: &View, now: &Now) -> Self {
        Self { cursor: view.log.cursor(), age: view.age(now) }
    }
}

/// What this verifier knows and for how long.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TrustView {
    /// How far it reaches, and how old it is.
    pub position: Position,
    /// The keys whose tokens it accepts.
    pub keys: Vec<KeyId>,
    /// For how long the issuer has stated them and no others. `None` when it stated none.
    pub keys_age: Option<Duration>,
    /// Entries of the log that it holds.
    pub entries: u64,
    /// For each type, what holds for it.
    pub types: PerType<TypeTrust>,
    /// The highest log time accepted.
    pub log_time: Timestamp,
}

/// What holds for tokens of one type.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct TypeTrust {
    /// The limits that are applied: what was announced, tightened by this verifier's own. `None` when none was heard.
    pub limit: Option<TypeLimit>,
    /// For how long from now they can be decided, or why they cannot.
    pub decidable: Result<Duration, Stale>,
}

impl TrustView {
    /// Of `view` at `now`; `own` is what this verifier allows at most.
    pub fn of(view: &View, own: &PerType<Option<Duration>>, now: &Now) -> Self {
        let trust = view.trust.as_deref().map(Verified::statement);
        let types = PerType::from_fn(|kind| {
            let own = *own.get(kind);
            let applied = |limit: &TypeLimit| TypeLimit {
                staleness: applied_limit(limit.staleness, own),
                lifetime: limit.lifetime,
            };
            TypeTrust {
                limit: view.limits().map(|limits| applied(limits.get(kind))),
                decidable: view.decidable(kind, own, now.boot),
            }
        });
        Self {
            position: Position::of(view, now),
            keys: trust.map(|trust| trust.keys.iter().map(PublicKey::id).collect()).unwrap_or_default(),
            keys_age: trust.map(|trust| now.wall.since(trust.stated_at)),
            entries: view.log.entries(),
            types,
            log_time: view.log.log_time(),
        }
    }

    /// The types that cannot be decided, and why not.
    pub fn undecidable(&self) -> impl Iterator<Item = (TokenType, Stale)> {
        TokenType::ALL
            .into_iter()
            .filter_map(|kind| self.types.get(kind).decidable.err().map(|why| (kind, why)))
    }
}
