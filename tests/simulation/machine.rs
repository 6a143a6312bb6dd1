//! Time: the clocks of each machine, and dice that a seed throws. Nothing here is the machine's own.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    task::{Poll, Waker},
    time::Duration,
};

use common::{
    clock::{BootInstant, Clock, Now},
    revocation::lease::BootId,
    timestamp::Timestamp,
};
use issuer::application::timer::{Sleep, Timer};

/// The second at which every world begins.
pub(crate) const BEGIN: i64 = 1_832_932_800;

/// One machine: a calendar that may step, a boot clock that counts suspension, and one for waiting that does not.
#[derive(Clone, Debug)]
pub(crate) struct Machine(Arc<Mutex<Hands>>);

#[derive(Debug)]
struct Hands {
    wall: i64,
    boot: u64,
    awake: u64,
    starts: u8,
    waiting: BTreeMap<(u64, u64), Waker>,
    next: u64,
}

impl Machine {
    pub(crate) fn new(boot: u64) -> Self {
        let hands =
            Hands { wall: BEGIN * 1_000, boot, awake: 0, starts: 1, waiting: BTreeMap::new(), next: 0 };
        Self(Arc::new(Mutex::new(hands)))
    }

    /// Time passes, in milliseconds.
    pub(crate) fn passes(&self, ms: u64) {
        let due = {
            let mut hands = self.0.lock().unwrap();
            hands.awake += ms;
            let after = (hands.awake + 1, 0);
            let later = hands.waiting.split_off(&after);
            std::mem::replace(&mut hands.waiting, later)
        };
        self.suspended(ms);
        due.into_values().for_each(Waker::wake);
    }

    /// Time passes and nobody on the machine notices but its clocks.
    pub(crate) fn suspended(&self, ms: u64) {
        let mut hands = self.0.lock().unwrap();
        hands.boot += ms;
        hands.wall += i64::try_from(ms).unwrap();
    }

    /// The calendar steps.
    pub(crate) fn step_wall(&self, ms: i64) {
        let mut hands = self.0.lock().unwrap();
        hands.wall = (hands.wall + ms).max(0);
    }

    /// The calendar says this, in milliseconds.
    pub(crate) fn set_wall(&self, wall: i64) {
        self.0.lock().unwrap().wall = wall;
    }

    pub(crate) fn wall(&self) -> i64 {
        self.0.lock().unwrap().wall
    }

    /// The machine starts again.
    pub(crate) fn reboots(&self) {
        let mut hands = self.0.lock().unwrap();
        hands.boot = 5_000;
        hands.starts += 1;
    }

    pub(crate) fn boot_id(&self) -> BootId {
        BootId([self.0.lock().unwrap().starts; 16])
    }

    /// For waiting.
    pub(crate) fn awake(&self) -> u64 {
        self.0.lock().unwrap().awake
    }
}

impl Clock for Machine {
    fn now(&self) -> Now {
        let hands = self.0.lock().unwrap();
        Now {
            wall: Timestamp::from_seconds(u64::try_from(hands.wall / 1_000).unwrap()).unwrap(),
            boot: BootInstant::from_duration(Duration::from_millis(hands.boot)),
        }
    }
}

impl Timer for Machine {
    fn sleep(&self, span: Duration) -> Sleep {
        let machine = self.clone();
        let due = machine.awake() + u64::try_from(span.as_millis()).unwrap();
        Box::pin(std::future::poll_fn(move |context| {
            let mut hands = machine.0.lock().unwrap();
            if hands.awake >= due {
                return Poll::Ready(());
            }
            hands.next += 1;
            let place = (due, hands.next);
            hands.waiting.insert(place, context.waker().clone());
            Poll::Pending
        }))
    }
}

/// Thrown by the seed alone, the same on every machine and with every version of a library (`SplitMix64`).
#[derive(Clone, Debug)]
pub(crate) struct Dice(Arc<Mutex<u64>>);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(seed ^ 0x5851_f42d_4c95_7f2d)))
    }

    pub(crate) fn next(&self) -> u64 {
        let mut state = self.0.lock().unwrap();
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = *state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// 0 to `below`, exclusive.
    pub(crate) fn below(&self, below: u64) -> u64 {
        self.next() % below.max(1)
    }

    pub(crate) fn index(&self, length: usize) -> usize {
        usize::try_from(self.below(length as u64)).unwrap()
    }

    /// So often in a hundred.
    pub(crate) fn percent(&self, chance: u64) -> bool {
        self.below(100) < chance
    }

    pub(crate) fn between(&self, least: u64, most: u64) -> u64 {
        least + self.below(most - least + 1)
    }
}
