//! Published RSA vectors through the keys that tokens are signed with. What is only *acceptable* is refused.

use std::path::Path;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use common::{
    jws::Algorithm,
    keys::{InvalidKey, PublicKey, SigningKey},
};
use serde_json::Value;

use crate::{Ran, corpora, list, read_json, text, unhex};

/// How the verdict of a published vector becomes ours.
#[derive(Clone, Copy)]
enum Judge {
    /// As published.
    AsPublished,
    /// Of another hash or salt than ours: what is good there is refused. The one that is bad there because it is made with
    /// these words, that is, with our own hash or salt, is good here.
    Other(&'static str),
    /// Keys above 4096 bits.
    TooLarge,
}

#[test]
fn published_pkcs1_signatures_are_judged_as_published_and_other_hashes_and_sizes_are_refused() {
    verify(
        &[
            ("rsa_signature_2048_sha256_test.json", Judge::AsPublished),
            ("rsa_signature_3072_sha256_test.json", Judge::AsPublished),
            ("rsa_signature_4096_sha256_test.json", Judge::AsPublished),
            ("rsa_signature_2048_sha512_test.json", Judge::Other("The message is hashed with SHA-256")),
            ("rsa_signature_8192_sha256_test.json", Judge::TooLarge),
        ],
        Algorithm::Rs256,
    );
}

#[test]
fn published_pss_signatures_are_judged_as_published_and_other_salts_are_refused() {
    verify(
        &[
            ("rsa_pss_2048_sha256_mgf1_32_test.json", Judge::AsPublished),
            ("rsa_pss_3072_sha256_mgf1_32_test.json", Judge::AsPublished),
            ("rsa_pss_4096_sha256_mgf1_32_test.json", Judge::AsPublished),
            ("rsa_pss_2048_sha256_mgf1_0_test.json", Judge::Other("s_len changed to 32")),
        ],
        Algorithm::Ps256,
    );
}

fn verify(files: &[(&str, Judge)], algorithm: Algorithm) {
    let Some(corpora) = corpora() else { return };
    let mut ran = Ran::default();
    for (name, judge) in files {
        let path = corpora.join("wycheproof").join(name);
        for group in list(&read_json(&path), "testGroups") {
            let key = public_key(group, algorithm);
            for test in list(group, "tests") {
                let taken = key.as_ref().is_some_and(|key| {
                    key.verify(b"", &unhex(text(test, "msg")), &unhex(text(test, "sig"))).is_ok()
                });
                let wanted = match judge {
                    // A key that is not taken verifies nothing.
                    Judge::AsPublished => key.is_some() && text(test, "result") == "valid",
                    Judge::Other(ours) => key.is_some() && text(test, "comment").starts_with(ours),
                    Judge::TooLarge => false,
                };
                assert_eq!(taken, wanted, "{name} {}: {}", test["tcId"], text(test, "comment"));
                ran.one(&path);
            }
        }
    }
    ran.told("signatures");
}

/// `None` for a key that we do not take: another exponent than 65537, or more than 4096 bits.
fn public_key(group: &Value, algorithm: Algorithm) -> Option<PublicKey> {
    let exponent = text(&group["publicKey"], "publicExponent");
    let refused = if exponent != "010001" {
        Some(InvalidKey::Exponent)
    } else if group["keySize"].as_u64().unwrap() > 4096 {
        Some(InvalidKey::Size)
    } else {
        None
    };
    let key = PublicKey::from_pem(text(group, "publicKeyPem"), algorithm);
    assert_eq!(key.as_ref().err().copied(), refused);
    let key = key.ok()?;
    if let Some(jwk) = group.get("publicKeyJwk").or(group.get("keyJwk")) {
        let same = PublicKey::from_jwk(text(jwk, "n"), text(jwk, "e"), algorithm).unwrap();
        assert_eq!(same.id(), key.id());
    }
    Some(key)
}

#[test]
fn published_keys_sign_pkcs1_as_published() {
    let Some(corpora) = corpora() else { return };
    let mut ran = Ran::default();
    for name in [
        "rsa_pkcs1_2048_sig_gen_test.json",
        "rsa_pkcs1_3072_sig_gen_test.json",
        "rsa_pkcs1_4096_sig_gen_test.json",
    ] {
        let path = corpora.join("wycheproof").join(name);
        for group in list(&read_json(&path), "testGroups") {
            let pem = pkcs8(text(group, "privateKeyPkcs8"));
            let key = SigningKey::from_pem(&pem, Algorithm::Rs256);
            if text(&group["privateKey"], "publicExponent") != "010001" {
                assert!(key.is_err());
                ran.file(&path);
                continue;
            }
            let key = key.unwrap();
            for test in list(group, "tests") {
                let signature = key.sign(b"", &unhex(text(test, "msg"))).unwrap();
                let same = signature == unhex(text(test, "sig"));
                assert_eq!(same, text(group, "sha") == "SHA-256", "{name} {}", test["tcId"]);
                ran.one(&path);
            }
        }
    }
    ran.told("signing");
}

#[test]
fn published_jwks_are_judged_by_our_bounds() {
    let Some(corpora) = corpora() else { return };
    let path = corpora.join("wycheproof/json_web_key_test.json");
    let mut ran = Ran::default();
    for group in list(&read_json(&path), "testGroups") {
        for test in list(group, "tests") {
            whole(&path, text(test, "jws"));
            ran.one(&path);
            let Some(jwk) = group["public"]["keys"].get(0).filter(|jwk| jwk.get("n").is_some()) else {
                continue;
            };
            let key = PublicKey::from_jwk(text(jwk, "n"), text(jwk, "e"), Algorithm::Rs256);
            let (input, signature) = text(test, "jws").rsplit_once('.').unwrap();
            let signature = common::encoding::decode(signature).unwrap_or_default();
            let taken = key.as_ref().map(|key| key.verify(b"", input.as_bytes(), &signature).is_ok());
            match test["tcId"].as_u64().unwrap() {
                // `use` (6) is not told by a key's bytes. Ours are announced under the log key's signature.
                5 | 6 => assert_eq!(taken, Ok(true)),
                // ROCA.
                7 => assert_eq!(taken.err(), Some(&InvalidKey::Weak)),
                8 => assert_eq!(taken.err(), Some(&InvalidKey::Size)),
                9 => assert_eq!(taken.err(), Some(&InvalidKey::Exponent)),
                other => panic!("{other} is new: judge it"),
            }
        }
    }
    ran.told("keys");
}

fn whole(path: &Path, token: &str) {
    crate::jose::refused_as_a_token(path, token);
}

pub(crate) fn pkcs8(hex: &str) -> String {
    format!(
        "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
        wrapped(&STANDARD.encode(unhex(hex)))
    )
}

fn wrapped(text: &str) -> String {
    text.as_bytes().chunks(64).map(|line| str::from_utf8(line).unwrap()).collect::<Vec<_>>().join("\n")
}
