//! From what went wrong to a gRPC status: one exhaustive match for each error. No status holds a token or a secret.

use std::time::Duration;

use common::{
    convert::Violations,
    runtime::status::{invalid_argument, unavailable, with_reason, with_reason_and},
};
use tonic::{Code, Status};

use super::keys::names;
use crate::{
    application::{
        follow::FollowError,
        issue::IssueError,
        log::AppendError,
        projects::ProjectError,
        revoke::{AwaitError, RevokeError},
        rotate_keys::KeyError,
    },
    domain::{
        policy::{PolicyError, Subject},
        ports::StoreError,
    },
};

/// A store that did not answer, or lost data.
pub fn store(error: StoreError) -> Status {
    match error {
        StoreError::Unreachable => unavailable("STORE_UNREACHABLE", error.to_string(), SOON),
        StoreError::LostData | StoreError::HalfImported => lost(),
    }
}

/// A token that was not issued.
pub fn issue(error: IssueError) -> Status {
    let text = error.to_string();
    match error {
        IssueError::NoSuchProject => with_reason(Code::NotFound, "NO_SUCH_PROJECT", text),
        IssueError::Policy(refused) => policy(refused),
        IssueError::IdempotencyKeyReused => precondition("IDEMPOTENCY_KEY_REUSED", text),
        IssueError::TokenNoLongerLive => precondition("TOKEN_NO_LONGER_LIVE", text),
        IssueError::Meanwhile => with_reason(Code::Aborted, "CHANGED_MEANWHILE", text),
        IssueError::Busy => with_reason(Code::ResourceExhausted, "SIGNING_QUEUE_FULL", text),
        IssueError::NoSigningKey => unavailable("NO_SIGNING_KEY", text, LATER),
        IssueError::AuditUnavailable => unavailable("AUDIT_UNAVAILABLE", text, LATER),
        IssueError::ClockSuspect => unavailable("CLOCK_SUSPECT", text, SOON),
        IssueError::SignerUnavailable => unavailable("SIGNER_UNAVAILABLE", text, SOON),
        IssueError::LostData => lost(),
        IssueError::StoreUnreachable => unavailable("STORE_UNREACHABLE", text, SOON),
        IssueError::Signing => internal(),
    }
}

fn policy(refused: PolicyError) -> Status {
    let text = refused.to_string();
    let subject = match refused {
        PolicyError::ProjectClosed { subject }
        | PolicyError::RetentionEnded { subject }
        | PolicyError::ProjectRolledBack { subject, .. } => subject,
        PolicyError::ProjectNotReversible
        | PolicyError::ReverseNotGranted
        | PolicyError::NotACollaborator
        | PolicyError::SourceNotAccessible
        | PolicyError::SourceIsSelf
        | PolicyError::ApprovalMissing
        | PolicyError::AutomaticApprovalRefused
        | PolicyError::ApproverIsRequester
        | PolicyError::PurposeMissing
        | PolicyError::LifetimeTooLong { .. } => Subject::Project,
    };
    let subject = match subject {
        Subject::Project => "project",
        Subject::Source => "source",
    };
    if let Some(reason) = refused.reason() {
        return with_reason_and(Code::FailedPrecondition, reason, text, &[("subject", subject)]);
    }
    let mut violations = Violations::default();
    violations.add("lifetime", text.trim_start_matches("the lifetime "));
    invalid_argument(&violations)
}

/// A project that was not created, found or changed.
pub fn project(error: ProjectError) -> Status {
    let text = error.to_string();
    match error {
        ProjectError::NoSuchProject => with_reason(Code::NotFound, "NO_SUCH_PROJECT", text),
        ProjectError::OtherContent => with_reason(Code::AlreadyExists, "PROJECT_EXISTS", text),
        ProjectError::OldEtag => with_reason(Code::Aborted, "OLD_ETAG", text),
        ProjectError::Closed => precondition("PROJECT_CLOSED", text),
        ProjectError::AuditUnavailable => unavailable("AUDIT_UNAVAILABLE", text, LATER),
        ProjectError::Store(error) => store(error),
        ProjectError::Log(error) => append(error),
    }
}

/// A revocation of which nobody knows whether it happened.
pub fn revoke(error: RevokeError) -> Status {
    match error {
        RevokeError::Store(error) => store(error),
        RevokeError::Log(error) => append(error),
    }
}

fn append(error: AppendError) -> Status {
    match error {
        AppendError::ProjectChanged => with_reason(Code::Aborted, "OLD_ETAG", error.to_string()),
        AppendError::Lost => lost(),
        AppendError::Store(error) => store(error),
        // Safe to repeat, as after any other failure of the store.
        AppendError::Behind => store(StoreError::Unreachable),
        AppendError::Signing => internal(),
        AppendError::Unaudited => unavailable("AUDIT_UNAVAILABLE", error.to_string(), LATER),
        AppendError::Stopped => unavailable("SHUTTING_DOWN", error.to_string(), SOON),
    }
}

/// A cursor that cannot be waited for.
pub fn awaiting(error: AwaitError) -> Status {
    match error {
        AwaitError::Unknown => with_reason(Code::OutOfRange, "CURSOR_UNKNOWN", error.to_string()),
        AwaitError::Lost => with_reason(Code::DataLoss, "CURSOR_LOST", error.to_string()),
    }
}

/// A feed that ends.
pub fn follow(error: FollowError) -> Status {
    let text = error.to_string();
    match error {
        FollowError::OtherRealm => precondition("OTHER_REALM", text),
        FollowError::TooOld => precondition("FOLLOWER_TOO_OLD", text),
        FollowError::ProbeOrder | FollowError::Unsent | FollowError::BadOffer => {
            with_reason(Code::InvalidArgument, "OUT_OF_ORDER", text)
        }
        FollowError::Store(error) => store(error),
        FollowError::Corrupt => internal(),
    }
}

/// A key that did not get another role.
pub fn keys(error: KeyError) -> Status {
    let text = error.to_string();
    match error {
        KeyError::NoSuchKey => with_reason(Code::NotFound, "NO_SUCH_KEY", text),
        KeyError::NotPrepared => precondition("KEY_NOT_PREPARED", text),
        KeyError::Retired => precondition("KEY_RETIRED", text),
        KeyError::Revoked => precondition("KEY_REVOKED", text),
        KeyError::Active => precondition("KEY_ACTIVE", text),
        KeyError::TooMany => precondition("TOO_MANY_KEYS", text),
        KeyError::NotEverywhere(gaps) => {
            let until = gaps.published_until.map(|until| until.to_string());
            let (issuers, followers) = (names(&gaps.issuers), names(&gaps.followers));
            let missing = [
                ("issuers", &*issuers),
                ("followers", &*followers),
                ("published_until", until.as_deref().unwrap_or_default()),
            ];
            let missing: Vec<_> = missing.into_iter().filter(|(_, names)| !names.is_empty()).collect();
            with_reason_and(Code::FailedPrecondition, "KEY_NOT_EVERYWHERE", text, &missing)
        }
        KeyError::AuditUnavailable => unavailable("AUDIT_UNAVAILABLE", text, LATER),
        KeyError::Store(error) => store(error),
        KeyError::Stopped => unavailable("SHUTTING_DOWN", text, SOON),
    }
}

fn precondition(reason: &'static str, text: String) -> Status {
    with_reason(Code::FailedPrecondition, reason, text)
}

fn lost() -> Status {
    unavailable("STORE_LOST_DATA", "the store has lost data; an operator must look at it", LATER)
}

fn internal() -> Status {
    Status::internal("internal error")
}

const SOON: Duration = Duration::from_secs(1);
const LATER: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use tonic_types::StatusExt as _;

    use super::*;

    #[test]
    fn every_broken_rule_is_a_failed_precondition_by_its_name() {
        let subject = Subject::Source;
        for (error, reason) in [
            (PolicyError::ProjectClosed { subject }, "PROJECT_CLOSED"),
            (PolicyError::ProjectNotReversible, "PROJECT_NOT_REVERSIBLE"),
            (PolicyError::RetentionEnded { subject }, "RETENTION_ENDED"),
            (PolicyError::ReverseNotGranted, "REVERSE_NOT_GRANTED"),
            (PolicyError::NotACollaborator, "NOT_A_COLLABORATOR"),
            (PolicyError::SourceNotAccessible, "SOURCE_NOT_ACCESSIBLE"),
            (PolicyError::SourceIsSelf, "SOURCE_IS_SELF"),
            (PolicyError::ApprovalMissing, "APPROVAL_MISSING"),
            (PolicyError::AutomaticApprovalRefused, "AUTOMATIC_APPROVAL_REFUSED"),
            (PolicyError::ApproverIsRequester, "APPROVER_IS_REQUESTER"),
            (PolicyError::PurposeMissing, "PURPOSE_MISSING"),
            (PolicyError::ProjectRolledBack { subject, stored: 1, logged: 2 }, "PROJECT_ROLLED_BACK"),
        ] {
            let status = issue(IssueError::Policy(error));
            assert_eq!(status.code(), Code::FailedPrecondition);
            let info = status.get_details_error_info().unwrap();
            assert_eq!((info.reason.as_str(), info.domain.as_str()), (reason, "ipms.token"));
        }
    }

    #[test]
    fn a_lifetime_that_is_too_long_names_field_and_bound() {
        let error = PolicyError::LifetimeTooLong { most: Duration::from_secs(90) };
        let status = issue(IssueError::Policy(error));
        assert_eq!(status.code(), Code::InvalidArgument);
        let bad = status.get_details_bad_request().unwrap();
        let field = bad.field_violations.first().unwrap();
        assert_eq!((field.field.as_str(), field.description.as_str()), ("lifetime", "must be at most 90 s"));
    }

    #[test]
    fn what_nobody_knows_is_unavailable_and_what_is_lost_says_so() {
        for (status, reason) in [
            (store(StoreError::Unreachable), "STORE_UNREACHABLE"),
            (store(StoreError::LostData), "STORE_LOST_DATA"),
            (issue(IssueError::ClockSuspect), "CLOCK_SUSPECT"),
            (issue(IssueError::LostData), "STORE_LOST_DATA"),
            (revoke(RevokeError::Log(AppendError::Lost)), "STORE_LOST_DATA"),
            (issue(IssueError::AuditUnavailable), "AUDIT_UNAVAILABLE"),
            (issue(IssueError::NoSigningKey), "NO_SIGNING_KEY"),
            (issue(IssueError::SignerUnavailable), "SIGNER_UNAVAILABLE"),
        ] {
            assert_eq!(status.code(), Code::Unavailable);
            assert_eq!(status.get_details_error_info().unwrap().reason, reason);
        }
        assert_eq!(awaiting(AwaitError::Lost).code(), Code::DataLoss);
        assert_eq!(awaiting(AwaitError::Unknown).code(), Code::OutOfRange);
    }
}
