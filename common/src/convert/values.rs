//! The small values of the wire: instants, spans, ids, types, positions, layers. Reads no clock.

use std::{str::FromStr, time::Duration};

use crate::{
    convert::Violations, organisation_id::OrganisationId, project_id::ProjectId, proto::v1 as pb,
    revocation::cursor::Cursor, timestamp::Timestamp, token::kind::TokenType,
};

/// To the wire.
pub fn timestamp(instant: Timestamp) -> prost_types::Timestamp {
    // Never past the year 9999, so always an i64.
    prost_types::Timestamp { seconds: i64::try_from(instant.seconds()).unwrap_or(i64::MAX), nanos: 0 }
}

/// From the wire: 1970 to 9999, in whole seconds.
pub fn read_timestamp(
    field: &str,
    given: prost_types::Timestamp,
    violations: &mut Violations,
) -> Option<Timestamp> {
    let read =
        u64::try_from(given.seconds).ok().filter(|_| given.nanos == 0).and_then(Timestamp::from_seconds);
    violations.check(field, read.ok_or("must be in whole seconds, from the year 1970 to 9999"))
}

/// To the wire; past 10,000 years cut, which is the most that the wire allows.
pub fn duration(span: Duration) -> prost_types::Duration {
    let seconds = i64::try_from(span.as_secs()).unwrap_or(MAX_SECONDS).min(MAX_SECONDS);
    prost_types::Duration { seconds, nanos: i32::try_from(span.subsec_nanos()).unwrap_or(0) }
}

/// From the wire: zero or more, at most 10,000 years. Narrower bounds are the caller's to check.
pub fn read_duration(
    field: &str,
    given: prost_types::Duration,
    violations: &mut Violations,
) -> Option<Duration> {
    let seconds = u64::try_from(given.seconds).ok().filter(|_| given.seconds <= MAX_SECONDS);
    let nanos = u32::try_from(given.nanos).ok().filter(|nanos| *nanos < 1_000_000_000);
    let read = seconds.zip(nanos).map(|(seconds, nanos)| Duration::new(seconds, nanos));
    violations.check(field, read.ok_or("must not be negative, nor more than 10,000 years"))
}

/// An id, a fingerprint, anything that is read of a text and tells its bounds when it cannot be.
pub fn read_id<T>(field: &str, given: &str, violations: &mut Violations) -> Option<T>
where
    T: FromStr,
    T::Err: std::fmt::Display,
{
    violations.check(field, given.parse())
}

/// As [`read_id`], of a field whose absence is an empty text: `Some(None)` when absent, `None` when bad.
pub fn read_optional_id<T>(field: &str, given: &str, violations: &mut Violations) -> Option<Option<T>>
where
    T: FromStr,
    T::Err: std::fmt::Display,
{
    if given.is_empty() { Some(None) } else { read_id(field, given, violations).map(Some) }
}

/// To the wire.
pub const fn token_type(kind: TokenType) -> pb::TokenType {
    match kind {
        TokenType::Pseudonymisation => pb::TokenType::Pseudonymisation,
        TokenType::Reverse => pb::TokenType::Reverse,
        TokenType::Secondary => pb::TokenType::Secondary,
    }
}

/// From the wire. Zero and what this version does not know are refused.
pub fn read_token_type(field: &str, given: i32, violations: &mut Violations) -> Option<TokenType> {
    let read = u8::try_from(given).ok().and_then(TokenType::from_code);
    violations.check(field, read.ok_or("must be PSEUDONYMISATION, REVERSE or SECONDARY"))
}

/// To the wire.
pub const fn cursor(position: Cursor) -> pb::Cursor {
    pb::Cursor { epoch: position.epoch, sequence: position.sequence }
}

/// From the wire: any two numbers are a position, known or not.
pub const fn read_cursor(given: pb::Cursor) -> Cursor {
    Cursor::new(given.epoch, given.sequence)
}

/// To the wire.
pub fn source(project: &ProjectId, organisation: OrganisationId) -> pb::Source {
    pb::Source { project_id: project.to_string(), organisation_id: organisation.to_string() }
}

/// From the wire: both ids are required, and both are looked at.
pub fn read_source(
    field: &str,
    given: &pb::Source,
    violations: &mut Violations,
) -> Option<(ProjectId, OrganisationId)> {
    let project = read_id(&format!("{field}.project_id"), &given.project_id, violations);
    let organisation = read_id(&format!("{field}.organisation_id"), &given.organisation_id, violations);
    project.zip(organisation)
}

/// 10,000 years, the bound of `google.protobuf.Duration`.
const MAX_SECONDS: i64 = 315_576_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_and_spans_come_back_as_they_went() {
        let violations = &mut Violations::default();
        for instant in [Timestamp::EPOCH, Timestamp::MAX] {
            assert_eq!(read_timestamp("t", timestamp(instant), violations), Some(instant));
        }
        for span in [Duration::ZERO, Duration::new(7, 999_999_999)] {
            assert_eq!(read_duration("d", duration(span), violations), Some(span));
        }
        assert_eq!(*violations, Violations::default());
    }

    #[test]
    fn what_is_out_of_bounds_is_named_and_not_cut() {
        let violations = &mut Violations::default();
        for (seconds, nanos) in [(-1, 0), (0, 1), (253_402_300_800, 0)] {
            assert_eq!(read_timestamp("t", prost_types::Timestamp { seconds, nanos }, violations), None);
        }
        for (seconds, nanos) in [(-1, 0), (0, -1), (0, 1_000_000_000), (MAX_SECONDS + 1, 0)] {
            assert_eq!(read_duration("d", prost_types::Duration { seconds, nanos }, violations), None);
        }
        assert_eq!(violations.found().len(), 7);
    }

    #[test]
    fn types_come_back_and_unknown_ones_do_not() {
        let violations = &mut Violations::default();
        for kind in TokenType::ALL {
            assert_eq!(read_token_type("k", token_type(kind) as i32, violations), Some(kind));
        }
        for bad in [0, 4, -1, 257] {
            assert_eq!(read_token_type("k", bad, violations), None);
        }
    }

    #[test]
    fn both_ids_of_a_source_are_named_at_once() {
        let violations = &mut Violations::default();
        assert_eq!(read_source("source", &pb::Source::default(), violations), None);
        let fields: Vec<_> = violations.found().iter().map(|one| one.field.as_str()).collect();
        assert_eq!(fields, ["source.project_id", "source.organisation_id"]);
    }
}
