//! The guard of a component: a layer that lets a request pass once a verifier has accepted its token. Judges no token itself.
//!
//! ```text
//! let verifiers = Verifiers::connect(&["unix:/run/ipms/verifier.sock"], Patience::default())?;
//! let guard = Guard::new(Arc::new(verifiers), [TokenType::Reverse]);
//! let routes = Router::new().route("/api/request-psn-rev", post(handler)).route_layer(guard);
//! // The handler takes `Extension<Admission>`.
//! ```

mod client;
mod layer;

use std::{fmt, future::Future, time::Duration};

use crate::{
    organisation_id::OrganisationId,
    project_id::ProjectId,
    timestamp::Timestamp,
    token::{
        claims::{Source, TokenConfiguration},
        kind::TokenType,
    },
    token_id::TokenId,
};

pub use client::{InvalidVerifiers, Patience, Verifiers};
pub use layer::{Guard, Guarded};

/// What an accepted token authorises: in the extensions of every request that passed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Admission {
    /// Names the token in logs. Not the token.
    pub token_id: TokenId,
    /// The operation.
    pub kind: TokenType,
    /// To whom the token was issued.
    pub organisation: OrganisationId,
    /// The project.
    pub project: ProjectId,
    /// What is to be applied to the data.
    pub configuration: TokenConfiguration,
    /// On secondary tokens, and only there: the layer whose pseudonyms they take.
    pub source: Option<Source>,
    /// Exclusive. Work that begins later needs another look at the token: a body may arrive slowly.
    pub usable_until: Timestamp,
}

/// The SHA-256 of the certificate that the caller showed. Whoever ends TLS puts it into the request's extensions;
/// without it, tokens that are bound to a holder are refused.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct HolderCertificate(pub [u8; 32]);

/// What a request shows to a judge. Not `Debug`: it holds the token.
#[derive(Clone, Copy)]
pub struct Shown<'a> {
    /// As received.
    pub token: &'a str,
    /// The types that the endpoint serves.
    pub accepted_types: &'a [TokenType],
    /// The caller's certificate.
    pub holder: Option<HolderCertificate>,
}

/// Who decides: a verifier that is called ([`Verifiers`]), or one inside this process.
pub trait Judge: fmt::Debug + Send + Sync + 'static {
    /// Whether the token may be used now, here.
    fn judge(&self, shown: Shown<'_>) -> impl Future<Output = Result<Admission, NotAdmitted>> + Send;
}

/// Why a request does not pass.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum NotAdmitted {
    /// The token must not be used. Why is nothing that its holder is told.
    #[error("the token is refused")]
    Refused,
    /// Nobody can tell now; to be treated as not accepted (rule 15).
    #[error("nobody can tell now whether the token may be used")]
    Undecided {
        /// After which a try is worth it.
        retry_after: Duration,
    },
}

#[cfg(test)]
mod tests;
