//! What a status says, in a form that tests can compare. Judges nothing.

use tonic::Status;
use tonic_types::StatusExt as _;

/// The `ErrorInfo` reason; its domain must be ours.
pub fn reason(status: &Status) -> String {
    let Some(info) = status.get_details_error_info() else { panic!("no reason: {status:?}") };
    assert_eq!(info.domain, "ipms.token");
    info.reason
}

/// The fields that a `BadRequest` names, in order.
pub fn fields(status: &Status) -> Vec<String> {
    assert_eq!(status.code(), tonic::Code::InvalidArgument, "{status:?}");
    let Some(bad) = status.get_details_bad_request() else { panic!("no fields: {status:?}") };
    let mut fields: Vec<_> = bad.field_violations.into_iter().map(|violation| violation.field).collect();
    fields.sort_unstable();
    fields
}
