//! `ProjectService`: parse, ask, render.

use std::sync::Arc;

use common::{
    convert::{
        Violations,
        project::{read_collaborators, read_configuration},
        values::{read_id, read_optional_id},
    },
    organisation_id::OrganisationId,
    project::Project,
    project_id::ProjectId,
    proto::v1::{self as pb, project_service_server::ProjectService},
    runtime::{caller::Caller, status::invalid_argument},
    timestamp::Timestamp,
};
use tonic::{Request, Response, Status};

use super::{
    bounds::{self, Bounds},
    paging, render, status,
};
use crate::application::{projects, realm::Realm};

/// The service over one realm.
#[derive(Clone, Debug)]
pub struct Projects(pub Arc<Realm>);

#[tonic::async_trait]
impl ProjectService for Projects {
    async fn create_project(
        &self,
        request: Request<pb::CreateProjectRequest>,
    ) -> Result<Response<pb::CreateProjectResponse>, Status> {
        let caller = Caller::of(request.extensions());
        let project =
            read_new(request.get_ref(), self.0.clock.now().wall).map_err(|bad| invalid_argument(&bad))?;
        Bounds { realm: &self.0, caller: &caller, method: "CreateProject" }.creation(&project).await?;
        let project = projects::create(&self.0, project, caller.actor()).await.map_err(status::project)?;
        Ok(Response::new(pb::CreateProjectResponse { project: Some(render::project(&project)) }))
    }

    async fn get_project(
        &self,
        request: Request<pb::GetProjectRequest>,
    ) -> Result<Response<pb::GetProjectResponse>, Status> {
        let mut violations = Violations::default();
        let id = read_id("project_id", &request.get_ref().project_id, &mut violations);
        let id = violations.finish(id).map_err(|bad| invalid_argument(&bad))?;
        let project = projects::get(&self.0, &id).await.map_err(status::project)?;
        let caller = &Caller::of(request.extensions());
        Bounds { realm: &self.0, caller, method: "GetProject" }.sight(&project).await?;
        Ok(Response::new(pb::GetProjectResponse { project: Some(render::project(&project)) }))
    }

    async fn list_projects(
        &self,
        request: Request<pb::ListProjectsRequest>,
    ) -> Result<Response<pb::ListProjectsResponse>, Status> {
        let caller = Caller::of(request.extensions());
        let given = request.get_ref();
        let asked = read_list(given).map_err(|bad| invalid_argument(&bad))?;
        let listed = projects::list(&self.0, asked.organisation, asked.after, asked.size).await;
        let (page, more) = listed.map_err(status::project)?;
        let last = page.last().filter(|_| more).map(|last| last.id.as_str());
        let next = last.map(|id| paging::token(id.as_bytes(), &[&given.organisation_id]));
        Ok(Response::new(pb::ListProjectsResponse {
            projects: page.iter().filter(|one| bounds::sees(&caller, one)).map(render::project).collect(),
            next_page_token: next.unwrap_or_default(),
        }))
    }

    async fn set_collaborators(
        &self,
        request: Request<pb::SetCollaboratorsRequest>,
    ) -> Result<Response<pb::SetCollaboratorsResponse>, Status> {
        let caller = Caller::of(request.extensions());
        let given = request.get_ref();
        let mut violations = Violations::default();
        let id = read_id::<ProjectId>("project_id", &given.project_id, &mut violations);
        let version = read_etag(&given.etag, &mut violations);
        // The owner is known only to the store: without it every other bad field is told at once all the same.
        let wanted = read_collaborators(None, &given.collaborators, &mut violations);
        let read = id.zip(version).zip(wanted);
        let ((id, version), _) = violations.finish(read).map_err(|bad| invalid_argument(&bad))?;
        Bounds { realm: &self.0, caller: &caller, method: "SetCollaborators" }.change(&id).await?;
        let owner = projects::get(&self.0, &id).await.map_err(status::project)?.owner;
        let mut violations = Violations::default();
        let wanted = read_collaborators(Some(owner), &given.collaborators, &mut violations);
        let wanted = violations.finish(wanted).map_err(|bad| invalid_argument(&bad))?;
        let changed = projects::collaborators(&self.0, &id, version, wanted, caller.actor()).await;
        let (project, revoked) = changed.map_err(status::project)?;
        Ok(Response::new(pb::SetCollaboratorsResponse {
            project: Some(render::project(&project)),
            revocation: revoked.as_ref().map(render::revoked),
        }))
    }

    async fn close_project(
        &self,
        request: Request<pb::CloseProjectRequest>,
    ) -> Result<Response<pb::CloseProjectResponse>, Status> {
        let caller = Caller::of(request.extensions());
        let given = request.get_ref();
        let mut violations = Violations::default();
        let id = read_id::<ProjectId>("project_id", &given.project_id, &mut violations);
        let read = id.zip(read_etag(&given.etag, &mut violations));
        let (id, version) = violations.finish(read).map_err(|bad| invalid_argument(&bad))?;
        Bounds { realm: &self.0, caller: &caller, method: "CloseProject" }.change(&id).await?;
        let closed = projects::close_project(&self.0, &id, version, caller.actor()).await;
        let (project, revoked) = closed.map_err(status::project)?;
        Ok(Response::new(pb::CloseProjectResponse {
            project: Some(render::project(&project)),
            revocation: revoked.as_ref().map(render::revoked),
        }))
    }
}

/// A new project, created at `now`, whole seconds.
fn read_new(given: &pb::CreateProjectRequest, now: Timestamp) -> Result<Project, Violations> {
    let mut violations = Violations::default();
    let id = read_id("project_id", &given.project_id, &mut violations);
    let owner: Option<OrganisationId> =
        read_id("owner_organisation_id", &given.owner_organisation_id, &mut violations);
    let collaborators = read_collaborators(owner, &given.collaborators, &mut violations);
    let configuration = read_configuration(given.configuration.as_ref(), now, &mut violations);
    let read = id.zip(owner).zip(collaborators).zip(configuration);
    let made = read.map(|(((id, owner), collaborators), configuration)| Project {
        id,
        owner,
        collaborators,
        configuration,
        created: now,
        closed: None,
        version: 1,
    });
    violations.finish(made)
}

struct List {
    organisation: Option<OrganisationId>,
    after: Option<ProjectId>,
    size: usize,
}

fn read_list(given: &pb::ListProjectsRequest) -> Result<List, Violations> {
    let mut violations = Violations::default();
    let organisation = read_optional_id("organisation_id", &given.organisation_id, &mut violations);
    let size = paging::size(given.page_size, &mut violations);
    let mark = paging::mark(&given.page_token, &[&given.organisation_id], &mut violations);
    let after = match mark {
        Some(Some(mark)) => {
            let read = str::from_utf8(&mark).ok().and_then(|text| text.parse::<ProjectId>().ok());
            if read.is_none() {
                paging::refuse(&mut violations);
            }
            read.map(Some)
        }
        Some(None) => Some(None),
        None => None,
    };
    let read = organisation.zip(after).zip(size);
    violations.finish(read.map(|((organisation, after), size)| List { organisation, after, size }))
}

fn read_etag(given: &str, violations: &mut Violations) -> Option<u64> {
    violations.check("etag", given.parse().map_err(|_other| "must be the etag of the project as it was read"))
}
