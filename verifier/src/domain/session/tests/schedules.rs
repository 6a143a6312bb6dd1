//! Hostile schedules: messages lost, late, doubled and reordered; a suspended machine; a wall clock that steps; a slow disk.

use std::{collections::VecDeque, sync::OnceLock};

use common::{timestamp::Timestamp, trust::Signed};
use proptest::prelude::*;

use super::*;

/// A log of 12 entries whose heads are signed once for all cases.
struct Fixture {
    written: Written,
    trust: Signed,
    heads: Vec<Signed>,
}

fn fixture() -> &'static Fixture {
    static FIXTURE: OnceLock<Fixture> = OnceLock::new();
    FIXTURE.get_or_init(|| {
        let written = Written::new(11);
        let heads = (0..=12).map(|end| written.head(0, end, 400).signed().clone()).collect();
        let trust = written.trust(10, Limits::default()).signed().clone();
        Fixture { written, trust, heads }
    })
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Advance(u64),
    Suspend(u64),
    Wall(u64),
    Append,
    Connect,
    Disconnect,
    Tick,
    Deliver,
    Lose(usize),
    Double(usize),
    Swap(usize),
    /// The issuer answers what it was asked, from a round so many steps old.
    Answer(usize),
    DiskDone,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0_u64..1_500).prop_map(Step::Advance),
        1 => (0_u64..3_600_000).prop_map(Step::Suspend),
        1 => (300_u64..900).prop_map(Step::Wall),
        3 => Just(Step::Append),
        4 => Just(Step::Connect),
        1 => Just(Step::Disconnect),
        4 => Just(Step::Tick),
        12 => Just(Step::Deliver),
        1 => (0_usize..8).prop_map(Step::Lose),
        1 => (0_usize..8).prop_map(Step::Double),
        1 => (0_usize..8).prop_map(Step::Swap),
        5 => (0_usize..3).prop_map(Step::Answer),
        4 => Just(Step::DiskDone),
    ]
}

/// The world around one session: true time, an honest issuer, a bad network, a disk.
struct World {
    session: Session,
    ms: u64,
    wall: u64,
    /// When entry n + 1 was appended.
    appended: Vec<u64>,
    /// (true time, end of the log then).
    rounds: Vec<(u64, u64)>,
    connected: bool,
    sent: u64,
    probes: VecDeque<u64>,
    to_verifier: VecDeque<Input>,
    published: View,
    disk: VecDeque<Cursor>,
    kept: Cursor,
}

impl World {
    fn new() -> Self {
        let session = session(&fixture().written);
        Self {
            session,
            ms: 0,
            wall: 500,
            appended: vec![0, 0],
            rounds: vec![(0, 2)],
            connected: false,
            sent: 0,
            probes: VecDeque::new(),
            to_verifier: VecDeque::new(),
            published: View::empty(),
            disk: VecDeque::new(),
            kept: Cursor::ZERO,
        }
    }

    fn now(&self) -> Now {
        let wall = Timestamp::from_seconds(self.wall).unwrap();
        Now { wall, boot: BootInstant::from_duration(Duration::from_millis(self.ms)) }
    }

    fn end(&self) -> u64 {
        self.appended.len() as u64
    }

    /// What the issuer has not sent yet: a head, and entries up to it in runs of two.
    fn send_news(&mut self) {
        let end = self.end();
        if self.connected && self.sent < end {
            self.to_verifier.push_back(Input::Head(fixture().heads[usize::try_from(end).unwrap()].clone()));
            for first in (self.sent + 1..=end).step_by(2) {
                self.to_verifier.push_back(run(&fixture().written, first, end.min(first + 1)));
            }
            self.sent = end;
        }
    }

    fn hear(&mut self, input: Input) {
        for action in self.session.handle(input, self.now()) {
            match action {
                Action::Publish(view) => self.published = view,
                Action::Keep(Keep::Batch(batch)) => self.disk.push_back(batch.cursor()),
                Action::Keep(_) | Action::Offer { .. } | Action::Raise(_) | Action::IssuerBelieved => {}
                Action::Probe(number) => self.probes.push_back(number),
                Action::Hello { head, .. } => {
                    let held = fixture().heads.iter().position(|signed| Some(signed) == head.as_ref());
                    self.sent = held.unwrap_or(0) as u64;
                }
                Action::Acknowledge(cursor, _) => {
                    assert!(cursor <= self.kept, "acknowledged before it was on the disk");
                    assert!(cursor <= self.published.log.cursor(), "acknowledged before it was published");
                }
                Action::Disconnect(_) => self.disconnect(),
            }
        }
    }

    fn disconnect(&mut self) {
        self.connected = false;
        self.to_verifier.clear();
        self.probes.clear();
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Advance(ms) => {
                self.ms += ms;
                self.wall += ms / 1_000;
            }
            Step::Suspend(ms) => self.ms += ms,
            Step::Wall(wall) => self.wall = wall,
            Step::Append if self.end() < 12 => {
                self.appended.push(self.ms);
                self.rounds.push((self.ms, self.end()));
                self.send_news();
            }
            Step::Connect if !self.connected => {
                self.connected = true;
                self.to_verifier.push_back(Input::Trust(fixture().trust.clone()));
                self.hear(Input::Connected);
                // The issuer states its head to everybody who says hello.
                if self.sent == self.end() {
                    self.sent -= 1;
                }
                self.send_news();
            }
            Step::Disconnect => {
                self.disconnect();
                self.hear(Input::Disconnected);
            }
            Step::Tick => self.hear(Input::Tick),
            Step::Deliver => {
                if let Some(input) = self.to_verifier.pop_front() {
                    self.hear(input);
                }
            }
            Step::Lose(at) => drop(self.to_verifier.remove(at)),
            Step::Double(at) => {
                let doubled = self.to_verifier.get(at).cloned();
                self.to_verifier.extend(doubled);
            }
            Step::Swap(at) if at + 1 < self.to_verifier.len() => self.to_verifier.swap(at, at + 1),
            Step::Answer(old) => self.answer(old),
            Step::DiskDone => {
                if let Some(cursor) = self.disk.pop_front() {
                    self.kept = self.kept.max(cursor);
                    self.hear(Input::Kept(cursor));
                }
            }
            Step::Append | Step::Connect | Step::Swap(_) => {}
        }
    }

    fn answer(&mut self, old: usize) {
        self.rounds.push((self.ms, self.end()));
        let (at, end) = self.rounds[self.rounds.len().saturating_sub(1 + old)];
        let (cursor, head_age) = (Cursor::new(1, end), Duration::from_millis(self.ms - at));
        for number in std::mem::take(&mut self.probes) {
            self.to_verifier.push_back(Input::Answer { number, cursor, head_age });
        }
    }

    fn check(&self) {
        let log = &self.published.log;
        let end = log.end().sequence;
        if log.cursor() != Cursor::ZERO {
            assert_eq!(log.end(), fixture().written.link(end), "what is published is the issuer's log");
            assert_eq!(log.entries(), end, "without a gap");
        }
        assert!(end <= self.end());
        if let Some(lease) = self.published.lease {
            // The first entry that is not held was appended then: before, the end of the log was no further.
            let outdated = self.appended.get(usize::try_from(end).unwrap()).map(|at| self.ms - at);
            let age = lease.age(self.now().boot);
            assert!(
                outdated.is_none_or(|truth| age >= Duration::from_millis(truth)),
                "a lease of {age:?} where the log has been outdated for {outdated:?} ms"
            );
        }
    }
}

proptest! {
    #[test]
    fn section_5_whatever_the_schedule_a_view_is_a_prefix_and_its_lease_never_younger_than_the_truth(
        steps in prop::collection::vec(step(), 0..120),
    ) {
        let mut world = World::new();
        for step in steps {
            world.step(step);
            world.check();
        }
    }
}

#[test]
fn a_friendly_schedule_ends_with_everything_applied_and_a_lease() {
    let mut world = World::new();
    let friendly = [Step::Connect, Step::Append, Step::Tick, Step::Answer(0)];
    for step in friendly.into_iter().chain(std::iter::repeat_n(Step::Deliver, 20)) {
        world.step(step);
        world.check();
    }
    assert_eq!(world.published.log.end().sequence, 3);
    assert_eq!(world.published.lease.unwrap().age(world.now().boot), Duration::ZERO);
}
