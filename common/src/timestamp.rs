//! Wall-clock instants. The only unit is the whole second; nothing here reads a clock.

use std::{fmt, time::Duration};

/// Whole seconds since 1970-01-01T00:00:00Z, from 0 to the end of the year 9999.
///
/// A clock reading is cut down to the second. Since every bound of a token is a whole second and its end is exclusive,
/// `now >= end` on cut readings decides exactly as it would on exact ones.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Timestamp(u64);

impl Timestamp {
    /// 1970-01-01T00:00:00Z.
    pub const EPOCH: Self = Self(0);
    /// 9999-12-31T23:59:59Z.
    pub const MAX: Self = Self(253_402_300_799);

    /// `None` past the year 9999.
    pub const fn from_seconds(seconds: u64) -> Option<Self> {
        if seconds <= Self::MAX.0 { Some(Self(seconds)) } else { None }
    }

    /// Seconds since the epoch.
    pub const fn seconds(self) -> u64 {
        self.0
    }

    /// From the date of an HTTP answer (RFC 9110 section 5.6.7); `None` when it is none, or before the epoch.
    pub fn from_http_date(text: &str) -> Option<Self> {
        let instant = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text).ok()?;
        u64::try_from(instant.as_second()).ok().and_then(Self::from_seconds)
    }

    /// Later by `span`, whose part of a second is dropped; never past [`Timestamp::MAX`].
    #[must_use]
    pub const fn plus(self, span: Duration) -> Self {
        let sum = self.0.saturating_add(span.as_secs());
        if sum > Self::MAX.0 { Self::MAX } else { Self(sum) }
    }

    /// Earlier by `span`, whose part of a second is dropped; never before the epoch.
    #[must_use]
    pub const fn minus(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(span.as_secs()))
    }

    /// How much later this is than `earlier`; zero if it is not.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_secs(self.0.saturating_sub(earlier.0))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match i64::try_from(self.0).ok().and_then(|s| jiff::Timestamp::from_second(s).ok()) {
            Some(instant) => fmt::Display::fmt(&instant, f),
            None => write!(f, "{} s", self.0),
        }
    }
}
