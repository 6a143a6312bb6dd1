//! Projects: created once, changed by etag, closed for good. What a change withdraws is revoked in the same step.

use common::{
    organisation_id::OrganisationId,
    project::{Collaborator, Project},
    project_id::ProjectId,
    revocation::{entry::Reason, rule::Rule},
};

use crate::{
    application::{
        log::{AppendError, AppendOrder, Planned},
        realm::Realm,
        revoke::{Revoked, hits_of, report},
    },
    domain::{
        event::What,
        ports::{Created, ProjectChange, StoreError},
        project_rules::{Change, Withdrawal, close, same_content, set_collaborators},
    },
};

/// Creates a project, or returns the one that was created with the same content.
///
/// # Errors
/// [`ProjectError::OtherContent`], [`ProjectError::Store`].
pub async fn create(realm: &Realm, project: Project, actor: &str) -> Result<Project, ProjectError> {
    // 1, unless the store lost a project of this id that the log still speaks of.
    let project = Project { version: next_version(realm, &project.id), ..project };
    match realm.store.create_project(project.clone()).await? {
        Created::New => {
            note_created(realm, &project, "create", actor).await?;
            Ok(project)
        }
        // The first answer may have been that there is no trail: none says yes without a line.
        Created::Stood(stored) if same_content(&stored, &project) => {
            note_created(realm, &stored, "create_again", actor).await?;
            Ok(stored)
        }
        Created::Stood(_) => Err(ProjectError::OtherContent),
    }
}

async fn note_created(
    realm: &Realm,
    project: &Project,
    action: &'static str,
    actor: &str,
) -> Result<(), ProjectError> {
    let what = What::Project { project_id: project.id.to_string(), version: project.version, action };
    realm.trail.write(actor, what).await.map_err(|_why| ProjectError::AuditUnavailable)
}

/// One project.
///
/// # Errors
/// [`ProjectError::NoSuchProject`], [`ProjectError::Store`].
pub async fn get(realm: &Realm, id: &ProjectId) -> Result<Project, ProjectError> {
    realm.store.project(id.clone()).await?.ok_or(ProjectError::NoSuchProject)
}

/// A page of projects behind `after`, at most `most`; and whether there may be more.
///
/// # Errors
/// [`ProjectError::Store`].
pub async fn list(
    realm: &Realm,
    organisation: Option<OrganisationId>,
    after: Option<ProjectId>,
    most: usize,
) -> Result<(Vec<Project>, bool), ProjectError> {
    let mut page = realm.store.projects(organisation, after, most.saturating_add(1)).await?;
    let more = page.len() > most;
    page.truncate(most);
    Ok((page, more))
}

/// Replaces the collaborators of the project in version `version`, and revokes what that withdraws.
///
/// # Errors
/// [`ProjectError`].
pub async fn collaborators(
    realm: &Realm,
    id: &ProjectId,
    version: u64,
    wanted: Vec<Collaborator>,
    actor: &str,
) -> Result<(Project, Option<Revoked>), ProjectError> {
    let project = get(realm, id).await?;
    let change = set_collaborators(&project, wanted).map_err(|_closed| ProjectError::Closed)?;
    if project.version != version {
        return Err(ProjectError::OldEtag);
    }
    apply(realm, project.version, change, "set_collaborators", actor).await
}

/// Closes the project in version `version` for good, and revokes everything of it. A closed one is returned as it is.
///
/// # Errors
/// [`ProjectError`].
pub async fn close_project(
    realm: &Realm,
    id: &ProjectId,
    version: u64,
    actor: &str,
) -> Result<(Project, Option<Revoked>), ProjectError> {
    let project = get(realm, id).await?;
    let Some(change) = close(&project, realm.clock.now().wall) else { return Ok((project, None)) };
    if project.version != version {
        return Err(ProjectError::OldEtag);
    }
    apply(realm, project.version, change, "close_project", actor).await
}

fn next_version(realm: &Realm, id: &ProjectId) -> u64 {
    realm.log.published().logged_version(id).saturating_add(1)
}

/// Rule 11: the change and what it revokes are one step.
async fn apply(
    realm: &Realm,
    expected: u64,
    change: Change,
    action: &'static str,
    actor: &str,
) -> Result<(Project, Option<Revoked>), ProjectError> {
    let Change { mut project, withdrawn } = change;
    // A project that the store rolled back is sent again by this: it gets past the version that the log knows.
    project.version = project.version.max(next_version(realm, &project.id));
    let rules = withdrawn.iter().flat_map(|one| {
        let reason = match one {
            Withdrawal::CanReverse(_) => Reason::PermissionWithdrawn,
            Withdrawal::Collaborator(_) => Reason::CollaboratorRemoved,
            Withdrawal::Everything => Reason::ProjectClosed,
        };
        let planned = move |scope| {
            let rule = Rule::Scope(scope);
            Planned { hits: hits_of(&rule), rule, reason, expires_at: None }
        };
        one.scopes(&project.id).into_iter().map(planned)
    });
    let rules: Vec<_> = rules.collect();
    let withdraws = !rules.is_empty();
    let order = AppendOrder {
        rules,
        change: Some(ProjectChange { expected, project: project.clone() }),
        action,
        comment: String::new(),
        actor: actor.into(),
    };
    let done = realm.log.append(order).await?;
    let revoked = withdraws.then(|| report(realm, done));
    Ok((project, revoked))
}

/// Why a project was not created, found or changed.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ProjectError {
    /// None of that id.
    #[error("no such project")]
    NoSuchProject,
    /// One of that id was created with other content.
    #[error("a project of this id exists with other content")]
    OtherContent,
    /// Changed since the caller looked.
    #[error("the project was changed since this etag was given out")]
    OldEtag,
    /// Closed for good.
    #[error("the project is closed")]
    Closed,
    /// It stands, and could not be written into the audit trail: ask again.
    #[error("the audit trail cannot be written")]
    AuditUnavailable,
    /// The store did not answer. Whether it happened is not known.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The log took no entry. Whether it happened is not known.
    #[error(transparent)]
    Log(AppendError),
}

impl From<AppendError> for ProjectError {
    fn from(error: AppendError) -> Self {
        match error {
            AppendError::ProjectChanged => Self::OldEtag,
            AppendError::Unaudited => Self::AuditUnavailable,
            AppendError::Store(error) => Self::Store(error),
            AppendError::Behind | AppendError::Lost | AppendError::Signing | AppendError::Stopped => {
                Self::Log(error)
            }
        }
    }
}
