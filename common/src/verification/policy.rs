//! What a token is held against: who we are, and how it was presented. Never the limits, which may change at run time.

use std::time::Duration;

use super::Refusal;
use crate::token::{
    claims::Claims,
    kind::{PerType, TokenType},
};

/// Whose tokens are taken, and how far clocks may differ.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Policy {
    issuer: String,
    audience: String,
    leeway: Duration,
    holder_required: PerType<bool>,
}

impl Policy {
    /// What `iat` and `nbf` are given, unless set otherwise.
    pub const DEFAULT_LEEWAY: Duration = Duration::from_secs(2);
    /// The most leeway, inclusive.
    pub const MAX_LEEWAY: Duration = Duration::from_secs(5);

    /// Checks the bounds. `leeway` is for `iat` and `nbf` only, never for `exp` or the retention.
    ///
    /// # Errors
    /// [`InvalidPolicy`].
    pub fn new(issuer: String, audience: String, leeway: Duration) -> Result<Self, InvalidPolicy> {
        if issuer.is_empty() || audience.is_empty() {
            return Err(InvalidPolicy::Empty);
        }
        if leeway > Self::MAX_LEEWAY {
            return Err(InvalidPolicy::TooMuchLeeway);
        }
        Ok(Self { issuer, audience, leeway, holder_required: PerType::default() })
    }

    /// Tokens of these types are good only if they are bound to a holder.
    #[must_use]
    pub fn with_holder_required(self, holder_required: PerType<bool>) -> Self {
        Self { holder_required, ..self }
    }

    /// Whose tokens they must be.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// For whom tokens must be meant.
    pub fn audience(&self) -> &str {
        &self.audience
    }

    pub(super) const fn leeway(&self) -> Duration {
        self.leeway
    }

    pub(super) fn check_parties(&self, claims: &Claims) -> Result<(), Refusal> {
        if claims.issuer != self.issuer {
            Err(Refusal::WrongIssuer)
        } else if claims.audience != self.audience {
            Err(Refusal::WrongAudience)
        } else {
            Ok(())
        }
    }
}

/// How a token was presented.
#[derive(Clone, Copy, Debug)]
pub struct Presented<'a> {
    /// The types that the caller's endpoint serves. None given accepts none.
    pub accepted_types: &'a [TokenType],
    /// The SHA-256 of the holder's certificate, if one was shown.
    pub holder: Option<&'a [u8; 32]>,
}

impl Presented<'_> {
    pub(super) fn check(&self, claims: &Claims, policy: &Policy) -> Result<(), Refusal> {
        if !self.accepted_types.contains(&claims.kind) {
            return Err(Refusal::WrongType);
        }
        // A token bound to nobody is good in anybody's hand, unless its type must be bound.
        if claims.holder.is_none() && *policy.holder_required.get(claims.kind) {
            return Err(Refusal::WrongHolder);
        }
        // Not a secret, so an ordinary comparison.
        if claims.holder.is_some() && claims.holder.as_ref() != self.holder {
            return Err(Refusal::WrongHolder);
        }
        Ok(())
    }
}

/// A policy that is not taken.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum InvalidPolicy {
    /// Issuer or audience is empty.
    #[error("issuer and audience must not be empty")]
    Empty,
    /// More than five seconds.
    #[error("leeway must be at most 5 s")]
    TooMuchLeeway,
}
