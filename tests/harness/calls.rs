//! Calls over TCP to an issuer and a verifier, as the Portal and a component make them. Checks no rule.

use std::{net::SocketAddr, time::Duration};

use common::proto::v1::{
    self as pb, Cursor, RefusalReason, TokenType, issuer_service_client::IssuerServiceClient,
    key_service_client::KeyServiceClient, project_service_client::ProjectServiceClient,
    revocation_service_client::RevocationServiceClient, trust_service_client::TrustServiceClient,
    verifier_service_client::VerifierServiceClient, verify_token_response::Verdict,
};
use tonic::{
    Status,
    transport::{Channel, Endpoint},
};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

pub use common::proto::v1::revoke_request::Selector;

use crate::until;

/// A connection to each side.
#[derive(Clone, Debug)]
pub struct Calls {
    issuer: Channel,
    verifier: Channel,
}

impl Calls {
    /// Connects at the first call.
    pub fn new(issuer: SocketAddr, verifier: SocketAddr) -> Self {
        let channel = |address| Endpoint::from_shared(format!("http://{address}")).unwrap().connect_lazy();
        Self { issuer: channel(issuer), verifier: channel(verifier) }
    }

    /// Over these.
    pub const fn over(issuer: Channel, verifier: Channel) -> Self {
        Self { issuer, verifier }
    }

    /// The issuer's connection.
    pub fn issuer(&self) -> Channel {
        self.issuer.clone()
    }

    /// The verifier's connection.
    pub fn verifier(&self) -> Channel {
        self.verifier.clone()
    }

    /// `ProjectService`.
    pub fn projects(&self) -> ProjectServiceClient<Channel> {
        ProjectServiceClient::new(self.issuer())
    }

    /// `IssuerService`.
    pub fn issuing(&self) -> IssuerServiceClient<Channel> {
        IssuerServiceClient::new(self.issuer())
    }

    /// `RevocationService`.
    pub fn revoking(&self) -> RevocationServiceClient<Channel> {
        RevocationServiceClient::new(self.issuer())
    }

    /// `TrustService`.
    pub fn trust(&self) -> TrustServiceClient<Channel> {
        TrustServiceClient::new(self.issuer())
    }

    /// `KeyService`.
    pub fn keys(&self) -> KeyServiceClient<Channel> {
        KeyServiceClient::new(self.issuer())
    }

    /// The key of this id, as this issuer sees it.
    pub async fn key(&self, id: &str) -> Option<pb::Key> {
        let listed = self.keys().list_keys(pb::ListKeysRequest::default()).await.unwrap().into_inner();
        listed.keys.into_iter().find(|key| key.key_id == id)
    }

    /// Publishes a key.
    pub async fn prepare(&self, id: &str) -> Result<pb::Key, Status> {
        let request = pb::PrepareKeyRequest { key_id: id.to_owned() };
        Ok(self.keys().prepare_key(request).await?.into_inner().key.unwrap())
    }

    /// Lets a key sign.
    pub async fn activate(&self, id: &str, force: bool) -> Result<pb::ActivateKeyResponse, Status> {
        let request = pb::ActivateKeyRequest { key_id: id.to_owned(), force };
        Ok(self.keys().activate_key(request).await?.into_inner())
    }

    /// Takes a key out of use.
    pub async fn retire(&self, id: &str) -> Result<pb::Key, Status> {
        let request = pb::RetireKeyRequest { key_id: id.to_owned() };
        Ok(self.keys().retire_key(request).await?.into_inner().key.unwrap())
    }

    /// `VerifierService`.
    pub fn verifying(&self) -> VerifierServiceClient<Channel> {
        VerifierServiceClient::new(self.verifier())
    }

    /// Creates a project.
    pub async fn create(&self, request: pb::CreateProjectRequest) -> Result<pb::Project, Status> {
        let answer = self.projects().create_project(request).await?;
        Ok(answer.into_inner().project.unwrap())
    }

    /// Reads a project.
    pub async fn project(&self, id: &str) -> Result<pb::Project, Status> {
        let request = pb::GetProjectRequest { project_id: id.to_owned() };
        Ok(self.projects().get_project(request).await?.into_inner().project.unwrap())
    }

    /// Replaces the collaborators, whatever the etag is now.
    pub async fn collaborate(
        &self,
        id: &str,
        collaborators: Vec<pb::Collaborator>,
    ) -> Result<pb::SetCollaboratorsResponse, Status> {
        let etag = self.project(id).await?.etag;
        let request = pb::SetCollaboratorsRequest { project_id: id.to_owned(), etag, collaborators };
        Ok(self.projects().set_collaborators(request).await?.into_inner())
    }

    /// Closes a project, whatever the etag is now.
    pub async fn close(&self, id: &str) -> Result<pb::CloseProjectResponse, Status> {
        let etag = self.project(id).await?.etag;
        let request = pb::CloseProjectRequest { project_id: id.to_owned(), etag };
        Ok(self.projects().close_project(request).await?.into_inner())
    }

    /// Issues.
    pub async fn issue(&self, order: pb::IssueTokenRequest) -> Result<pb::IssueTokenResponse, Status> {
        Ok(self.issuing().issue_token(order).await?.into_inner())
    }

    /// The token of an order that must be granted.
    pub async fn token(&self, order: pb::IssueTokenRequest) -> String {
        self.issue(order).await.unwrap().token
    }

    /// What the ledger has of a token.
    pub async fn record(&self, id: &str) -> Result<pb::TokenRecord, Status> {
        let request = pb::GetTokenRequest { token_id: id.to_owned() };
        Ok(self.issuing().get_token(request).await?.into_inner().record.unwrap())
    }

    /// Revokes.
    pub async fn revoke(&self, selector: Selector) -> Result<pb::RevokeResponse, Status> {
        let request = pb::RevokeRequest {
            selector: Some(selector),
            reason: pb::RevocationReason::TokenLeaked.into(),
            comment: String::new(),
        };
        Ok(self.revoking().revoke(request).await?.into_inner())
    }

    /// Waits for visibility, so long at most.
    pub async fn await_visibility(
        &self,
        cursor: Cursor,
        timeout: Duration,
    ) -> Result<pb::AwaitVisibilityResponse, Status> {
        let timeout = Some(timeout.try_into().unwrap());
        let request = pb::AwaitVisibilityRequest { cursor: Some(cursor), timeout };
        Ok(self.revoking().await_visibility(request).await?.into_inner())
    }

    /// Waits until every verifier sees what was revoked.
    pub async fn seen(&self, revoked: &pb::RevokeResponse) {
        let cursor = revoked.cursor.unwrap();
        let seen = self.await_visibility(cursor, Duration::from_secs(20)).await.unwrap();
        assert!(seen.reached, "{seen:?}");
    }

    /// Verifies, for an endpoint that takes every type.
    pub async fn verify(&self, token: &str) -> Result<pb::VerifyTokenResponse, Status> {
        Ok(self.verifying().verify_token(question(token)).await?.into_inner())
    }

    /// The decoded token, which must be accepted.
    pub async fn accepted(&self, token: &str) -> pb::AcceptedToken {
        match self.verify(token).await.unwrap().verdict.unwrap() {
            Verdict::Accepted(accepted) => accepted,
            other @ (Verdict::Refused(_) | Verdict::Undecided(_)) => panic!("not accepted: {other:?}"),
        }
    }

    /// Why the token, which must be refused, is.
    pub async fn refused(&self, token: &str) -> RefusalReason {
        match self.verify(token).await.unwrap().verdict.unwrap() {
            Verdict::Refused(refused) => refused.reason(),
            other @ (Verdict::Accepted(_) | Verdict::Undecided(_)) => panic!("not refused: {other:?}"),
        }
    }

    /// Waits until the verifier can decide every type.
    pub async fn fresh(&self) -> pb::GetTrustViewResponse {
        until("every type is decidable", async || {
            let view = self.view().await.ok()?;
            view.types.iter().all(|one| one.decidable).then_some(view)
        })
        .await
    }

    /// What the verifier knows.
    pub async fn view(&self) -> Result<pb::GetTrustViewResponse, Status> {
        Ok(self.verifying().get_trust_view(pb::GetTrustViewRequest {}).await?.into_inner())
    }
}

/// Whether a name is served, by the server of this connection.
pub async fn serving(channel: Channel, service: &str) -> Result<bool, Status> {
    let request = HealthCheckRequest { service: service.to_owned() };
    let answer = HealthClient::new(channel).check(request).await?.into_inner();
    Ok(answer.status() == tonic_health::ServingStatus::Serving.into())
}

/// Asks about a token, for an endpoint that takes every type.
pub fn question(token: &str) -> pb::VerifyTokenRequest {
    let all = [TokenType::Pseudonymisation, TokenType::Reverse, TokenType::Secondary];
    pb::VerifyTokenRequest {
        token: token.to_owned(),
        accepted_types: all.map(i32::from).to_vec(),
        ..pb::VerifyTokenRequest::default()
    }
}

/// Names single tokens.
pub fn tokens<const N: usize>(ids: [&str; N]) -> Selector {
    Selector::TokenIds(pb::TokenIds { token_ids: ids.map(str::to_owned).to_vec() })
}
