//! Key roles and who holds which key, among one issuer and among several, claim by claim.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use common::{
    clock::Clock as _,
    key_id::KeyId,
    revocation::{
        cursor::Cursor,
        entry::{Body, Entry, Reason, pack},
        head::Link,
        rule::Rule,
    },
};
use issuer::{
    adapters::{
        journal::Recovered,
        key_directory::{self, Place},
        store::memory::MemoryStore,
    },
    application::{
        revoke::{Selector, revoke},
        rotate_keys::{Gaps, KeyError, activate, list, prepare, refresh, retire},
    },
    domain::{
        followers::Follower,
        key_roles::KeyRole,
        ports::{Append, Appended, LogEnd, Store as _},
    },
};

use crate::world::World;

/// A minute, in which every copy of the JWKS has become old.
const MINUTE: Duration = Duration::from_secs(62);

fn follower(id: &str) -> Follower {
    Follower { id: id.to_owned(), instance: 1 }
}

fn role(world: &World, id: KeyId) -> Option<KeyRole> {
    world.realm.policy.load().keys.get(id).map(|key| key.role)
}

fn gaps(answer: Result<impl std::fmt::Debug, KeyError>) -> Gaps {
    match answer {
        Err(KeyError::NotEverywhere(gaps)) => *gaps,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn section_6_activation_waits_until_every_verifier_said_that_it_holds_the_key() {
    let world = World::new().await;
    let realm = &world.realm;
    let new = world.put_key();
    let old = realm.policy.load().keys.active().unwrap().id;
    assert_eq!(
        activate(realm, new, true, "op").await.err(),
        Some(KeyError::NotPrepared),
        "not even by force"
    );
    prepare(realm, new, "op").await.unwrap();
    assert_eq!(realm.log.published().trust.statement().keys.len(), 2, "published at once");
    let early = gaps(activate(realm, new, false, "op").await);
    assert!(early.published_until.is_some() && early.followers.is_empty(), "{early:?}");
    world.clock.advance(MINUTE);
    // One that says nothing of keys is of an older build.
    for id in ["a", "older"] {
        realm.keys.join(follower(id));
    }
    let missing = Gaps { followers: vec!["a".to_owned(), "older".to_owned()], ..Gaps::default() };
    assert_eq!(gaps(activate(realm, new, false, "op").await), missing);
    realm.keys.acknowledge(&follower("a"), BTreeSet::from([old, new]));
    assert_eq!(gaps(activate(realm, new, false, "op").await).followers, ["older"]);
    assert_eq!(role(&world, new), Some(KeyRole::Prepared));
    realm.keys.leave(&follower("older"));
    let activated = activate(realm, new, false, "op").await.unwrap();
    assert_eq!((activated.risked, activated.retired.unwrap().public.id()), (Gaps::default(), old));
    assert!(activated.key.signs_here);
    assert!(matches!(role(&world, old), Some(KeyRole::Retired { .. })));
    let lines = world.journal.written.lock().unwrap().clone();
    for action in ["prepare", "activate"] {
        let line = format!(
            "\"actor\":\"op\",\"what\":\"key\",\"version\":{}",
            if action == "prepare" { 3 } else { 4 }
        );
        let found = lines
            .iter()
            .filter(|one| one.contains(&line) && one.contains(&format!("\"action\":\"{action}\"")));
        assert_eq!(found.count(), 1, "{action}: {lines:?}");
    }
    assert!(lines.iter().all(|line| !line.contains("forced")));
}

#[tokio::test]
async fn section_6_force_goes_on_and_tells_what_it_risked() {
    let world = World::new().await;
    let new = world.put_key();
    prepare(&world.realm, new, "op").await.unwrap();
    world.realm.keys.join(follower("a"));
    let activated = activate(&world.realm, new, true, "op").await.unwrap();
    assert_eq!(activated.risked.followers, ["a"]);
    assert!(activated.risked.published_until.is_some());
    let again = activate(&world.realm, new, false, "op").await.unwrap();
    assert_eq!((again.risked, again.retired.is_none()), (Gaps::default(), true), "activated once");
    assert!(world.journal.written.lock().unwrap().iter().any(|line| line.contains("\"forced\":true")));
}

#[tokio::test]
async fn section_6_a_retired_key_leaves_the_key_set_by_itself_and_never_comes_back() {
    let world = World::new().await;
    let realm = &world.realm;
    let new = world.put_key();
    let old = realm.policy.load().keys.active().unwrap().id;
    prepare(realm, new, "op").await.unwrap();
    world.clock.advance(MINUTE);
    assert_eq!(retire(realm, old, "op").await.err(), Some(KeyError::Active));
    activate(realm, new, false, "op").await.unwrap();
    let Some(KeyRole::Retired { until }) = role(&world, old) else { panic!("it is retired") };
    assert!(retire(realm, old, "op").await.is_ok(), "retired already");
    let now = world.clock.now().wall;
    world.clock.advance(Duration::from_secs(until.seconds() - now.seconds() - 1));
    world.until(|published| published.head.statement().log_time.seconds() >= until.seconds() - 1).await;
    assert_eq!(realm.log.published().trust.statement().keys.len(), 2, "until its last token has expired");
    world.clock.advance(Duration::from_secs(1));
    let published = world.until(|published| published.trust.statement().keys.len() == 1).await;
    assert_eq!(published.trust.statement().keys[0].id(), new);
    for refused in [prepare(realm, old, "op").await.err(), activate(realm, old, true, "op").await.err()] {
        assert_eq!(refused, Some(KeyError::Retired));
    }
    assert_eq!(list(realm).await.unwrap().len(), 1, "it is not listed");
    assert_eq!(realm.store.policy().await.unwrap().unwrap().keys.get(old).unwrap().public, None);
}

/// Failure: a key that was published a moment ago, and that no verifier can hold yet, signs in the place of the revoked one.
#[tokio::test]
async fn section_6_a_key_prepared_right_after_a_revocation_does_not_take_over_from_the_one_that_was_ready() {
    let world = World::new().await;
    let realm = &world.realm;
    let (old, ready) = (realm.policy.load().keys.active().unwrap().id, world.put_key());
    prepare(realm, ready, "op").await.unwrap();
    let new = world.put_key();
    revoke(realm, Selector::Key(old), Reason::KeyCompromised, String::new(), "op").await.unwrap();
    prepare(realm, new, "op").await.unwrap();
    let signs = || realm.signing_key(&realm.log.published()).unwrap().public().id();
    assert_eq!(signs(), ready);
    // Also once the writer has had its next round.
    eventually("the revoked key is buried", async || role(&world, old) == Some(KeyRole::Revoked)).await;
    assert_eq!((signs(), role(&world, ready)), (ready, Some(KeyRole::Active)));
    assert_eq!(role(&world, new), Some(KeyRole::Prepared));
}

/// Failure: the same, by an issuer that starts: the one before was killed between the revocation and the burial, and a new key
/// lies in the folder.
#[tokio::test]
async fn section_6_a_key_found_at_a_start_after_a_revocation_does_not_take_over_from_the_one_that_was_ready()
{
    let store = Arc::new(MemoryStore::default());
    let killed = World::over(Arc::clone(&store), Recovered::default()).await;
    let (old, ready) = (killed.realm.policy.load().keys.active().unwrap().id, killed.put_key());
    prepare(&killed.realm, ready, "op").await.unwrap();
    let new = killed.put_key();
    let stands = store.load().await.unwrap().end.unwrap();
    let cursor = Cursor::new(stands.epoch, stands.end.sequence + 1);
    let (recorded_at, expires_at) = (stands.log_time, stands.log_time.plus(Duration::from_hours(24)));
    let body =
        Body::Rule { rule: Rule::Key(old), reason: Reason::KeyCompromised, cut: cursor, project: None };
    let entry = Entry { cursor, recorded_at, expires_at, body };
    let end = Link { sequence: cursor.sequence, hash: entry.link(&stands.end.hash) };
    let append = Append {
        after: Some((stands.epoch, stands.end)),
        entries: pack(&[entry]),
        end: LogEnd { end, ..stands },
        change: None,
        audit: None,
    };
    assert_eq!(store.append(append).await, Ok(Appended::Done));
    let folder = Place::plain(killed.folder.path());
    let keys = |_| key_directory::read(&folder).unwrap();
    let later = World::with_keys(store, Recovered::default(), false, keys).await;
    let roles = [old, ready, new].map(|id| role(&later, id));
    assert_eq!(roles, [Some(KeyRole::Revoked), Some(KeyRole::Active), Some(KeyRole::Prepared)]);
}

#[tokio::test]
async fn section_7_without_a_trail_no_key_gets_another_role() {
    let world = World::new().await;
    let new = world.put_key();
    world.journal.broken.store(true, std::sync::atomic::Ordering::SeqCst);
    assert_eq!(prepare(&world.realm, new, "op").await.err(), Some(KeyError::AuditUnavailable));
    assert_eq!(prepare(&world.realm, new, "op").await.err(), Some(KeyError::AuditUnavailable));
}

/// Two issuers over one store, and a key that only the first one's folder holds.
async fn two() -> (World, World, KeyId) {
    let store = Arc::new(MemoryStore::of_many_issuers());
    let one = World::over(Arc::clone(&store), Recovered::default()).await;
    let other = World::over(store, Recovered::default()).await;
    let new = one.put_key();
    (one, other, new)
}

/// Looks until the claim holds: the issuers tell each other within their rounds.
async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let waited = tokio::time::timeout(Duration::from_secs(20), async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    waited.await.unwrap_or_else(|_late| panic!("{what}"));
}

#[tokio::test]
async fn section_6_activation_waits_until_every_live_issuer_holds_the_private_key() {
    let (one, other, new) = two().await;
    prepare(&one.realm, new, "op").await.unwrap();
    // Each publishes what any of them prepared.
    other.until(|published| published.trust.statement().key(new).is_some()).await;
    for world in [&one, &other] {
        world.clock.advance(MINUTE);
    }
    assert_eq!(gaps(activate(&one.realm, new, false, "op").await).issuers.len(), 1);
    assert_eq!(gaps(activate(&other.realm, new, false, "op").await).issuers.len(), 1);
    other.copy_keys_of(&one);
    refresh(&other.realm).await.unwrap();
    // Its verifier has not said that it holds it.
    other.realm.keys.join(follower("b"));
    refresh(&other.realm).await.unwrap();
    assert_eq!(gaps(activate(&one.realm, new, false, "op").await).followers, ["b"]);
    // It moved to the other issuer, and says so there.
    one.realm.keys.join(follower("b"));
    one.realm.keys.acknowledge(&follower("b"), BTreeSet::from([new]));
    activate(&one.realm, new, false, "op").await.unwrap();
    eventually("both issuers sign with it", async || {
        let signs =
            |world: &World| world.realm.signing_key(&world.realm.log.published()).unwrap().public().id();
        signs(&one) == new && signs(&other) == new
    })
    .await;
}

/// Found by 200 rotations: an issuer told the others of 64 keys, in the order of their names, so that after some seventy rotations
/// they waited for ever until it held the next one.
#[tokio::test]
async fn section_6_other_issuers_hear_of_the_next_key_after_any_number_of_earlier_ones() {
    let (one, other, new) = two().await;
    other.copy_keys_of(&one);
    // Names that come before any other's.
    let gone: BTreeSet<_> =
        (0..70).map(|n| KeyId::from_bytes([[0, n], [0, 0]].concat().repeat(8).try_into().unwrap())).collect();
    for id in &gone {
        revoke(&one.realm, Selector::Key(*id), Reason::KeyCompromised, String::new(), "op").await.unwrap();
    }
    prepare(&one.realm, new, "op").await.unwrap();
    other.until(|published| published.trust.statement().key(new).is_some()).await;
    for world in [&one, &other] {
        world.clock.advance(MINUTE);
        refresh(&world.realm).await.unwrap();
    }
    one.realm.keys.join(follower("b"));
    refresh(&one.realm).await.unwrap();
    assert_eq!(gaps(activate(&other.realm, new, false, "op").await).followers, ["b"]);
    let held: BTreeSet<_> = gone.iter().copied().chain([new]).collect();
    one.realm.keys.acknowledge(&follower("b"), held);
    refresh(&one.realm).await.unwrap();
    // A row of Redis has room for 64.
    for row in one.store.holders().await.unwrap() {
        let told: Vec<_> = row.private.iter().chain(row.followers.values().flatten()).collect();
        assert!(told.contains(&&new) && !told.iter().any(|id| gone.contains(id)), "{told:?}");
    }
    activate(&other.realm, new, false, "op").await.unwrap();
}

#[tokio::test]
async fn an_issuer_that_is_silent_for_the_longest_lease_or_said_goodbye_is_waited_for_no_more() {
    let (one, other, new) = two().await;
    prepare(&one.realm, new, "op").await.unwrap();
    one.clock.advance(MINUTE);
    assert_eq!(gaps(activate(&one.realm, new, false, "op").await).issuers.len(), 1);
    // Nothing but its own exchange tells of it: it is as good as dead.
    one.clock.advance(Duration::from_mins(13));
    assert_eq!(gaps(activate(&one.realm, new, false, "op").await).issuers.len(), 1);
    one.clock.advance(Duration::from_mins(3));
    activate(&one.realm, new, false, "op").await.unwrap();
    assert_eq!(one.store.holders().await.unwrap().len(), 1, "its row is taken out");
    let next = one.put_key();
    prepare(&one.realm, next, "op").await.unwrap();
    refresh(&other.realm).await.unwrap();
    one.clock.advance(MINUTE);
    other.realm.keys.retract(&*other.realm.store).await;
    activate(&one.realm, next, false, "op").await.unwrap();
}

#[tokio::test]
async fn issuers_that_change_roles_at_once_lose_no_change() {
    let (one, other, first) = two().await;
    let second = other.put_key();
    let (prepared, too) =
        tokio::join!(prepare(&one.realm, first, "one"), prepare(&other.realm, second, "other"));
    prepared.unwrap();
    too.unwrap();
    for world in [&one, &other] {
        eventually("both are prepared", async || {
            [first, second].iter().all(|key| role(world, *key) == Some(KeyRole::Prepared))
        })
        .await;
    }
}
