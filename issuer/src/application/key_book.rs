//! The private token keys that this process holds, and what it knows of who else holds which. Never a role, never a file.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use arc_swap::ArcSwap;
use common::{clock::BootInstant, key_id::KeyId, keys::SigningKey};

use crate::domain::{
    followers::Follower,
    key_holders::{Holder, Others},
    ports::{KeySource, Store, StoreError},
};

/// One book of one process.
#[derive(Debug)]
pub struct KeyBook {
    source: Arc<dyn KeySource>,
    held: ArcSwap<Vec<Arc<SigningKey>>>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// What is told of this process.
    mine: Holder,
    /// What was told last, and when.
    told: Option<(Holder, BootInstant)>,
    others: Others,
}

impl KeyBook {
    /// Of the issuer of this name and instance, which holds these keys, the newest first. `followers` had rows when it
    /// started: nothing is known of their keys.
    pub fn new(
        source: Arc<dyn KeySource>,
        keys: Vec<Arc<SigningKey>>,
        (issuer, instance): (String, u64),
        followers: impl Iterator<Item = Follower>,
    ) -> Self {
        let followers = followers.map(|follower| (follower, BTreeSet::new())).collect();
        let mine = Holder { issuer, instance, beat: 0, private: BTreeSet::new(), followers };
        let state = State { mine, told: None, others: Others::default() };
        let book = Self { held: ArcSwap::default(), source, state: Mutex::new(state) };
        book.take(keys);
        book
    }

    /// The private keys, the newest first.
    pub fn held(&self) -> Arc<Vec<Arc<SigningKey>>> {
        self.held.load_full()
    }

    /// The held key of this name.
    pub fn key(&self, id: KeyId) -> Option<Arc<SigningKey>> {
        self.held.load().iter().find(|key| key.public().id() == id).map(Arc::clone)
    }

    /// What is wrong with the place where keys come from.
    pub fn complaint(&self) -> Option<String> {
        self.source.complaint()
    }

    /// Looks for keys that came since. Those that are held stay held.
    pub async fn look(&self) {
        let source = Arc::clone(&self.source);
        let look = tokio::task::spawn_blocking(move || source.look());
        // A look that panicked, or hangs in a device, found nothing.
        if let Ok(Ok(keys)) = tokio::time::timeout(LOOK, look).await {
            self.take(keys);
        }
    }

    fn take(&self, found: Vec<Arc<SigningKey>>) {
        let before = self.held();
        let known = |key: &Arc<SigningKey>| before.iter().find(|held| held.public() == key.public()).cloned();
        let mut keys: Vec<_> = found.into_iter().map(|key| known(&key).unwrap_or(key)).collect();
        let gone: Vec<_> = before
            .iter()
            .filter(|held| !keys.iter().any(|key| key.public() == held.public()))
            .cloned()
            .collect();
        keys.extend(gone);
        self.state().mine.private = keys.iter().map(|key| key.public().id()).collect();
        self.held.store(Arc::new(keys));
    }

    /// A verifier says hello.
    pub fn join(&self, follower: Follower) {
        self.state().mine.followers.entry(follower).or_default();
    }

    /// Every reader of this verifier, and its file, hold these keys.
    pub fn acknowledge(&self, follower: &Follower, keys: BTreeSet<KeyId>) {
        if let Some(held) = self.state().mine.followers.get_mut(follower) {
            *held = keys;
        }
    }

    /// A verifier said goodbye, or its longest lease has run out.
    pub fn leave(&self, follower: &Follower) {
        self.state().mine.followers.remove(follower);
    }

    /// Every live issuer of the realm, this one among them, as far as is known. `longest`: no lease is longer.
    pub fn live(&self, longest: Duration, now: BootInstant) -> Vec<Holder> {
        let state = self.state();
        let mut live = state.others.live(longest, now);
        live.push(state.mine.clone());
        live
    }

    /// Tells the other issuers of a shared store what changed, and that this one is alive; learns what they told. Of keys that are
    /// not `wanted` any more nobody is told: there is room for 64, and what was held once stays held.
    ///
    /// # Errors
    /// The store did not answer.
    pub async fn exchange(
        &self,
        store: &dyn Store,
        longest: Duration,
        now: BootInstant,
        wanted: impl Fn(&KeyId) -> bool + Send,
    ) -> Result<(), StoreError> {
        if !store.shared() {
            return Ok(());
        }
        let news = self.news(now, wanted);
        if let Some(news) = news {
            store.save_holder(news.clone()).await?;
            self.state().told = Some((news, now));
        }
        let rows = store.holders().await?;
        let silent = {
            let mut state = self.state();
            let me = state.mine.instance;
            state.others.seen(rows.into_iter().filter(|row| row.instance != me).collect(), now);
            state.others.silent(longest, now)
        };
        if silent.is_empty() { Ok(()) } else { store.remove_holders(silent).await }
    }

    /// Nobody waits for this process any more.
    pub async fn retract(&self, store: &dyn Store) {
        let instance = self.state().mine.instance;
        // A row that stays is waited for until no lease can run, and no longer.
        store.remove_holders(vec![instance]).await.ok();
    }

    fn news(&self, now: BootInstant, wanted: impl Fn(&KeyId) -> bool) -> Option<Holder> {
        let mut state = self.state();
        let mut mine = state.mine.only(wanted);
        let same = |(told, at): &(Holder, BootInstant)| {
            let same = told.private == mine.private && told.followers == mine.followers;
            same && now.since(*at) < BEAT
        };
        if state.told.as_ref().is_some_and(same) {
            return None;
        }
        state.mine.beat += 1;
        mine.beat = state.mine.beat;
        Some(mine)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A look that takes longer is not waited for.
const LOOK: Duration = Duration::from_secs(2);
/// An issuer with no news tells that it is alive this often.
const BEAT: Duration = Duration::from_secs(5);
