//! How long a verifier decides without an issuer, by type, over restarts, and what a caller may ask for.

use std::time::Duration;

use common::{
    proto::v1::{self as pb, Cursor, TokenType, revoke_request::Selector, verify_token_response::Verdict},
    revocation::lease::BootId,
    timestamp::Timestamp,
};
use harness::{
    calls::{question, serving},
    expect,
    orders::{self, OWNER, PARTNER, source},
    pair::{BEGIN, BOOT, Pair},
    until,
};
use tonic::Code;

const SECOND: Duration = Duration::from_secs(1);
const SERVICE: &str = "ipms.token.v1.VerifierService";

/// One token of each type, in the order REVERSE, SECONDARY, PSEUDONYMISATION.
async fn one_of_each(pair: &Pair) -> [String; 3] {
    pair.create(orders::reversible("study")).await.unwrap();
    [
        pair.token(orders::reverse("study", OWNER)).await,
        pair.token(orders::secondary("study", OWNER, source("study", PARTNER))).await,
        pair.token(orders::pseudonymise("study", OWNER)).await,
    ]
}

/// Which of the tokens are accepted; the others must be undecided for staleness.
async fn decided(pair: &Pair, tokens: &[String; 3]) -> [bool; 3] {
    let mut decided = [false; 3];
    for (token, decided) in tokens.iter().zip(&mut decided) {
        match pair.verify(token).await {
            Ok(answer) => {
                assert!(matches!(answer.verdict, Some(Verdict::Accepted(_))), "{answer:?}");
                *decided = true;
            }
            Err(status) => {
                assert_eq!(status.code(), Code::Unavailable);
                assert_eq!(expect::reason(&status), "REVOCATIONS_STALE");
            }
        }
    }
    decided
}

#[tokio::test]
async fn without_an_issuer_reversing_stops_first_and_protecting_last() {
    let mut pair = Pair::start().await;
    let tokens = one_of_each(&pair).await;
    pair.kill_issuer();
    for (after, expected) in [
        (10 * SECOND, [true, true, true]),
        (SECOND, [false, true, true]),
        (49 * SECOND, [false, true, true]),
        (SECOND, [false, false, true]),
        (839 * SECOND, [false, false, true]),
        (SECOND, [false, false, false]),
    ] {
        pair.verifier_clock.advance(after);
        assert_eq!(decided(&pair, &tokens).await, expected, "{after:?} later");
        let names = ["/REVERSE", "/SECONDARY", "/PSEUDONYMISATION"];
        until("health follows", async || {
            let mut told = [false; 3];
            for (name, told) in names.iter().zip(&mut told) {
                *told = serving(pair.verifier(), &format!("{SERVICE}{name}")).await.unwrap();
            }
            let any = serving(pair.verifier(), SERVICE).await.unwrap();
            (told == expected && any == expected.contains(&true)).then_some(())
        })
        .await;
    }
    assert!(serving(pair.verifier(), "").await.unwrap(), "it lives all the same");
    pair.issuer_clock.advance(15 * 60 * SECOND);
    pair.start_issuer().await.unwrap();
    pair.fresh().await;
    assert_eq!(decided(&pair, &tokens).await, [true; 3]);
}

#[tokio::test]
async fn a_verifier_that_restarts_goes_on_within_its_limits() {
    let mut pair = Pair::start().await;
    let tokens = one_of_each(&pair).await;
    pair.beat().await;
    pair.kill_issuer();
    pair.verifier_clock.advance(5 * SECOND);
    pair.kill_verifier();
    pair.verifier_clock.advance(2 * SECOND);
    pair.start_verifier(BOOT).await.unwrap();
    assert_eq!(decided(&pair, &tokens).await, [true; 3]);
    pair.verifier_clock.advance(4 * SECOND);
    assert_eq!(decided(&pair, &tokens).await, [false, true, true]);
    pair.verifier_clock.advance(60 * SECOND);
    assert_eq!(decided(&pair, &tokens).await, [false, false, true]);
}

/// Failure: a token accepted that `AwaitVisibility` called refused everywhere.
#[tokio::test]
async fn a_verifier_that_said_goodbye_accepts_nothing_until_an_issuer_answers_again() {
    let mut pair = Pair::start().await;
    let tokens = one_of_each(&pair).await;
    pair.beat().await;
    pair.end_verifier().await;
    let revoked = pair.revoke(Selector::Everything(pb::EverythingSelector::default())).await.unwrap();
    let seen = pair.await_visibility(revoked.cursor.unwrap(), Duration::ZERO).await.unwrap();
    assert_eq!((seen.reached, seen.followers), (true, 0), "nobody is running any more");
    pair.kill_issuer();
    pair.start_verifier(BOOT).await.unwrap();
    assert_eq!(decided(&pair, &tokens).await, [false; 3]);
}

#[tokio::test]
async fn a_verifier_in_another_boot_waits_for_an_issuer() {
    let mut pair = Pair::start().await;
    let tokens = one_of_each(&pair).await;
    pair.kill_issuer();
    pair.start_verifier(BootId([2; 16])).await.unwrap();
    assert_eq!(decided(&pair, &tokens).await, [false; 3]);
    assert_eq!(pair.view().await.unwrap().view.unwrap().age, None);
    pair.start_issuer().await.unwrap();
    pair.fresh().await;
    assert_eq!(decided(&pair, &tokens).await, [true; 3]);
}

#[tokio::test]
async fn a_verifier_whose_wall_clock_went_back_while_it_was_down_waits_for_an_issuer() {
    let mut pair = Pair::start().await;
    let tokens = one_of_each(&pair).await;
    pair.kill_issuer();
    pair.kill_verifier();
    pair.verifier_clock.set_wall(Timestamp::from_seconds(BEGIN - 1).unwrap());
    pair.start_verifier(BOOT).await.unwrap();
    assert_eq!(decided(&pair, &tokens).await, [false; 3]);
}

#[tokio::test]
async fn a_caller_may_tighten_staleness_and_never_relax_it() {
    let mut pair = Pair::start().await;
    let [reverse, ..] = one_of_each(&pair).await;
    pair.kill_issuer();
    pair.verifier_clock.advance(4 * SECOND);
    let ask = async |span| {
        let asked =
            pb::VerifyTokenRequest { max_staleness: Some(orders::seconds(span)), ..question(&reverse) };
        pair.verifying().verify_token(asked).await
    };
    assert!(ask(4).await.is_ok());
    assert_eq!(expect::reason(&ask(3).await.unwrap_err()), "REVOCATIONS_STALE");
    pair.verifier_clock.advance(7 * SECOND);
    assert_eq!(expect::reason(&ask(3_600).await.unwrap_err()), "REVOCATIONS_STALE");
}

#[tokio::test]
async fn a_verifiers_own_limit_tightens_too() {
    let mut pair = Pair::with(harness::pair::Setup {
        verifier: vec![("LIMITS__PSEUDONYMISATION__STALENESS", "20s")],
        ..harness::pair::Setup::default()
    })
    .await;
    let tokens = one_of_each(&pair).await;
    pair.kill_issuer();
    pair.verifier_clock.advance(20 * SECOND);
    assert_eq!(decided(&pair, &tokens).await, [false, true, true]);
    pair.verifier_clock.advance(SECOND);
    assert_eq!(decided(&pair, &tokens).await, [false, true, false]);
}

#[tokio::test]
async fn a_position_that_is_not_reached_is_undecided() {
    let pair = Pair::start().await;
    let [reverse, ..] = one_of_each(&pair).await;
    let ask = async |at_least: Cursor| {
        let asked = pb::VerifyTokenRequest { at_least: Some(at_least), ..question(&reverse) };
        pair.verifying().verify_token(asked).await
    };
    let head = pair.view().await.unwrap().view.unwrap().cursor.unwrap();
    assert!(ask(head).await.is_ok());
    for ahead in [
        Cursor { sequence: head.sequence + 1, ..head },
        Cursor { epoch: head.epoch + 1, sequence: 0 },
        Cursor { epoch: head.epoch + 1, sequence: 1 },
    ] {
        let undecided = ask(ahead).await.unwrap_err();
        assert_eq!(
            (undecided.code(), &*expect::reason(&undecided)),
            (Code::Unavailable, "REVOCATIONS_STALE")
        );
    }
    let revoked = pair.revoke(harness::calls::tokens(["AAAAAAAAAAAAAAAAAAAAAA"])).await.unwrap();
    pair.seen(&revoked).await;
    assert!(ask(revoked.cursor.unwrap()).await.is_ok());
}

#[tokio::test]
async fn an_answer_is_usable_until_the_earliest_of_expiry_and_lease() {
    let mut pair = Pair::start().await;
    let [reverse, _, pseudonymise] = one_of_each(&pair).await;
    let short =
        pb::IssueTokenRequest { lifetime: Some(orders::seconds(3)), ..orders::pseudonymise("study", OWNER) };
    let short = pair.token(short).await;
    pair.kill_issuer();
    for (token, span) in [(&reverse, 10), (&pseudonymise, 900), (&short, 3)] {
        let until = pair.accepted(token).await.usable_until.unwrap().seconds;
        assert_eq!(u64::try_from(until).unwrap(), BEGIN + span);
    }
    pair.verifier_clock.advance(4 * SECOND);
    let until = pair.accepted(&reverse).await.usable_until.unwrap().seconds;
    assert_eq!(u64::try_from(until).unwrap(), BEGIN + 10, "the lease did not grow");
}

#[tokio::test]
async fn one_batch_is_judged_on_one_view_and_may_be_undecided_in_part() {
    let mut pair = Pair::start().await;
    let tokens = one_of_each(&pair).await;
    pair.kill_issuer();
    pair.verifier_clock.advance(11 * SECOND);
    let requests = tokens.iter().chain([&"nonsense".to_owned()]).map(|token| question(token)).collect();
    let answer = pair.verifying().verify_tokens(pb::VerifyTokensRequest { requests }).await.unwrap();
    let responses = answer.into_inner().responses;
    let kinds: Vec<_> = responses
        .iter()
        .map(|response| match response.verdict.as_ref().unwrap() {
            Verdict::Accepted(accepted) => format!("{:?}", accepted.token_type()),
            Verdict::Refused(refused) => format!("{:?}", refused.reason()),
            Verdict::Undecided(undecided) => undecided.reason.clone(),
        })
        .collect();
    let secondary = format!("{:?}", TokenType::Secondary);
    assert_eq!(kinds, ["REVOCATIONS_STALE", &secondary, "Pseudonymisation", "Malformed"]);
    assert!(responses.windows(2).all(|two| two[0].view == two[1].view));
}
