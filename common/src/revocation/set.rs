//! What a verifier asks on every call: is this token revoked? Only ever added to; no log order, no time.

use std::{hash::BuildHasher as _, sync::Arc};

use foldhash::fast::RandomState;
use hashbrown::HashMap;

use super::{
    cursor::Cursor,
    entry::{Body, Entry},
    rule::{MASKS, Rule, Scope, Subject, projected},
};
use crate::{key_id::KeyId, project_id::ProjectId, timestamp::Timestamp, token_id::TokenId};

/// Shards of the token map: one per value of an id's first byte, which is random. As many of the scopes.
const SHARDS: usize = 256;

/// No canonical scope is longer: a mask, a type, two projects and two organisations.
const LONGEST_SCOPE: usize = 2 + 2 * (1 + ProjectId::MAX_LEN + 16);

type Shard = HashMap<[u8; 16], Short, RandomState>;

/// By canonical bytes: the latest cut, and the last entry that said so.
type Scopes = HashMap<Box<[u8]>, (Cursor, Said), RandomState>;

/// The last entry that says a rule: its sequence, and the instant from which on nothing is live that the rule hits.
#[derive(Clone, Copy, Debug)]
struct Said {
    sequence: u64,
    expires_at: Timestamp,
}

/// The same in eight bytes, for tokens: there are millions of them. Past `u32` a value stays at the top: such an id is never
/// trimmed and never expires, which errs to refusing.
#[derive(Clone, Copy, Debug)]
struct Short {
    sequence: u32,
    expires_at: u32,
}

impl Said {
    const fn of(entry: &Entry) -> Self {
        Self { sequence: entry.cursor.sequence, expires_at: entry.expires_at }
    }

    /// Said again.
    fn and(self, other: Self) -> Self {
        let sequence = self.sequence.max(other.sequence);
        Self { sequence, expires_at: self.expires_at.max(other.expires_at) }
    }
}

impl Short {
    fn of(said: Said) -> Self {
        let short = |long: u64| u32::try_from(long).unwrap_or(u32::MAX);
        Self { sequence: short(said.sequence), expires_at: short(said.expires_at.seconds()) }
    }

    fn and(self, other: Self) -> Self {
        let sequence = self.sequence.max(other.sequence);
        Self { sequence, expires_at: self.expires_at.max(other.expires_at) }
    }

    fn is_live(self, now: Timestamp) -> bool {
        self.expires_at == u32::MAX || u64::from(self.expires_at) > now.seconds()
    }
}

/// The live rules of one epoch, by exact key. Cloning shares every shard; inserting copies only the shard it touches.
#[derive(Clone, Debug)]
pub struct Set {
    epoch: u64,
    tokens: Arc<[Arc<Shard>]>,
    keys: Arc<HashMap<KeyId, Said, RandomState>>,
    scopes: Arc<[Arc<Scopes>]>,
    /// Bit n: some scope has mask n. The others need not be looked up.
    masks: u32,
    /// Which shard a scope is in.
    spread: RandomState,
}

impl Set {
    /// Holds nothing of `epoch` yet.
    pub fn new(epoch: u64) -> Self {
        Self {
            epoch,
            tokens: (0..SHARDS).map(|_| Arc::default()).collect(),
            keys: Arc::default(),
            scopes: (0..SHARDS).map(|_| Arc::default()).collect(),
            masks: 0,
            spread: RandomState::default(),
        }
    }

    /// The epoch whose rules these are.
    pub const fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Adds what the entry revokes; a scope keeps its latest cut.
    ///
    /// # Errors
    /// [`SetError`], and then nothing has changed: the entry would never have taken effect.
    pub fn insert(&mut self, entry: &Entry) -> Result<(), SetError> {
        if entry.cursor.epoch != self.epoch {
            return Err(SetError::OtherEpoch);
        }
        let said = Said::of(entry);
        let Body::Rule { rule, cut, .. } = &entry.body else { return Ok(()) };
        match rule {
            Rule::Token(id) => {
                let short = Short::of(said);
                if let Some(shard) = Arc::make_mut(&mut self.tokens).get_mut(shard_of(id)) {
                    let held = Arc::make_mut(shard).entry(*id.as_bytes()).or_insert(short);
                    *held = held.and(short);
                }
            }
            Rule::Key(key) => {
                let held = Arc::make_mut(&mut self.keys).entry(*key).or_insert(said);
                *held = held.and(said);
            }
            Rule::Scope(scope) if scope.is_in_use() => {
                let key = scope.canonical().into_boxed_slice();
                let shard = self.shard_of_scope(&key);
                if let Some(shard) = Arc::make_mut(&mut self.scopes).get_mut(shard) {
                    let held = Arc::make_mut(shard).entry(key).or_insert((*cut, said));
                    *held = (held.0.max(*cut), held.1.and(said));
                    self.masks |= bit(scope.mask());
                }
            }
            Rule::Scope(_) => return Err(SetError::UnusedMask),
        }
        Ok(())
    }

    /// The cursor of a rule that hits the token, or `None`. Always the same number of look-ups at most: one for the id,
    /// one for the key, one for each of [`MASKS`] that is in use.
    pub fn standing(&self, subject: &Subject<'_>) -> Option<Cursor> {
        let token = self.tokens.get(shard_of(&subject.id)).and_then(|shard| shard.get(subject.id.as_bytes()));
        if let Some(said) = token {
            return Some(Cursor::new(self.epoch, u64::from(said.sequence)));
        }
        if let Some(said) = self.keys.get(&subject.key) {
            return Some(Cursor::new(self.epoch, said.sequence));
        }
        let mut key = Vec::with_capacity(if self.masks == 0 { 0 } else { LONGEST_SCOPE });
        MASKS.into_iter().filter(|mask| self.masks & bit(*mask) != 0).find_map(|mask| {
            let (cut, said) = self.scope(projected(subject, mask, &mut key)?)?;
            (subject.recorded < cut).then_some(Cursor::new(self.epoch, said.sequence))
        })
    }

    /// Whether a key is revoked.
    pub fn holds_key(&self, key: &KeyId) -> bool {
        self.keys.contains_key(key)
    }

    /// Every revoked key.
    pub fn keys(&self) -> impl Iterator<Item = &KeyId> {
        self.keys.keys()
    }

    /// Where a rule over one token or one key is recorded. `None` for scopes, which can always be cut later.
    pub fn recorded(&self, rule: &Rule) -> Option<Cursor> {
        let sequence = match rule {
            Rule::Token(id) => u64::from(self.tokens.get(shard_of(id))?.get(id.as_bytes())?.sequence),
            Rule::Key(key) => self.keys.get(key)?.sequence,
            Rule::Scope(_) => return None,
        };
        Some(Cursor::new(self.epoch, sequence))
    }

    /// Without what only entries up to `base` (inclusive) said. The caller has checked that these have expired.
    #[must_use]
    pub fn trimmed(&self, base: u64) -> Self {
        let shard = |shard: &Arc<Shard>| {
            let short = u32::try_from(base).unwrap_or(u32::MAX - 1);
            Arc::new(shard.iter().filter(|(_, s)| s.sequence > short).map(|(id, s)| (*id, *s)).collect())
        };
        let scopes = |shard: &Arc<Scopes>| {
            Arc::new(
                shard.iter().filter(|(_, v)| v.1.sequence > base).map(|(k, v)| (k.clone(), *v)).collect(),
            )
        };
        Self {
            epoch: self.epoch,
            tokens: self.tokens.iter().map(shard).collect(),
            keys: Arc::new(
                self.keys.iter().filter(|(_, s)| s.sequence > base).map(|(k, s)| (*k, *s)).collect(),
            ),
            scopes: self.scopes.iter().map(scopes).collect(),
            // A mask that no scope has any more costs a look-up and decides nothing.
            masks: self.masks,
            spread: self.spread.clone(),
        }
    }

    /// Whether a set of a later epoch revokes all that is live of this one at `now` (docs/adr/0006, 5): each id and key is
    /// in it, and each scope with a cut at least as late. A rule over everything that was recorded in that epoch stands for all but
    /// keys: a key may sign again, a token from before the epoch is refused anyway.
    pub fn is_covered_by(&self, later: &Self, now: Timestamp) -> bool {
        let everything = later.cuts_everything();
        let mut keys = self.keys.iter().filter(|(_, said)| said.expires_at > now);
        let keys = keys.all(|(key, _)| later.keys.contains_key(key));
        let mut tokens = self.tokens.iter().zip(later.tokens.iter());
        let mut scopes = self.scopes.iter().flat_map(|shard| shard.iter());
        keys && (everything
            || tokens.all(|(ours, theirs)| {
                ours.iter().all(|(id, said)| !said.is_live(now) || theirs.contains_key(id))
            }) && scopes.all(|(key, (cut, said))| {
                said.expires_at <= now || later.scope(key).is_some_and(|(later, _)| later >= *cut)
            }))
    }

    /// Whether all that a rule hits with this cut, in this epoch or an earlier one, is revoked here too, however long either
    /// stands. See [`Self::is_covered_by`].
    pub fn holds(&self, rule: &Rule, cut: Cursor) -> bool {
        let before = || cut.epoch < self.epoch && self.cuts_everything();
        match rule {
            Rule::Key(_) => self.recorded(rule).is_some(),
            Rule::Token(_) => self.recorded(rule).is_some() || before(),
            Rule::Scope(scope) => {
                self.scope(&scope.canonical()).is_some_and(|(held, _)| held >= cut) || before()
            }
        }
    }

    /// Whether a rule refuses everything that was recorded before this epoch.
    fn cuts_everything(&self) -> bool {
        self.scope(&Scope::default().canonical()).is_some_and(|(cut, _)| cut.epoch == self.epoch)
    }

    /// The latest cut of a scope, and the entry that said so.
    fn scope(&self, key: &[u8]) -> Option<(Cursor, Said)> {
        self.scopes.get(self.shard_of_scope(key))?.get(key).copied()
    }

    fn shard_of_scope(&self, key: &[u8]) -> usize {
        // Cut to a byte: any of the shards, evenly.
        usize::from(self.spread.hash_one(key).to_be_bytes()[7])
    }

    /// Bytes that the map of token ids has allocated.
    pub fn token_bytes(&self) -> usize {
        self.tokens.iter().map(|shard| shard.allocation_size()).sum()
    }
}

/// Masks have five bits, so there are 32.
const fn bit(mask: u8) -> u32 {
    1 << (mask & 31)
}

fn shard_of(id: &TokenId) -> usize {
    usize::from(id.as_bytes()[0])
}

/// Why an entry was not taken.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum SetError {
    /// It belongs to another epoch.
    #[error("an entry of another epoch")]
    OtherEpoch,
    /// Its scope names a combination of fields that no verifier looks up.
    #[error("a scope with a combination of fields that is not in use")]
    UnusedMask,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{organisation_id::OrganisationId, revocation::entry::Reason, token::kind::TokenType};

    fn entry(sequence: u64, rule: Rule) -> Entry {
        let cursor = Cursor::new(1, sequence);
        let body = Body::Rule { rule, reason: Reason::Operator, cut: cursor, project: None };
        Entry { cursor, recorded_at: Timestamp::EPOCH, expires_at: Timestamp::MAX, body }
    }

    fn project(n: u8) -> ProjectId {
        format!("p{n}").parse().unwrap()
    }

    fn rule(kind: u8, a: u8, b: u8) -> Rule {
        let organisation = |n| OrganisationId::from_bytes([n; 16]);
        match (kind, MASKS.get(usize::from(kind) % MASKS.len())) {
            (0, _) => Rule::Token(TokenId::from_bytes([a; 16])),
            (1, _) => Rule::Key(KeyId::from_bytes([a; 32])),
            (_, mask) => {
                let mask = mask.copied().unwrap_or(0);
                Rule::Scope(Scope {
                    token_type: (mask & 1 != 0).then_some(TokenType::Reverse),
                    project: (mask & 2 != 0).then(|| project(a)),
                    organisation: (mask & 4 != 0).then(|| organisation(b)),
                    source_project: (mask & 8 != 0).then(|| project(a)),
                    source_organisation: (mask & 16 != 0).then(|| organisation(b)),
                })
            }
        }
    }

    proptest! {
        #[test]
        fn rules_are_kept_by_exact_key_and_agree_with_a_naive_list(
            rules in prop::collection::vec((0_u8..13, 0_u8..3, 0_u8..3), 0..12),
            (id, a, b, source, recorded) in (0_u8..4, 0_u8..4, 0_u8..4, any::<bool>(), 0_u64..14),
        ) {
            let (own, other) = (project(a), project(b));
            let subject = Subject {
                id: TokenId::from_bytes([id; 16]),
                key: KeyId::from_bytes([id + 1; 32]),
                token_type: if source { TokenType::Secondary } else { TokenType::Reverse },
                project: &own,
                organisation: OrganisationId::from_bytes([b; 16]),
                source: source.then_some((&other, OrganisationId::from_bytes([a; 16]))),
                recorded: Cursor::new(1, recorded),
            };
            let mut set = Set::new(1);
            let mut naive = false;
            for (sequence, (kind, a, b)) in (1..).zip(rules) {
                let rule = rule(kind, a, b);
                naive |= rule.hits(&subject, Cursor::new(1, sequence));
                set.insert(&entry(sequence, rule)).unwrap();
            }
            prop_assert_eq!(set.standing(&subject).is_some(), naive);
        }
    }

    #[test]
    fn what_is_trimmed_is_what_only_older_entries_said() {
        let mut set = Set::new(1);
        for (sequence, id) in [(1, 1), (2, 2), (3, 1)] {
            set.insert(&entry(sequence, Rule::Token(TokenId::from_bytes([id; 16])))).unwrap();
        }
        let before = set.clone();
        let trimmed = set.trimmed(2);
        let holds = |set: &Set, id| {
            let (own, organisation) = (project(0), OrganisationId::from_bytes([1; 16]));
            let (key, recorded) = (KeyId::from_bytes([9; 32]), Cursor::new(1, 3));
            let id = TokenId::from_bytes([id; 16]);
            let token_type = TokenType::Reverse;
            set.standing(&Subject {
                id,
                key,
                token_type,
                project: &own,
                organisation,
                source: None,
                recorded,
            })
        };
        assert_eq!((holds(&trimmed, 1), holds(&trimmed, 2)), (Some(Cursor::new(1, 3)), None));
        assert_eq!(
            holds(&before, 2),
            Some(Cursor::new(1, 2)),
            "a reader of the older view sees the older view"
        );
    }

    #[test]
    fn a_million_ids_fit_in_64_mebibytes() {
        let mut set = Set::new(1);
        for n in 0..1_000_000_u64 {
            let mut id = [0; 16];
            id[..8].copy_from_slice(&n.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_be_bytes());
            set.insert(&entry(n + 1, Rule::Token(TokenId::from_bytes(id)))).unwrap();
        }
        assert!(set.token_bytes() <= 64 << 20, "{}", set.token_bytes());
    }
}
