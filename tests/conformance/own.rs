//! Our own vectors: each committed file through the verification, and nothing in the files that is not made anew.

mod cases;

use std::{collections::BTreeSet, fs, path::PathBuf, time::Duration};

use common::{
    encoding,
    jws::Algorithm,
    keys::PublicKey,
    token::{
        Limits,
        claims::Claims,
        kind::{PerType, TokenType},
        limits::TypeLimit,
    },
    verification::{Policy, Presented, Refusal},
};
use forge::{
    judge::judged,
    tokens::{AUDIENCE, Draft, ISSUER},
};
use serde_json::{Value, json};

use self::cases::{Case, cases};
use crate::{json_files, list, read_json, root, setting, text};

fn folder() -> PathBuf {
    root().join("tests/vectors")
}

#[test]
fn every_vector_gets_the_verdict_that_it_names() {
    let mut seen = BTreeSet::new();
    for path in json_files(&folder()) {
        let vector = read_json(&path);
        let keys: Vec<PublicKey> = list(&vector, "keys").iter().map(public_key).collect();
        assert_eq!((text(&vector, "issuer"), text(&vector, "audience")), (ISSUER, AUDIENCE));
        assert_eq!(vector["leeway_seconds"], Policy::DEFAULT_LEEWAY.as_secs());
        let limits = Limits(PerType::from_fn(|kind| TypeLimit {
            lifetime: Duration::from_secs(vector["lifetime_seconds"][kind.as_str()].as_u64().unwrap()),
            ..TypeLimit::default()
        }));
        let accepted_types: Vec<_> = list(&vector, "accepted_types")
            .iter()
            .map(|kind| TokenType::parse(kind.as_str().unwrap()).unwrap())
            .collect();
        let holder =
            vector["holder_certificate_sha256"].as_str().map(|hash| encoding::decode_array(hash).unwrap());
        let presented = Presented { accepted_types: &accepted_types, holder: holder.as_ref() };
        let now = vector["now"].as_u64().unwrap();
        let verdict = judged(text(&vector, "token"), &keys, &limits, &presented, now);
        let verdict = verdict.err().map_or("ACCEPTED", code);
        assert_eq!(verdict, text(&vector, "verdict"), "{}: {}", path.display(), text(&vector, "why"));
        seen.insert(verdict);
    }
    // Whether a token is revoked is the log's to say.
    let wanted: BTreeSet<_> =
        Refusal::CODES.into_iter().filter(|code| *code != "REVOKED").chain(["ACCEPTED"]).collect();
    assert_eq!(seen, wanted);
}

#[test]
fn making_the_vectors_anew_changes_nothing() {
    let write = setting("IPMS_WRITE_VECTORS").is_some_and(|wanted| wanted == "1");
    let mut names = BTreeSet::new();
    for case in cases() {
        let path = folder().join(format!("{}.json", case.name));
        let committed = fs::read_to_string(&path).unwrap_or_default();
        let made = file_of(&case, serde_json::from_str(&committed).ok().as_ref());
        if write {
            fs::write(&path, &made).unwrap();
        }
        assert!(write || made == committed, "{} has drifted: tests/vectors/regenerate", path.display());
        assert!(names.insert(path), "{} twice", case.name);
    }
    assert_eq!(json_files(&folder()).into_iter().collect::<BTreeSet<_>>(), names, "files that no case makes");
}

#[test]
fn the_hand_written_claims_are_the_ones_that_the_code_writes() {
    for kind in TokenType::ALL {
        let draft = Draft::of(kind, "any");
        assert_eq!(Claims::from_json(&draft.payload).unwrap().to_json().unwrap(), draft.payload);
    }
}

/// A PSS signature is another one each time, so a committed one over the same bytes stays.
fn file_of(case: &Case, committed: Option<&Value>) -> String {
    let draft = &case.draft;
    let made = draft.token();
    let input = |token: &str| token.rsplit_once('.').map(|(input, _)| input.to_owned());
    let random = draft.signer.public().algorithm() == Algorithm::Ps256;
    let token = committed
        .and_then(|vector| vector["token"].as_str())
        .filter(|token| random && input(token) == input(&made))
        .map_or(made.clone(), str::to_owned);
    let keys: Vec<Value> = draft.keys.iter().map(|key| jwk(key.public())).collect();
    let lifetime = |kind| Limits::default().get(kind).lifetime.as_secs();
    let vector = json!({
        "why": case.why,
        "token": token,
        "keys": keys,
        "issuer": ISSUER,
        "audience": AUDIENCE,
        "now": draft.now,
        "leeway_seconds": Policy::DEFAULT_LEEWAY.as_secs(),
        "lifetime_seconds": {
            "PSEUDONYMISATION": lifetime(TokenType::Pseudonymisation),
            "REVERSE": lifetime(TokenType::Reverse),
            "SECONDARY": lifetime(TokenType::Secondary),
        },
        "accepted_types": draft.accepted_types.iter().map(|kind| kind.as_str()).collect::<Vec<_>>(),
        "holder_certificate_sha256": draft.holder.map(|hash| encoding::encode(&hash)),
        "verdict": case.refused.map_or("ACCEPTED", code),
    });
    format!("{}\n", serde_json::to_string_pretty(&vector).unwrap())
}

fn jwk(key: &PublicKey) -> Value {
    json!({
        "kty": "RSA", "use": "sig", "alg": key.algorithm().as_str(),
        "kid": key.id().to_string(), "n": key.jwk_n(), "e": key.jwk_e(),
    })
}

fn public_key(jwk: &Value) -> PublicKey {
    let algorithm = Algorithm::parse(text(jwk, "alg")).unwrap();
    let key = PublicKey::from_jwk(text(jwk, "n"), text(jwk, "e"), algorithm).unwrap();
    assert_eq!(key.id().to_string(), text(jwk, "kid"));
    key
}

pub(crate) fn code(refusal: Refusal) -> &'static str {
    Refusal::CODES[usize::from(refusal.number()) - 1]
}
