//! One token's life, over the wire as callers see it: issued, accepted, revoked, refused. Leaves a closed project of its own
//! behind, and touches no other.

use std::{sync::Arc, time::Duration};

use common::{
    clock::Clock,
    proto::v1::{
        self as pb, approval, issuer_service_client::IssuerServiceClient, project_configuration::Method,
        project_service_client::ProjectServiceClient, revocation_service_client::RevocationServiceClient,
        revoke_request::Selector, verifier_service_client::VerifierServiceClient,
        verify_token_response::Verdict,
    },
    runtime::{
        dial::{Endpoint, deepest},
        doctor::{Page, Report},
        tls::ClientTls,
    },
};
use tonic::{Code, Status, transport::Channel};
use tonic_types::StatusExt as _;

use super::Trip;
use crate::{adapters::system_entropy::SystemEntropy, domain::ports::Entropy as _};

/// Goes all the way, and closes the project whatever happened on it.
pub(super) async fn round_trip(trip: &Trip, clock: &Arc<dyn Clock>, report: &mut Report) {
    let tls =
        trip.tls.clone().and_then(|files| report.client_certificate("certificate", files, Arc::clone(clock)));
    let told = async {
        let issuer = dial("issuer", &trip.issuer, tls.as_ref()).await?;
        let verifier = dial("verifier", &trip.verifier, tls.as_ref()).await?;
        let project = create(&issuer).await?;
        let walked = walk(&issuer, &verifier, &project, &**clock).await;
        let closed = close(&issuer, project).await;
        walked.and_then(|took| closed.map(|()| took))
    };
    match told.await {
        Ok(took) => report.good(
            "round trip",
            format!("issued, accepted, revoked, and refused {} ms after the revocation", took.as_millis()),
        ),
        Err(Obstacle { told, page }) => report.bad("round trip", page, told),
    }
}

struct Obstacle {
    told: String,
    page: Page,
}

async fn walk(
    issuer: &Channel,
    verifier: &Channel,
    project: &pb::Project,
    clock: &dyn Clock,
) -> Result<Duration, Obstacle> {
    // 1. A token that pseudonymises, for a minute, within a project that nobody else knows.
    let order = pb::IssueTokenRequest {
        project_id: project.project_id.clone(),
        organisation_id: project.owner_organisation_id.clone(),
        token_type: pb::TokenType::Pseudonymisation.into(),
        lifetime: Some(prost_types::Duration { seconds: 60, nanos: 0 }),
        approval: Some(pb::Approval {
            request_id: "doctor".to_owned(),
            requested_by: "doctor".to_owned(),
            purpose: "a round trip".to_owned(),
            approval: Some(approval::Approval::Automatic(pb::AutomaticApproval {})),
        }),
        ..pb::IssueTokenRequest::default()
    };
    let answer = IssuerServiceClient::new(issuer.clone()).issue_token(order).await;
    let ordered = answer.map_err(|status| refused("IssueToken", &status))?.into_inner();
    let recorded = ordered.record.unwrap_or_default();
    // 2. Accepted.
    let judged = verdict(verifier, &ordered.token, recorded.recorded, clock, |verdict| {
        matches!(verdict, Verdict::Accepted(_))
    });
    judged.await.map_err(|seen| trouble(format!("the verifier did not accept a fresh token: {seen}")))?;
    // 3. Revoked.
    let request = pb::RevokeRequest {
        selector: Some(Selector::TokenIds(pb::TokenIds { token_ids: vec![recorded.token_id] })),
        reason: pb::RevocationReason::NoLongerNeeded.into(),
        comment: "doctor".to_owned(),
    };
    let revoked = RevocationServiceClient::new(issuer.clone()).revoke(request).await;
    let cursor = revoked.map_err(|status| refused("Revoke", &status))?.into_inner().cursor;
    let since = clock.now().boot;
    // 4. Refused, and for that reason.
    let judged = verdict(
        verifier,
        &ordered.token,
        cursor,
        clock,
        |verdict| matches!(verdict, Verdict::Refused(one) if one.reason() == pb::RefusalReason::Revoked),
    );
    judged.await.map_err(|seen| trouble(format!("the verifier did not refuse a revoked token: {seen}")))?;
    Ok(clock.now().boot.since(since))
}

/// Asks until the verdict is the wanted one, for as long as a verifier may need to hear of `at_least`.
async fn verdict(
    verifier: &Channel,
    token: &str,
    at_least: Option<pb::Cursor>,
    clock: &dyn Clock,
    wanted: impl Fn(&Verdict) -> bool,
) -> Result<(), String> {
    let question = pb::VerifyTokenRequest {
        token: token.to_owned(),
        accepted_types: vec![pb::TokenType::Pseudonymisation.into()],
        at_least,
        ..pb::VerifyTokenRequest::default()
    };
    let begun = clock.now().boot;
    loop {
        let answer = VerifierServiceClient::new(verifier.clone()).verify_token(question.clone()).await;
        let seen = match answer.map(|answer| answer.into_inner().verdict) {
            Ok(Some(verdict)) if wanted(&verdict) => return Ok(()),
            Ok(Some(Verdict::Accepted(_))) => "it was accepted".to_owned(),
            Ok(Some(Verdict::Refused(one))) => one.reason().as_str_name().to_owned(),
            Ok(Some(Verdict::Undecided(one))) => one.reason,
            Ok(None) => "an answer without a verdict".to_owned(),
            // No patience changes a role.
            Err(status) if denied(&status) => return Err(words("VerifyToken", &status)),
            Err(status) => words("VerifyToken", &status),
        };
        if clock.now().boot.since(begun) > PATIENCE {
            return Err(seen);
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn create(issuer: &Channel) -> Result<pb::Project, Obstacle> {
    let mut drawn = [0; 16];
    SystemEntropy::default().fill(&mut drawn).map_err(|error| trouble(error.to_string()))?;
    let number = u128::from_be_bytes(drawn);
    let request = pb::CreateProjectRequest {
        project_id: format!("doctor-{number:032x}"),
        owner_organisation_id: ORGANISATION.to_owned(),
        collaborators: Vec::new(),
        configuration: Some(pb::ProjectConfiguration {
            method: Some(Method::NotReversible(pb::NotReversible {})),
            treatment: pb::Treatment::AlwaysDifferent.into(),
            output_format: Some(pb::OutputFormat { alphabet: pb::Alphabet::Uuid.into(), length: 36 }),
        }),
    };
    let created = ProjectServiceClient::new(issuer.clone()).create_project(request).await;
    let created = created.map_err(|status| refused("CreateProject", &status))?;
    created.into_inner().project.ok_or_else(|| trouble("CreateProject told no project".to_owned()))
}

async fn close(issuer: &Channel, project: pb::Project) -> Result<(), Obstacle> {
    let pb::Project { project_id, etag, .. } = project;
    let request = pb::CloseProjectRequest { project_id, etag };
    let closed = ProjectServiceClient::new(issuer.clone()).close_project(request).await;
    closed.map(drop).map_err(|status| refused("CloseProject", &status))
}

async fn dial(
    who: &'static str,
    endpoint: &Endpoint,
    tls: Option<&Arc<ClientTls>>,
) -> Result<Channel, Obstacle> {
    let patient = |target: tonic::transport::Endpoint| target.connect_timeout(CALL).timeout(CALL);
    endpoint.connect(tls, patient).await.map_err(|error| Obstacle {
        told: format!("no connection to the {who} at {endpoint}: {}", deepest(&error)),
        page: Page::Reachability,
    })
}

fn refused(method: &str, status: &Status) -> Obstacle {
    let page = if denied(status) { Page::Callers } else { Page::RoundTrip };
    Obstacle { told: words(method, status), page }
}

fn denied(status: &Status) -> bool {
    matches!(status.code(), Code::PermissionDenied | Code::Unauthenticated)
}

fn words(method: &str, status: &Status) -> String {
    let reason = status.get_details_error_info().map(|info| format!(" {}", info.reason)).unwrap_or_default();
    format!("{method} answered {:?}{reason}: {}", status.code(), status.message())
}

fn trouble(told: String) -> Obstacle {
    Obstacle { told, page: Page::RoundTrip }
}

/// Owns every project of a round trip, and stands for nobody. Whoever goes them can be narrowed to it:
/// `organisations = ["d0c70000-0000-4000-8000-000000000000"]`.
const ORGANISATION: &str = "d0c70000-0000-4000-8000-000000000000";
/// For one call.
const CALL: Duration = Duration::from_secs(5);
/// A verifier is a heartbeat behind, or connects to another issuer meanwhile.
const PATIENCE: Duration = Duration::from_secs(15);
const PAUSE: Duration = Duration::from_millis(50);
