//! What the audit trail promises when it cannot be written, claim by claim.

use std::{sync::atomic::Ordering, time::Duration};

use common::{project::Collaborator, revocation::entry::Reason, token_id::TokenId};
use issuer::application::{
    house::{Obstacle, keep_trail, obstacles},
    issue::{IssueError, issue},
    projects::{self, ProjectError},
    revoke::{Selector, revoke},
};

use crate::world::{World, order, organisation, project};

async fn revoke_token(world: &World, n: u8, comment: &str) {
    let selector = Selector::Tokens(vec![TokenId::from_bytes([n; 16])]);
    revoke(&world.realm, selector, Reason::Operator, comment.to_owned(), "anna").await.unwrap();
}

fn lines(world: &World, what: &str) -> Vec<String> {
    let named = format!(r#""what":"{what}""#);
    let written = world.journal.written.lock().unwrap();
    written.iter().filter(|line| line.contains(&named)).cloned().collect()
}

/// Failure: a token without a line, a revocation that waits for room, or one that never gets its line.
#[tokio::test]
async fn section_7_while_there_is_no_room_nothing_is_issued_and_what_is_revoked_is_written_late() {
    let world = World::new().await;
    projects::create(&world.realm, project("p"), "test").await.unwrap();
    world.journal.full.store(true, Ordering::SeqCst);
    assert_eq!(issue(&world.realm, &order("p"), "test").await.err(), Some(IssueError::AuditUnavailable));
    assert_eq!(obstacles(&world.realm), [Obstacle::AuditBroken], "health tells it");
    revoke_token(&world, 1, "lost laptop").await;
    keep_trail(&world.realm, false).await;
    assert_eq!(issue(&world.realm, &order("p"), "test").await.err(), Some(IssueError::AuditUnavailable));
    world.journal.full.store(false, Ordering::SeqCst);
    keep_trail(&world.realm, false).await;
    assert!(obstacles(&world.realm).is_empty(), "without a restart");
    issue(&world.realm, &order("p"), "test").await.unwrap();
    let late = lines(&world, "append").pop().unwrap();
    for part in [r#""late":true"#, r#""actor":"anna""#, r#""comment":"lost laptop""#] {
        assert!(late.contains(part), "{part} in {late}");
    }
    assert_eq!((lines(&world, "resume").len(), lines(&world, "issue").len()), (1, 1));
}

/// Failure: a project that is there, and no line says who made it.
#[tokio::test]
async fn a_project_is_not_acknowledged_before_its_line_is_written_and_neither_is_its_repeat() {
    let world = World::new().await;
    world.journal.full.store(true, Ordering::SeqCst);
    for _ in 0..2 {
        let refused = projects::create(&world.realm, project("p"), "test").await;
        assert_eq!(refused.err(), Some(ProjectError::AuditUnavailable));
    }
    world.journal.full.store(false, Ordering::SeqCst);
    keep_trail(&world.realm, false).await;
    projects::create(&world.realm, project("p"), "test").await.unwrap();
    assert_eq!(lines(&world, "project").len(), 1);
}

/// Failure: a permission that was given and is in no line; or one that could not be taken away.
#[tokio::test]
async fn what_only_grants_waits_for_the_trail_and_what_takes_away_does_not() {
    let world = World::new().await;
    let made = projects::create(&world.realm, project("p"), "test").await.unwrap();
    world.journal.full.store(true, Ordering::SeqCst);
    // The first to meet it.
    assert!(issue(&world.realm, &order("p"), "test").await.is_err());
    let mut more = made.collaborators.clone();
    more.push(Collaborator { organisation: organisation(3), can_reverse: false });
    let set = |wanted| projects::collaborators(&world.realm, &made.id, made.version, wanted, "test");
    assert_eq!(set(more.clone()).await.err(), Some(ProjectError::AuditUnavailable));
    let stands = projects::get(&world.realm, &made.id).await.unwrap();
    assert_eq!(stands.collaborators, made.collaborators, "nothing was granted");
    set(Vec::new()).await.unwrap();
    world.journal.full.store(false, Ordering::SeqCst);
    keep_trail(&world.realm, false).await;
    assert!(lines(&world, "append").pop().unwrap().contains(r#""late":true"#));
}

/// The trail's own copy of the log goes on from what was forgotten, so that old files may be taken away.
#[tokio::test]
async fn what_is_trimmed_is_in_the_trail() {
    let world = World::new().await;
    revoke_token(&world, 1, "").await;
    world.clock.advance(Duration::from_hours(31 * 24));
    world.until(|published| published.head.statement().base.sequence == 2).await;
    let line = lines(&world, "trim").pop().unwrap();
    assert!(line.contains(r#""epoch":1"#) && line.contains(r#""base":2"#), "{line}");
}
