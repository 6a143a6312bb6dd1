//! Each refusal, by a token that earns it.

use std::time::Duration;

use super::*;
use crate::{
    jws::{self, Algorithm},
    keys::{SigningKey, tests::pem},
    token::{
        claims::{TokenMethod, tests::claims},
        kind::PerType,
    },
};

fn key(number: usize, algorithm: Algorithm) -> SigningKey {
    SigningKey::from_pem(pem(number), algorithm).unwrap()
}

fn signed(kind: TokenType, change: impl FnOnce(&mut Claims)) -> String {
    let mut claims = claims(kind);
    change(&mut claims);
    jws::sign(claims, &key(0, Algorithm::Ps256)).unwrap()
}

fn judge(token: &str, after: i64) -> Result<Live, Refusal> {
    let policy = Policy::new("https://issuer.test".into(), "incert".into(), Policy::DEFAULT_LEEWAY).unwrap();
    let now = Timestamp::from_seconds(1_800_000_000_u64.saturating_add_signed(after)).unwrap();
    let presented =
        Presented { accepted_types: &[TokenType::Reverse, TokenType::Secondary], holder: Some(&[3; 32]) };
    Unverified::parse(token)?
        .check_signature(Some(key(0, Algorithm::Ps256).public()))?
        .check_claims(&policy, &Limits::default(), &presented, now)?
        .check_revocation(Standing::NotRevoked)
}

fn refusal(change: impl FnOnce(&mut Claims), after: i64) -> Option<Refusal> {
    judge(&signed(TokenType::Reverse, change), after).err()
}

#[test]
fn a_good_token_yields_its_claims() {
    for kind in [TokenType::Reverse, TokenType::Secondary] {
        let live = judge(&signed(kind, |_| ()), 0).ok().unwrap();
        assert_eq!(live.claims(), &claims(kind));
    }
}

#[test]
fn a_type_that_must_be_bound_is_refused_when_it_is_not() {
    let policy = Policy::new("https://issuer.test".into(), "incert".into(), Policy::DEFAULT_LEEWAY).unwrap();
    let policy = policy.with_holder_required(PerType { reverse: true, ..PerType::default() });
    let now = Timestamp::from_seconds(1_800_000_000).unwrap();
    let judge = |kind: TokenType, bound: Option<[u8; 32]>, shown: Option<&[u8; 32]>| {
        let token = signed(kind, |claims| claims.holder = bound);
        let presented = Presented { accepted_types: &TokenType::ALL, holder: shown };
        let authentic =
            Unverified::parse(&token)?.check_signature(Some(key(0, Algorithm::Ps256).public()))?;
        authentic.check_claims(&policy, &Limits::default(), &presented, now).map(drop)
    };
    let (ours, theirs) = ([3; 32], [4; 32]);
    for shown in [None, Some(&ours)] {
        assert_eq!(judge(TokenType::Reverse, None, shown), Err(Refusal::WrongHolder));
        assert_eq!(judge(TokenType::Secondary, None, shown), Ok(()));
    }
    for kind in [TokenType::Reverse, TokenType::Secondary] {
        assert_eq!(judge(kind, Some(ours), Some(&ours)), Ok(()));
        assert_eq!(judge(kind, Some(ours), Some(&theirs)), Err(Refusal::WrongHolder));
        assert_eq!(judge(kind, Some(ours), None), Err(Refusal::WrongHolder));
    }
}

#[test]
fn each_claim_that_is_wrong_has_its_refusal() {
    let longer = |c: &mut Claims| {
        c.expires_at = c.expires_at.plus(Duration::from_secs(1));
        c.configuration.method = TokenMethod::Reversible { retention_end: c.expires_at };
    };
    let long_retention = |c: &mut Claims| {
        c.configuration.method = TokenMethod::Reversible { retention_end: Timestamp::MAX };
    };
    assert_eq!(refusal(|c| c.issuer.push('/'), 0), Some(Refusal::WrongIssuer));
    assert_eq!(refusal(|c| c.audience.push('/'), 0), Some(Refusal::WrongAudience));
    assert_eq!(refusal(|c| c.kind = TokenType::Pseudonymisation, 0), Some(Refusal::WrongType));
    assert_eq!(refusal(|c| c.holder = Some([4; 32]), 0), Some(Refusal::WrongHolder));
    assert_eq!(refusal(|c| c.holder = Some([3; 32]), 0), None);
    assert_eq!(
        refusal(|c| c.configuration.method = TokenMethod::NotReversible, 0),
        Some(Refusal::Contradictory)
    );
    assert_eq!(refusal(longer, 0), Some(Refusal::LifetimeTooLong));
    assert_eq!(refusal(|_| (), -2), None);
    assert_eq!(refusal(|_| (), -3), Some(Refusal::NotYetValid));
    assert_eq!(refusal(|_| (), 3_599), None);
    assert_eq!(refusal(|_| (), 3_600), Some(Refusal::RetentionEnded));
    assert_eq!(refusal(long_retention, 3_599), None);
    assert_eq!(refusal(long_retention, 3_600), Some(Refusal::Expired));
}

#[test]
fn key_and_algorithm_are_the_keys_own_and_never_the_headers() {
    let token = signed(TokenType::Reverse, |_| ());
    let check = |key: Option<&PublicKey>| {
        Unverified::parse(&token).unwrap_or_else(|_| panic!()).check_signature(key).err()
    };
    assert_eq!(check(None), Some(Refusal::UnknownKey));
    assert_eq!(check(Some(key(1, Algorithm::Ps256).public())), Some(Refusal::UnknownKey));
    assert_eq!(check(Some(key(0, Algorithm::Rs256).public())), Some(Refusal::UnsupportedAlgorithm));
}

#[test]
fn a_revoked_token_is_refused() {
    let authentic =
        Authentic { claims: Arc::new(claims(TokenType::Reverse)), key: KeyId::from_bytes([0; 32]) };
    assert_eq!(Current(authentic).check_revocation(Standing::Revoked).err(), Some(Refusal::Revoked));
}

#[test]
fn a_header_of_another_shape_is_refused() {
    let token = signed(TokenType::Reverse, |_| ());
    let (_, rest) = token.split_once('.').unwrap();
    let kid = key(0, Algorithm::Ps256).public().id();
    for (header, refusal) in [
        (format!(r#"{{"kid":"{kid}","typ":"ipms-token+jwt","alg":"PS256"}}"#), Refusal::BadSignature),
        (format!(r#"{{"alg":"none","typ":"ipms-token+jwt","kid":"{kid}"}}"#), Refusal::UnsupportedAlgorithm),
        (format!(r#"{{"alg":"PS256","typ":"JWT","kid":"{kid}"}}"#), Refusal::Malformed),
        (format!(r#"{{"alg":"PS256","typ":"ipms-token+jwt","kid":"{kid}","crit":[]}}"#), Refusal::Malformed),
        (
            format!(r#"{{"alg":"PS256","alg":"PS256","typ":"ipms-token+jwt","kid":"{kid}"}}"#),
            Refusal::Malformed,
        ),
        (format!(r#"["PS256","ipms-token+jwt","{kid}"]"#), Refusal::Malformed),
        (r#"{"alg":"PS256","typ":"ipms-token+jwt"}"#.to_owned(), Refusal::Malformed),
    ] {
        let forged = format!("{}.{rest}", crate::encoding::encode(header.as_bytes()));
        assert_eq!(judge(&forged, 0).err(), Some(refusal), "{header}");
    }
    for (bad, why) in [
        (format!("{token}."), "four parts"),
        (format!("{token}="), "padding"),
        (format!(" {token}"), "white space"),
        (rest.to_owned(), "two parts"),
        ("a".repeat(jws::MAX_LEN + 1), "too long"),
        (String::new(), "empty"),
    ] {
        assert_eq!(judge(&bad, 0).err(), Some(Refusal::Malformed), "{why}");
    }
}

#[test]
fn no_byte_of_a_token_can_change() {
    let token = signed(TokenType::Secondary, |_| ());
    for index in 0..token.len() {
        for bit in [1_u8, 2, 32] {
            let mut bytes = token.clone().into_bytes();
            bytes[index] ^= bit;
            let changed = String::from_utf8(bytes).unwrap();
            assert!(judge(&changed, 0).is_err(), "byte {index}, bit {bit}");
        }
    }
}

#[test]
fn another_implementation_reads_the_same_claims() {
    let token = signed(TokenType::Secondary, |_| ());
    let public = key(0, Algorithm::Ps256).public().to_pem().unwrap();
    let decoding = jsonwebtoken::DecodingKey::from_rsa_pem(public.as_bytes()).unwrap();
    let mut validation = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::PS256);
    validation.set_audience(&["incert"]);
    validation.set_issuer(&["https://issuer.test"]);
    let read = jsonwebtoken::decode::<serde_json::Value>(&token, &decoding, &validation).unwrap();
    let json = serde_json::to_vec(&read.claims).unwrap();
    assert_eq!(Claims::from_json(&json), Ok(claims(TokenType::Secondary)));
}
