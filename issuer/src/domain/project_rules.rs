//! What may change of a project, and which permissions a change withdraws (rules 6 and 11). Pure: no clock, no log.

use common::{
    organisation_id::OrganisationId,
    project::{Collaborator, Method, Project, ProjectConfiguration},
    project_id::ProjectId,
    revocation::rule::Scope,
    timestamp::Timestamp,
    token::kind::TokenType,
};

/// A project after a change, and what the change withdraws. Both belong in one atomic step.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Change {
    /// One version further.
    pub project: Project,
    /// In the order of the organisations' ids; empty when nothing was withdrawn.
    pub withdrawn: Vec<Withdrawal>,
}

/// A permission that is gone: which tokens of the changed project, or made from it, must be revoked (rule 11).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Withdrawal {
    /// The organisation's reverse tokens of the project.
    CanReverse(OrganisationId),
    /// The organisation's tokens of the project, and every secondary token that names (project, organisation) as its
    /// source or was issued to the organisation from the project.
    Collaborator(OrganisationId),
    /// All tokens of the project, and every secondary token whose source it is.
    Everything,
}

impl Withdrawal {
    /// The scopes to append to the revocation log, in the same atomic step as the change of `project` (rule 11).
    pub fn scopes(&self, project: &ProjectId) -> Vec<Scope> {
        let of = || Some(project.clone());
        match *self {
            Self::CanReverse(organisation) => vec![Scope {
                token_type: Some(TokenType::Reverse),
                project: of(),
                organisation: Some(organisation),
                ..Scope::default()
            }],
            Self::Collaborator(organisation) => vec![
                Scope { project: of(), organisation: Some(organisation), ..Scope::default() },
                Scope { source_project: of(), source_organisation: Some(organisation), ..Scope::default() },
                Scope { source_project: of(), organisation: Some(organisation), ..Scope::default() },
            ],
            Self::Everything => vec![
                Scope { project: of(), ..Scope::default() },
                Scope { source_project: of(), ..Scope::default() },
            ],
        }
    }
}

/// Replaces the collaborators: sorted by organisation, each once, never the owner.
///
/// # Errors
/// [`ClosedProject`]: a closed project never changes.
pub fn set_collaborators(project: &Project, wanted: Vec<Collaborator>) -> Result<Change, ClosedProject> {
    if project.closed.is_some() {
        return Err(ClosedProject);
    }
    let withdrawn = project.collaborators.iter().filter_map(|old| {
        match wanted.iter().find(|new| new.organisation == old.organisation) {
            None => Some(Withdrawal::Collaborator(old.organisation)),
            Some(new) if old.can_reverse && !new.can_reverse => {
                Some(Withdrawal::CanReverse(old.organisation))
            }
            Some(_) => None,
        }
    });
    let withdrawn = withdrawn.collect();
    let version = project.version.saturating_add(1);
    Ok(Change { project: Project { collaborators: wanted, version, ..project.clone() }, withdrawn })
}

/// Closes a project for good. `None` when it is closed already.
pub fn close(project: &Project, now: Timestamp) -> Option<Change> {
    let version = project.version.saturating_add(1);
    let closed = Project { closed: Some(now), version, ..project.clone() };
    project.closed.is_none().then(|| Change { project: closed, withdrawn: vec![Withdrawal::Everything] })
}

/// Whether creating `asked` again asks for what `stored` was created as. The retention is compared as given: its end
/// follows from the creation, which came only once.
pub fn same_content(stored: &Project, asked: &Project) -> bool {
    stored.id == asked.id
        && stored.owner == asked.owner
        && stored.collaborators == asked.collaborators
        && as_given(&stored.configuration) == as_given(&asked.configuration)
}

/// The configuration with the retention end, which is derived, made equal.
const fn as_given(configuration: &ProjectConfiguration) -> ProjectConfiguration {
    let method = match configuration.method {
        Method::Reversible { retention, .. } => {
            Method::Reversible { retention, retention_end: Timestamp::EPOCH }
        }
        Method::NotReversible => Method::NotReversible,
    };
    ProjectConfiguration { method, ..*configuration }
}

/// Closed for good.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the project is closed")]
pub struct ClosedProject;

#[cfg(test)]
mod tests {
    use common::{
        key_id::KeyId,
        project::{Alphabet, OutputFormat, Retention, Treatment},
        revocation::{cursor::Cursor, rule::Subject},
        token_id::TokenId,
    };

    use super::*;

    fn one(n: u8, can_reverse: bool) -> Collaborator {
        Collaborator { organisation: OrganisationId::from_bytes([n; 16]), can_reverse }
    }

    fn project() -> Project {
        let retention = Retention::new(1, 0, 0).unwrap();
        let retention_end = retention.end(Timestamp::EPOCH).unwrap();
        Project {
            id: "p".parse().unwrap(),
            owner: OrganisationId::from_bytes([1; 16]),
            collaborators: vec![one(2, true), one(3, true), one(4, false)],
            configuration: ProjectConfiguration {
                method: Method::Reversible { retention, retention_end },
                treatment: Treatment::AlwaysSame,
                output_format: OutputFormat::new(Alphabet::Uuid, 36).unwrap(),
            },
            created: Timestamp::EPOCH,
            closed: None,
            version: 1,
        }
    }

    #[test]
    fn rule_11_only_what_is_taken_away_is_withdrawn() {
        let change = set_collaborators(&project(), vec![one(3, false), one(4, true), one(5, true)]).unwrap();
        let id = |n| OrganisationId::from_bytes([n; 16]);
        assert_eq!(change.withdrawn, [Withdrawal::Collaborator(id(2)), Withdrawal::CanReverse(id(3))]);
        assert_eq!(change.project.version, 2);
    }

    #[test]
    fn rule_11_closing_withdraws_everything_once() {
        let change = close(&project(), Timestamp::MAX).unwrap();
        assert_eq!((change.project.version, change.withdrawn), (2, vec![Withdrawal::Everything]));
        assert_eq!(close(&change.project, Timestamp::MAX), None);
        assert_eq!(set_collaborators(&change.project, Vec::new()), Err(ClosedProject));
    }

    /// Which of these tokens a withdrawal hits: (type, project, organisation, source).
    #[test]
    fn rule_11_a_withdrawal_hits_the_tokens_of_the_permission_and_no_others() {
        let (p, other): (ProjectId, ProjectId) = ("p".parse().unwrap(), "other".parse().unwrap());
        let (gone, stays) = (OrganisationId::from_bytes([2; 16]), OrganisationId::from_bytes([3; 16]));
        let (plain, reverse, second) =
            (TokenType::Pseudonymisation, TokenType::Reverse, TokenType::Secondary);
        for (kind, project, organisation, source, [can_reverse, collaborator, everything]) in [
            (plain, &p, gone, None, [false, true, true]),
            (reverse, &p, gone, None, [true, true, true]),
            (reverse, &p, stays, None, [false, false, true]),
            (reverse, &other, gone, None, [false, false, false]),
            (second, &other, stays, Some((&p, gone)), [false, true, true]),
            (second, &other, gone, Some((&p, stays)), [false, true, true]),
            (second, &other, stays, Some((&p, stays)), [false, false, true]),
            (second, &p, gone, Some((&other, gone)), [false, true, true]),
            (second, &p, stays, Some((&other, gone)), [false, false, true]),
            (second, &other, gone, Some((&other, gone)), [false, false, false]),
        ] {
            let subject = Subject {
                id: TokenId::from_bytes([0; 16]),
                key: KeyId::from_bytes([0; 32]),
                token_type: kind,
                project,
                organisation,
                source,
                recorded: Cursor::ZERO,
            };
            for (withdrawal, hit) in [
                (Withdrawal::CanReverse(gone), can_reverse),
                (Withdrawal::Collaborator(gone), collaborator),
                (Withdrawal::Everything, everything),
            ] {
                let scopes = withdrawal.scopes(&p);
                assert!(scopes.iter().all(Scope::is_in_use), "{withdrawal:?}");
                assert_eq!(
                    scopes.iter().any(|s| s.matches(&subject)),
                    hit,
                    "{withdrawal:?} {kind} {project}"
                );
            }
        }
    }

    #[test]
    fn rule_06_a_change_leaves_owner_configuration_and_creation_alone() {
        let change = set_collaborators(&project(), Vec::new()).unwrap();
        let restored = Project { collaborators: project().collaborators, version: 1, ..change.project };
        assert_eq!(restored, project());
    }

    #[test]
    fn the_same_content_asked_later_is_the_same_content() {
        let mut later = project();
        let retention = Retention::new(1, 0, 0).unwrap();
        later.configuration.method = Method::Reversible { retention, retention_end: Timestamp::MAX };
        assert!(same_content(&project(), &later));
        later.configuration.treatment = Treatment::AlwaysDifferent;
        assert!(!same_content(&project(), &later));
    }
}
