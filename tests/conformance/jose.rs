//! Published JWS and JWE: the signature where it is of our kind, and the refusal of the whole in any case.

use std::path::Path;

use common::{
    encoding,
    jws::Algorithm,
    keys::PublicKey,
    verification::{Refusal, Unverified},
};
use serde_json::Value;

use crate::{Ran, corpora, json_files, list, read_json, text};

/// Nobody's token but ours is one of ours: the form alone refuses it.
pub(crate) fn refused_as_a_token(path: &Path, token: &str) {
    let refusal = Unverified::parse(token).err();
    let by_form = matches!(refusal, Some(Refusal::Malformed | Refusal::UnsupportedAlgorithm));
    assert!(by_form, "{}: {refusal:?}", path.display());
}

#[test]
fn the_examples_of_rfc_7515_have_good_signatures_and_are_no_tokens_of_ours() {
    let Some(corpora) = corpora() else { return };
    let path = corpora.join("rfc7515/rfc7515_appendix.json");
    let mut ran = Ran::default();
    for test in list(&read_json(&path), "tests") {
        let jws = text(test, "jws");
        refused_as_a_token(&path, jws);
        ran.one(&path);
        if test["alg"] == "RS256" {
            assert!(checked(&test["key"], Algorithm::Rs256, jws), "{}", test["id"]);
            // The same bytes under the other algorithm are nothing.
            assert!(!checked(&test["key"], Algorithm::Ps256, jws), "{}", test["id"]);
        }
    }
    ran.told("RFC 7515");
}

#[test]
fn the_examples_of_the_jose_cookbook_are_no_tokens_of_ours() {
    let Some(corpora) = corpora() else { return };
    let cookbook = corpora.join("jose-cookbook");
    let mut ran = Ran::default();
    for folder in ["jws", "jwe", "curve25519", "rfc7797"] {
        for path in json_files(&cookbook.join(folder)) {
            let example = read_json(&path);
            for form in example["output"].as_object().unwrap().values() {
                let whole = form.as_str().map_or_else(|| form.to_string(), str::to_owned);
                refused_as_a_token(&path, &whole);
                parts_have_one_spelling(&whole);
                ran.one(&path);
            }
        }
    }
    let nested = cookbook.join("6.nesting_signatures_and_encryption.json");
    let example = read_json(&nested);
    for step in ["sign", "encrypt"] {
        for whole in texts(&example[step]).filter(|text| text.matches('.').count() >= 2) {
            refused_as_a_token(&nested, whole);
            ran.one(&nested);
        }
    }
    ran.told("JOSE cookbook");
}

#[test]
fn the_rsa_examples_of_the_jose_cookbook_are_judged_by_algorithm() {
    let Some(corpora) = corpora() else { return };
    let folder = corpora.join("jose-cookbook/jws");
    let example = |name: &str| read_json(&folder.join(name));
    let (pkcs1, pss) = (example("4_1.rsa_v15_signature.json"), example("4_2.rsa-pss_signature.json"));
    let good = |example: &Value, algorithm| {
        checked(&example["input"]["key"], algorithm, text(&example["output"], "compact"))
    };
    assert_eq!((&pkcs1["input"]["alg"], &pss["input"]["alg"]), (&"RS256".into(), &"PS384".into()));
    assert!(good(&pkcs1, Algorithm::Rs256));
    assert!(!good(&pkcs1, Algorithm::Ps256));
    // SHA-384 and a salt of 48 bytes.
    assert!(!good(&pss, Algorithm::Ps256));
    assert!(!good(&pss, Algorithm::Rs256));
}

#[test]
fn the_rsa_keys_of_the_jose_cookbook_are_one_key() {
    let Some(corpora) = corpora() else { return };
    let id = |name: &str| {
        let jwk = read_json(&corpora.join("jose-cookbook/jwk").join(name));
        PublicKey::from_jwk(text(&jwk, "n"), text(&jwk, "e"), Algorithm::Rs256).unwrap().id()
    };
    assert_eq!(id("3_3.rsa_public_key.json"), id("3_4.rsa_private_key.json"));
}

fn checked(jwk: &Value, algorithm: Algorithm, jws: &str) -> bool {
    let key = PublicKey::from_jwk(text(jwk, "n"), text(jwk, "e"), algorithm).unwrap();
    let (input, signature) = jws.rsplit_once('.').unwrap();
    key.verify(b"", input.as_bytes(), &encoding::decode(signature).unwrap()).is_ok()
}

/// Each part of a compact form decodes, and encodes to itself; with padding or a changed last bit it does not decode.
fn parts_have_one_spelling(compact: &str) {
    if compact.starts_with('{') {
        return;
    }
    for part in compact.split('.').filter(|part| !part.is_empty()) {
        let Some(bytes) = encoding::decode(part) else {
            // An unencoded payload (RFC 7797) is the only part of another spelling.
            assert!(part.contains(|letter: char| !letter.is_ascii_alphanumeric()), "{part}");
            continue;
        };
        assert_eq!(encoding::encode(&bytes), part);
        for other in [format!("{part}="), format!(" {part}"), format!("{part}\n"), format!("{part}+")] {
            assert_eq!(encoding::decode(&other), None, "{other}");
        }
    }
}

/// Every text anywhere below.
pub(crate) fn texts(value: &Value) -> Box<dyn Iterator<Item = &str> + '_> {
    match value {
        Value::String(text) => Box::new(std::iter::once(text.as_str())),
        Value::Array(values) => Box::new(values.iter().flat_map(texts)),
        Value::Object(members) => Box::new(members.values().flat_map(texts)),
        Value::Null | Value::Bool(_) | Value::Number(_) => Box::new(std::iter::empty()),
    }
}
