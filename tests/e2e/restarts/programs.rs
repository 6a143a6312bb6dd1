//! The real programs, ended by signals.

use std::time::Duration;

use common::proto::v1::{RefusalReason, TokenState};
use harness::{
    calls::tokens,
    orders::{self, OWNER, PARTNER},
    programs::Programs,
    until,
};

#[tokio::test]
async fn a_revocation_that_was_answered_survives_a_kill_and_so_does_all_else() {
    let mut programs = Programs::start().await;
    let study = programs.create(orders::reversible("study")).await.unwrap();
    let revoked = programs.issue(orders::reverse("study", OWNER)).await.unwrap();
    let spared = programs.issue(orders::pseudonymise("study", PARTNER)).await.unwrap();
    let (id, other) = (revoked.record.unwrap().token_id, spared.record.unwrap().token_id);
    let answer = programs.revoke(tokens([&id])).await.unwrap();
    programs.issuer.kill();
    programs.restart_issuer().await;
    assert_eq!(programs.record(&id).await.unwrap().state(), TokenState::Revoked);
    assert_eq!(programs.record(&other).await.unwrap().state(), TokenState::Live);
    assert_eq!(programs.project("study").await.unwrap(), study);
    programs.seen(&answer).await;
    programs.fresh().await;
    assert_eq!(programs.refused(&revoked.token).await, RefusalReason::Revoked);
    programs.accepted(&spared.token).await;
    assert_eq!(programs.revoke(tokens([&id])).await.unwrap().cursor, answer.cursor, "the log is the same");
    let new = programs.token(orders::reverse("study", OWNER)).await;
    programs.accepted(&new).await;
}

#[tokio::test]
async fn a_killed_verifier_goes_on_from_its_file_without_an_issuer() {
    let mut programs = Programs::start().await;
    programs.create(orders::reversible("study")).await.unwrap();
    let revoked = programs.issue(orders::pseudonymise("study", OWNER)).await.unwrap();
    let spared = programs.token(orders::pseudonymise("study", OWNER)).await;
    let answer = programs.revoke(tokens([&revoked.record.unwrap().token_id])).await.unwrap();
    programs.seen(&answer).await;
    writes_leases(&programs).await;
    programs.issuer.kill();
    programs.verifier.kill();
    programs.restart_verifier().await;
    assert_eq!(programs.refused(&revoked.token).await, RefusalReason::Revoked);
    programs.accepted(&spared).await;
}

/// Failure: `AwaitVisibility` waits for a process that was killed, although its successor holds its file.
#[tokio::test]
async fn the_successor_of_a_killed_verifier_takes_the_place_of_its_row() {
    let mut programs = Programs::start().await;
    for _ in 0..3 {
        writes_leases(&programs).await;
        programs.verifier.kill();
        programs.restart_verifier().await;
        programs.fresh().await;
        let revoked = programs.revoke(tokens(["AAAAAAAAAAAAAAAAAAAAAA"])).await.unwrap();
        assert_eq!(revoked.followers, 1, "one that runs");
        let seen = programs.await_visibility(revoked.cursor.unwrap(), Duration::from_secs(20)).await.unwrap();
        assert!(seen.reached, "{seen:?}");
    }
    // A copy of the file is another file: whoever held the first one may be running.
    programs.verifier.kill();
    std::fs::copy(programs.path("view"), programs.path("copy")).unwrap();
    std::fs::rename(programs.path("copy"), programs.path("view")).unwrap();
    programs.restart_verifier().await;
    programs.fresh().await;
    let revoked = programs.revoke(tokens(["AAAAAAAAAAAAAAAAAAAAAA"])).await.unwrap();
    assert_eq!(revoked.followers, 2, "nobody knows that the other one has ended");
}

/// Only leases come one after another without anything else: the file grew twice by the same. What belongs to the first
/// one, whose file it is and which process holds it, is written by then, and so is a whole lease since the call.
async fn writes_leases(programs: &Programs) {
    let mut sizes = Vec::new();
    until("its own leases are written", async || {
        let size = std::fs::metadata(programs.path("view")).unwrap().len();
        if sizes.last() != Some(&size) {
            sizes.push(size);
        }
        matches!(sizes[..], [.., first, second, third] if third.wrapping_sub(second) == second.wrapping_sub(first))
            .then_some(())
    })
    .await;
}

#[tokio::test]
async fn both_end_well_on_a_signal_and_the_verifier_says_goodbye() {
    let mut programs = Programs::start().await;
    assert!(programs.verifier.terminate().await);
    until("the goodbye is heard", async || {
        let revoked = programs.revoke(tokens(["AAAAAAAAAAAAAAAAAAAAAA"])).await.unwrap();
        (revoked.followers == 0).then_some(())
    })
    .await;
    assert!(programs.issuer.terminate().await);
}

#[tokio::test]
async fn rule_10_the_token_is_in_no_log_at_the_finest_level() {
    let mut programs = Programs::start().await;
    programs.create(orders::reversible("study")).await.unwrap();
    let token = programs.token(orders::reverse("study", OWNER)).await;
    programs.accepted(&token).await;
    programs.refused(&format!("{token}A")).await;
    programs.verifier.terminate().await;
    programs.issuer.terminate().await;
    for log in [programs.issuer.log(), programs.verifier.log()] {
        let text = std::fs::read_to_string(&log).unwrap();
        assert!(text.contains("VerifyToken") || text.contains("IssueToken"), "{}", log.display());
        for part in token.split('.').skip(1) {
            assert!(!text.contains(part), "{}", log.display());
        }
        for told in [orders::ASKER, orders::APPROVER, orders::PURPOSE] {
            assert!(!text.contains(told), "{}", log.display());
        }
    }
}
