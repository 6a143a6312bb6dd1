//! Whose key, and how it is used: algorithms, keys that come along, names of keys.

use aws_lc_rs::hmac;
use common::{
    encoding,
    verification::Refusal::{BadSignature, Malformed, UnknownKey, UnsupportedAlgorithm},
};

use super::{Family, add, parts};
use crate::tokens::{Draft, PS256, RS256, STRANGER};

/// RFC 8725 sections 2.1, 3.1 and 3.2; CVE-2015-9235, CVE-2018-0114, CVE-2020-28042, CVE-2022-21449, CVE-2022-23540.
pub(super) fn algorithm() -> Family {
    let mut family = Family::new("algorithm", "another algorithm than the key's, or none");
    for none in ["none", "None", "NONE", "nOnE", " none", "none ", "n\\u006fne", "none\\u0000", ""] {
        let named = |draft: &mut Draft| draft.head("RS256", none);
        family.signed(format!("{none:?}, well signed"), UnsupportedAlgorithm, named);
        family.signed(format!("{none:?}, nothing signed"), UnsupportedAlgorithm, |draft| {
            named(draft);
            draft.spoil = unsigned;
        });
    }
    for other in [
        "HS256",
        "HS384",
        "HS512",
        "RS384",
        "RS512",
        "PS384",
        "PS512",
        "ES256",
        "ES384",
        "ES512",
        "ES256K",
        "EdDSA",
        "Ed25519",
        "Ed448",
        "ML-DSA-65",
        "RSA1_5",
        "RSA-OAEP",
        "RSA-OAEP-256",
        "A256KW",
        "A128CBC-HS256",
        "dir",
        "rs256",
        "Rs256",
        "RS256 ",
        " RS256",
        "RS-256",
        "RSA256",
        "RS1",
        "SHA256withRSA",
        "RS256,PS256",
        "PS256\\u0000",
        "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256",
        "ＲＳ256",
    ] {
        family.head(UnsupportedAlgorithm, "RS256", other);
    }
    family.head(UnsupportedAlgorithm, "RS256", "PS256");
    family.signed("RS256 under the name of a PS256 key", UnsupportedAlgorithm, |draft| {
        draft.sign_with(&PS256);
        draft.head("PS256", "RS256");
        draft.signer = &RS256;
    });
    family.signed("PS256 under the name of an RS256 key", UnsupportedAlgorithm, |draft| {
        draft.head("RS256", "PS256");
        draft.signer = &PS256;
    });
    // What is public as the secret of a MAC.
    for (what, secret) in secrets() {
        for alg in ["HS256", "RS256"] {
            let refused = if alg == "RS256" { BadSignature } else { UnsupportedAlgorithm };
            family.changed(format!("{alg}, a MAC with {what}"), refused, |good| mac(good, alg, &secret));
        }
    }
    family
}

/// Everything about the key that an attacker has.
fn secrets() -> Vec<(&'static str, Vec<u8>)> {
    let key = RS256.public();
    let pem = key.to_pem().unwrap();
    let jwk = format!(r#"{{"e":"AQAB","kty":"RSA","n":"{}"}}"#, key.jwk_n());
    vec![
        ("the PEM of the public key", pem.clone().into_bytes()),
        ("the PEM without its last line feed", pem.trim_end().as_bytes().to_vec()),
        (
            "the base64 of the PEM",
            pem.lines().filter(|line| !line.starts_with('-')).collect::<String>().into_bytes(),
        ),
        ("the JWK", jwk.into_bytes()),
        ("the modulus", encoding::decode(key.jwk_n()).unwrap()),
        ("the modulus in base64url", key.jwk_n().into_bytes()),
        ("the name of the key", key.id().to_string().into_bytes()),
        ("one zero byte", vec![0]),
        ("a word", b"secret".to_vec()),
    ]
}

fn mac(good: &str, alg: &str, secret: &[u8]) -> String {
    let [header, claims, _] = parts(good);
    let header = String::from_utf8(encoding::decode(header).unwrap()).unwrap().replace("RS256", alg);
    let input = format!("{}.{claims}", encoding::encode(header.as_bytes()));
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), input.as_bytes());
    format!("{input}.{}", encoding::encode(tag.as_ref()))
}

fn unsigned(token: &str) -> String {
    format!("{}.", token.rsplit_once('.').unwrap().0)
}

/// RFC 8725 section 3.10; CVE-2018-0114: a key that the token brings along, or tells where to fetch.
pub(super) fn embedded() -> Family {
    let mut family = Family::new("embedded_key", "a key in the header, or the place of one");
    let theirs = STRANGER.public();
    let jwk = format!(
        r#"{{"kty":"RSA","alg":"RS256","kid":"{}","e":"AQAB","n":"{}"}}"#,
        theirs.id(),
        theirs.jwk_n()
    );
    for (what, member) in [
        ("jwk", format!("\"jwk\":{jwk}")),
        ("jwk as text", "\"jwk\":\"{}\"".to_owned()),
        ("jwk in a list", format!("\"jwk\":[{jwk}]")),
        ("jwk null", "\"jwk\":null".to_owned()),
        ("jwks", format!("\"jwks\":{{\"keys\":[{jwk}]}}")),
        ("jku", "\"jku\":\"http://127.0.0.1:9/jwks.json\"".to_owned()),
        ("jku with our own host in it", "\"jku\":\"https://issuer.test@127.0.0.1:9/jwks.json\"".to_owned()),
        ("jku of a file", "\"jku\":\"file:///proc/self/environ\"".to_owned()),
        ("jku data", format!("\"jku\":\"data:application/json,{}\"", encoding::encode(jwk.as_bytes()))),
        ("x5u", "\"x5u\":\"http://127.0.0.1:9/chain.pem\"".to_owned()),
        ("x5c", "\"x5c\":[\"MIIB\"]".to_owned()),
        ("x5c empty", "\"x5c\":[]".to_owned()),
        ("x5t", "\"x5t\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAA\"".to_owned()),
        ("x5t#S256", "\"x5t#S256\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"".to_owned()),
        ("epk", "\"epk\":{\"kty\":\"EC\",\"crv\":\"P-256\"}".to_owned()),
        ("a PEM", "\"key\":\"-----BEGIN PUBLIC KEY-----\"".to_owned()),
    ] {
        family.signed(format!("{what}, signed by the stranger, named as ours"), Malformed, |draft| {
            add(draft, &member);
            draft.signer = &STRANGER;
        });
        family.signed(format!("{what}, signed and named by the stranger"), Malformed, |draft| {
            draft.sign_with(&STRANGER);
            add(draft, &member);
        });
    }
    family
}

/// RFC 8725 section 3.10: names of keys as paths, queries and commands.
pub(super) fn key_id() -> Family {
    let mut family = Family::new("key_id", "a key name that is not one, or not ours");
    let ours = RS256.public().id().to_string();
    // All but the last letter, whose unused bits must stay zero.
    let swapped = format!("{}{}", ours[..42].chars().map(swapped_case).collect::<String>(), &ours[42..]);
    for (name, refused) in [
        ("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", UnknownKey),
        ("__________________________________________8", UnknownKey),
        (swapped.as_str(), UnknownKey),
        ("", Malformed),
        ("0", Malformed),
        ("default", Malformed),
        ("../../../../../../dev/null", Malformed),
        ("/dev/null", Malformed),
        ("/proc/sys/kernel/randomize_va_space", Malformed),
        ("..\\\\..\\\\windows\\\\win.ini", Malformed),
        ("log.pem", Malformed),
        ("token-000000000001.pem", Malformed),
        ("x' UNION SELECT 'AA';--", Malformed),
        ("' OR '1'='1", Malformed),
        ("|/usr/bin/id", Malformed),
        ("$(id)", Malformed),
        ("`id`", Malformed),
        ("${jndi:ldap://127.0.0.1:9/a}", Malformed),
        ("{{7*7}}", Malformed),
        ("%s%s%s%n", Malformed),
        ("http://127.0.0.1:9/jwks.json", Malformed),
        ("*", Malformed),
        ("fN1bOMWCVVbYabhacr_qWYJUMv5rb2kR_yMZB3q_0d", Malformed),
        ("\\u0000", Malformed),
        ("\\ud83d\\ude00", Malformed),
        ("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", Malformed),
        ("2fd4e1c67a2d28fced849ee1bb76e7391b93eb12", Malformed),
    ] {
        family.head(refused, &ours, name);
    }
    for (what, name) in [
        ("padded", format!("{ours}=")),
        ("with a space before", format!(" {ours}")),
        ("with a space behind", format!("{ours} ")),
        ("with a NUL behind", format!("{ours}\\u0000")),
        ("with a line feed behind", format!("{ours}\\n")),
        ("twice", format!("{ours}{ours}")),
        ("two of them", format!("{ours},{}", PS256.public().id())),
        ("as a URN", format!("urn:ietf:params:oauth:jwk-thumbprint:sha-256:{ours}")),
        ("in other base64", ours.replace('_', "/").replace('-', "+")),
        ("with other unused bits", format!("{}J", &ours[..42])),
    ] {
        family.signed(format!("our key's name, {what}"), Malformed, |draft| draft.head(&ours, &name));
    }
    for value in ["null", "0", "true", "[]", "{}", "1e400"] {
        family.head(Malformed, &format!("\"{ours}\""), value);
    }
    family.head(Malformed, &format!("\"{ours}\""), &format!("[\"{ours}\"]"));
    family.head(Malformed, &format!(",\"kid\":\"{ours}\""), "");
    family.signed("the stranger's own", UnknownKey, |draft| draft.sign_with(&STRANGER));
    family.signed("the stranger's, and our signature", UnknownKey, |draft| {
        draft.sign_with(&STRANGER);
        draft.signer = &RS256;
    });
    family.signed("ours, and the stranger's signature", BadSignature, |draft| draft.signer = &STRANGER);
    family
}

fn swapped_case(letter: char) -> char {
    if letter.is_ascii_lowercase() { letter.to_ascii_uppercase() } else { letter.to_ascii_lowercase() }
}
