//! Verifiers that are called: several endpoints, several connections to each, a deadline for all tries together.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use tokio::{runtime::Handle, time::timeout};
use tonic::{
    Code, Status,
    transport::{Channel, Endpoint},
};
use tonic_types::StatusExt as _;

use super::{Admission, Judge, NotAdmitted, Shown};
use crate::{
    convert::{Violations, project, values},
    proto::v1::{
        self as pb, project_configuration::Method, verifier_service_client::VerifierServiceClient,
        verify_token_response::Verdict,
    },
    token::claims::{Source, TokenConfiguration, TokenMethod},
};

/// How long is waited for verifiers, and by how many ways.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Patience {
    /// For one try. Another endpoint is tried when it is over.
    pub attempt: Duration,
    /// For all tries together.
    pub total: Duration,
    /// Connections to each endpoint, used in turn: one that broke does not hold up every request.
    pub connections: usize,
}

impl Default for Patience {
    fn default() -> Self {
        Self { attempt: Duration::from_millis(500), total: Duration::from_secs(2), connections: 2 }
    }
}

impl Patience {
    const fn check(&self) -> Result<(), InvalidVerifiers> {
        if self.attempt.is_zero() || self.total.is_zero() || self.connections == 0 {
            return Err(InvalidVerifiers::NoPatience);
        }
        Ok(())
    }
}

/// Verifiers that may stand in for each other.
///
/// A try that ends in `UNAVAILABLE`, or in nothing, is made again at the next endpoint: each is asked once, and an only
/// one twice. A refusal is an answer and is never asked for again.
#[derive(Debug)]
pub struct Verifiers {
    /// Neighbours belong to different endpoints.
    channels: Vec<Channel>,
    tries: usize,
    next: AtomicUsize,
    patience: Patience,
}

impl Verifiers {
    /// Over `unix:/absolute/path` or `http://host:port`. Connects at the first call, inside a tokio runtime.
    ///
    /// # Errors
    /// No endpoint, one that is none, no patience at all, or no runtime.
    pub fn connect(endpoints: &[&str], patience: Patience) -> Result<Self, InvalidVerifiers> {
        patience.check()?;
        let mut targets = Vec::with_capacity(endpoints.len());
        for text in endpoints {
            if !(text.starts_with("http://") || text.starts_with("unix:/")) {
                return Err(InvalidVerifiers::Endpoint);
            }
            let endpoint =
                Endpoint::from_shared((*text).to_owned()).map_err(|_form| InvalidVerifiers::Endpoint)?;
            targets.push(endpoint.connect_timeout(patience.attempt).tcp_nodelay(true));
        }
        // Making a connection needs a runtime, even one that is made later.
        Handle::try_current().map_err(|_none| InvalidVerifiers::NoRuntime)?;
        let rounds = (0..patience.connections).flat_map(|_round| targets.iter());
        Self::over(rounds.map(Endpoint::connect_lazy).collect(), targets.len(), patience)
    }

    /// Over connections of the caller's making, for TLS say: to `endpoints` different verifiers, in turn, and again in
    /// the same order for every further connection to each.
    ///
    /// # Errors
    /// As [`Verifiers::connect`].
    pub fn over(
        channels: Vec<Channel>,
        endpoints: usize,
        patience: Patience,
    ) -> Result<Self, InvalidVerifiers> {
        patience.check()?;
        if channels.is_empty() || endpoints == 0 {
            return Err(InvalidVerifiers::NoEndpoint);
        }
        Ok(Self { channels, tries: endpoints.max(2), next: AtomicUsize::new(0), patience })
    }

    async fn ask(&self, question: &pb::VerifyTokenRequest) -> Result<pb::VerifyTokenResponse, Status> {
        // Wraps around; only the order of trying depends on it.
        let first = self.next.fetch_add(1, Ordering::Relaxed);
        let mut last = Status::unavailable("no verifier was asked");
        for turn in 0..self.tries {
            let index = first.wrapping_add(turn) % self.channels.len();
            let Some(channel) = self.channels.get(index) else { continue };
            let mut client = VerifierServiceClient::new(channel.clone());
            match timeout(self.patience.attempt, client.verify_token(question.clone())).await {
                Ok(Ok(answer)) => return Ok(answer.into_inner()),
                Ok(Err(status)) if status.code() == Code::Unavailable => last = status,
                Ok(Err(status)) => return Err(status),
                Err(_elapsed) => last = Status::deadline_exceeded("no answer in time"),
            }
        }
        Err(last)
    }
}

impl Judge for Verifiers {
    async fn judge(&self, shown: Shown<'_>) -> Result<Admission, NotAdmitted> {
        let question = pb::VerifyTokenRequest {
            token: shown.token.to_owned(),
            accepted_types: shown
                .accepted_types
                .iter()
                .map(|kind| values::token_type(*kind).into())
                .collect(),
            holder_certificate_sha256: shown.holder.map(|holder| holder.0.to_vec().into()),
            ..pb::VerifyTokenRequest::default()
        };
        let answer = match timeout(self.patience.total, self.ask(&question)).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(status)) => return Err(undecided(&status)),
            Err(_elapsed) => return Err(undecided(&Status::deadline_exceeded("no answer in time"))),
        };
        match answer.verdict {
            Some(Verdict::Accepted(accepted)) => read(&accepted).map_err(|bad| {
                let fields: Vec<_> = bad.found().iter().map(|one| one.field.as_str()).collect();
                tracing::error!(?fields, "a verifier's answer cannot be read");
                NotAdmitted::Undecided { retry_after: RETRY }
            }),
            Some(Verdict::Refused(refused)) => {
                // For whoever runs the component; the caller is told nothing of it.
                tracing::info!(reason = refused.reason().as_str_name(), "a token is refused");
                Err(NotAdmitted::Refused)
            }
            Some(Verdict::Undecided(_)) | None => Err(NotAdmitted::Undecided { retry_after: RETRY }),
        }
    }
}

/// Verifiers that cannot be called.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum InvalidVerifiers {
    /// None is named.
    #[error("at least one verifier must be named")]
    NoEndpoint,
    /// Neither form.
    #[error("a verifier must be http://host:port or unix:/absolute/path")]
    Endpoint,
    /// Called outside of one.
    #[error("connections are made inside a tokio runtime")]
    NoRuntime,
    /// Nothing could ever be answered.
    #[error("neither a wait nor the number of connections may be zero")]
    NoPatience,
}

/// When a verifier does not say when.
const RETRY: Duration = Duration::from_secs(1);

fn undecided(status: &Status) -> NotAdmitted {
    let reason = status.get_details_error_info().map(|info| info.reason);
    tracing::warn!(code = ?status.code(), reason, "no verifier decides");
    let told = status.get_details_retry_info().and_then(|retry| retry.retry_delay);
    NotAdmitted::Undecided { retry_after: told.unwrap_or(RETRY) }
}

/// From the wire: whatever is missing or bad makes the whole answer unreadable.
fn read(given: &pb::AcceptedToken) -> Result<Admission, Violations> {
    let mut violations = Violations::default();
    let made = read_admission(given, &mut violations);
    violations.finish(made)
}

fn read_admission(given: &pb::AcceptedToken, violations: &mut Violations) -> Option<Admission> {
    let token_id = values::read_id("token_id", &given.token_id, violations);
    let kind = values::read_token_type("token_type", given.token_type, violations);
    let organisation = values::read_id("organisation_id", &given.organisation_id, violations);
    let about = violations.required("project", given.project.as_ref())?;
    let project = values::read_id("project.project_id", &about.project_id, violations);
    let configuration = read_configuration(about.configuration.as_ref(), violations);
    let source = match &given.source {
        None => None,
        Some(source) => {
            let (project, organisation) = values::read_source("source", source, violations)?;
            Some(Source { project, organisation })
        }
    };
    let usable = violations.required("usable_until", given.usable_until)?;
    let usable_until = values::read_timestamp("usable_until", usable, violations);
    Some(Admission {
        token_id: token_id?,
        kind: kind?,
        organisation: organisation?,
        project: project?,
        configuration: configuration?,
        source,
        usable_until: usable_until?,
    })
}

fn read_configuration(
    given: Option<&pb::ProjectConfiguration>,
    violations: &mut Violations,
) -> Option<TokenConfiguration> {
    let given = violations.required("configuration", given)?;
    let method = match violations.required("configuration.method", given.method.as_ref())? {
        Method::Reversible(reversible) => {
            let field = "configuration.reversible.retention_end";
            let end = violations.required(field, reversible.retention_end)?;
            TokenMethod::Reversible { retention_end: values::read_timestamp(field, end, violations)? }
        }
        Method::NotReversible(_) => TokenMethod::NotReversible,
    };
    let treatment = project::read_treatment(given.treatment(), violations);
    let output_format = project::read_output_format(given.output_format, violations);
    Some(TokenConfiguration { method, treatment: treatment?, output_format: output_format? })
}
