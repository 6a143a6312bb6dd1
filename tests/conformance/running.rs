//! Every vector, published or our own, sent to a running verifier: each is refused, and it goes on.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use common::{
    encoding,
    jws::Algorithm,
    proto::v1::{self as pb, RefusalReason, verify_token_response::Verdict},
};
use forge::tokens::{ISSUED, ISSUER};
use harness::{
    calls::question,
    orders,
    pair::{Pair, Setup},
};
use serde_json::Value;

use crate::{corpora, jose::texts, json_files, list, read_json, root, text, unhex};

#[tokio::test(flavor = "multi_thread")]
async fn a_running_verifier_refuses_every_vector_and_goes_on() {
    let pair = Pair::start().await;
    pair.create(orders::reversible("study")).await.unwrap();
    let real = pair.token(orders::reverse("study", orders::OWNER)).await;
    pair.accepted(&real).await;

    // Whatever else a file calls good: none is signed by this issuer.
    let (mut told, mut reasons) = (BTreeMap::<&str, usize>::new(), Vec::new());
    let own = json_files(&root().join("tests/vectors"));
    let mut foreign: Vec<String> =
        own.iter().map(|path| text(&read_json(path), "token").to_owned()).collect();
    let corpora = corpora();
    if let Some(corpora) = &corpora {
        foreign.extend(
            published_tokens(corpora).into_iter().chain(documents(corpora, &real)).map(|sent| sent.1),
        );
    }
    for token in &foreign {
        let reason = pair.refused(token).await;
        *told.entry(reason.as_str_name()).or_default() += 1;
        reasons.push(reason);
    }
    if let Some(corpora) = &corpora {
        let forged = signatures(corpora, &real);
        for (_, token) in forged {
            assert_eq!(pair.refused(&token).await, RefusalReason::BadSignature);
            foreign.push(token);
            reasons.push(RefusalReason::BadSignature);
        }
        let signed = reasons.len() - told.values().sum::<usize>();
        told.insert("published signatures under our key's name", signed);
    }
    // What was seen before is refused again, and for the same: nothing of it is kept. Longer ones are looked up nowhere.
    let seen: Vec<_> =
        foreign.iter().zip(reasons).filter(|(token, _)| token.len() <= common::jws::MAX_LEN).collect();
    for seen in seen.chunks(MAX_BATCH) {
        let requests = seen.iter().map(|(token, _)| question(token)).collect();
        let again = pair.verifying().verify_tokens(pb::VerifyTokensRequest { requests }).await.unwrap();
        for (response, (_, reason)) in again.into_inner().responses.into_iter().zip(seen) {
            let refused = matches!(&response.verdict, Some(Verdict::Refused(why)) if why.reason() == *reason);
            assert!(refused, "{reason:?}: {response:?}");
        }
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

/// Every vector that is sent, with the file that it is of.
pub(crate) fn files_sent(corpora: &Path) -> BTreeMap<PathBuf, usize> {
    let real = format!("{}.{}.{}", "e30", "e30", "AA");
    let mut sent = BTreeMap::new();
    let all = published_tokens(corpora).into_iter().chain(documents(corpora, &real));
    for (path, _) in all.chain(signatures(corpora, &real)) {
        *sent.entry(path).or_default() += 1;
    }
    sent
}

/// Compact and JSON forms, as published.
fn published_tokens(corpora: &Path) -> Vec<(PathBuf, String)> {
    let mut tokens = Vec::new();
    let path = corpora.join("rfc7515/rfc7515_appendix.json");
    for test in list(&read_json(&path), "tests") {
        tokens.push((path.clone(), text(test, "jws").to_owned()));
    }
    let path = corpora.join("wycheproof/json_web_key_test.json");
    for group in list(&read_json(&path), "testGroups") {
        tokens.extend(list(group, "tests").iter().map(|test| (path.clone(), text(test, "jws").to_owned())));
    }
    let path = corpora.join("jose-cookbook/6.nesting_signatures_and_encryption.json");
    let nested = read_json(&path);
    let whole = ["sign", "encrypt"].into_iter().flat_map(|step| texts(&nested[step]));
    let whole = whole.filter(|text| text.matches('.').count() >= 2);
    tokens.extend(whole.map(|whole| (path.clone(), whole.to_owned())));
    for folder in ["jws", "jwe", "curve25519", "rfc7797"] {
        for path in json_files(&corpora.join("jose-cookbook").join(folder)) {
            let example = read_json(&path);
            let forms = example["output"].as_object().unwrap().values();
            let whole = forms.map(|form| form.as_str().map_or_else(|| form.to_string(), str::to_owned));
            tokens.extend(whole.map(|whole| (path.clone(), whole)));
        }
    }
    assert!(tokens.len() > 90, "{}", tokens.len());
    tokens
}

/// JSON documents in the place of the header, and of the claims of a token whose header and signature are real.
fn documents(corpora: &Path, real: &str) -> Vec<(PathBuf, String)> {
    let (input, signature) = real.rsplit_once('.').unwrap();
    let (header, claims) = input.split_once('.').unwrap();
    let mut tokens = Vec::new();
    for folder in ["test_parsing", "test_transform"] {
        for path in json_files(&corpora.join("JSONTestSuite").join(folder)) {
            let document = encoding::encode(&fs::read(&path).unwrap());
            tokens.push((path.clone(), format!("{document}.{claims}.{signature}")));
            tokens.push((path, format!("{header}.{document}.{signature}")));
        }
    }
    assert!(tokens.len() > 600, "{}", tokens.len());
    tokens
}

/// Each published message and signature, good or bad, in the place of claims and signature of a real token.
fn signatures(corpora: &Path, real: &str) -> Vec<(PathBuf, String)> {
    let header = real.split_once('.').unwrap().0;
    let mut tokens = Vec::new();
    for path in json_files(&corpora.join("wycheproof")) {
        let file: Value = read_json(&path);
        for group in list(&file, "testGroups") {
            for test in list(group, "tests").iter().filter(|test| test.get("sig").is_some()) {
                let part = |member| encoding::encode(&unhex(text(test, member)));
                let token = format!("{header}.{}.{}", part("msg"), part("sig"));
                // A longer one is refused before its signature is looked at.
                let sent = Some(token).filter(|token| token.len() <= common::jws::MAX_LEN);
                tokens.extend(sent.map(|token| (path.clone(), token)));
            }
        }
    }
    assert!(tokens.len() > 1_500, "{}", tokens.len());
    tokens
}

/// Tokens in one call.
const MAX_BATCH: usize = 64;
