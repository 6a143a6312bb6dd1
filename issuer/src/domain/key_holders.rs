//! Who holds which token key: the issuers of a realm their private halves, their verifiers the public ones. Pure: the boot
//! clock is an argument, and no other machine's clock counts.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use common::{clock::BootInstant, key_id::KeyId};

use crate::domain::followers::Follower;

/// What one running issuer tells the others of its realm.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Holder {
    /// `store.issuer`.
    pub issuer: String,
    /// Drawn at its start: a restarted issuer is another one.
    pub instance: u64,
    /// One more with every time that it told, so that others see it alive.
    pub beat: u64,
    /// The private keys that it holds.
    pub private: BTreeSet<KeyId>,
    /// Its verifiers, and the public keys that each said it holds.
    pub followers: BTreeMap<Follower, BTreeSet<KeyId>>,
}

/// Who holds one key, and who does not.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Reach {
    /// The live issuers that hold the private half.
    pub issuers_with: Vec<String>,
    /// The live issuers that do not.
    pub issuers_without: Vec<String>,
    /// How many live verifiers there are.
    pub followers: usize,
    /// The ids of those that do not hold the public half, in order.
    pub followers_without: Vec<String>,
}

impl Holder {
    /// The same, of these keys alone.
    #[must_use]
    pub fn only(&self, wanted: impl Fn(&KeyId) -> bool) -> Self {
        let mut only = self.clone();
        only.private.retain(&wanted);
        for keys in only.followers.values_mut() {
            keys.retain(&wanted);
        }
        only
    }
}

impl Reach {
    /// Of `key`, among all live issuers. A verifier that went from one issuer to another is known to both, and holds what
    /// it said to either.
    pub fn of(key: KeyId, live: &[Holder]) -> Self {
        let (mut with, mut without) = (Vec::new(), Vec::new());
        let mut followers = BTreeMap::<&Follower, bool>::new();
        for holder in live {
            let side = if holder.private.contains(&key) { &mut with } else { &mut without };
            side.push(holder.issuer.clone());
            for (follower, keys) in &holder.followers {
                *followers.entry(follower).or_default() |= keys.contains(&key);
            }
        }
        for side in [&mut with, &mut without] {
            side.sort_unstable();
            side.dedup();
        }
        let lacking = followers.iter().filter(|(_, holds)| !**holds).map(|(follower, _)| follower.id.clone());
        Self {
            issuers_with: with,
            issuers_without: without,
            followers_without: lacking.collect(),
            followers: followers.len(),
        }
    }

    /// Every live issuer and every live verifier holds it.
    pub const fn is_everywhere(&self) -> bool {
        self.issuers_without.is_empty() && self.followers_without.is_empty()
    }
}

/// Which other issuers are alive: those whose row was seen to change within the longest lease of their verifiers.
#[derive(Debug, Default)]
pub struct Others(BTreeMap<u64, (Holder, BootInstant)>);

impl Others {
    /// The store shows these rows `now`. Whoever is not among them said goodbye.
    pub fn seen(&mut self, rows: Vec<Holder>, now: BootInstant) {
        let mut before = std::mem::take(&mut self.0);
        for row in rows {
            let held = before.remove(&row.instance).filter(|(held, _)| held.beat == row.beat);
            let changed = held.map_or(now, |(_, changed)| changed);
            self.0.insert(row.instance, (row, changed));
        }
    }

    /// The live ones. One that has been silent for `longest` gave no verifier a lease that still runs, and one that does not
    /// reach the store issues nothing.
    pub fn live(&self, longest: Duration, now: BootInstant) -> Vec<Holder> {
        let live = self.0.values().filter(|(_, changed)| now.since(*changed) <= longest);
        live.map(|(holder, _)| holder.clone()).collect()
    }

    /// The instances of the others, whose rows nobody needs any more.
    pub fn silent(&self, longest: Duration, now: BootInstant) -> Vec<u64> {
        let silent = self.0.iter().filter(|(_, (_, changed))| now.since(*changed) > longest);
        silent.map(|(instance, _)| *instance).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(n: u8) -> KeyId {
        KeyId::from_bytes([n; 32])
    }

    fn holder(issuer: &str, instance: u64, private: &[u8], followers: &[(&str, &[u8])]) -> Holder {
        let keys = |keys: &[u8]| keys.iter().map(|n| key(*n)).collect::<BTreeSet<_>>();
        let follower = |id: &str| Follower { id: id.to_owned(), instance: 1 };
        let followers = followers.iter().map(|(id, held)| (follower(id), keys(held))).collect();
        Holder { issuer: issuer.to_owned(), instance, beat: 1, private: keys(private), followers }
    }

    fn at(seconds: u64) -> BootInstant {
        BootInstant::from_duration(Duration::from_secs(seconds))
    }

    #[test]
    fn whoever_lacks_a_key_is_named_and_a_verifier_that_moved_holds_what_it_said_to_either() {
        let one = holder("one", 1, &[1, 2], &[("moved", &[1]), ("a", &[1, 2])]);
        let other = holder("other", 2, &[1], &[("moved", &[1, 2]), ("old build", &[])]);
        let reach = Reach::of(key(2), &[one.clone(), other.clone()]);
        assert_eq!(
            (&*reach.issuers_with, &*reach.issuers_without),
            (&["one".to_owned()][..], &["other".to_owned()][..])
        );
        assert_eq!((reach.followers, &*reach.followers_without), (3, &["old build".to_owned()][..]));
        assert!(!reach.is_everywhere());
        assert!(Reach::of(key(2), &[one]).followers_without == ["moved"]);
        assert!(Reach::of(key(1), &[holder("one", 1, &[1], &[("a", &[1])])]).is_everywhere());
    }

    #[test]
    fn an_issuer_is_alive_until_no_lease_of_its_verifiers_can_run() {
        let mut others = Others::default();
        let longest = Duration::from_secs(10);
        let row = |beat| Holder { beat, ..holder("other", 2, &[1], &[]) };
        others.seen(vec![row(1)], at(0));
        others.seen(vec![row(1)], at(10));
        assert_eq!(others.live(longest, at(10)).len(), 1);
        assert_eq!((others.live(longest, at(11)).len(), others.silent(longest, at(11))), (0, vec![2]));
        others.seen(vec![row(2)], at(11));
        assert_eq!(others.live(longest, at(21)).len(), 1, "it told again");
        others.seen(Vec::new(), at(21));
        assert_eq!(others.live(longest, at(21)), [], "it said goodbye");
    }

    /// Found by 200 rotations: an issuer that held 65 keys told of none beyond 64, in the order of their names, so that
    /// whoever waited until it held the next one waited for ever.
    #[test]
    fn of_a_hundred_keys_that_are_held_those_of_use_are_told() {
        let all: Vec<u8> = (0..100).collect();
        let told = holder("a", 1, &all, &[("v", &all)]).only(|id| *id == key(99) || *id == key(7));
        let expected = BTreeSet::from([key(7), key(99)]);
        assert_eq!((&told.private, told.followers.values().next()), (&expected, Some(&expected)));
    }
}
