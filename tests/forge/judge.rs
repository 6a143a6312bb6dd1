//! What the verification says of a token, before the log is asked. The code under test, with the settings of the vectors.

use std::sync::LazyLock;

use common::{
    keys::PublicKey,
    timestamp::Timestamp,
    token::{Limits, kind::TokenType},
    verification::{Current, Policy, Presented, Refusal, Unverified},
};

use crate::tokens::{AUDIENCE, Draft, HOLDER, ISSUED, ISSUER, PS256, RS256};

/// Whose tokens are taken.
pub static POLICY: LazyLock<Policy> =
    LazyLock::new(|| Policy::new(ISSUER.to_owned(), AUDIENCE.to_owned(), Policy::DEFAULT_LEEWAY).unwrap());

/// Both test keys as they are announced.
pub static ANNOUNCED: LazyLock<[PublicKey; 2]> =
    LazyLock::new(|| [PS256.public().clone(), RS256.public().clone()]);

/// What the verification says before the log is asked.
///
/// # Errors
/// The refusal.
pub fn judged(
    token: &str,
    keys: &[PublicKey],
    limits: &Limits,
    presented: &Presented<'_>,
    now: u64,
) -> Result<Current, Refusal> {
    let unverified = Unverified::parse(token)?;
    let key = keys.iter().find(|key| key.id() == unverified.unverified_key_id());
    let now = Timestamp::from_seconds(now).unwrap();
    unverified.check_signature(key)?.check_claims(&POLICY, limits, presented, now)
}

/// The same, a minute after it was issued, for an endpoint that takes every type and a holder who shows the certificate.
///
/// # Errors
/// The refusal.
pub fn judged_in_its_minute(token: &str) -> Result<Current, Refusal> {
    let presented = Presented { accepted_types: &TokenType::ALL, holder: Some(&HOLDER) };
    judged(token, &*ANNOUNCED, &Limits::default(), &presented, ISSUED + 60)
}

/// Of a well-signed token with these bytes as claims.
///
/// # Errors
/// The refusal.
pub fn judged_with_claims(payload: &[u8]) -> Result<Current, Refusal> {
    let draft = Draft { payload: payload.to_vec(), ..Draft::of(TokenType::Reverse, "") };
    judged_in_its_minute(&draft.token())
}
