//! Hostile HTTP/2, ten attackers for each mode: floods are ended by the server, slow ones by the clock, bad messages are
//! answered. Fails when a legitimate call fails, when memory grows without bound, or when an attacker is left alone.

use std::time::Duration;

use harness::{
    hostile::{Ended, Mode, OPENED, attack_at},
    orders::{OWNER, pseudonymise, reversible},
    programs::{Programs, Start},
};
use tokio::{task::JoinSet, time::Instant};

use crate::legitimate::Legitimate;

const ATTACKERS: usize = 10;
/// How long each mode goes on: a flood is ended within milliseconds, and begins again.
const SPAN: Duration = Duration::from_secs(1);
/// Longer than a call may take to arrive.
const HELD: Duration = Duration::from_secs(13);
const MOST_GROWTH: u64 = 64 << 20;

/// What must become of an attacker.
#[derive(Clone, Copy, Debug)]
enum Fate {
    /// The server ends the connection.
    Ended,
    /// Every call is answered, and the connection may stay.
    Answered,
    /// Calls above the most are reset, the others answered when they are late.
    Bounded,
    /// It costs the server next to nothing, and may stay for as long as a connection may.
    Held,
}

/// Both programs, a legitimate caller, and the attacks of some modes, all at once: again and again for `span`, each with
/// such patience.
async fn attacked(modes: &[(Mode, Fate)], span: Duration, patience: Duration) {
    let quiet = || ("LOG__LEVEL", "info".to_owned());
    let start = Start { issuer: vec![quiet()], verifier: vec![quiet()], ..Start::default() };
    let mut programs = Programs::set_up(start).await;
    programs.create(reversible("p1")).await.unwrap();
    let token = programs.token(pseudonymise("p1", OWNER)).await;
    programs.accepted(&token).await;
    let before = [programs.verifier.memory("VmRSS"), programs.issuer.memory("VmRSS")];
    let legitimate = Legitimate::start(programs.calls().verifier(), token.clone());
    let mut attacks = JoinSet::new();
    for (address, issuer) in [(programs.verifier.grpc(), false), (programs.issuer.grpc(), true)] {
        for (mode, fate) in modes.repeat(ATTACKERS) {
            // Those that may stay are not waited for.
            let patience =
                if matches!(fate, Fate::Held | Fate::Bounded) { patience.min(HELD) } else { patience };
            attacks.spawn(async move {
                let begun = Instant::now();
                loop {
                    judge(mode, fate, &attack_at(address, mode, patience).await.unwrap(), issuer);
                    if begun.elapsed() >= span {
                        break;
                    }
                }
            });
        }
    }
    while let Some(attack) = attacks.join_next().await {
        attack.unwrap();
    }
    let calls = legitimate.end().await;
    assert!(calls > 0, "no legitimate call was made");
    let after = [programs.verifier.memory("VmHWM"), programs.issuer.memory("VmHWM")];
    for (before, after) in before.into_iter().zip(after) {
        let growth = after.saturating_sub(before);
        assert!(growth <= MOST_GROWTH, "{} MiB more, {modes:?}", growth >> 20);
    }
    for program in [&mut programs.verifier, &mut programs.issuer] {
        assert!(program.runs() && program.page("/readyz").await.starts_with("HTTP/1.1 200"));
    }
    programs.accepted(&programs.token(pseudonymise("p1", OWNER)).await).await;
}

fn judge(mode: Mode, fate: Fate, ended: &Ended, issuer: bool) {
    match fate {
        Fate::Ended => assert!(ended.after.is_some(), "{mode:?} goes on: {ended:?}"),
        // The last ones may still be under way.
        Fate::Answered => assert!(2 * ended.answers >= ended.sent && ended.sent > 2, "{mode:?}: {ended:?}"),
        Fate::Bounded => {
            let all = ended.answers + ended.resets;
            assert!((issuer || ended.resets >= 44) && all >= OPENED as u64, "{mode:?}: {ended:?}");
        }
        Fate::Held => {}
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn floods_of_calls_are_ended_and_nobody_else_notices() {
    use Mode::{Continuation, EmptyContinuation, HpackBomb, MadeYouReset, MadeYouResetOverflow, RapidReset};
    for mode in [RapidReset, MadeYouReset, MadeYouResetOverflow, Continuation, EmptyContinuation, HpackBomb] {
        attacked(&[(mode, Fate::Ended)], SPAN, Duration::from_secs(30)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn floods_of_frames_that_ask_for_nothing_are_ended_and_nobody_else_notices() {
    for mode in [Mode::Ping, Mode::Settings, Mode::EmptyData, Mode::Priority] {
        attacked(&[(mode, Fate::Ended)], SPAN, Duration::from_secs(30)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_messages_are_answered_and_no_memory_is_taken_for_what_they_claim() {
    let modes = [Mode::GiantPrefix, Mode::CompressedFlag, Mode::Truncated];
    attacked(&modes.map(|mode| (mode, Fate::Answered)), SPAN, SPAN).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn long_messages_that_never_end_take_no_more_memory_than_is_set_aside_for_them() {
    attacked(&[(Mode::LargeBodies, Fate::Held)], Duration::ZERO, Duration::from_secs(8)).await;
}

/// All at once: each waits for another clock of the server, up to the 40 s after which a silent peer is given up.
#[tokio::test(flavor = "multi_thread")]
async fn slow_ones_are_ended_by_the_clock_or_cost_next_to_nothing() {
    let modes = [
        (Mode::Silent, Fate::Ended),
        (Mode::PrefaceOnly, Fate::Ended),
        (Mode::SlowHeaders, Fate::Ended),
        (Mode::NeverReading, Fate::Ended),
        (Mode::OpenStreams, Fate::Bounded),
        (Mode::SlowBody, Fate::Held),
        (Mode::ZeroWindow, Fate::Held),
    ];
    attacked(&modes, Duration::ZERO, Duration::from_mins(1)).await;
}
