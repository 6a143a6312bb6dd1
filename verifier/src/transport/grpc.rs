//! `VerifierService`: parse, ask, render. No rule.

use std::sync::Arc;

use common::{
    proto::v1::{self as pb, verifier_service_server},
    runtime::{
        limits::{MAX_BATCH, MAX_SENT},
        status::invalid_argument,
    },
};
use tonic::{Request, Response, Status};

use super::{
    convert::{self, Asked},
    fairness::Fairness,
    status,
    wire::forged,
};
use crate::application::{
    alarms::Alarms,
    verify::{Judged, Verifier},
};

/// The service over a [`Verifier`].
#[derive(Debug)]
pub struct VerifierService {
    verifier: Arc<Verifier>,
    fairness: Fairness,
    alarms: Arc<Alarms>,
    follower_id: String,
}

impl VerifierService {
    /// To be added to a server. `follower_id` is told to whoever asks for the trust view.
    pub fn server(
        verifier: Arc<Verifier>,
        fairness: Fairness,
        alarms: Arc<Alarms>,
        follower_id: String,
    ) -> verifier_service_server::VerifierServiceServer<Self> {
        verifier_service_server::VerifierServiceServer::new(Self { verifier, fairness, alarms, follower_id })
            .max_decoding_message_size(MAX_BATCH)
            .max_encoding_message_size(MAX_SENT)
    }
}

#[tonic::async_trait]
impl verifier_service_server::VerifierService for VerifierService {
    async fn verify_token(
        &self,
        request: Request<pb::VerifyTokenRequest>,
    ) -> Result<Response<pb::VerifyTokenResponse>, Status> {
        let (_, extensions, request) = request.into_parts();
        let looked_at = request.token.clone();
        let judging = self.fairness.judge(
            &extensions,
            move |verifier| verifier.knows(&looked_at),
            move |verifier| {
                let judged = convert::question((&request).into()).map(|question| verifier.verify(&question));
                let forged = judged.as_ref().map_or(0, |judged| forged(&judged.answer));
                (judged, forged)
            },
        )?;
        let Judged { answer, view } = judging.done().await?.map_err(|bad| invalid_argument(&bad))?;
        Ok(Response::new(convert::verdict(&answer.map_err(status::undecided)?, view)))
    }

    async fn verify_tokens(
        &self,
        request: Request<pb::VerifyTokensRequest>,
    ) -> Result<Response<pb::VerifyTokensResponse>, Status> {
        let (_, extensions, request) = request.into_parts();
        let looked_at = Arc::new(request.requests);
        let requests = Arc::clone(&looked_at);
        let judging = self.fairness.judge(
            &extensions,
            move |verifier| looked_at.iter().all(|one| verifier.knows(&one.token)),
            move |verifier| {
                let questions = convert::questions(requests.iter().map(Asked::from));
                let judged = questions.map(|questions| verifier.verify_all(&questions));
                let forged = judged.as_ref().map_or(0, |judged| forged(judged.answer.iter().flatten()));
                (judged, forged)
            },
        )?;
        let Judged { answer, view } = judging.done().await?.map_err(|bad| invalid_argument(&bad))?;
        Ok(Response::new(convert::verdicts(&answer, view)))
    }

    async fn get_trust_view(
        &self,
        _request: Request<pb::GetTrustViewRequest>,
    ) -> Result<Response<pb::GetTrustViewResponse>, Status> {
        let view = self.verifier.trust_view();
        Ok(Response::new(convert::trust_view(&view, &self.alarms.standing(), &self.follower_id)))
    }
}
