//! Every vector, published or our own, sent to a running verifier: each is refused, and it goes on.

use std::{collections::BTreeMap, fs, path::Path};

use common::{encoding, jws::Algorithm, proto::v1::RefusalReason};
use forge::tokens::{ISSUED, ISSUER};
use harness::{
    orders,
    pair::{Pair, Setup},
};
use serde_json::Value;

use crate::{corpora, json_files, list, read_json, root, text, unhex};

#[tokio::test(flavor = "multi_thread")]
async fn a_running_verifier_refuses_every_vector_and_goes_on() {
    let pair = Pair::start().await;
    pair.create(orders::reversible("study")).await.unwrap();
    let real = pair.token(orders::reverse("study", orders::OWNER)).await;
    pair.accepted(&real).await;

    // Whatever else a file calls good: none is signed by this issuer.
    let mut told = BTreeMap::<&str, usize>::new();
    let mut foreign: Vec<String> = json_files(&root().join("tests/vectors"))
        .iter()
        .map(|path| text(&read_json(path), "token").to_owned())
        .collect();
    let corpora = corpora();
    if let Some(corpora) = &corpora {
        foreign.extend(published_tokens(corpora));
        foreign.extend(documents(corpora, &real));
    }
    for token in &foreign {
        *told.entry(pair.refused(token).await.as_str_name()).or_default() += 1;
    }
    if let Some(corpora) = &corpora {
        let forged = signatures(corpora, &real);
        for token in &forged {
            assert_eq!(pair.refused(token).await, RefusalReason::BadSignature);
        }
        *told.entry("published signatures under our key's name").or_default() += forged.len();
    }
    println!("a running verifier refused: {told:?}");

    pair.accepted(&real).await;
    pair.accepted(&pair.token(orders::reverse("study", orders::OWNER)).await).await;
}

/// An issuer whose only token key is the published test key, so that tokens made by hand are its own.
pub(crate) fn under_the_test_key(algorithm: Algorithm) -> Setup {
    let settings = vec![("TOKEN__ISSUER", ISSUER), ("TOKEN__ALGORITHM", algorithm.as_str())];
    Setup {
        issuer: settings.clone(),
        verifier: settings,
        token_keys: 0,
        own_token_key: Some(match algorithm {
            Algorithm::Ps256 => include_str!("../vectors/keys/test_only_ps256.pem"),
            Algorithm::Rs256 => include_str!("../vectors/keys/test_only_rs256.pem"),
        }),
        begin: ISSUED + 60,
    }
}

/// As our own vectors write a refusal.
pub(crate) fn code(reason: RefusalReason) -> &'static str {
    reason.as_str_name().strip_prefix("REFUSAL_REASON_").unwrap()
}

/// Compact and JSON forms, as published.
fn published_tokens(corpora: &Path) -> Vec<String> {
    let mut tokens = Vec::new();
    for test in list(&read_json(&corpora.join("rfc7515/rfc7515_appendix.json")), "tests") {
        tokens.push(text(test, "jws").to_owned());
    }
    for group in list(&read_json(&corpora.join("wycheproof/json_web_key_test.json")), "testGroups") {
        tokens.extend(list(group, "tests").iter().map(|test| text(test, "jws").to_owned()));
    }
    for folder in ["jws", "jwe", "curve25519", "rfc7797"] {
        for path in json_files(&corpora.join("jose-cookbook").join(folder)) {
            let example = read_json(&path);
            let forms = example["output"].as_object().unwrap().values();
            tokens.extend(forms.map(|form| form.as_str().map_or_else(|| form.to_string(), str::to_owned)));
        }
    }
    assert!(tokens.len() > 90, "{}", tokens.len());
    tokens
}

/// JSON documents in the place of the header, and of the claims of a token whose header and signature are real.
fn documents(corpora: &Path, real: &str) -> Vec<String> {
    let (input, signature) = real.rsplit_once('.').unwrap();
    let (header, claims) = input.split_once('.').unwrap();
    let mut tokens = Vec::new();
    for folder in ["test_parsing", "test_transform"] {
        for path in json_files(&corpora.join("JSONTestSuite").join(folder)) {
            let document = encoding::encode(&fs::read(&path).unwrap());
            tokens.push(format!("{document}.{claims}.{signature}"));
            tokens.push(format!("{header}.{document}.{signature}"));
        }
    }
    assert!(tokens.len() > 600, "{}", tokens.len());
    tokens
}

/// Each published message and signature, good or bad, in the place of claims and signature of a real token.
fn signatures(corpora: &Path, real: &str) -> Vec<String> {
    let header = real.split_once('.').unwrap().0;
    let mut tokens = Vec::new();
    for path in json_files(&corpora.join("wycheproof")) {
        let file: Value = read_json(&path);
        for group in list(&file, "testGroups") {
            for test in list(group, "tests").iter().filter(|test| test.get("sig").is_some()) {
                let part = |member| encoding::encode(&unhex(text(test, member)));
                let token = format!("{header}.{}.{}", part("msg"), part("sig"));
                // A longer one is refused before its signature is looked at.
                tokens.extend(Some(token).filter(|token| token.len() <= common::jws::MAX_LEN));
            }
        }
    }
    assert!(tokens.len() > 1_500, "{}", tokens.len());
    tokens
}
