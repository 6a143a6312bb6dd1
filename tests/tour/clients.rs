//! Connections to both programs, and the calls that several steps make. Judges no answer.

use std::time::Duration;

use common::proto::v1::{
    AcceptedToken, GetTrustViewRequest, GetTrustViewResponse, IssueTokenRequest, IssueTokenResponse,
    ListProjectsRequest, RefusalReason, RefusedToken, TokenType, VerifyTokenRequest, VerifyTokenResponse,
    issuer_service_client::IssuerServiceClient, project_service_client::ProjectServiceClient,
    revocation_service_client::RevocationServiceClient, verifier_service_client::VerifierServiceClient,
    verify_token_response::Verdict,
};
use tonic::{
    Status,
    transport::{Channel, Endpoint},
};

use crate::unmet::{Outcome, Unmet, call};

/// One client per service.
#[derive(Debug)]
pub(crate) struct Clients {
    /// Projects, at the issuer.
    pub(crate) projects: ProjectServiceClient<Channel>,
    /// Tokens, at the issuer.
    pub(crate) issuer: IssuerServiceClient<Channel>,
    /// Revocations, at the issuer.
    pub(crate) revocations: RevocationServiceClient<Channel>,
    /// The verifier.
    pub(crate) verifier: VerifierServiceClient<Channel>,
}

/// No call of the tour may take longer, but those that wait by themselves.
const PATIENCE: Duration = Duration::from_mins(1);
/// Between two looks at something that comes by itself.
pub(crate) const LOOK_EVERY: Duration = Duration::from_millis(50);
/// So many looks at most: half a minute.
pub(crate) const LOOKS: u32 = 600;

impl Clients {
    /// Connects with the first call.
    pub(crate) fn new(issuer: &str, verifier: &str) -> Outcome<Self> {
        let (issuer, verifier) = (channel(issuer)?, channel(verifier)?);
        Ok(Self {
            projects: ProjectServiceClient::new(issuer.clone()),
            issuer: IssuerServiceClient::new(issuer.clone()),
            revocations: RevocationServiceClient::new(issuer),
            verifier: VerifierServiceClient::new(verifier),
        })
    }

    /// Waits until the issuer answers and the verifier can decide every type.
    pub(crate) async fn ready(&mut self) -> Outcome {
        let mut last = None;
        for _ in 0..LOOKS {
            match self.ready_now().await {
                Ok(()) => return Ok(()),
                Err(unmet) => last = Some(unmet),
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Err(last.unwrap_or_else(|| Unmet::answer("ready", "an answer", &"none")))
    }

    async fn ready_now(&mut self) -> Outcome {
        let one = ListProjectsRequest { page_size: 1, ..Default::default() };
        self.projects.list_projects(one).await.map_err(call("ListProjects"))?;
        let view = self.trust_view().await?;
        if view.types.len() == 3 && view.types.iter().all(|one| one.decidable) {
            return Ok(());
        }
        Err(Unmet::answer("ready", "every type decidable", &view.alarms))
    }

    /// What the verifier knows.
    pub(crate) async fn trust_view(&mut self) -> Outcome<GetTrustViewResponse> {
        let view = self.verifier.get_trust_view(GetTrustViewRequest {}).await;
        Ok(view.map_err(call("GetTrustView"))?.into_inner())
    }

    /// Issues.
    pub(crate) async fn issue(&mut self, request: IssueTokenRequest) -> Result<IssueTokenResponse, Status> {
        Ok(self.issuer.issue_token(request).await?.into_inner())
    }

    /// Verifies, for an endpoint that serves one type.
    pub(crate) async fn verify(&mut self, token: &str, accepted: TokenType) -> Outcome<VerifyTokenResponse> {
        let request = VerifyTokenRequest {
            token: token.to_owned(),
            accepted_types: vec![accepted.into()],
            ..Default::default()
        };
        Ok(self.verifier.verify_token(request).await.map_err(call("VerifyToken"))?.into_inner())
    }

    /// Verifies a token that must be accepted.
    pub(crate) async fn accepted(&mut self, token: &str, kind: TokenType) -> Outcome<AcceptedToken> {
        match self.verify(token, kind).await?.verdict {
            Some(Verdict::Accepted(accepted)) => Ok(accepted),
            other => Err(Unmet::answer("VerifyToken", "accepted", &other)),
        }
    }

    /// Verifies a token that must be refused for that reason.
    pub(crate) async fn refused(
        &mut self,
        token: &str,
        kind: TokenType,
        reason: RefusalReason,
    ) -> Outcome<RefusedToken> {
        match self.verify(token, kind).await?.verdict {
            Some(Verdict::Refused(refused)) if refused.reason() == reason => Ok(refused),
            other => Err(Unmet::answer("VerifyToken", format!("refused {}", reason.as_str_name()), &other)),
        }
    }
}

fn channel(address: &str) -> Outcome<Channel> {
    let endpoint = Endpoint::from_shared(format!("http://{address}"))
        .map_err(|_unparsed| Unmet::Address(address.to_owned()))?;
    Ok(endpoint.timeout(PATIENCE).connect_lazy())
}
