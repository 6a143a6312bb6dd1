//! The two clocks, read in the application layer only; everything below takes the readings as values.

use std::{fmt, time::Duration};

use rustix::time::{ClockId, clock_gettime};

use crate::timestamp::Timestamp;

/// A reading of the boot clock (`CLOCK_BOOTTIME`): never goes back, and suspend counts. Of one boot of one machine.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub struct BootInstant(Duration);

impl BootInstant {
    /// `since_boot` after the machine was started.
    pub const fn from_duration(since_boot: Duration) -> Self {
        Self(since_boot)
    }

    /// Time since the machine was started.
    pub const fn since_boot(self) -> Duration {
        self.0
    }

    /// How much later this is than `earlier`; zero if it is not.
    pub const fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }

    /// Later by `span`.
    #[must_use]
    pub const fn plus(self, span: Duration) -> Self {
        Self(self.0.saturating_add(span))
    }
}

/// One look at both clocks.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Now {
    /// What the calendar says, cut to the second.
    pub wall: Timestamp,
    /// What the boot clock says.
    pub boot: BootInstant,
}

/// Tells the time. One real implementation; tests turn the hands of another.
pub trait Clock: fmt::Debug + Send + Sync {
    /// Both clocks, read together.
    fn now(&self) -> Now;
}

/// The machine's clocks.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Now {
        let wall = clock_gettime(ClockId::Realtime);
        let boot = clock_gettime(ClockId::Boottime);
        let seconds = u64::try_from(wall.tv_sec).unwrap_or(0);
        Now {
            wall: Timestamp::from_seconds(seconds).unwrap_or(Timestamp::MAX),
            boot: BootInstant::from_duration(Duration::new(
                u64::try_from(boot.tv_sec).unwrap_or(0),
                u32::try_from(boot.tv_nsec).unwrap_or(0),
            )),
        }
    }
}

/// A clock whose hands a test turns.
#[derive(Debug)]
pub struct ManualClock(std::sync::Mutex<Hands>);

/// Finer than a reading, so that many small steps add up.
#[derive(Debug)]
struct Hands {
    wall: Duration,
    boot: BootInstant,
}

impl ManualClock {
    /// Stands still at `now`.
    pub const fn new(now: Now) -> Self {
        Self(std::sync::Mutex::new(Hands { wall: Duration::from_secs(now.wall.seconds()), boot: now.boot }))
    }

    /// Turns both hands forward.
    pub fn advance(&self, span: Duration) {
        let mut hands = self.hands();
        hands.wall = hands.wall.saturating_add(span);
        hands.boot = hands.boot.plus(span);
    }

    /// Steps the wall clock only, in either direction.
    pub fn set_wall(&self, wall: Timestamp) {
        self.hands().wall = Duration::from_secs(wall.seconds());
    }

    fn hands(&self) -> std::sync::MutexGuard<'_, Hands> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Now {
        let hands = self.hands();
        Now { wall: Timestamp::EPOCH.plus(hands.wall), boot: hands.boot }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_steps_of_the_manual_clock_add_up_on_both_hands() {
        let clock = ManualClock::new(Now { wall: Timestamp::EPOCH, boot: BootInstant::default() });
        for _ in 0..10 {
            clock.advance(Duration::from_millis(250));
        }
        let now = clock.now();
        assert_eq!((now.wall.seconds(), now.boot.since_boot()), (2, Duration::from_millis(2_500)));
    }

    #[test]
    fn the_boot_clock_never_goes_back() {
        let (earlier, later) = (SystemClock.now(), SystemClock.now());
        assert!(later.boot >= earlier.boot && earlier.boot > BootInstant::default());
    }
}
