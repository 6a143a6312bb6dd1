//! An issuer: the real use cases, log writer and feed over a store, a trail and clocks of the simulation. Put together as
//! `issuer::wiring` does; without threads, sockets and randomness of its own.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
    time::Duration,
};

use arc_swap::ArcSwap;
use common::{
    clock::Clock as _,
    key_id::KeyId,
    keys::SigningKey,
    revocation::cursor::Cursor,
    token::{
        Limits,
        kind::{PerType, TokenType},
        limits::TypeLimit,
    },
    trust::LogKeys,
    verification::Policy,
};
use issuer::{
    application::{
        conditions::Conditions,
        follow::{Feed, Hello, Part, Say},
        followers::Followers,
        house::keep_trail,
        key_book::KeyBook,
        log::{Announcer, Writer, WriterParts},
        realm::{Blinding, Realm},
        restore::restore,
        signing_pool::SigningPool,
        timer::Timer as _,
        trail::Trail,
    },
    domain::{
        ports::{Entropy, KeySource, NoEntropy, Store, StoreError},
        rounds::IssuerRow,
    },
};
use tokio::sync::mpsc::UnboundedReceiver;
use verifier::domain::{
    feed::{Offer, Run, Said},
    session::Input,
};

use crate::{
    journal,
    machine::{Dice, Machine},
    quick_key,
    store::Remote,
    wire::{Mouth, Parcel},
};

pub(crate) const ISSUER: &str = "https://issuer.test";
pub(crate) const AUDIENCE: &str = "incert";
pub(crate) const REALM: &str = "default";

/// One machine with an issuer's program on it, running or not.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) machine: Machine,
    pub(crate) store: Remote,
    pub(crate) trail: Arc<journal::Trail>,
    pub(crate) dice: Dice,
}

/// Where a process puts its realm once it serves.
pub(crate) type Slot = Arc<Mutex<Option<Arc<Realm>>>>;

/// Short ones, so that a simulated minute sees many leases end and tokens expire.
pub(crate) fn limits() -> Limits {
    Limits(PerType::from_fn(|kind| TypeLimit {
        lifetime: Duration::from_mins(5),
        staleness: staleness(kind),
    }))
}

pub(crate) const fn staleness(kind: TokenType) -> Duration {
    match kind {
        TokenType::Pseudonymisation => Duration::from_secs(30),
        TokenType::Reverse => Duration::from_secs(10),
        TokenType::Secondary => Duration::from_secs(20),
    }
}

/// The pinned log key.
pub(crate) fn log_keys() -> LogKeys {
    LogKeys::new(vec![quick_key::key(0).public().clone()]).unwrap()
}

/// A process of this number, from its start to its end; a start that fails is tried again.
pub(crate) async fn live(plan: Plan, number: u64, slot: Slot) {
    let (realm, writer) = loop {
        match open(&plan, number).await {
            Ok(opened) => break opened,
            Err(_not_now) => plan.machine.sleep(Duration::from_millis(500)).await,
        }
    };
    *slot.lock().unwrap() = Some(Arc::clone(&realm));
    let keep = async {
        loop {
            plan.machine.sleep(Duration::from_millis(250)).await;
            keep_trail(&realm, false).await;
        }
    };
    tokio::join!(writer.run(), keep);
}

async fn open(plan: &Plan, number: u64) -> Result<(Arc<Realm>, Writer), StoreError> {
    let store: Arc<dyn Store> = Arc::new(plan.store.clone());
    let clock = Arc::new(plan.machine.clone());
    let mut loaded = store.load().await?;
    // A store in memory keeps one mark, of whoever wrote last.
    let recovered = plan.trail.recovered(loaded.audit.filter(|_| !store.shared()));
    assert!(!recovered.gaps, "a trail with gaps");
    let conditions = Arc::new(Conditions::default());
    if recovered.cut {
        conditions.audit_is_cut();
    }
    let now = clock.now();
    let trail = Arc::clone(&plan.trail) as Arc<_>;
    let trail =
        Arc::new(Trail::new(trail, Arc::clone(&clock) as Arc<_>, Arc::clone(&conditions), recovered.mark));
    let (log_key, token_key) = (quick_key::key(0), quick_key::key(1));
    let held = [token_key.public().clone()];
    let mut attempts = 0;
    let restored = loop {
        let chain = recovered.chain.as_ref();
        match restore(&*store, &trail, loaded, chain, (limits(), &held), now.wall, false).await {
            Err(StoreError::LostData) if store.shared() && attempts < 5 => attempts += 1,
            restored => break restored?,
        }
        loaded = store.load().await?;
    };
    let issuer = IssuerRow {
        id: number,
        name: format!("issuer-{number}"),
        keys: vec![token_key.public().id()],
        after_loss: false,
    };
    let known = restored.followers.iter().map(|row| row.follower.clone()).filter(|_| !store.shared());
    let names = (issuer.name.clone(), issuer.id);
    let book = KeyBook::new(Arc::new(OneKey(Arc::clone(&token_key))), vec![token_key], names, known);
    let book = Arc::new(book);
    book.exchange(&*store, restored.policy.limits.longest_staleness(), now.boot, |_: &KeyId| true).await?;
    let staleness = PerType::from_fn(|kind| restored.policy.limits.get(kind).staleness);
    let shared = store.shared().then_some(staleness);
    let followers = Arc::new(Followers::restored(restored.followers, issuer.id, shared, now.boot));
    if restored.lost.is_some() || restored.mended {
        followers.lost(now.boot, restored.policy.limits.longest_staleness());
    }
    let policy = Arc::new(ArcSwap::new(restored.policy));
    let parts = WriterParts {
        store: Arc::clone(&store),
        trail: Arc::clone(&trail),
        clock: Arc::clone(&clock) as Arc<_>,
        timer: Arc::clone(&clock) as Arc<_>,
        pool: SigningPool::without_threads(2),
        announcer: Announcer { issuer: ISSUER.into(), realm: REALM.into(), key: Arc::clone(&log_key) },
        followers: Arc::clone(&followers),
        keys: Arc::clone(&book),
        conditions: Arc::clone(&conditions),
        policy: Arc::clone(&policy),
        issuer,
    };
    let (writer, log) =
        Writer::new(parts, restored.log, restored.chunks, restored.chain.entries(), restored.lost).unwrap();
    let realm = Realm {
        name: REALM.into(),
        issuer: ISSUER.into(),
        audience: AUDIENCE.into(),
        holder_required: PerType::default(),
        self_check: Policy::new(ISSUER.into(), AUDIENCE.into(), Policy::DEFAULT_LEEWAY).unwrap(),
        store,
        trail,
        clock: Arc::clone(&clock) as Arc<_>,
        timer: clock,
        entropy: Arc::new(Thrown(plan.dice.clone())),
        log,
        followers,
        conditions,
        policy,
        log_keys: log_keys(),
        log_signer: log_key,
        keys: book,
        jwks_max_age: Duration::from_mins(1),
        pool: SigningPool::without_threads(128),
        blinding: Blinding::new(&[7; 32]),
    };
    Ok((Arc::new(realm), writer))
}

/// Ids that come again with the seed.
#[derive(Debug)]
struct Thrown(Dice);

impl Entropy for Thrown {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), NoEntropy> {
        bytes.chunks_mut(8).for_each(|chunk| {
            let thrown = self.0.next().to_be_bytes();
            chunk.copy_from_slice(&thrown[..chunk.len()]);
        });
        Ok(())
    }
}

#[derive(Debug)]
struct OneKey(Arc<SigningKey>);

impl KeySource for OneKey {
    fn look(&self) -> Vec<Arc<SigningKey>> {
        vec![Arc::clone(&self.0)]
    }

    fn complaint(&self) -> Option<String> {
        None
    }
}

/// One verifier's feed, as `issuer::transport::follow` carries it, until one side ends it.
pub(crate) async fn carry(realm: Arc<Realm>, hello: Hello, mut heard: UnboundedReceiver<Heard>, say: Mouth) {
    if let Ok(feed) = Feed::open(Arc::clone(&realm), hello).await {
        carried(&realm, feed, &mut heard, &say).await;
    }
    say.say(&Parcel::CloseVerifier);
}

/// What a verifier says on a stream.
#[derive(Clone, Debug)]
pub(crate) enum Heard {
    Said(Said),
    Goodbye,
}

async fn carried(realm: &Realm, mut feed: Feed, heard: &mut UnboundedReceiver<Heard>, say: &Mouth) {
    let mut published = realm.log.subscribe();
    published.mark_changed();
    loop {
        let said = tokio::select! {
            biased;
            message = heard.recv() => match message {
                Some(Heard::Said(Said::Probe(number))) => feed.probe(number).await,
                Some(Heard::Said(Said::Acknowledge(cursor, keys))) => acknowledge(&feed, cursor, keys),
                Some(Heard::Said(Said::Offer(offer))) => feed.offer(part(offer)).await.map(|()| Vec::new()),
                Some(Heard::Goodbye) => return feed.goodbye().await,
                Some(Heard::Said(Said::Hello { .. })) | None => return,
            },
            changed = published.changed() => match changed {
                Ok(()) => feed.catch_up(),
                Err(_ended) => return,
            },
        };
        let Ok(said) = said else { return };
        for one in said {
            say.say(&Parcel::ToVerifier(input(one)));
        }
    }
}

fn acknowledge(
    feed: &Feed,
    cursor: Cursor,
    keys: Vec<KeyId>,
) -> Result<Vec<Say>, issuer::application::follow::FollowError> {
    let keys = (!keys.is_empty()).then(|| keys.into_iter().collect::<BTreeSet<_>>());
    feed.acknowledge(cursor, keys).map(|()| Vec::new())
}

fn part(Offer { head, run, last }: Offer) -> Part {
    let (first, previous, entries) =
        run.map_or_else(Default::default, |run| (run.first, run.previous, run.entries));
    Part { head, first, previous, entries, last }
}

fn input(said: Say) -> Input {
    match said {
        Say::Trust(trust) => Input::Trust(trust.signed().clone()),
        Say::Head(head) => Input::Head(head.signed().clone()),
        Say::Entries(epoch, run) => Input::Entries(Run {
            epoch,
            first: run.first,
            previous: run.previous,
            entries: run.bytes.to_vec(),
        }),
        Say::Wanted(epoch) => Input::Wanted { epoch, after: 0 },
        Say::Answer(number, cursor, head_age) => Input::Answer { number, cursor, head_age },
    }
}
