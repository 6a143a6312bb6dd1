//! `RevocationService`: parse, ask, render.

use std::{sync::Arc, time::Duration};

use common::{
    convert::{
        Violations,
        values::{self, read_cursor, read_duration, read_id, read_optional_id, read_token_type},
    },
    organisation_id::OrganisationId,
    project_id::ProjectId,
    proto::v1::{
        self as pb, preview_revocation_request::Selector as Previewed,
        revocation_service_server::RevocationService, revoke_request::Selector as Given,
    },
    revocation::{cursor::Cursor, entry::Reason, rule::Scope},
    runtime::{caller::Caller, status::invalid_argument},
    token::kind::TokenType,
    token_id::TokenId,
};
use tonic::{Request, Response, Status};

use super::{Noted, bounds::Bounds, render, status};
use crate::{
    application::{
        realm::Realm,
        revoke::{self, Selector},
    },
    domain::approval::Reference,
};

/// The service over one realm.
#[derive(Clone, Debug)]
pub struct Revocations(pub Arc<Realm>);

#[tonic::async_trait]
impl RevocationService for Revocations {
    async fn revoke(
        &self,
        request: Request<pb::RevokeRequest>,
    ) -> Result<Response<pb::RevokeResponse>, Status> {
        let caller = Caller::of(request.extensions());
        let (selector, reason, comment) =
            read_revoke(request.into_inner()).map_err(|bad| invalid_argument(&bad))?;
        let bounds = Bounds { realm: &self.0, caller: &caller, method: "Revoke" };
        bounds.revocation(&selector).await?;
        let revoked = revoke::revoke(&self.0, selector, reason, comment, caller.actor()).await;
        Ok(Response::new(render::revoked(&revoked.map_err(status::revoke)?)))
    }

    async fn preview_revocation(
        &self,
        request: Request<pb::PreviewRevocationRequest>,
    ) -> Result<Response<pb::PreviewRevocationResponse>, Status> {
        let caller = Caller::of(request.extensions());
        let mut violations = Violations::default();
        let given = request.into_inner().selector.map(|selector| match selector {
            Previewed::TokenIds(ids) => Given::TokenIds(ids),
            Previewed::Project(project) => Given::Project(project),
            Previewed::Organisation(organisation) => Given::Organisation(organisation),
            Previewed::ApprovalRequestId(request) => Given::ApprovalRequestId(request),
            Previewed::KeyId(key) => Given::KeyId(key),
            Previewed::Everything(everything) => Given::Everything(everything),
        });
        let selector = read_selector(given.as_ref(), &mut violations);
        let selector = violations.finish(selector).map_err(|bad| invalid_argument(&bad))?;
        let bounds = Bounds { realm: &self.0, caller: &caller, method: "PreviewRevocation" };
        bounds.revocation(&selector).await?;
        let preview = revoke::preview(&self.0, &selector).await.map_err(status::store)?;
        Ok(Response::new(pb::PreviewRevocationResponse {
            live_tokens: preview.live_tokens,
            projects: preview.projects,
            latest_expiry: preview.latest_expiry.map(values::timestamp),
        }))
    }

    async fn await_visibility(
        &self,
        request: Request<pb::AwaitVisibilityRequest>,
    ) -> Result<Response<pb::AwaitVisibilityResponse>, Status> {
        let (cursor, timeout) = read_await(request.get_ref()).map_err(|bad| invalid_argument(&bad))?;
        let seen = revoke::await_visibility(&self.0, cursor, timeout).await.map_err(status::awaiting)?;
        Ok(Response::new(pb::AwaitVisibilityResponse {
            reached: seen.reached(),
            visible_to: render::count(seen.visible_to()),
            followers: render::count(seen.followers),
            waiting_for: seen.waiting_for.into_iter().take(MOST_NAMES).collect(),
        }))
    }
}

fn read_revoke(given: pb::RevokeRequest) -> Result<(Selector, Reason, String), Violations> {
    let mut violations = Violations::default();
    let selector = read_selector(given.selector.as_ref(), &mut violations);
    let reason = render::read_reason(given.reason).filter(|reason| *reason != Reason::DataLost);
    let reason = violations
        .check("reason", reason.ok_or("must be one of RevocationReason, and not UNSPECIFIED or DATA_LOST"));
    if given.comment.chars().take(MOST_CHARACTERS + 1).count() > MOST_CHARACTERS {
        violations.add("comment", "must be at most 1,000 characters");
    }
    violations.finish(selector.zip(reason).map(|(selector, reason)| (selector, reason, given.comment)))
}

fn read_selector(given: Option<&Given>, violations: &mut Violations) -> Option<Selector> {
    match violations.required("selector", given)? {
        Given::TokenIds(ids) => read_tokens(&ids.token_ids, violations).map(Selector::Tokens),
        Given::Project(project) => {
            let id = read_id::<ProjectId>("project.project_id", &project.project_id, violations);
            let organisation = read_optional_id::<OrganisationId>(
                "project.organisation_id",
                &project.organisation_id,
                violations,
            );
            let kind = read_kind("project.token_type", project.token_type, violations).ok();
            let read = id.zip(organisation).zip(kind);
            read.map(|((id, organisation), kind)| {
                Selector::Scope(revoke::project_scope(id, organisation, kind))
            })
        }
        Given::Organisation(selector) => {
            let field = "organisation.organisation_id";
            let id = read_id::<OrganisationId>(field, &selector.organisation_id, violations);
            let kind = read_kind("organisation.token_type", selector.token_type, violations).ok();
            id.zip(kind).map(|(id, token_type)| {
                Selector::Scope(Scope { organisation: Some(id), token_type, ..Scope::default() })
            })
        }
        Given::ApprovalRequestId(request) => {
            violations.check("approval_request_id", Reference::new(request)).map(Selector::Request)
        }
        Given::KeyId(key) => read_id("key_id", key, violations).map(Selector::Key),
        Given::Everything(everything) => {
            let kind = read_kind("everything.token_type", everything.token_type, violations).ok();
            kind.map(|token_type| Selector::Scope(Scope { token_type, ..Scope::default() }))
        }
    }
}

fn read_tokens(given: &[String], violations: &mut Violations) -> Option<Vec<TokenId>> {
    if !(1..=MOST_TOKENS).contains(&given.len()) {
        violations.add("token_ids.token_ids", "must be 1 to 1,000");
        return None;
    }
    let read = given
        .iter()
        .enumerate()
        .map(|(index, id)| read_id::<TokenId>(&format!("token_ids.token_ids[{index}]"), id, violations));
    // All of them are looked at, so that every bad one is named.
    read.collect::<Vec<_>>().into_iter().collect()
}

/// An optional type: zero is absent.
fn read_kind(field: &str, given: i32, violations: &mut Violations) -> Result<Option<TokenType>, Noted> {
    if given == 0 { Ok(None) } else { read_token_type(field, given, violations).map(Some).ok_or(Noted) }
}

fn read_await(given: &pb::AwaitVisibilityRequest) -> Result<(Cursor, Duration), Violations> {
    let mut violations = Violations::default();
    let cursor = violations.required("cursor", given.cursor).map(read_cursor);
    let timeout = match given.timeout {
        Some(timeout) => read_duration("timeout", timeout, &mut violations).and_then(|timeout| {
            let read = if timeout <= LONGEST { Ok(timeout) } else { Err("must be 0 to 15 minutes") };
            violations.check("timeout", read)
        }),
        None => Some(DEFAULT),
    };
    violations.finish(cursor.zip(timeout))
}

const MOST_TOKENS: usize = 1_000;
const MOST_CHARACTERS: usize = 1_000;
const MOST_NAMES: usize = 100;
const LONGEST: Duration = Duration::from_mins(15);
const DEFAULT: Duration = Duration::from_secs(10);
