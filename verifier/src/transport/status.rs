//! What cannot be decided, as a gRPC status. Refusals are no errors and never come here.

use std::time::Duration;

use common::runtime::status;
use tonic::{Code, Status};

use crate::application::verify::Undecided;

/// One exhaustive match, so that a new case must choose.
pub(super) fn undecided(why: Undecided) -> Status {
    match why {
        Undecided::Stale(_) | Undecided::NotReached => {
            status::unavailable(why.reason(), why.to_string(), RETRY)
        }
        Undecided::CursorLost => status::with_reason(Code::DataLoss, why.reason(), why.to_string()),
    }
}

/// One heartbeat: after it the view is a younger one.
pub(super) const RETRY: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use tonic_types::StatusExt as _;

    use super::*;
    use crate::domain::view::Stale;

    #[test]
    fn not_knowing_is_unavailable_and_a_lost_position_is_data_loss() {
        for (why, code, reason, retry) in [
            (Undecided::Stale(Stale::NothingHeard), Code::Unavailable, "REVOCATIONS_STALE", Some(RETRY)),
            (Undecided::Stale(Stale::NoLease), Code::Unavailable, "REVOCATIONS_STALE", Some(RETRY)),
            (Undecided::Stale(Stale::TooOld), Code::Unavailable, "REVOCATIONS_STALE", Some(RETRY)),
            (Undecided::NotReached, Code::Unavailable, "REVOCATIONS_STALE", Some(RETRY)),
            (Undecided::CursorLost, Code::DataLoss, "CURSOR_LOST", None),
        ] {
            let status = undecided(why);
            let info = status.get_details_error_info().unwrap();
            assert_eq!((status.code(), &*info.reason, &*info.domain), (code, reason, "ipms.token"));
            assert_eq!(status.get_details_retry_info().and_then(|retry| retry.retry_delay), retry);
        }
    }
}
