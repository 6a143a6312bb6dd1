//! The register against verifiers that behave as they should, on schedules that do not.

use proptest::prelude::*;

use super::*;

const ALL: PerType<bool> = PerType { pseudonymisation: true, reverse: true, secondary: true };
const REVERSE: PerType<bool> = PerType { pseudonymisation: false, reverse: true, secondary: false };
const LIMITS: PerType<Duration> = PerType {
    pseudonymisation: Duration::from_mins(15),
    reverse: Duration::from_secs(10),
    secondary: Duration::from_mins(1),
};

fn at(seconds: u64) -> BootInstant {
    BootInstant::from_duration(Duration::from_secs(seconds))
}

fn follower(instance: u64) -> Follower {
    Follower { id: "pod-a".to_owned(), instance }
}

/// The register of an issuer that shares its store with nobody.
fn alone(now: BootInstant) -> Register {
    Register::restored([], 1, None, now)
}

/// A verifier that said hello and whose row is in the store.
fn join(register: &mut Register, instance: u64, limits: PerType<Duration>, now: BootInstant) -> u64 {
    let row = register.join(follower(instance), limits, now);
    register.entered(&row, now);
    row.tenure.session
}

fn cursor(sequence: u64) -> Cursor {
    Cursor::new(1, sequence)
}

#[test]
fn an_acknowledged_entry_is_visible() {
    let mut register = alone(at(0));
    join(&mut register, 1, LIMITS, at(1));
    register.appended(cursor(7), at(2));
    assert_eq!(register.visibility(cursor(7), ALL, at(2)).waiting_for, ["pod-a"]);
    register.acknowledge(&follower(1), cursor(7));
    assert!(register.visibility(cursor(7), ALL, at(2)).reached());
}

#[test]
fn a_dead_verifier_is_waited_for_until_its_lease_for_the_types_hit_has_ended() {
    let mut register = alone(at(0));
    let session = join(&mut register, 1, LIMITS, at(1));
    register.appended(cursor(7), at(20));
    assert_eq!(
        register.answer(&follower(1), session, at(25)),
        Answerable::Yes,
        "with the entry in its answer"
    );
    let waiting = register.visibility(cursor(7), REVERSE, at(30));
    assert_eq!((waiting.reached(), waiting.next_change), (false, Some(at(30))));
    assert!(register.visibility(cursor(7), REVERSE, at(31)).reached());
    assert!(!register.visibility(cursor(7), ALL, at(31)).reached());
    assert_eq!(register.effective_after(REVERSE, at(31)), Duration::from_secs(10));
}

#[test]
fn a_verifier_that_was_dead_before_the_entry_is_waited_for_since_its_last_answer() {
    let mut register = alone(at(0));
    let session = join(&mut register, 1, LIMITS, at(1));
    assert_eq!(register.answer(&follower(1), session, at(5)), Answerable::Yes);
    register.appended(cursor(7), at(14));
    assert!(!register.visibility(cursor(7), REVERSE, at(15)).reached());
    assert!(register.visibility(cursor(7), REVERSE, at(16)).reached());
}

#[test]
fn a_restarted_verifier_does_not_replace_its_former_row() {
    let mut register = alone(at(0));
    join(&mut register, 1, LIMITS, at(1));
    join(&mut register, 2, LIMITS, at(2));
    register.appended(cursor(7), at(3));
    register.acknowledge(&follower(2), cursor(7));
    let visibility = register.visibility(cursor(7), ALL, at(4));
    assert_eq!((visibility.followers, visibility.visible_to()), (2, 1));
}

#[test]
fn goodbye_removes_the_row_at_once() {
    let mut register = alone(at(0));
    let session = join(&mut register, 1, LIMITS, at(1));
    register.leave(&follower(1), 7);
    assert!(!register.visibility(cursor(7), ALL, at(2)).reached(), "another hello's");
    register.leave(&follower(1), session);
    assert!(register.visibility(cursor(7), ALL, at(2)).reached());
}

#[test]
fn a_verifier_known_from_the_store_is_waited_for_since_the_start() {
    let tenure = Tenure { issuer: 9, session: 1 };
    let row = Row { follower: follower(1), limits: LIMITS, tenure, acknowledged: Cursor::ZERO };
    let mut register = Register::restored([row], 1, None, at(100));
    assert!(!register.visibility(cursor(3), REVERSE, at(110)).reached());
    assert!(register.visibility(cursor(3), REVERSE, at(111)).reached());
    assert_eq!(register.expire(at(1_000)), []);
    assert_eq!(register.expire(at(1_001)), [(follower(1), tenure)]);
}

#[test]
fn a_row_is_removed_when_its_longest_lease_has_run_out() {
    let mut register = alone(at(0));
    let session = join(&mut register, 1, LIMITS, at(0));
    assert_eq!(register.answer(&follower(1), session, at(50)), Answerable::Yes);
    assert_eq!(register.expire(at(950)), []);
    assert_eq!(register.expire(at(951)), [(follower(1), Tenure { issuer: 1, session })]);
    assert_eq!(register.answer(&follower(1), session, at(951)), Answerable::Gone);
}

#[test]
fn a_follower_5_s_behind_gets_no_more_answers_until_it_has_caught_up() {
    let mut register = alone(at(0));
    let session = join(&mut register, 1, LIMITS, at(0));
    let answered = |register: &mut Register, now| register.answer(&follower(1), session, now);
    register.appended(cursor(1), at(10));
    assert_eq!(answered(&mut register, at(15)), Answerable::Yes);
    register.appended(cursor(2), at(15));
    assert_eq!(answered(&mut register, at(16)), Answerable::NotNow);
    register.acknowledge(&follower(1), cursor(1));
    assert_eq!(answered(&mut register, at(16)), Answerable::Yes, "progress counts, not being at the end");
    assert_eq!(answered(&mut register, at(21)), Answerable::NotNow);
}

#[test]
fn a_verifier_that_said_hello_again_is_answered_as_the_new_one_only() {
    let mut register = alone(at(0));
    let first = join(&mut register, 1, LIMITS, at(0));
    let second = join(&mut register, 1, LIMITS, at(1));
    assert_eq!(register.answer(&follower(1), first, at(2)), Answerable::Gone);
    assert_eq!(register.answer(&follower(1), second, at(2)), Answerable::Yes);
}

#[test]
fn limits_that_were_tightened_shorten_no_wait() {
    let mut register = alone(at(0));
    join(&mut register, 1, LIMITS, at(0));
    let row = register.join(follower(1), PerType::from_fn(|_| Duration::from_secs(1)), at(1));
    assert_eq!(row.limits, LIMITS);
}

#[test]
fn after_a_loss_nothing_is_called_visible_for_the_longest_limit() {
    let mut register = alone(at(0));
    join(&mut register, 1, LIMITS, at(0));
    register.appended(cursor(1), at(1));
    register.acknowledge(&follower(1), cursor(1));
    register.lost(at(2), Duration::ZERO);
    assert!(!register.visibility(cursor(1), ALL, at(901)).reached());
    assert_eq!(register.effective_after(REVERSE, at(2)), Duration::from_mins(15), "nor promised any earlier");
    assert!(register.visibility(cursor(1), ALL, at(902)).reached());
}

/// What happens to one verifier, in any order and with any delay.
#[derive(Clone, Debug)]
enum Event {
    /// Time passes.
    Wait(u64),
    /// An entry is appended.
    Append,
    /// A probe goes out, is answered, and the answer arrives so many milliseconds later.
    Probe { delay: u64 },
    /// The verifier's acknowledgement arrives.
    Acknowledge,
    /// The issuer is restarted on the store's rows.
    Restart,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        (0_u64..4_000).prop_map(Event::Wait),
        Just(Event::Append),
        (0_u64..8_000).prop_map(|delay| Event::Probe { delay }),
        Just(Event::Acknowledge),
        Just(Event::Restart),
    ]
}

proptest! {
    /// When an entry is called visible, a verifier that has not applied it has no lease, whatever came before.
    #[test]
    fn visible_means_that_nobody_who_lacks_the_entry_has_a_lease(
        events in prop::collection::vec(event(), 1..60), applies in any::<u64>(),
    ) {
        let limits = PerType::from_fn(|_| Duration::from_secs(10));
        let instant = |ms: u64| BootInstant::from_duration(Duration::from_millis(ms));
        let (mut now, mut head, mut applied, mut lease_from) = (0_u64, 0_u64, 0_u64, None::<u64>);
        let mut register = alone(instant(now));
        let mut row = register.join(follower(1), limits, instant(now));
        register.entered(&row, instant(now));
        for (index, event) in events.into_iter().enumerate() {
            match event {
                Event::Wait(ms) => now += ms,
                Event::Append => {
                    head += 1;
                    register.appended(cursor(head), instant(now));
                },
                Event::Probe { delay } => {
                    let (sent, answered_head) = (now, head);
                    if register.answer(&row.follower, row.tenure.session, instant(now)) == Answerable::Yes {
                        now += delay;
                        // A verifier may or may not get round to applying what it was sent.
                        if applies >> (index % 64) & 1 == 1 {
                            applied = applied.max(answered_head);
                        }
                        if applied >= answered_head {
                            lease_from = Some(sent);
                        }
                    }
                },
                Event::Acknowledge => register.acknowledge(&row.follower, cursor(applied)),
                Event::Restart => {
                    register = Register::restored([row.clone()], 1, None, instant(now));
                    // It says hello to the new process.
                    row = register.join(follower(1), limits, instant(now));
                    register.entered(&row, instant(now));
                }
            }
            let leased = lease_from.is_some_and(|from| now - from <= 10_000);
            if leased && applied < head {
                prop_assert!(!register.visibility(cursor(head), ALL, instant(now)).reached());
            }
        }
    }
}
