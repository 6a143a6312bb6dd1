//! Judging a token, stage by stage: [`Unverified`], [`Authentic`], [`Current`], [`Live`]. Pure: no clock, no store.
//!
//! The order is the safety argument. (1) Size, form and header, before any key is touched. (2) Key and its pinned
//! algorithm, then the signature. Only then are (3) the claims read, and (4) issuer, audience, contradictions, type,
//! holder, ceiling, `iat` and `nbf`, retention, `exp` checked; at last (5) revocation. Each stage can be built only
//! here, out of the one before it, so a [`Live`] proves them all. (1) to (3) never change and may be cached; (4) and (5)
//! are judged at every use.

mod policy;
mod refusal;
#[cfg(test)]
mod tests;

use std::sync::Arc;

pub use policy::{InvalidPolicy, Policy, Presented};
pub use refusal::Refusal;

use crate::{
    jws::{Compact, NotCompact},
    key_id::KeyId,
    keys::PublicKey,
    organisation_id::OrganisationId,
    project_id::ProjectId,
    revocation::cursor::Cursor,
    timestamp::Timestamp,
    token::{
        Limits,
        claims::{Claims, InvalidClaims, Source},
        kind::TokenType,
        rules,
    },
    token_id::TokenId,
};

/// A token in the right form, and nothing proven.
#[must_use]
pub struct Unverified<'a>(Compact<'a>);

impl<'a> Unverified<'a> {
    /// Takes a token apart.
    ///
    /// # Errors
    /// [`Refusal::Malformed`], [`Refusal::UnsupportedAlgorithm`].
    pub fn parse(token: &'a str) -> Result<Self, Refusal> {
        match Compact::parse(token) {
            Ok(compact) => Ok(Self(compact)),
            Err(NotCompact::Malformed) => Err(Refusal::Malformed),
            Err(NotCompact::UnsupportedAlgorithm) => Err(Refusal::UnsupportedAlgorithm),
        }
    }

    /// The key that the token names.
    pub const fn unverified_key_id(&self) -> KeyId {
        self.0.key_id
    }

    /// Checks the signature with the key of that name, which the caller looked up, and reads the claims.
    ///
    /// # Errors
    /// [`Refusal::UnknownKey`], [`Refusal::UnsupportedAlgorithm`], [`Refusal::BadSignature`], [`Refusal::Malformed`],
    /// [`Refusal::UnsupportedSchema`].
    pub fn check_signature(self, key: Option<&PublicKey>) -> Result<Authentic, Refusal> {
        let Self(token) = self;
        let key = key.filter(|key| key.id() == token.key_id).ok_or(Refusal::UnknownKey)?;
        if key.algorithm() != token.algorithm {
            return Err(Refusal::UnsupportedAlgorithm);
        }
        let verified = key.verify_bytes(token.signing_input.as_bytes(), &token.signature);
        verified.ok().ok_or(Refusal::BadSignature)?;
        match Claims::from_json(&token.payload) {
            Ok(claims) => Ok(Authentic { claims: Arc::new(claims), key: key.id() }),
            Err(InvalidClaims::Malformed) => Err(Refusal::Malformed),
            Err(InvalidClaims::UnsupportedSchema(schema)) => Err(Refusal::UnsupportedSchema(schema)),
        }
    }
}

/// The bytes are the issuer's. Cheap to clone, to be kept in a cache.
#[derive(Clone)]
#[must_use]
pub struct Authentic {
    claims: Arc<Claims>,
    key: KeyId,
}

impl Authentic {
    /// The key that signed it; whether it still may is the caller's to judge on every use.
    pub const fn key_id(&self) -> KeyId {
        self.key
    }

    /// Judges the claims at `now`, the later of the own clock and the highest log time accepted.
    ///
    /// # Errors
    /// The first of the checks in the order of the module's text.
    pub fn check_claims(
        self,
        policy: &Policy,
        limits: &Limits,
        presented: &Presented<'_>,
        now: Timestamp,
    ) -> Result<Current, Refusal> {
        let claims = &self.claims;
        let retention_end = claims.configuration.method.retention_end();
        policy.check_parties(claims)?;
        rules::check_consistency(claims).ok().ok_or(Refusal::Contradictory)?;
        presented.check(claims, policy)?;
        if !rules::within_ceiling(claims, limits.get(claims.kind).lifetime) {
            return Err(Refusal::LifetimeTooLong);
        }
        if claims.issued_at.max(claims.not_before) > now.plus(policy.leeway()) {
            return Err(Refusal::NotYetValid);
        }
        // Before `exp`, which never passes it: the reason that no new token can mend comes first.
        if retention_end.is_some_and(|end| now >= end) {
            return Err(Refusal::RetentionEnded);
        }
        if now >= claims.expires_at {
            return Err(Refusal::Expired);
        }
        Ok(Current(self))
    }
}

/// Authentic, and valid now as far as the token itself tells.
#[derive(Clone)]
#[must_use]
pub struct Current(Authentic);

impl Current {
    /// The token's id, to be looked up.
    pub fn id(&self) -> TokenId {
        self.0.claims.id
    }

    /// The key that signed it, to be looked up.
    pub const fn key_id(&self) -> KeyId {
        self.0.key
    }

    /// The type.
    pub fn kind(&self) -> TokenType {
        self.0.claims.kind
    }

    /// The project.
    pub fn project(&self) -> &ProjectId {
        &self.0.claims.project
    }

    /// The organisation it was issued to.
    pub fn organisation(&self) -> OrganisationId {
        self.0.claims.organisation
    }

    /// The source layer.
    pub fn source(&self) -> Option<&Source> {
        self.0.claims.source.as_ref()
    }

    /// The log position at which it was recorded.
    pub fn recorded(&self) -> Cursor {
        self.0.claims.recorded
    }

    /// Takes the answer of a log that is fresh enough; not knowing is no answer and never comes here (rule 15).
    ///
    /// # Errors
    /// [`Refusal::Revoked`].
    pub fn check_revocation(self, standing: Standing) -> Result<Live, Refusal> {
        match standing {
            Standing::NotRevoked => Ok(Live(self.0)),
            Standing::Revoked => Err(Refusal::Revoked),
        }
    }
}

/// What the revocation log says of a token.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Standing {
    /// No rule hits it.
    NotRevoked,
    /// A rule hits it.
    Revoked,
}

/// May be used now. The only stage that yields the configuration.
#[derive(Clone)]
#[must_use]
pub struct Live(Authentic);

impl Live {
    /// Everything the token says.
    pub fn claims(&self) -> &Claims {
        &self.0.claims
    }

    /// The key that signed it.
    pub const fn key_id(&self) -> KeyId {
        self.0.key
    }
}
