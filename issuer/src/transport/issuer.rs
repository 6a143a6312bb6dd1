//! `IssuerService`: parse, ask, render.

use std::sync::Arc;

use common::{
    convert::{
        Violations,
        values::{read_duration, read_id, read_optional_id, read_source, read_token_type},
    },
    organisation_id::OrganisationId,
    project_id::ProjectId,
    proto::v1::{self as pb, approval::Approval as Given, issuer_service_server::IssuerService},
    runtime::{
        caller::{Caller, Subject},
        status::{invalid_argument, with_reason},
    },
    token::kind::{PerType, TokenType},
    token_id::TokenId,
};
use tonic::{Code, Request, Response, Status};

use super::{Noted, bounds::Bounds, paging, render, status};
use crate::{
    application::{
        issue,
        realm::Realm,
        tokens::{self, Filter, Wanted},
    },
    domain::{
        approval::{Approval, Decision, Purpose, Reference},
        order::{IdempotencyKey, Lifetime, Operation, Order, SourceLayer},
    },
};

/// The service over one realm.
#[derive(Clone, Debug)]
pub struct Issuing(pub Arc<Realm>);

#[tonic::async_trait]
impl IssuerService for Issuing {
    async fn issue_token(
        &self,
        request: Request<pb::IssueTokenRequest>,
    ) -> Result<Response<pb::IssueTokenResponse>, Status> {
        let caller = Caller::of(request.extensions());
        let order = read_order(request.get_ref(), self.0.holder_required);
        let order = order.map_err(|bad| invalid_argument(&bad))?;
        let bounds = Bounds { realm: &self.0, caller: &caller, method: "IssueToken" };
        bounds.order(&order).await?;
        let issued = issue::issue(&self.0, &order, caller.actor()).await.map_err(status::issue)?;
        Ok(Response::new(pb::IssueTokenResponse {
            token: issued.token,
            record: Some(render::record(&issued.record)),
        }))
    }

    async fn get_token(
        &self,
        request: Request<pb::GetTokenRequest>,
    ) -> Result<Response<pb::GetTokenResponse>, Status> {
        let mut violations = Violations::default();
        let id = read_id::<TokenId>("token_id", &request.get_ref().token_id, &mut violations);
        let id = violations.finish(id).map_err(|bad| invalid_argument(&bad))?;
        let known = tokens::get(&self.0, id).await.map_err(status::store)?;
        let none = || with_reason(Code::NotFound, "NO_SUCH_TOKEN", "this ledger knows no such token");
        let known = known.ok_or_else(none)?;
        let caller = &Caller::of(request.extensions());
        Bounds { realm: &self.0, caller, method: "GetToken" }.record(&known.record).await?;
        Ok(Response::new(pb::GetTokenResponse { record: Some(render::known(&known)) }))
    }

    async fn list_tokens(
        &self,
        request: Request<pb::ListTokensRequest>,
    ) -> Result<Response<pb::ListTokensResponse>, Status> {
        let given = request.get_ref();
        let (filter, before, size) = read_list(given).map_err(|bad| invalid_argument(&bad))?;
        let caller = &Caller::of(request.extensions());
        let subject = Subject {
            project: filter.project.as_ref(),
            organisation: filter.organisation,
            token_type: filter.kind,
        };
        Bounds { realm: &self.0, caller, method: "ListTokens" }.subject(subject).await?;
        let (page, next) = tokens::list(&self.0, &filter, before, size).await.map_err(status::store)?;
        let next = next.map(|number| paging::token(&number.to_be_bytes(), &fields(given)));
        Ok(Response::new(pb::ListTokensResponse {
            records: page.iter().map(render::known).collect(),
            next_page_token: next.unwrap_or_default(),
        }))
    }
}

fn read_order(given: &pb::IssueTokenRequest, bound: PerType<bool>) -> Result<Order, Violations> {
    let mut violations = Violations::default();
    let project = read_id::<ProjectId>("project_id", &given.project_id, &mut violations);
    let organisation = read_id::<OrganisationId>("organisation_id", &given.organisation_id, &mut violations);
    let operation = read_operation(given, &mut violations);
    let lifetime = match given.lifetime {
        Some(span) => read_duration("lifetime", span, &mut violations)
            .and_then(|span| violations.check("lifetime", Lifetime::new(span)))
            .map(Some),
        None => Some(None),
    };
    let approval = match &given.approval {
        Some(approval) => read_approval(approval, &mut violations).ok(),
        None => Some(None),
    };
    let holder = match &given.holder_certificate_sha256 {
        Some(bytes) => {
            let read = <[u8; 32]>::try_from(bytes.as_ref()).map_err(|_other| "must be 32 bytes");
            violations.check("holder_certificate_sha256", read).map(Some)
        }
        None if operation.as_ref().is_some_and(|one| *bound.get(one.token_type())) => {
            violations
                .add("holder_certificate_sha256", "is required: tokens of this type are bound to a holder");
            None
        }
        None => Some(None),
    };
    let idempotency_key = match &given.idempotency_key {
        Some(key) => violations.check("idempotency_key", IdempotencyKey::new(key)).map(Some),
        None => Some(None),
    };
    let who = project.zip(organisation).zip(operation);
    let how = lifetime.zip(approval).zip(holder).zip(idempotency_key);
    let made =
        who.zip(how).map(|(((project, organisation), operation), (((lifetime, approval), holder), key))| {
            Order { project, organisation, operation, lifetime, approval, holder, idempotency_key: key }
        });
    violations.finish(made)
}

/// The type and, for SECONDARY only, the source (rule 4).
fn read_operation(given: &pb::IssueTokenRequest, violations: &mut Violations) -> Option<Operation> {
    let kind = read_token_type("token_type", given.token_type, violations);
    let source = given.source.as_ref().map(|source| read_source("source", source, violations));
    match (kind?, source) {
        (TokenType::Secondary, Some(source)) => {
            source.map(|(project, organisation)| Operation::Secondary(SourceLayer { project, organisation }))
        }
        (TokenType::Secondary, None) => {
            violations.add("source", "is required for SECONDARY");
            None
        }
        (TokenType::Pseudonymisation | TokenType::Reverse, Some(_)) => {
            violations.add("source", "must be absent unless token_type is SECONDARY");
            None
        }
        (TokenType::Pseudonymisation, None) => Some(Operation::Pseudonymise),
        (TokenType::Reverse, None) => Some(Operation::Reverse),
    }
}

/// `None` when nobody is said to have approved: no policy grants that (rule 2).
fn read_approval(given: &pb::Approval, violations: &mut Violations) -> Result<Option<Approval>, Noted> {
    let request = violations.check("approval.request_id", Reference::new(&given.request_id));
    let requested_by = violations.check("approval.requested_by", Reference::new(&given.requested_by));
    let purpose = violations.check("approval.purpose", Purpose::new(&given.purpose));
    let decision = match &given.approval {
        Some(Given::ApprovedBy(person)) => violations
            .check("approval.approved_by", Reference::new(person))
            .map(|by| Some(Decision::Person(by))),
        Some(Given::Automatic(_)) => Some(Some(Decision::Automatic)),
        None => Some(None),
    };
    let read = request.zip(requested_by).zip(purpose).zip(decision).ok_or(Noted);
    read.map(|(((request, requested_by), purpose), decision)| {
        decision.map(|decision| Approval { request, requested_by, decision, purpose })
    })
}

fn read_list(given: &pb::ListTokensRequest) -> Result<(Filter, Option<u64>, usize), Violations> {
    let mut violations = Violations::default();
    let project = read_optional_id("project_id", &given.project_id, &mut violations);
    let organisation = read_optional_id("organisation_id", &given.organisation_id, &mut violations);
    let kind = match given.token_type {
        0 => Some(None),
        kind => read_token_type("token_type", kind, &mut violations).map(Some),
    };
    let state = match pb::TokenState::try_from(given.state) {
        Ok(pb::TokenState::Unspecified) => Ok(None),
        Ok(pb::TokenState::Live) => Ok(Some(Wanted::Live)),
        Ok(pb::TokenState::Expired) => Ok(Some(Wanted::Expired)),
        Ok(pb::TokenState::Revoked) => Ok(Some(Wanted::Revoked)),
        Err(_unknown) => Err("must be LIVE, EXPIRED or REVOKED, or absent"),
    };
    let state = violations.check("state", state);
    let size = paging::size(given.page_size, &mut violations);
    let before = match paging::mark(&given.page_token, &fields(given), &mut violations) {
        Some(Some(mark)) => {
            let read = <[u8; 8]>::try_from(mark.as_slice()).ok().map(u64::from_be_bytes);
            if read.is_none() {
                paging::refuse(&mut violations);
            }
            read.map(Some)
        }
        Some(None) => Some(None),
        None => None,
    };
    let read = project.zip(organisation).zip(kind).zip(state).zip(before).zip(size);
    violations.finish(read.map(|(((((project, organisation), kind), state), before), size)| {
        (Filter { project, organisation, kind, state }, before, size)
    }))
}

/// What a page token is bound to.
fn fields(given: &pb::ListTokensRequest) -> Vec<String> {
    vec![
        given.project_id.clone(),
        given.organisation_id.clone(),
        given.token_type.to_string(),
        given.state.to_string(),
    ]
}
