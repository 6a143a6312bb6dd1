//! The errors of both services as gRPC statuses with `google.rpc` details. Holds no rule: what failed is decided before.

use std::{collections::HashMap, time::Duration};

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt};

use crate::convert::Violations;

/// The `domain` of every [`tonic_types::ErrorInfo`] of ours.
pub const DOMAIN: &str = "ipms.token";

/// Every bad field at once, as `BadRequest`.
pub fn invalid_argument(violations: &Violations) -> Status {
    let found = violations.found();
    let all = found.len() + violations.omitted();
    // The paths of our own messages, bounded in number; still few in the message, which travels in a header.
    let mut names: Vec<&str> = found.iter().take(8).map(|violation| violation.field.as_str()).collect();
    if all > names.len() {
        names.push("…");
    }
    let fields = if all == 1 { "field" } else { "fields" };
    let mut message = format!("{all} bad {fields}: {}", names.join(", "));
    if violations.omitted() > 0 {
        message = format!("{message} ({} not listed)", violations.omitted());
    }
    let listed: Vec<FieldViolation> = found
        .iter()
        .map(|violation| FieldViolation::new(&*violation.field, &*violation.description))
        .collect();
    Status::with_error_details(Code::InvalidArgument, message, ErrorDetails::with_bad_request(listed))
}

/// A status whose `ErrorInfo` names the reason.
pub fn with_reason(code: Code, reason: &'static str, message: impl Into<String>) -> Status {
    with_reason_and(code, reason, message, &[])
}

/// As [`with_reason`], with facts that a program can read.
pub fn with_reason_and(
    code: Code,
    reason: &'static str,
    message: impl Into<String>,
    metadata: &[(&str, &str)],
) -> Status {
    Status::with_error_details(code, message, info(reason, metadata))
}

/// `UNAVAILABLE`, with the time after which a try is worth it.
pub fn unavailable(reason: &'static str, message: impl Into<String>, retry_after: Duration) -> Status {
    self::retry_after(Code::Unavailable, reason, message, retry_after)
}

/// As [`with_reason`], with the time after which a try is worth it.
pub fn retry_after(code: Code, reason: &'static str, message: impl Into<String>, span: Duration) -> Status {
    let mut details = info(reason, &[]);
    details.set_retry_info(Some(span));
    Status::with_error_details(code, message, details)
}

fn info(reason: &'static str, metadata: &[(&str, &str)]) -> ErrorDetails {
    let metadata: HashMap<String, String> =
        metadata.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    ErrorDetails::with_error_info(reason, DOMAIN, metadata)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn violations(count: usize) -> Violations {
        let mut violations = Violations::default();
        for index in 0..count {
            violations.add(format!("f[{index}]"), "is bad");
        }
        violations
    }

    #[test]
    fn each_bad_field_is_told_with_its_rule() {
        let mut violations = Violations::default();
        violations.add("project_id", "is required");
        violations.add("lifetime", "must be at most 1h");
        let status = invalid_argument(&violations);
        assert_eq!(status.code(), Code::InvalidArgument);
        assert_eq!(status.message(), "2 bad fields: project_id, lifetime");
        let told = status.get_details_bad_request().unwrap().field_violations;
        let told: Vec<_> = told.iter().map(|one| (&*one.field, &*one.description)).collect();
        assert_eq!(told, [("project_id", "is required"), ("lifetime", "must be at most 1h")]);
    }

    #[test]
    fn a_long_list_of_bad_fields_is_counted() {
        let status = invalid_argument(&violations(100));
        assert_eq!(
            status.message(),
            "100 bad fields: f[0], f[1], f[2], f[3], f[4], f[5], f[6], f[7], … (36 not listed)"
        );
        assert_eq!(status.get_details_bad_request().unwrap().field_violations.len(), 64);
        assert_eq!(invalid_argument(&violations(1)).message(), "1 bad field: f[0]");
    }

    #[test]
    fn a_reason_comes_with_our_domain_and_its_facts() {
        let status =
            with_reason_and(Code::FailedPrecondition, "PROJECT_CLOSED", "closed", &[("layer", "store")]);
        let info = status.get_details_error_info().unwrap();
        assert_eq!((status.code(), status.message()), (Code::FailedPrecondition, "closed"));
        assert_eq!((&*info.reason, &*info.domain), ("PROJECT_CLOSED", "ipms.token"));
        assert_eq!(info.metadata, HashMap::from([("layer".to_owned(), "store".to_owned())]));
    }

    #[test]
    fn unavailable_says_when_to_try_again() {
        let status = unavailable("STORE_UNREACHABLE", "no store", Duration::from_millis(1_500));
        assert_eq!(status.code(), Code::Unavailable);
        assert_eq!(status.get_details_error_info().unwrap().reason, "STORE_UNREACHABLE");
        let delay = status.get_details_retry_info().unwrap().retry_delay;
        assert_eq!(delay, Some(Duration::from_millis(1_500)));
    }
}
