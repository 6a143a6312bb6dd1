//! Whether an ordered token is granted: the rules of DESIGN section 2. Pure: no clock, no store, no key.

use std::time::Duration;

use common::{
    project::{Method, Project},
    timestamp::Timestamp,
    token::{Limits, kind::TokenType},
};

use crate::domain::{
    approval::{Approval, Decision},
    draft::{Checked, Draft},
    order::{Lifetime, Operation, Order, SourceLayer},
};

/// A project as the store has it, and what the revocation log knows of it.
#[derive(Clone, Copy, Debug)]
pub struct Registered<'a> {
    /// As stored.
    pub project: &'a Project,
    /// The highest version that an entry of the log names; 0 when none does.
    pub logged_version: u64,
}

/// Grants a token or names the first rule that forbids it.
///
/// `project` is the ordered one, `source_project` the one that a secondary order names (`None` when there is no such
/// project, and for the other types). A project that is not the one the order names grants nothing.
///
/// # Errors
/// [`PolicyError`]. What is to be hidden from strangers, such as that a project is closed, is judged after access.
pub fn decide(
    order: &Order,
    project: Registered<'_>,
    source_project: Option<Registered<'_>>,
    limits: &Limits,
    now: Timestamp,
) -> Result<Draft, PolicyError> {
    let ours = project.project;
    known_last(project, Subject::Project)?;
    if ours.id != order.project || !ours.has_access(order.organisation) {
        return Err(PolicyError::NotACollaborator);
    }
    usable(ours, Subject::Project, now)?;
    let source_project = match &order.operation {
        Operation::Pseudonymise => None,
        Operation::Reverse => {
            reversible(order, ours)?;
            None
        }
        Operation::Secondary(source) => Some(accessible(order, source, source_project, now)?),
    };
    let approval = approved(order)?;
    let ends = [Some(ours), source_project]
        .into_iter()
        .flatten()
        .filter_map(|project| project.configuration.method.retention_end());
    let ceiling = limits.get(order.operation.token_type()).lifetime;
    let lifetime = granted(order.lifetime, ceiling, ends, now)?;
    Ok(Draft {
        project: checked(ours),
        source_project: source_project.map(checked),
        organisation: order.organisation,
        operation: order.operation.clone(),
        configuration: ours.configuration,
        issued_at: now,
        expires_at: now.plus(lifetime),
        approval: approval.clone(),
        holder: order.holder,
        idempotency_key: order.idempotency_key.clone(),
    })
}

/// Rule 15: not older than the log knows it to be. First of all checks, since nothing that it says can be believed.
fn known_last(registered: Registered<'_>, subject: Subject) -> Result<(), PolicyError> {
    let Registered { project, logged_version: logged } = registered;
    let stored = project.version;
    if stored < logged { Err(PolicyError::ProjectRolledBack { subject, stored, logged }) } else { Ok(()) }
}

/// Open and inside its retention.
fn usable(project: &Project, subject: Subject, now: Timestamp) -> Result<(), PolicyError> {
    if project.closed.is_some() {
        return Err(PolicyError::ProjectClosed { subject });
    }
    match project.configuration.method {
        Method::Reversible { retention_end, .. } if now >= retention_end => {
            Err(PolicyError::RetentionEnded { subject })
        }
        Method::Reversible { .. } | Method::NotReversible => Ok(()),
    }
}

/// Rule 3.
fn reversible(order: &Order, project: &Project) -> Result<(), PolicyError> {
    match project.configuration.method {
        Method::NotReversible => Err(PolicyError::ProjectNotReversible),
        Method::Reversible { .. } if !project.may_reverse(order.organisation) => {
            Err(PolicyError::ReverseNotGranted)
        }
        Method::Reversible { .. } => Ok(()),
    }
}

/// Rule 4.
fn accessible<'a>(
    order: &Order,
    source: &SourceLayer,
    found: Option<Registered<'a>>,
    now: Timestamp,
) -> Result<&'a Project, PolicyError> {
    if source.project == order.project && source.organisation == order.organisation {
        return Err(PolicyError::SourceIsSelf);
    }
    // One answer for "no such project" and "not yours": nobody learns which projects exist.
    let found =
        found.filter(|found| found.project.id == source.project).ok_or(PolicyError::SourceNotAccessible)?;
    known_last(found, Subject::Source)?;
    let project = found.project;
    if !project.has_access(order.organisation) || !project.has_access(source.organisation) {
        return Err(PolicyError::SourceNotAccessible);
    }
    usable(project, Subject::Source, now)?;
    Ok(project)
}

/// Rules 2 and 12.
fn approved(order: &Order) -> Result<&Approval, PolicyError> {
    let approval = order.approval.as_ref().ok_or(PolicyError::ApprovalMissing)?;
    match order.operation.token_type() {
        TokenType::Pseudonymisation | TokenType::Secondary => return Ok(approval),
        TokenType::Reverse => {}
    }
    match &approval.decision {
        Decision::Automatic => Err(PolicyError::AutomaticApprovalRefused),
        Decision::Person(approver) if approver.same_person(&approval.requested_by) => {
            Err(PolicyError::ApproverIsRequester)
        }
        Decision::Person(_) if approval.purpose.is_none() => Err(PolicyError::PurposeMissing),
        Decision::Person(_) => Ok(approval),
    }
}

/// Rule 7: refuses what was asked for too long instead of cutting it, so that nobody relies on a token that is gone.
fn granted(
    asked: Option<Lifetime>,
    ceiling: Duration,
    retention_ends: impl Iterator<Item = Timestamp>,
    now: Timestamp,
) -> Result<Duration, PolicyError> {
    let calendar_end = std::iter::once(Timestamp::MAX);
    let left = retention_ends.chain(calendar_end).map(|end| end.since(now)).min().unwrap_or_default();
    let most = Duration::from_secs(ceiling.min(left).as_secs());
    let lifetime = asked.map_or(most, Lifetime::duration);
    if lifetime.is_zero() || lifetime > most {
        return Err(PolicyError::LifetimeTooLong { most });
    }
    Ok(lifetime)
}

fn checked(project: &Project) -> Checked {
    Checked { project: project.id.clone(), version: project.version }
}

/// Which of the two projects of an order an error speaks of.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Subject {
    /// The project the token is for.
    Project,
    /// The source project of a secondary token.
    Source,
}

/// Why a well-formed order is not granted.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum PolicyError {
    /// Closed for good.
    #[error("the project is closed")]
    ProjectClosed {
        /// Which project.
        subject: Subject,
    },
    /// Nothing of it can ever be reversed (rule 3).
    #[error("the project is not reversible")]
    ProjectNotReversible,
    /// Past the exclusive end.
    #[error("the project's retention has ended")]
    RetentionEnded {
        /// Which project.
        subject: Subject,
    },
    /// A collaborator without *Can reverse* (rule 3).
    #[error("the organisation may not reverse in this project")]
    ReverseNotGranted,
    /// Neither the owner nor a collaborator.
    #[error("the organisation is neither the project's owner nor a collaborator")]
    NotACollaborator,
    /// No such source project, or one of both organisations has no access to it (rule 4).
    #[error("the source project does not exist or is not open to both organisations")]
    SourceNotAccessible,
    /// A layer cannot be its own source (rule 4).
    #[error("the source is the token's own layer")]
    SourceIsSelf,
    /// No approved request is named (rule 2).
    #[error("no approval is given")]
    ApprovalMissing,
    /// Reversing needs a person (rule 2).
    #[error("a reverse token needs the approval of a person")]
    AutomaticApprovalRefused,
    /// Reversing needs two persons (rule 12).
    #[error("a reverse token needs an approver other than the requester")]
    ApproverIsRequester,
    /// Reversing needs a purpose (rule 12).
    #[error("a reverse token needs a purpose")]
    PurposeMissing,
    /// The stored project is older than one that the log knows: the store lost a change. The Portal sends it again.
    #[error("the stored project is version {stored}, the revocation log names version {logged}")]
    ProjectRolledBack {
        /// Which project.
        subject: Subject,
        /// The version in the store.
        stored: u64,
        /// The version that the log names.
        logged: u64,
    },
    /// Longer than the ceiling or past a retention end (rule 7). A bad argument, not a broken precondition.
    #[error("the lifetime must be at most {} s", most.as_secs())]
    LifetimeTooLong {
        /// The longest that would be granted now, in whole seconds.
        most: Duration,
    },
}

impl PolicyError {
    /// The `ErrorInfo` reason of a broken precondition; `None` for [`PolicyError::LifetimeTooLong`], which is
    /// `INVALID_ARGUMENT` at the field `lifetime`.
    pub const fn reason(&self) -> Option<&'static str> {
        Some(match self {
            Self::ProjectClosed { .. } => "PROJECT_CLOSED",
            Self::ProjectNotReversible => "PROJECT_NOT_REVERSIBLE",
            Self::RetentionEnded { .. } => "RETENTION_ENDED",
            Self::ReverseNotGranted => "REVERSE_NOT_GRANTED",
            Self::NotACollaborator => "NOT_A_COLLABORATOR",
            Self::SourceNotAccessible => "SOURCE_NOT_ACCESSIBLE",
            Self::SourceIsSelf => "SOURCE_IS_SELF",
            Self::ApprovalMissing => "APPROVAL_MISSING",
            Self::AutomaticApprovalRefused => "AUTOMATIC_APPROVAL_REFUSED",
            Self::ApproverIsRequester => "APPROVER_IS_REQUESTER",
            Self::PurposeMissing => "PURPOSE_MISSING",
            Self::ProjectRolledBack { .. } => "PROJECT_ROLLED_BACK",
            Self::LifetimeTooLong { .. } => return None,
        })
    }
}

#[cfg(test)]
mod tests;
