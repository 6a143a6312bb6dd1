//! What an issuer does when a key does not sign, or signs wrongly.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    time::Duration,
};

use common::{
    keys::{CannotSignNow, Holder, SigningKey},
    revocation::entry::Reason,
    token_id::TokenId,
};
use issuer::{
    adapters::journal::Recovered,
    application::{
        house::{Obstacle, obstacles, try_signers},
        issue::{IssueError, issue},
        projects,
        revoke::{Selector, revoke},
    },
};

use crate::world::{World, order, project};

const RIGHT: u8 = 0;
const WRONG: u8 = 1;
const GONE: u8 = 2;
const STUCK: u8 = 3;

/// A device that does as it is told.
struct Device {
    key: Arc<SigningKey>,
    mood: Arc<AtomicU8>,
}

impl Holder for Device {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, CannotSignNow> {
        // A key signs a context and a message, one behind the other.
        while self.mood.load(Ordering::SeqCst) == STUCK {
            std::thread::sleep(Duration::from_millis(1));
        }
        let mut signature = self.key.sign(message, b"").map_err(|_failed| CannotSignNow)?;
        match self.mood.load(Ordering::SeqCst) {
            GONE => return Err(CannotSignNow),
            WRONG => signature[100] ^= 1,
            _ => {}
        }
        Ok(signature)
    }
}

fn held(key: &Arc<SigningKey>, mood: &Arc<AtomicU8>) -> Arc<SigningKey> {
    let device = Device { key: Arc::clone(key), mood: Arc::clone(mood) };
    Arc::new(SigningKey::held_by(Box::new(device), key.public().clone()))
}

/// A realm whose token key (or else whose log key) is in such a device.
async fn world(token: bool) -> (World, Arc<AtomicU8>) {
    let mood = Arc::new(AtomicU8::new(RIGHT));
    let world = World::with_keys(Arc::default(), Recovered::default(), false, |mut keys| {
        if token {
            keys.token = keys.token.iter().map(|key| held(key, &mood)).collect();
        } else {
            keys.log = held(&keys.log, &mood);
        }
        keys
    });
    let world = world.await;
    projects::create(&world.realm, project("p"), "test").await.unwrap();
    (world, mood)
}

/// Failure: a token with a wrong signature; or a fault that no operator hears of; or an issuer that stays down for good.
#[tokio::test]
async fn a_wrong_signature_never_leaves_and_stops_issuing_until_the_keys_sign_again() {
    let (world, mood) = world(true).await;
    issue(&world.realm, &order("p"), "test").await.unwrap();
    mood.store(WRONG, Ordering::SeqCst);
    for _ in 0..3 {
        assert_eq!(issue(&world.realm, &order("p"), "test").await.err(), Some(IssueError::Signing));
        assert_eq!(obstacles(&world.realm), [Obstacle::SignatureFaulty], "health tells it");
    }
    assert_eq!(world.realm.conditions.faulty_signatures(), 1, "after the first, none is made for a caller");
    try_signers(&world.realm).await;
    assert_eq!(world.realm.conditions.faulty_signatures(), 2, "tried, and wrong again");
    assert_eq!(obstacles(&world.realm), [Obstacle::SignatureFaulty]);
    let selector = Selector::Tokens(vec![TokenId::from_bytes([1; 16])]);
    revoke(&world.realm, selector, Reason::Operator, String::new(), "test").await.unwrap();
    mood.store(RIGHT, Ordering::SeqCst);
    try_signers(&world.realm).await;
    assert_eq!(obstacles(&world.realm), []);
    issue(&world.realm, &order("p"), "test").await.unwrap();
}

#[tokio::test]
async fn a_key_that_does_not_answer_stops_issuing_until_it_does() {
    let (world, mood) = world(true).await;
    mood.store(GONE, Ordering::SeqCst);
    for _ in 0..2 {
        assert_eq!(issue(&world.realm, &order("p"), "test").await.err(), Some(IssueError::SignerUnavailable));
    }
    assert_eq!(obstacles(&world.realm), [Obstacle::SignerUnavailable]);
    mood.store(RIGHT, Ordering::SeqCst);
    try_signers(&world.realm).await;
    issue(&world.realm, &order("p"), "test").await.unwrap();
}

/// Failure: more orders that wait than there are places; health that does not tell; or an order that is lost though the
/// device came back.
#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_hangs_fills_the_queue_and_no_more_and_issuing_stops_until_it_answers() {
    let (world, mood) = world(true).await;
    mood.store(STUCK, Ordering::SeqCst);
    let orders: Vec<_> = (0..300)
        .map(|_| {
            let realm = Arc::clone(&world.realm);
            tokio::spawn(async move { issue(&realm, &order("p"), "test").await.map(drop) })
        })
        .collect();
    let mut ended = tokio::task::JoinSet::new();
    for order in orders {
        ended.spawn(async move { order.await.unwrap() });
    }
    let first = ended.join_next().await.unwrap().unwrap();
    assert_eq!(first, Err(IssueError::Busy), "who gets no place hears of it at once");
    while obstacles(&world.realm) != [Obstacle::SignerUnavailable] {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(issue(&world.realm, &order("p"), "test").await.err(), Some(IssueError::SignerUnavailable));
    try_signers(&world.realm).await;
    assert_eq!(
        obstacles(&world.realm),
        [Obstacle::SignerUnavailable],
        "a trial hangs too, and holds nobody up"
    );
    let selector = Selector::Tokens(vec![TokenId::from_bytes([1; 16])]);
    revoke(&world.realm, selector, Reason::Operator, String::new(), "test").await.unwrap();
    mood.store(RIGHT, Ordering::SeqCst);
    let (mut made, mut late, mut busy) = (0, 0, 1);
    while let Some(outcome) = ended.join_next().await {
        match outcome.unwrap() {
            Ok(()) => made += 1,
            Err(IssueError::SignerUnavailable) => late += 1,
            Err(IssueError::Busy) => busy += 1,
            Err(other) => panic!("{other:?}"),
        }
    }
    assert_eq!((made + late, busy), (PLACES, 300 - PLACES), "{made} made, {late} late");
    assert!(made > 0 && late > 0, "{made} made, {late} late");
    try_signers(&world.realm).await;
    issue(&world.realm, &order("p"), "test").await.unwrap();
}

/// Orders under way, at most.
const PLACES: usize = 128;

/// Failure: a head with a wrong signature among the followers.
#[tokio::test]
async fn a_wrong_signature_over_a_head_is_told_and_published_to_nobody() {
    let (world, mood) = world(false).await;
    let before = world.realm.log.published();
    mood.store(WRONG, Ordering::SeqCst);
    let selector = || Selector::Tokens(vec![TokenId::from_bytes([1; 16])]);
    revoke(&world.realm, selector(), Reason::Operator, String::new(), "test").await.unwrap_err();
    assert_eq!(world.realm.log.published().log.end(), before.log.end());
    assert_eq!(obstacles(&world.realm), [Obstacle::SignatureFaulty]);
    mood.store(RIGHT, Ordering::SeqCst);
    try_signers(&world.realm).await;
    assert_eq!(obstacles(&world.realm), []);
}
