//! How long pseudonyms stay reversible: calendar arithmetic in UTC. Never reads a clock.

use jiff::{Span, civil, tz::TimeZone};

use crate::timestamp::Timestamp;

/// Years, months and days as the Portal gave them (rule 6). Not all zero, and never more than 100 years.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Retention {
    years: u32,
    months: u32,
    days: u32,
}

impl Retention {
    /// The most of each field, inclusive: years, months, days.
    pub const MOST: (u32, u32, u32) = (100, 1_200, 36_525);

    /// Checks what can be known without the creation time; [`Retention::end`] checks the rest.
    ///
    /// # Errors
    /// All zero, a field above [`Retention::MOST`], or years and months that already pass 100 years.
    pub const fn new(years: u32, months: u32, days: u32) -> Result<Self, InvalidRetention> {
        if years == 0 && months == 0 && days == 0 {
            return Err(InvalidRetention::Empty);
        }
        if years > Self::MOST.0 || months > Self::MOST.1 || days > Self::MOST.2 {
            return Err(InvalidRetention::OutOfBounds);
        }
        let all_months = years * 12 + months;
        if all_months > Self::MOST.1 || (all_months == Self::MOST.1 && days > 0) {
            return Err(InvalidRetention::TooLong);
        }
        Ok(Self { years, months, days })
    }

    /// Years, 0 to 100.
    pub const fn years(self) -> u32 {
        self.years
    }

    /// Months, 0 to 1,200.
    pub const fn months(self) -> u32 {
        self.months
    }

    /// Days, 0 to 36,525.
    pub const fn days(self) -> u32 {
        self.days
    }

    /// The exclusive end, counted from `created` in UTC: years and months as one step, the day cut to the month's last;
    /// then days; the time of day stays. Always after `created`.
    ///
    /// # Errors
    /// More than 100 years after `created`, or past the year 9999.
    pub fn end(self, created: Timestamp) -> Result<Timestamp, InvalidRetention> {
        let start = civil(created)?;
        let end = later(later(start, months(self.years * 12 + self.months))?, Span::new().days(self.days))?;
        if end > later(start, months(Self::MOST.1))? {
            return Err(InvalidRetention::TooLong);
        }
        let instant = TimeZone::UTC.to_timestamp(end).ok().and_then(|t| u64::try_from(t.as_second()).ok());
        instant.and_then(Timestamp::from_seconds).ok_or(InvalidRetention::PastCalendar)
    }
}

/// A retention that no project may have.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum InvalidRetention {
    /// (0, 0, 0).
    #[error("must not be zero years, zero months and zero days")]
    Empty,
    /// A field above its bound.
    #[error("must be at most 100 years, 1,200 months and 36,525 days")]
    OutOfBounds,
    /// More than 100 years in all.
    #[error("must be at most 100 years in all")]
    TooLong,
    /// It would end after the year 9999.
    #[error("must end before the year 10000")]
    PastCalendar,
}

fn civil(instant: Timestamp) -> Result<civil::DateTime, InvalidRetention> {
    let seconds = i64::try_from(instant.seconds()).ok();
    let instant = seconds.and_then(|s| jiff::Timestamp::from_second(s).ok());
    instant.map(|i| TimeZone::UTC.to_datetime(i)).ok_or(InvalidRetention::PastCalendar)
}

fn months(count: u32) -> Span {
    Span::new().months(count)
}

fn later(from: civil::DateTime, span: Span) -> Result<civil::DateTime, InvalidRetention> {
    from.checked_add(span).ok().ok_or(InvalidRetention::PastCalendar)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(text: &str) -> Timestamp {
        let seconds = text.parse::<jiff::Timestamp>().unwrap().as_second();
        Timestamp::from_seconds(u64::try_from(seconds).unwrap()).unwrap()
    }

    #[test]
    fn the_day_is_cut_to_the_months_last_before_days_are_added() {
        for (created, (years, months, days), end) in [
            ("2024-01-31T10:20:30Z", (0, 1, 0), "2024-02-29T10:20:30Z"),
            ("2025-01-31T10:20:30Z", (0, 1, 0), "2025-02-28T10:20:30Z"),
            ("2025-01-31T00:00:00Z", (0, 1, 1), "2025-03-01T00:00:00Z"),
            ("2024-02-29T23:59:59Z", (1, 0, 0), "2025-02-28T23:59:59Z"),
            ("2024-02-29T00:00:00Z", (4, 0, 0), "2028-02-29T00:00:00Z"),
            // One step of 48 months: in two steps the 29th would be lost on the way.
            ("2024-02-29T00:00:00Z", (3, 12, 0), "2028-02-29T00:00:00Z"),
            ("2024-02-29T00:00:00Z", (100, 0, 0), "2124-02-29T00:00:00Z"),
            ("2026-12-31T12:00:00Z", (0, 0, 1), "2027-01-01T12:00:00Z"),
        ] {
            let retention = Retention::new(years, months, days).unwrap();
            assert_eq!(retention.end(at(created)), Ok(at(end)), "{created} + {retention:?}");
        }
    }

    #[test]
    fn nothing_and_more_than_a_hundred_years_are_refused() {
        assert_eq!(Retention::new(0, 0, 0), Err(InvalidRetention::Empty));
        for (years, months, days) in
            [(101, 0, 0), (0, 1_201, 0), (0, 0, 36_526), (u32::MAX, u32::MAX, u32::MAX)]
        {
            assert_eq!(Retention::new(years, months, days), Err(InvalidRetention::OutOfBounds));
        }
        for (years, months, days) in [(100, 0, 1), (100, 1, 0), (99, 12, 1), (1, 1_200, 0)] {
            assert_eq!(Retention::new(years, months, days), Err(InvalidRetention::TooLong));
        }
        // 2026 to 2126 has 36,524 days, since 2100 is no leap year.
        let created = at("2026-11-24T00:00:00Z");
        assert_eq!(Retention::new(0, 0, 36_525).unwrap().end(created), Err(InvalidRetention::TooLong));
        assert_eq!(Retention::new(0, 0, 36_524).unwrap().end(created), Ok(at("2126-11-24T00:00:00Z")));
        assert_eq!(Retention::new(99, 0, 366).unwrap().end(created), Err(InvalidRetention::TooLong));
        assert_eq!(Retention::new(1, 0, 0).unwrap().end(Timestamp::MAX), Err(InvalidRetention::PastCalendar));
    }

    proptest! {
        #[test]
        fn the_end_is_after_the_start_at_the_same_time_of_day(
            start in 0_u64..5_000_000_000, years in 0_u32..50, months in 0_u32..500, days in 1_u32..2_000,
        ) {
            let created = Timestamp::from_seconds(start).unwrap();
            let end = Retention::new(years, months, days).unwrap().end(created).unwrap();
            prop_assert!(end > created);
            prop_assert_eq!(end.seconds() % 86_400, start % 86_400);
        }

        #[test]
        fn more_of_any_field_never_ends_earlier(
            start in 0_u64..5_000_000_000, years in 0_u32..40, months in 0_u32..400, days in 0_u32..2_000,
            more in (0_u32..5, 0_u32..20, 0_u32..60),
        ) {
            let created = Timestamp::from_seconds(start).unwrap();
            let less = Retention::new(years, months, days + 1).unwrap().end(created).unwrap();
            let longer = Retention::new(years + more.0, months + more.1, days + 1 + more.2).unwrap();
            prop_assert!(longer.end(created).unwrap() >= less);
        }
    }
}
