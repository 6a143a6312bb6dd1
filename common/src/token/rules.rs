//! The rules that a token must keep by what it says itself (rule 13). Pure: no clock, no store, no key.

use std::time::Duration;

use crate::token::{
    claims::{Claims, TokenMethod},
    kind::TokenType,
};

/// Rules 3, 4 and 7 on the token's own words.
///
/// # Errors
/// The first rule broken. A well-signed token that breaks one is contradictory.
pub fn check_consistency(claims: &Claims) -> Result<(), Contradiction> {
    if claims.expires_at <= claims.issued_at || claims.expires_at <= claims.not_before {
        return Err(Contradiction::NeverValid);
    }
    if claims.configuration.method.retention_end().is_some_and(|end| claims.expires_at > end) {
        return Err(Contradiction::OutlivesRetention);
    }
    if claims.kind == TokenType::Reverse && claims.configuration.method == TokenMethod::NotReversible {
        return Err(Contradiction::ReverseOfIrreversible);
    }
    match (claims.kind, &claims.source) {
        (TokenType::Secondary, None) => Err(Contradiction::SourceMissing),
        (TokenType::Secondary, Some(source))
            if source.project == claims.project && source.organisation == claims.organisation =>
        {
            Err(Contradiction::SourceIsSelf)
        }
        (TokenType::Pseudonymisation | TokenType::Reverse, Some(_)) => Err(Contradiction::SourceForbidden),
        (TokenType::Secondary, Some(_)) | (TokenType::Pseudonymisation | TokenType::Reverse, None) => Ok(()),
    }
}

/// Whether `exp - iat` is at most `ceiling` (rule 7).
pub fn within_ceiling(claims: &Claims, ceiling: Duration) -> bool {
    claims.expires_at.since(claims.issued_at) <= ceiling
}

/// How a token contradicts itself.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Contradiction {
    /// `exp` is not after `iat` and `nbf`.
    #[error("the token is valid at no time")]
    NeverValid,
    /// `exp` passes the retention end.
    #[error("the token outlives the retention")]
    OutlivesRetention,
    /// REVERSE of a project that is not reversible.
    #[error("a reverse token of a project that is not reversible")]
    ReverseOfIrreversible,
    /// SECONDARY without a source.
    #[error("a secondary token without a source")]
    SourceMissing,
    /// A source on a type that has none.
    #[error("a source on a token that is not secondary")]
    SourceForbidden,
    /// The source is the token's own layer.
    #[error("a source that is the token's own layer")]
    SourceIsSelf,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::token::claims::{Source, tests::claims};

    #[test]
    fn each_contradiction_is_found() {
        for kind in TokenType::ALL {
            assert_eq!(check_consistency(&claims(kind)), Ok(()));
        }
        let broken = |kind, change: fn(&mut Claims)| {
            let mut claims = claims(kind);
            change(&mut claims);
            check_consistency(&claims).unwrap_err()
        };
        let own = |c: &mut Claims| {
            c.source = Some(Source { project: c.project.clone(), organisation: c.organisation });
        };
        let later = |c: &mut Claims| c.expires_at = c.expires_at.plus(Duration::from_secs(1));
        let irreversible = |c: &mut Claims| c.configuration.method = TokenMethod::NotReversible;
        assert_eq!(broken(TokenType::Reverse, irreversible), Contradiction::ReverseOfIrreversible);
        assert_eq!(broken(TokenType::Secondary, own), Contradiction::SourceIsSelf);
        assert_eq!(broken(TokenType::Secondary, |c| c.source = None), Contradiction::SourceMissing);
        assert_eq!(broken(TokenType::Reverse, own), Contradiction::SourceForbidden);
        assert_eq!(broken(TokenType::Pseudonymisation, own), Contradiction::SourceForbidden);
        assert_eq!(broken(TokenType::Pseudonymisation, later), Contradiction::OutlivesRetention);
        assert_eq!(broken(TokenType::Reverse, |c| c.expires_at = c.issued_at), Contradiction::NeverValid);
        assert_eq!(broken(TokenType::Reverse, |c| c.not_before = c.expires_at), Contradiction::NeverValid);
    }

    #[test]
    fn the_ceiling_is_inclusive() {
        let claims = claims(TokenType::Reverse);
        assert!(within_ceiling(&claims, Duration::from_hours(1)));
        assert!(!within_ceiling(&claims, Duration::from_secs(3_599)));
    }
}
