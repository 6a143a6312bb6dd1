//! What a caller that the settings narrowed may ask about: its projects, organisations and token types. Roles are checked
//! before; the rules of the house come after. What is refused here is in the audit trail.

use common::{
    project::Project,
    project_id::ProjectId,
    runtime::caller::{Caller, Subject},
    token::kind::TokenType,
};
use tonic::{Code, Status};

use super::status;
use crate::{
    application::{projects, realm::Realm, revoke::Selector},
    domain::{event::Denied, ledger::TokenRecord, order::Order},
};

/// One caller at one method of a realm.
#[derive(Clone, Copy)]
pub(super) struct Bounds<'a> {
    pub(super) realm: &'a Realm,
    pub(super) caller: &'a Caller,
    /// As in the protos.
    pub(super) method: &'static str,
}

impl Bounds<'_> {
    /// An order is for one project, one organisation and one type.
    ///
    /// # Errors
    /// `PERMISSION_DENIED`.
    pub(super) async fn order(self, order: &Order) -> Result<(), Status> {
        self.subject(Subject {
            project: Some(&order.project),
            organisation: Some(order.organisation),
            token_type: Some(order.operation.token_type()),
        })
        .await
    }

    /// A record is of one token.
    ///
    /// # Errors
    /// `PERMISSION_DENIED`.
    pub(super) async fn record(self, record: &TokenRecord) -> Result<(), Status> {
        self.subject(of(record)).await
    }

    /// Whatever is asked about `subject`.
    ///
    /// # Errors
    /// `PERMISSION_DENIED`.
    pub(super) async fn subject(self, subject: Subject<'_>) -> Result<(), Status> {
        self.noted(subject, self.caller.check(subject)).await
    }

    /// A new project belongs to its owner; no token of it exists.
    ///
    /// # Errors
    /// `PERMISSION_DENIED`.
    pub(super) async fn creation(self, project: &Project) -> Result<(), Status> {
        let outcome = self.caller.check_project(&project.id, project.owner);
        let subject =
            Subject { project: Some(&project.id), organisation: Some(project.owner), token_type: None };
        self.noted(subject, outcome).await
    }

    /// A change withdraws tokens of any type, and belongs to the owner.
    ///
    /// # Errors
    /// `PERMISSION_DENIED`; or the project cannot be read.
    pub(super) async fn change(self, id: &ProjectId) -> Result<(), Status> {
        if !self.caller.is_narrowed() {
            return Ok(());
        }
        let owner = projects::get(self.realm, id).await.map_err(status::project)?.owner;
        self.subject(Subject { project: Some(id), organisation: Some(owner), token_type: None }).await
    }

    /// A project may be seen by its owner and its collaborators.
    ///
    /// # Errors
    /// `PERMISSION_DENIED`.
    pub(super) async fn sight(self, project: &Project) -> Result<(), Status> {
        let outcome = if sees(self.caller, project) { Ok(()) } else { Err(Caller::outside()) };
        self.noted(Subject { project: Some(&project.id), ..Subject::default() }, outcome).await
    }

    /// What is revoked must lie within the bounds, all of it. Whoever is narrowed cannot revoke keys and requests: nobody
    /// can tell beforehand what those hit.
    ///
    /// # Errors
    /// `PERMISSION_DENIED`; or the store does not answer.
    pub(super) async fn revocation(self, selector: &Selector) -> Result<(), Status> {
        if !self.caller.is_narrowed() {
            return Ok(());
        }
        match selector {
            Selector::Tokens(ids) => {
                for id in ids {
                    let known = self.realm.store.token(*id).await.map_err(status::store)?;
                    match &known {
                        Some(record) => self.record(record).await?,
                        None => self.noted(Subject::default(), Err(Caller::outside())).await?,
                    }
                }
                Ok(())
            }
            Selector::Scope(scope) => {
                self.subject(Subject {
                    project: scope.project.as_ref(),
                    organisation: scope.organisation,
                    token_type: scope.token_type,
                })
                .await
            }
            Selector::Request(_) | Selector::Key(_) => {
                self.noted(Subject::default(), Err(Caller::outside())).await
            }
        }
    }

    async fn noted(self, subject: Subject<'_>, outcome: Result<(), Status>) -> Result<(), Status> {
        if outcome.as_ref().is_err_and(|refused| refused.code() == Code::PermissionDenied) {
            let denied = Denied {
                method: self.method,
                project_id: subject.project.map(ProjectId::as_str),
                organisation_id: subject.organisation.map(|organisation| organisation.to_string()),
                token_type: subject.token_type.map(TokenType::as_str),
                unwritten: 0,
            };
            self.realm.trail.deny(self.caller.actor(), denied).await;
        }
        outcome
    }
}

/// Whether a caller may know of a project.
pub(super) fn sees(caller: &Caller, project: &Project) -> bool {
    let others = project.collaborators.iter().map(|one| one.organisation);
    others.chain([project.owner]).any(|one| caller.check_project(&project.id, one).is_ok())
}

const fn of(record: &TokenRecord) -> Subject<'_> {
    Subject {
        project: Some(&record.project),
        organisation: Some(record.organisation),
        token_type: Some(record.token_type()),
    }
}
