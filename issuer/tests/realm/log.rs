//! What the log promises, claim by claim.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use common::{
    clock::Clock as _,
    revocation::{
        cursor::Cursor,
        entry::{Body, Reason},
        head::{Head, Link},
        rule::{Rule, Scope},
    },
    timestamp::Timestamp,
    token_id::TokenId,
};
use issuer::{
    adapters::{journal::Recovered, store::memory::MemoryStore},
    application::{
        issue::{IssueError, issue},
        log::AppendError,
        projects,
        revoke::{RevokeError, Selector, revoke},
    },
    domain::{
        chain::Chain,
        ports::{Append, Appended, LogEnd, Store as _},
    },
};

use crate::world::{World, order, project};

async fn revoke_token(world: &World, n: u8) -> Result<Cursor, RevokeError> {
    let selector = Selector::Tokens(vec![TokenId::from_bytes([n; 16])]);
    let done = revoke(&world.realm, selector, Reason::Operator, String::new(), "test").await;
    done.map(|revoked| revoked.cursor)
}

#[tokio::test]
async fn section_5_a_head_is_signed_whenever_the_log_changes_and_at_least_each_minute() {
    let world = World::new().await;
    let first = world.realm.log.published().head.statement().clone();
    revoke_token(&world, 1).await.unwrap();
    let second = world.realm.log.published().head.statement().clone();
    assert_eq!((first.end.sequence, second.end.sequence), (1, 2));
    world.clock.advance(Duration::from_secs(59));
    let still = world.realm.log.published().head.statement().log_time;
    assert_eq!(still, second.log_time);
    world.clock.advance(Duration::from_secs(1));
    let third = world.until(|published| published.head.statement().log_time > second.log_time).await;
    assert_eq!(third.head.statement().end, second.end);
    let durable = world.store.load().await.unwrap().end.unwrap();
    assert_eq!(durable.log_time, third.head.statement().log_time, "a restart does not take log time back");
}

#[tokio::test]
async fn section_5_a_rule_expires_with_its_token_or_after_the_longest_ceiling_in_force() {
    let world = World::new().await;
    projects::create(&world.realm, project("p"), "test").await.unwrap();
    let token = issue(&world.realm, &order("p"), "test").await.unwrap().record;
    let selector = Selector::Tokens(vec![token.id]);
    revoke(&world.realm, selector, Reason::TokenLeaked, String::new(), "test").await.unwrap();
    revoke_token(&world, 9).await.unwrap();
    let scope = Selector::Scope(Scope::default());
    revoke(&world.realm, scope, Reason::Operator, String::new(), "test").await.unwrap();
    let published = world.realm.log.published();
    let expiry = |sequence| published.chunks.entry(sequence).unwrap().expires_at;
    assert_eq!(expiry(2), token.expires_at);
    let longest = world.clock.now().wall.plus(Duration::from_hours(30 * 24));
    assert!(expiry(3) >= longest && expiry(4) >= longest);
}

#[tokio::test]
async fn section_5_what_has_expired_is_trimmed_from_memory_store_and_head() {
    let world = World::new().await;
    revoke_token(&world, 1).await.unwrap();
    world.clock.advance(Duration::from_hours(29 * 24));
    world.until(|published| published.head.statement().log_time == world.clock.now().wall).await;
    assert_eq!(world.realm.log.published().head.statement().base.sequence, 0, "not expired yet");
    world.clock.advance(Duration::from_hours(48));
    let trimmed = world.until(|published| published.head.statement().base.sequence == 2).await;
    assert_eq!((trimmed.log.entries(), trimmed.log.end().sequence), (0, 2));
    let durable = world.store.load().await.unwrap();
    assert_eq!(
        (durable.end.unwrap().base.sequence, durable.runs.iter().map(Vec::len).sum::<usize>()),
        (2, 0)
    );
    let next = revoke_token(&world, 2).await.unwrap();
    assert_eq!(next, Cursor::new(1, 3));
}

#[tokio::test]
async fn a_token_is_revoked_once_and_keeps_its_place() {
    let world = World::new().await;
    let first = revoke_token(&world, 1).await.unwrap();
    revoke_token(&world, 2).await.unwrap();
    assert_eq!(revoke_token(&world, 1).await.unwrap(), first);
    assert_eq!(world.realm.log.published().log.end().sequence, 3);
}

#[tokio::test]
async fn section_6_a_revoked_key_is_published_until_its_rule_is_trimmed_and_signs_no_more() {
    let world = World::new().await;
    projects::create(&world.realm, project("p"), "test").await.unwrap();
    let key = issue(&world.realm, &order("p"), "test").await.unwrap().record.key;
    let revoked =
        revoke(&world.realm, Selector::Key(key), Reason::KeyCompromised, String::new(), "test").await;
    revoked.unwrap();
    assert_eq!(issue(&world.realm, &order("p"), "test").await.err(), Some(IssueError::NoSigningKey));
    assert!(
        world.realm.log.published().trust.statement().key(key).is_some(),
        "so that verifiers say REVOKED"
    );
    // The writer buries it at its next round.
    while world.realm.policy.load().keys.active().is_some() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    world.clock.advance(Duration::from_hours(32 * 24));
    let trimmed = world.until(|published| published.head.statement().base.sequence == 2).await;
    assert!(trimmed.trust.statement().key(key).is_none(), "before the rule is forgotten, the key is gone");
    assert_eq!(issue(&world.realm, &order("p"), "test").await.err(), Some(IssueError::NoSigningKey));
}

#[tokio::test]
async fn section_7_without_a_trail_nothing_is_issued_and_revoking_goes_on() {
    let world = World::new().await;
    projects::create(&world.realm, project("p"), "test").await.unwrap();
    world.journal.broken.store(true, Ordering::SeqCst);
    assert_eq!(issue(&world.realm, &order("p"), "test").await.err(), Some(IssueError::AuditUnavailable));
    let cursor = revoke_token(&world, 1).await.unwrap();
    assert_eq!(world.store.load().await.unwrap().end.unwrap().cursor(), cursor);
    world.journal.broken.store(false, Ordering::SeqCst);
    let again = issue(&world.realm, &order("p"), "test").await.err();
    assert_eq!(again, Some(IssueError::AuditUnavailable), "not before this process starts anew");
}

#[tokio::test]
async fn section_7_lines_that_are_missing_are_written_late_at_the_next_start() {
    let world = World::new().await;
    revoke_token(&world, 1).await.unwrap();
    let cursor = world.realm.log.published().log.cursor();
    let later = World::over(Arc::clone(&world.store), Recovered::default()).await;
    let written = later.journal.written.lock().unwrap().clone();
    assert!(
        written.iter().any(|line| line.contains(r#""late":true"#) && line.contains(r#""last":2"#)),
        "{written:?}"
    );
    assert_eq!(later.realm.log.published().log.cursor(), cursor);
}

/// Failure: one issuer whose calendar is an hour ahead, which it was told, revokes; from then on every verifier refuses every
/// head, for an hour, as one from the future. Or it is behind, and its rule expires before what another one issued since.
#[tokio::test]
async fn section_5_a_calendar_that_the_stores_clock_contradicts_does_not_move_the_log_time() {
    let store = Arc::new(MemoryStore::of_many_issuers());
    let world = World::over(Arc::clone(&store), Recovered::default()).await;
    revoke_token(&world, 1).await.unwrap();
    let told = |world: &World| world.realm.log.published().head.statement().log_time;
    let before = told(&world);
    store.contradict_clocks(true);
    world.clock.set_wall(before.plus(Duration::from_hours(1)));
    let cursor = revoke_token(&world, 2).await.unwrap();
    let entry = world.realm.log.published().chunks.entry(cursor.sequence).unwrap();
    assert_eq!((told(&world), entry.recorded_at), (before, before));
    // Another issuer, whose clock is right, is a day further, and appends nothing.
    let end = store.load().await.unwrap().end.unwrap();
    let later = LogEnd { log_time: end.log_time.plus(Duration::from_hours(24)), ..end };
    let append = Append {
        after: Some((end.epoch, end.end)),
        entries: Vec::new(),
        end: later,
        change: None,
        audit: None,
    };
    assert_eq!(store.append(append).await, Ok(Appended::Done));
    world.clock.set_wall(before);
    world.clock.advance(Duration::from_secs(1));
    world.until(|published| published.head.statement().log_time == later.log_time).await;
    let cursor = revoke_token(&world, 3).await.unwrap();
    let entry = world.realm.log.published().chunks.entry(cursor.sequence).unwrap();
    assert!(
        entry.expires_at > later.log_time.plus(Duration::from_hours(30 * 24)),
        "it outlives all that it may hit"
    );
    store.contradict_clocks(false);
    world.clock.set_wall(later.log_time.plus(Duration::from_hours(1)));
    revoke_token(&world, 4).await.unwrap();
    assert_eq!(told(&world), later.log_time.plus(Duration::from_hours(1)), "a good clock does");
}

#[tokio::test]
async fn every_refused_order_is_in_the_trail_with_its_reason_and_no_token() {
    let world = World::new().await;
    assert_eq!(issue(&world.realm, &order("none"), "test").await.err(), Some(IssueError::NoSuchProject));
    let line = world.journal.written.lock().unwrap().last().unwrap().clone();
    for part in
        [r#""what":"refuse""#, "NO_SUCH_PROJECT", r#""requested_by":"anna""#, r#""purpose":"follow-up""#]
    {
        assert!(line.contains(part), "{part} in {line}");
    }
}

#[tokio::test]
async fn section_5_a_clock_behind_the_last_log_time_issues_nothing_and_revokes_all_the_same() {
    let world = World::new().await;
    projects::create(&world.realm, project("p"), "test").await.unwrap();
    let before = world.realm.log.published().head.statement().log_time;
    world.clock.set_wall(Timestamp::from_seconds(before.seconds() - 1).unwrap());
    assert_eq!(issue(&world.realm, &order("p"), "test").await.err(), Some(IssueError::ClockSuspect));
    revoke_token(&world, 1).await.unwrap();
    let after = world.realm.log.published().head.statement().log_time;
    assert_eq!(after, before, "log time never goes back");
    world.clock.set_wall(before);
    assert!(issue(&world.realm, &order("p"), "test").await.is_ok());
}

#[tokio::test]
async fn section_5_a_store_that_ends_elsewhere_has_lost_entries_and_stops_issuing() {
    let world = World::new().await;
    projects::create(&world.realm, project("p"), "test").await.unwrap();
    // Somebody else writes to the store behind this issuer's back.
    let end = world.store.load().await.unwrap().end.unwrap();
    let mut chain = Chain::new(end.epoch, end.end);
    let cursor = Cursor::new(end.epoch, end.end.sequence + 1);
    let rule = Rule::Token(TokenId::from_bytes([7; 16]));
    let body = Body::Rule { rule, reason: Reason::Operator, cut: cursor, project: None };
    let now = world.clock.now().wall;
    chain.push(common::revocation::entry::Entry { cursor, recorded_at: now, expires_at: now, body }).unwrap();
    let append = Append {
        after: Some((end.epoch, end.end)),
        entries: common::revocation::entry::pack(chain.entries()),
        end: LogEnd { end: chain.end(), ..end },
        change: None,
        audit: None,
    };
    world.store.append(append).await.unwrap();
    let lost = revoke_token(&world, 1).await;
    assert_eq!(lost, Err(RevokeError::Log(AppendError::Lost)));
    assert_eq!(issue(&world.realm, &order("p"), "test").await.err(), Some(IssueError::LostData));
}

#[tokio::test]
async fn section_5_what_cannot_be_mended_waits_for_an_operator() {
    let world = World::new().await;
    revoke_token(&world, 1).await.unwrap();
    // A journal that begins in the middle: nobody knows what stood before.
    let part = Chain::new(1, Link { sequence: 40, hash: [4; 32] });
    let recovered = Recovered { chain: Some(part), ..Recovered::default() };
    let later = World::over(Arc::clone(&world.store), recovered).await;
    assert!(later.realm.log.published().lost);
    assert_eq!(issue(&later.realm, &order("p"), "test").await.err(), Some(IssueError::LostData));
}

/// A realm with a project, one revocation recorded an hour and a half before its end, and what its trail says of the log.
async fn realm_and_trail() -> (World, Chain) {
    let world = World::new().await;
    projects::create(&world.realm, project("p"), "test").await.unwrap();
    world.clock.advance(Duration::from_mins(90));
    revoke_token(&world, 1).await.unwrap();
    let published = world.realm.log.published();
    let chain = published.chunks.chain(1, published.log.base()).unwrap();
    (world, chain)
}

/// Failure: a verifier is given a head of the new epoch by which rules live that another issuer, whose clock is ahead, had
/// trimmed as expired. Found by the simulation.
#[tokio::test]
async fn section_5_log_time_does_not_go_back_when_a_running_issuer_mends() {
    let store = Arc::new(MemoryStore::of_many_issuers());
    let world = World::over(Arc::clone(&store), Recovered::default()).await;
    revoke_token(&world, 1).await.unwrap();
    let image = store.image();
    revoke_token(&world, 2).await.unwrap();
    store.put_back(image);
    let end = store.load().await.unwrap().end.unwrap();
    let end = LogEnd { log_time: end.log_time.plus(Duration::from_hours(1)), ..end };
    let told =
        Append { after: Some((end.epoch, end.end)), entries: Vec::new(), end, change: None, audit: None };
    assert_eq!(store.append(told).await, Ok(Appended::Done));
    world.until(|published| published.lost).await;
    world.clock.advance(Duration::from_secs(20));
    let mended = world.until(|published| !published.lost).await;
    assert_eq!(mended.log.cursor().epoch, 2);
    assert!(mended.head.statement().log_time >= end.log_time);
}

/// Found by the simulation: the store was wiped, and the clock of the issuer that mended it was behind. Log time went back
/// with it, so tokens were issued in the past, and rules expired before what they hit.
#[tokio::test]
async fn section_5_log_time_does_not_go_back_with_a_store_that_was_lost() {
    let (world, chain) = realm_and_trail().await;
    let told = world.realm.log.published().head.statement().log_time;
    world.store.wipe();
    let recovered = Recovered { chain: Some(chain), ..Recovered::default() };
    // Its clock begins where the first one's did.
    let later = World::over(Arc::clone(&world.store), recovered).await;
    assert!(later.clock.now().wall < told);
    assert_eq!(later.realm.log.published().head.statement().log_time, told);
    assert_eq!(later.store.load().await.unwrap().end.unwrap().log_time, told);
    projects::create(&later.realm, project("p"), "test").await.unwrap();
    assert_eq!(issue(&later.realm, &order("p"), "test").await.err(), Some(IssueError::ClockSuspect));
    let cursor = revoke_token(&later, 2).await.unwrap();
    let entry = later.realm.log.published().chunks.entry(cursor.sequence).unwrap();
    assert!(entry.expires_at > told.plus(Duration::from_hours(30 * 24)), "it outlives all that it may hit");
}

/// Found by the simulation: rows of the register were lost with the store, and an issuer that started once more a moment
/// later, over a store that was whole again, called a revocation visible that a verifier of such a row did not have.
#[tokio::test]
async fn after_a_loss_whoever_starts_within_a_day_calls_nothing_visible_for_the_longest_limit() {
    let (world, chain) = realm_and_trail().await;
    world.store.wipe();
    let recovered = Recovered { chain: Some(chain), ..Recovered::default() };
    let mending = World::over(Arc::clone(&world.store), recovered).await;
    let published = mending.realm.log.published();
    let chain = published.chunks.chain(2, published.log.base()).unwrap();
    let recovered = Recovered { chain: Some(chain), ..Recovered::default() };
    let again = World::over(Arc::clone(&mending.store), recovered).await;
    let cursor = revoke_token(&again, 2).await.unwrap();
    let seen = |world: &World| world.realm.followers.visibility(cursor, world.clock.now().boot).reached();
    assert!(!seen(&again));
    again.clock.advance(Duration::from_mins(15));
    assert!(seen(&again));
}

/// Found by the simulation: an issuer that had been away started over a log that others had trimmed past the end of its own
/// trail. The trail did not say so, so it seemed to have a gap, and could mend nothing any more.
#[tokio::test]
async fn section_7_a_trail_that_goes_on_behind_a_trimmed_part_says_that_it_expired() {
    let world = World::new().await;
    let published = world.realm.log.published();
    let behind = published.chunks.chain(1, published.log.base()).unwrap();
    for n in 1..=3 {
        revoke_token(&world, n).await.unwrap();
    }
    world.clock.advance(Duration::from_hours(31 * 24));
    world.until(|published| published.head.statement().base.sequence == 4).await;
    revoke_token(&world, 4).await.unwrap();
    let recovered = Recovered { chain: Some(behind.clone()), ..Recovered::default() };
    let later = World::over(Arc::clone(&world.store), recovered).await;
    let mut read = Recovered { chain: Some(behind), ..Recovered::default() };
    for line in later.journal.written.lock().unwrap().iter() {
        read.take(format!(r#"{{"event":{line}}}"#).as_bytes());
    }
    let chain = read.chain.unwrap();
    assert!(!read.gaps && chain.is_whole());
    assert_eq!(chain.end(), later.realm.log.published().log.end());
}

#[tokio::test]
async fn one_call_that_revokes_very_many_is_one_step_and_as_many_lines_as_it_takes() {
    let world = World::new().await;
    let id = |n: u32| {
        let mut bytes = [0; 16];
        bytes[..4].copy_from_slice(&n.to_be_bytes());
        TokenId::from_bytes(bytes)
    };
    let selector = Selector::Tokens((0..2_500).map(id).collect());
    let done = revoke(&world.realm, selector, Reason::Operator, String::new(), "test").await.unwrap();
    assert_eq!(done.cursor, Cursor::new(1, 2_501));
    let published = world.realm.log.published();
    let runs = published.chunks.after(1).unwrap();
    assert!(runs.iter().all(|run| run.bytes.len() < 512 << 10), "what one message holds is bounded");
    let lines = world.journal.written.lock().unwrap().clone();
    assert_eq!(lines.iter().filter(|line| line.contains(r#""reason":"revoke""#)).count(), 3);
    assert_eq!(published.chunks.chain(1, published.log.base()).unwrap().end(), published.log.end());
}

/// Failure: a token from before the loss that is live again, a rule that is left out, or an issuer that stops once more
/// because a verifier holds a head of the lost epoch.
#[tokio::test]
async fn section_5_an_operators_new_epoch_cuts_everything_recorded_before_and_keeps_every_rule() {
    let world = World::new().await;
    projects::create(&world.realm, project("p"), "test").await.unwrap();
    let before = issue(&world.realm, &order("p"), "test").await.unwrap().record;
    revoke_token(&world, 1).await.unwrap();
    let held = world.realm.log.published().head.statement().clone();
    let part = Chain::new(1, Link { sequence: 40, hash: [4; 32] });
    let recovered = Recovered { chain: Some(part), ..Recovered::default() };
    let later = World::opened(Arc::clone(&world.store), recovered, true).await;
    let published = later.realm.log.published();
    assert!(!published.lost && published.log.cursor().epoch == 2);
    assert!(published.log.set().standing(&before.subject()).is_some(), "recorded before the loss");
    let revoked = Rule::Token(TokenId::from_bytes([1; 16]));
    assert!(published.log.set().recorded(&revoked).is_some(), "what is left of the log is kept");
    let beyond = Head { end: Link { sequence: 99, hash: [9; 32] }, ..held };
    assert!(published.holds(&beyond), "however far the lost epoch had come");
    let longest = later.clock.now().wall.plus(Duration::from_hours(30 * 24));
    assert!(published.chunks.entry(2).unwrap().expires_at > longest);
    let after = issue(&later.realm, &order("p"), "test").await.unwrap().record;
    let published = later.realm.log.published();
    assert!(published.log.set().standing(&after.subject()).is_none(), "issuing goes on");
}
