//! Leases against answers that are lost, late, doubled and overtaken, and against clocks that step.

use proptest::prelude::*;

use super::*;

const BOOT: BootId = BootId([7; 16]);

fn at(ms: u64) -> BootInstant {
    BootInstant::from_duration(Duration::from_millis(ms))
}

fn now(ms: u64) -> Now {
    Now { wall: Timestamp::EPOCH.plus(Duration::from_secs(1_000) + Duration::from_millis(ms)), boot: at(ms) }
}

fn cursor(sequence: u64) -> Cursor {
    Cursor::new(1, sequence)
}

fn lease(sent: u64, head_age: u64) -> Lease {
    let mut probes = Probes::default();
    let number = probes.send(now(sent));
    let renewal = probes.answered(number, cursor(1), Duration::from_millis(head_age)).unwrap();
    renewal.once_applied(cursor(1)).unwrap()
}

#[test]
fn age_is_now_minus_probe_sent_plus_that_age() {
    assert_eq!(lease(1_000, 250).age(at(3_000)), Duration::from_millis(2_250));
    assert!(lease(1_000, 250).holds(Duration::from_millis(2_250), at(3_000)), "the limit itself is within");
    assert!(!lease(1_000, 250).holds(Duration::from_millis(2_249), at(3_000)));
    assert_eq!(lease(1_000, 250).left(Duration::from_millis(2_250), at(2_000)), Some(Duration::from_secs(1)));
}

#[test]
fn the_lease_is_renewed_only_once_the_verifier_has_applied_that_head() {
    let mut probes = Probes::default();
    let number = probes.send(now(0));
    let renewal = probes.answered(number, cursor(5), Duration::ZERO).unwrap();
    assert_eq!(renewal.once_applied(cursor(4)), None);
    assert!(renewal.once_applied(cursor(5)).is_some());
}

#[test]
fn an_answer_that_was_not_asked_for_renews_nothing() {
    let mut probes = Probes::default();
    assert_eq!(probes.answered(1, cursor(1), Duration::ZERO), None);
    let (first, second) = (probes.send(now(0)), probes.send(now(1_000)));
    assert!(probes.answered(second, cursor(1), Duration::ZERO).is_some());
    assert_eq!(probes.answered(second, cursor(1), Duration::ZERO), None, "a second time");
    assert_eq!(probes.answered(first, cursor(1), Duration::ZERO), None, "overtaken");
}

#[test]
fn probes_under_way_are_bounded() {
    let mut probes = Probes::default();
    let first = probes.send(now(0));
    for second in 1..=64 {
        probes.send(now(second * 1_000));
    }
    assert_eq!(probes.answered(first, cursor(1), Duration::ZERO), None);
}

#[test]
fn in_the_same_boot_the_age_runs_on() {
    let record = lease(1_000, 250).record(BOOT);
    assert_eq!(record.resume(BOOT, now(4_000)).map(|l| l.age(at(4_000))), Some(Duration::from_millis(3_250)));
}

#[test]
fn in_another_boot_or_if_wall_time_went_back_it_has_no_lease() {
    let record = lease(5_000, 0).record(BOOT);
    assert_eq!(record.resume(BootId([8; 16]), now(6_000)), None);
    assert_eq!(record.resume(BOOT, Now { wall: now(4_000).wall, ..now(6_000) }), None);
    assert_eq!(record.resume(BOOT, Now { boot: at(4_999), ..now(6_000) }), None);
}

#[test]
fn own_limits_only_tighten() {
    let (ten, five) = (Duration::from_secs(10), Duration::from_secs(5));
    assert_eq!(applied_limit(ten, None), ten);
    assert_eq!(applied_limit(ten, Some(five)), five);
    assert_eq!(applied_limit(five, Some(ten)), five);
}

/// What happens between one verifier and one issuer.
#[derive(Clone, Debug)]
enum Event {
    Wait(u64),
    Append,
    /// A probe leaves; the issuer sees it so many milliseconds later.
    Probe {
        delay: u64,
    },
    /// One of the answers under way arrives; it may arrive again.
    Answer {
        which: prop::sample::Index,
        twice: bool,
    },
    Apply,
    /// The process is restarted: its entries and its lease record are on disk.
    Restart,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        (0_u64..5_000).prop_map(Event::Wait),
        Just(Event::Append),
        (0_u64..3_000).prop_map(|delay| Event::Probe { delay }),
        (any::<prop::sample::Index>(), any::<bool>())
            .prop_map(|(which, twice)| Event::Answer { which, twice }),
        Just(Event::Apply),
        Just(Event::Restart),
    ]
}

proptest! {
    /// The one thing a lease means: what was appended longer ago than the limit is applied.
    #[test]
    fn under_a_lease_every_entry_older_than_the_limit_is_applied(
        events in prop::collection::vec(event(), 1..80), relay_age in 0_u64..1_000,
    ) {
        let limit = 10_000;
        let (mut clock, mut applied) = (0_u64, 0_u64);
        let mut appended: Vec<u64> = Vec::new();
        let mut answers: Vec<(u64, u64)> = Vec::new();
        let mut pending: Vec<Renewal> = Vec::new();
        let (mut probes, mut held) = (Probes::default(), None::<Lease>);
        for event in events {
            match event {
                Event::Wait(ms) => clock += ms,
                Event::Append => appended.push(clock),
                Event::Probe { delay } => {
                    let number = probes.send(now(clock));
                    clock += delay;
                    // A relay knows the end of the log as it was `relay_age` ago, and says so.
                    let known = appended.iter().filter(|at| **at + relay_age <= clock).count() as u64;
                    answers.push((number, known));
                },
                Event::Answer { which, twice } if !answers.is_empty() => {
                    let (number, end) = answers[which.index(answers.len())];
                    for _ in 0..=usize::from(twice) {
                        pending.extend(probes.answered(number, cursor(end), Duration::from_millis(relay_age)));
                    }
                },
                Event::Apply => applied = (applied + 1).min(appended.len() as u64),
                Event::Answer { .. } => {},
                Event::Restart => {
                    (probes, pending) = (Probes::default(), Vec::new());
                    answers.clear();
                    let record = held.map(|lease| lease.record(BOOT).to_bytes());
                    held = record.and_then(|bytes| LeaseRecord::from_bytes(&bytes)?.resume(BOOT, now(clock)));
                },
            }
            pending.retain(|renewal| match renewal.once_applied(cursor(applied)) {
                Some(lease) => {
                    held = Some(held.map_or(lease, |old| old.younger(lease, at(clock))));
                    false
                },
                None => true,
            });
            if held.is_some_and(|lease| lease.holds(Duration::from_millis(limit), at(clock))) {
                let must = appended.iter().filter(|at| **at + limit < clock).count() as u64;
                prop_assert!(applied >= must, "applied {applied} of {must}");
            }
        }
    }
}
