//! Ends of retention and of tokens to the second, and clocks that step or stand.

use std::time::Duration;

use common::{
    proto::v1::{Project, RefusalReason, project_configuration::Method},
    timestamp::Timestamp,
};
use harness::{
    calls::{serving, tokens},
    expect,
    orders::{self, OWNER},
    pair::{BEGIN, Pair, Setup},
    until,
};
use tonic::Code;

const SECOND: Duration = Duration::from_secs(1);
/// 2028-02-29 12:00:00 UTC.
const LAST_OF_FEBRUARY: u64 = 1_835_438_400;
/// 2028-02-29 08:30:00 UTC.
const LEAP_DAY: u64 = 1_835_425_800;
/// 2029-02-28 08:30:00 UTC.
const A_YEAR_AFTER: u64 = 1_866_961_800;

/// Zero when there is none.
fn retention_end(project: &Project) -> u64 {
    match project.configuration.as_ref().unwrap().method.as_ref().unwrap() {
        Method::Reversible(reversible) => reversible.retention_end.unwrap().seconds.try_into().unwrap(),
        Method::NotReversible(_) => 0,
    }
}

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_seconds(seconds).unwrap()
}

#[tokio::test]
async fn a_month_from_the_31st_of_january_ends_on_the_last_of_february_to_the_second() {
    let pair = Pair::start().await;
    let project = pair.create(orders::retained("study", 0, 1, 0)).await.unwrap();
    assert_eq!(retention_end(&project), LAST_OF_FEBRUARY);
    pair.advance(Duration::from_secs(LAST_OF_FEBRUARY - BEGIN - 1));
    pair.fresh().await;
    let token = pair.token(orders::reverse("study", OWNER)).await;
    pair.accepted(&token).await;
    pair.advance(SECOND);
    let refused = pair.issue(orders::reverse("study", OWNER)).await.unwrap_err();
    assert_eq!(expect::reason(&refused), "RETENTION_ENDED");
    let ended = pair.refused(&token).await;
    assert!(matches!(ended, RefusalReason::Expired | RefusalReason::RetentionEnded), "{ended:?}");
}

#[tokio::test]
async fn a_year_from_the_leap_day_ends_on_the_28th() {
    let pair = Pair::with(Setup { begin: LEAP_DAY, ..Setup::default() }).await;
    let project = pair.create(orders::retained("study", 1, 0, 0)).await.unwrap();
    assert_eq!(retention_end(&project), A_YEAR_AFTER);
    let days = pair.create(orders::retained("days", 0, 12, 1)).await.unwrap();
    assert_eq!(retention_end(&days), A_YEAR_AFTER + 86_400, "months first, then days");
}

#[tokio::test]
async fn expiry_is_exclusive() {
    let pair = Pair::start().await;
    pair.create(orders::reversible("study")).await.unwrap();
    let order = common::proto::v1::IssueTokenRequest {
        lifetime: Some(orders::seconds(5)),
        ..orders::reverse("study", OWNER)
    };
    let token = pair.token(order).await;
    pair.verifier_clock.advance(4 * SECOND);
    pair.accepted(&token).await;
    pair.verifier_clock.advance(SECOND);
    assert_eq!(pair.refused(&token).await, RefusalReason::Expired);
}

#[tokio::test]
async fn an_issuer_whose_clock_went_back_issues_nothing_and_still_revokes() {
    let pair = Pair::start().await;
    pair.create(orders::reversible("study")).await.unwrap();
    let issued = pair.issue(orders::reverse("study", OWNER)).await.unwrap();
    pair.issuer_clock.set_wall(at(BEGIN - 1));
    let refused = pair.issue(orders::pseudonymise("study", OWNER)).await.unwrap_err();
    assert_eq!((refused.code(), &*expect::reason(&refused)), (Code::Unavailable, "CLOCK_SUSPECT"));
    until("health tells", async || {
        (!serving(pair.issuer(), "ipms.token.v1.IssuerService").await.unwrap()).then_some(())
    })
    .await;
    assert!(serving(pair.issuer(), "ipms.token.v1.RevocationService").await.unwrap());
    let revoked = pair.revoke(tokens([&issued.record.unwrap().token_id])).await.unwrap();
    pair.seen(&revoked).await;
    assert_eq!(pair.refused(&issued.token).await, RefusalReason::Revoked);
    pair.issuer_clock.set_wall(at(BEGIN));
    let token = pair.token(orders::pseudonymise("study", OWNER)).await;
    pair.accepted(&token).await;
}

#[tokio::test]
async fn an_issuer_whose_clock_went_back_over_a_restart_issues_nothing() {
    let mut pair = Pair::start().await;
    pair.create(orders::reversible("study")).await.unwrap();
    pair.kill_issuer();
    pair.issuer_clock.set_wall(at(BEGIN - 3_600));
    pair.start_issuer().await.unwrap();
    let refused = pair.issue(orders::pseudonymise("study", OWNER)).await.unwrap_err();
    assert_eq!(expect::reason(&refused), "CLOCK_SUSPECT");
}

#[tokio::test]
async fn a_token_from_an_issuer_that_is_ahead_is_not_yet_valid_beyond_the_leeway() {
    let pair = Pair::start().await;
    pair.create(orders::reversible("study")).await.unwrap();
    pair.issuer_clock.set_wall(at(BEGIN + 2));
    let near = pair.token(orders::pseudonymise("study", OWNER)).await;
    pair.accepted(&near).await;
    pair.issuer_clock.set_wall(at(BEGIN + 3));
    let far = pair.token(orders::pseudonymise("study", OWNER)).await;
    assert_eq!(pair.refused(&far).await, RefusalReason::NotYetValid);
}

#[tokio::test]
async fn a_head_from_the_future_is_not_believed() {
    let pair = Pair::start().await;
    pair.issuer_clock.advance(Duration::from_mins(2));
    let revoked = pair.revoke(tokens(["AAAAAAAAAAAAAAAAAAAAAA"])).await.unwrap();
    until("the alarm stands", async || {
        let alarms = pair.view().await.unwrap().alarms;
        alarms.iter().any(|alarm| alarm.contains("ahead of this machine's clock")).then_some(())
    })
    .await;
    pair.verifier_clock.set_wall(at(BEGIN + 120));
    pair.seen(&revoked).await;
    until("the alarm ends", async || pair.view().await.unwrap().alarms.is_empty().then_some(())).await;
}

#[tokio::test]
async fn a_verifier_whose_wall_clock_goes_back_judges_by_the_logs_time() {
    let pair = Pair::start().await;
    pair.create(orders::reversible("study")).await.unwrap();
    let order = common::proto::v1::IssueTokenRequest {
        lifetime: Some(orders::seconds(60)),
        ..orders::pseudonymise("study", OWNER)
    };
    let token = pair.token(order).await;
    pair.advance(61 * SECOND);
    until("the log's time follows", async || {
        let time = pair.view().await.unwrap().log_time.unwrap().seconds;
        (u64::try_from(time).unwrap() >= BEGIN + 60).then_some(())
    })
    .await;
    pair.verifier_clock.set_wall(at(BEGIN));
    assert_eq!(pair.refused(&token).await, RefusalReason::Expired);
}

#[tokio::test]
async fn a_verifier_that_was_suspended_decides_nothing_until_an_issuer_answers() {
    let mut pair = Pair::start().await;
    pair.create(orders::reversible("study")).await.unwrap();
    let token = pair.token(orders::reverse("study", OWNER)).await;
    pair.kill_issuer();
    pair.verifier_clock.advance(Duration::from_mins(59));
    let undecided = pair.verify(&token).await.unwrap_err();
    assert_eq!(expect::reason(&undecided), "REVOCATIONS_STALE");
    pair.issuer_clock.advance(Duration::from_mins(59));
    pair.start_issuer().await.unwrap();
    pair.fresh().await;
    pair.accepted(&token).await;
}

/// Failure: a token that has expired by the issuer's calendar or by the verifier's is accepted, whatever the other one says.
#[tokio::test]
async fn a_verifier_whose_clock_jumps_steps_or_stands_accepts_no_expired_token() {
    let pair = Pair::start().await;
    pair.create(orders::reversible("study")).await.unwrap();
    let short = async || {
        let lifetime = Some(orders::seconds(30));
        let order = common::proto::v1::IssueTokenRequest { lifetime, ..orders::reverse("study", OWNER) };
        pair.token(order).await
    };
    let token = short().await;
    pair.accepted(&token).await;
    pair.verifier_clock.set_wall(at(BEGIN + 3_600));
    assert_eq!(pair.refused(&token).await, RefusalReason::Expired, "an hour ahead");
    pair.verifier_clock.set_wall(at(BEGIN));
    pair.accepted(&token).await;
    // The boot clocks go on, and the issuer's calendar; the verifier's goes to and fro.
    for step in 1..=40 {
        pair.advance(SECOND);
        pair.verifier_clock.set_wall(at(BEGIN - step % 3));
    }
    let revoked = pair.revoke(tokens(["AAAAAAAAAAAAAAAAAAAAAA"])).await.unwrap();
    pair.seen(&revoked).await;
    pair.fresh().await;
    assert_eq!(pair.refused(&token).await, RefusalReason::Expired, "it stood");
    let newer = short().await;
    pair.accepted(&newer).await;
    pair.verifier_clock.set_wall(at(BEGIN + 40 - 3_600));
    pair.accepted(&newer).await;
    assert_eq!(pair.refused(&token).await, RefusalReason::Expired, "an hour behind");
    pair.verifier_clock.set_wall(at(BEGIN + 70));
    assert_eq!(pair.refused(&newer).await, RefusalReason::Expired, "right again");
}

/// Failure: a panic, an error without a name, or an expired token that is accepted.
#[tokio::test]
async fn at_the_edges_of_the_calendar_every_answer_is_a_verdict_or_a_named_refusal() {
    let last = Timestamp::MAX.seconds();
    for begin in [0, 1 << 31, 1 << 32, last - 86_400, last - 30, last - 3, last]
        .map(|edge: u64| edge.saturating_sub(2))
    {
        let pair = Pair::unheard(Setup { begin, ..Setup::default() }).await;
        let named = |what: &str, code: Code| {
            let known = [Code::FailedPrecondition, Code::InvalidArgument, Code::Unavailable, Code::NotFound];
            assert!(known.contains(&code), "at {begin}: {what}: {code:?}");
        };
        let mut tokens = Vec::new();
        for _ in 0..8 {
            for request in [orders::reversible("study"), orders::not_reversible("other")] {
                let created = pair.create(request).await;
                created.map_or_else(|refused| named("create", refused.code()), drop);
            }
            for order in [orders::reverse("study", OWNER), orders::pseudonymise("other", OWNER)] {
                match pair.issue(order).await {
                    Ok(issued) => tokens.push((issued.token, issued.record.unwrap())),
                    Err(refused) => named("issue", refused.code()),
                }
            }
            for (token, record) in &tokens {
                match pair.verify(token).await.map(|answer| answer.verdict.unwrap()) {
                    Ok(common::proto::v1::verify_token_response::Verdict::Accepted(_)) => {
                        let ends = record.expire_time.unwrap().seconds;
                        let now = common::clock::Clock::now(&*pair.verifier_clock).wall.seconds();
                        assert!(
                            u64::try_from(ends).unwrap() > now,
                            "at {begin}: accepted at {now}: {record:?}"
                        );
                    }
                    Ok(_) => {}
                    Err(refused) => named("verify", refused.code()),
                }
            }
            pair.advance(SECOND);
        }
        assert!(!tokens.is_empty() || begin > last - 86_400, "at {begin} nothing was ever issued");
    }
}
