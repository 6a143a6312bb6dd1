//! What a caller that the settings narrowed may ask about: its projects, organisations and token types. Roles are checked
//! before; the rules of the house come after.

use common::{
    project::Project,
    project_id::ProjectId,
    runtime::caller::{Caller, Subject},
};
use tonic::Status;

use super::status;
use crate::{
    application::{projects, realm::Realm, revoke::Selector},
    domain::{ledger::TokenRecord, order::Order},
};

/// An order is for one project, one organisation and one type.
///
/// # Errors
/// `PERMISSION_DENIED`.
pub(super) fn order(caller: &Caller, order: &Order) -> Result<(), Status> {
    caller.check(Subject {
        project: Some(&order.project),
        organisation: Some(order.organisation),
        token_type: Some(order.operation.token_type()),
    })
}

/// A record is of one token.
///
/// # Errors
/// `PERMISSION_DENIED`.
pub(super) fn record(caller: &Caller, record: &TokenRecord) -> Result<(), Status> {
    caller.check(Subject {
        project: Some(&record.project),
        organisation: Some(record.organisation),
        token_type: Some(record.token_type()),
    })
}

/// A change withdraws tokens of any type, and belongs to the owner.
///
/// # Errors
/// `PERMISSION_DENIED`; or the project cannot be read.
pub(super) async fn change(realm: &Realm, caller: &Caller, id: &ProjectId) -> Result<(), Status> {
    if !caller.is_narrowed() {
        return Ok(());
    }
    let owner = projects::get(realm, id).await.map_err(status::project)?.owner;
    caller.check(Subject { project: Some(id), organisation: Some(owner), token_type: None })
}

/// A project may be seen by its owner and its collaborators.
///
/// # Errors
/// `PERMISSION_DENIED`.
pub(super) fn sight(caller: &Caller, project: &Project) -> Result<(), Status> {
    let others = project.collaborators.iter().map(|one| one.organisation);
    let seen = others.chain([project.owner]).any(|one| caller.check_project(&project.id, one).is_ok());
    if seen { Ok(()) } else { Err(Caller::outside()) }
}

/// What is revoked must lie within the bounds, all of it. Whoever is narrowed cannot revoke keys and requests: nobody can
/// tell beforehand what those hit.
///
/// # Errors
/// `PERMISSION_DENIED`; or the store does not answer.
pub(super) async fn revocation(realm: &Realm, caller: &Caller, selector: &Selector) -> Result<(), Status> {
    if !caller.is_narrowed() {
        return Ok(());
    }
    match selector {
        Selector::Tokens(ids) => {
            for id in ids {
                let known = realm.store.token(*id).await.map_err(status::store)?;
                record(caller, &known.ok_or_else(Caller::outside)?)?;
            }
            Ok(())
        }
        Selector::Scope(scope) => caller.check(Subject {
            project: scope.project.as_ref(),
            organisation: scope.organisation,
            token_type: scope.token_type,
        }),
        Selector::Request(_) | Selector::Key(_) => Err(Caller::outside()),
    }
}
