//! Token keys on a PKCS#11 token, by the real programs over `SoftHSM`. Failure in all of them: a token that no verifier
//! accepts, an issuer that needs a restart, or a revocation that had to wait for the token.

mod odd;

use std::{fs, path::Path};

use common::{jws::Algorithm, proto::v1::RefusalReason};
use harness::{
    calls::{serving, tokens},
    keys,
    orders::{self, OWNER},
    programs::{Program, Programs},
    softhsm::{PIN, Token},
    until,
};
use tonic::Code;

/// An issuer whose only token key is on a token, and that key's id.
async fn programs(algorithm: Algorithm) -> (Programs, Token, String) {
    let mut made = None;
    let programs = Programs::prepared(|issuer, verifier, folder| {
        made = Some(on_token(issuer, folder));
        let name = match algorithm {
            Algorithm::Ps256 => "PS256",
            Algorithm::Rs256 => "RS256",
        };
        issuer.set("TOKEN__ALGORITHM", name);
        verifier.set("TOKEN__ALGORITHM", name);
    });
    let programs = programs.await;
    let (token, key) = made.unwrap();
    programs.create(orders::reversible("study")).await.unwrap();
    (programs, token, key)
}

/// The token keys of the folder go; one is put on a token.
pub(crate) fn on_token(issuer: &mut Program, folder: &Path) -> (Token, String) {
    for entry in fs::read_dir(folder.join("keys")).unwrap() {
        let path = entry.unwrap().path();
        if path.file_name().unwrap().to_str().unwrap().starts_with("token-") {
            fs::remove_file(path).unwrap();
        }
    }
    let mut token = Token::new(folder);
    let key = put(&mut token, folder, "ipms");
    for (name, value) in token.settings() {
        issuer.set(name, &value);
    }
    issuer.environment(token.environment());
    (token, key)
}

/// Another key on the token. Tells its id.
fn put(token: &mut Token, folder: &Path, label: &str) -> String {
    let (id, pem) = keys::new();
    let file = folder.join("import.pem");
    fs::write(&file, pem).unwrap();
    token.put(label, &file);
    fs::remove_file(file).unwrap();
    id
}

async fn issuing(programs: &Programs) -> bool {
    serving(programs.issuer(), "ipms.token.v1.IssuerService").await.unwrap()
}

/// Issuing stops with the reason, revoking goes on, and the readiness page says what an operator must know.
async fn stopped(programs: &Programs, page: &str) {
    until("health tells that the token is away", async || (!issuing(programs).await).then_some(())).await;
    let refused = programs.issue(orders::pseudonymise("study", OWNER)).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable, "{refused:?}");
    assert!(refused.message().contains("holds the keys"), "{refused:?}");
    until("the readiness page names the cause", async || {
        let told = programs.issuer.page("/readyz").await;
        (told.starts_with("HTTP/1.1 503") && told.contains("SIGNER_UNAVAILABLE") && told.contains(page))
            .then_some(())
    })
    .await;
    assert!(serving(programs.issuer(), "ipms.token.v1.RevocationService").await.unwrap());
}

async fn goes_on(programs: &Programs, key: &str) {
    until("issuing goes on", async || issuing(programs).await.then_some(())).await;
    let token = programs.token(orders::pseudonymise("study", OWNER)).await;
    assert_eq!(programs.accepted(&token).await.key_id, key);
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_that_a_device_signed_verify_with_either_algorithm() {
    for algorithm in [Algorithm::Ps256, Algorithm::Rs256] {
        let (mut programs, _token, key) = programs(algorithm).await;
        let good = programs.token(orders::pseudonymise("study", OWNER)).await;
        assert_eq!(programs.accepted(&good).await.key_id, key);
        let bad = programs.issue(orders::pseudonymise("study", OWNER)).await.unwrap();
        let revoked = programs.revoke(tokens([&bad.record.unwrap().token_id])).await.unwrap();
        programs.seen(&revoked).await;
        assert_eq!(programs.refused(&bad.token).await, RefusalReason::Revoked);
        let shown = String::from_utf8(programs.issuer.run(&["keys", "show"]).stdout).unwrap();
        assert!(shown.contains(&format!("{key} ({algorithm:?}), on the PKCS#11 token as `ipms`")), "{shown}");
        assert!(programs.issuer.terminate().await, "the module is left in good order");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_pulled_out_stops_issuing_alone_and_put_back_it_signs_without_a_restart() {
    let (mut programs, token, key) = programs(Algorithm::Ps256).await;
    let issued = programs.issue(orders::pseudonymise("study", OWNER)).await.unwrap();
    let pid = programs.issuer.pid();
    for _ in 0..2 {
        token.pull_out();
        stopped(&programs, "keys.pkcs11.token_label").await;
        token.put_back();
        goes_on(&programs, &key).await;
    }
    token.pull_out();
    stopped(&programs, "keys.pkcs11.token_label").await;
    let revoked = programs.revoke(tokens([&issued.record.unwrap().token_id])).await.unwrap();
    programs.seen(&revoked).await;
    assert_eq!(programs.refused(&issued.token).await, RefusalReason::Revoked);
    assert_eq!(programs.issuer.pid(), pid);
    // Started without it the issuer revokes, and signs when it comes.
    programs.issuer.terminate().await;
    programs.issuer.spawn();
    until("the issuer revokes without its token", async || {
        serving(programs.issuer(), "ipms.token.v1.RevocationService").await.ok()?.then_some(())
    })
    .await;
    let refused = programs.issue(orders::pseudonymise("study", OWNER)).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable, "{refused:?}");
    let told = programs.issuer.page("/readyz").await;
    assert!(told.contains("NO_SIGNING_KEY") && told.contains("keys.pkcs11.token_label"), "{told}");
    programs.revoke(tokens(["AAAAAAAAAAAAAAAAAAAAAA"])).await.unwrap();
    token.put_back();
    goes_on(&programs, &key).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pin_that_the_token_refuses_is_offered_once_and_a_new_one_is_taken_without_a_restart() {
    let (programs, token, key) = programs(Algorithm::Ps256).await;
    token.pin("another-pin");
    token.pull_out();
    stopped(&programs, "keys.pkcs11.token_label").await;
    token.put_back();
    stopped(&programs, "refuses this PIN").await;
    let log = fs::read_to_string(programs.issuer.log()).unwrap();
    assert!(!log.contains("another-pin") && !log.contains(PIN), "a PIN is in the log");
    // The right PIN in what looks like the same file: whoever offered it again would get in.
    token.pin_unseen(PIN);
    let mut looks = 0;
    until("some trials", async || {
        assert!(!issuing(&programs).await, "the file was read again");
        looks += 1;
        (looks == 100).then_some(())
    })
    .await;
    token.pin(PIN);
    goes_on(&programs, &key).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_put_on_the_token_later_is_prepared_and_activated_as_any_other() {
    let (programs, mut token, old) = programs(Algorithm::Ps256).await;
    let new = put(&mut token, &programs.path(""), "ipms-2");
    put(&mut token, &programs.path(""), "ipms2-of-another-service");
    until("the new key is found", async || programs.key(&new).await).await;
    programs.prepare(&new).await.unwrap();
    until("every party holds it", async || programs.activate(&new, true).await.ok()).await;
    goes_on(&programs, &new).await;
    let listed = programs.keys().list_keys(common::proto::v1::ListKeysRequest::default()).await.unwrap();
    let mut ids: Vec<_> = listed.into_inner().keys.into_iter().map(|key| key.key_id).collect();
    let mut expected = vec![old, new];
    ids.sort();
    expected.sort();
    assert_eq!(ids, expected, "a label is no prefix");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_the_token_is_named_before_anything_starts() {
    let folder = tempfile::tempdir().unwrap();
    keys::copy_into(&folder.path().join("keys"), 1);
    let mut issuer = Program::new("issuer", folder.path(), &[("KEYS__DIRECTORY", "keys")]);
    let (token, key) = on_token(&mut issuer, folder.path());
    let check = |issuer: &Program| {
        let done = issuer.run(&["check-config"]);
        (done.status.code(), String::from_utf8(done.stderr).unwrap())
    };
    let (code, text) = check(&issuer);
    assert_eq!(code, Some(0), "{text}");
    let pin = token.settings()[2].1.clone();
    for (name, wrong, right, told) in [
        ("KEYS__PKCS11__MODULE", "/nowhere.so", None, "keys.pkcs11.module /nowhere.so cannot be loaded"),
        ("KEYS__PKCS11__MODULE", "/lib/x86_64-linux-gnu/libm.so.6", None, "cannot be loaded"),
        (
            "KEYS__PKCS11__TOKEN_LABEL",
            "another",
            None,
            "keys.pkcs11.token_label: the module has no token `another`",
        ),
        ("KEYS__PKCS11__KEY_LABEL", "ipm", Some("ipms"), "keys.pkcs11.key_label: the token holds no RSA key"),
        ("KEYS__PKCS11__PIN_FILE", "/nowhere", None, "keys.pkcs11.pin_file /nowhere cannot be read"),
    ] {
        let right = right.map_or_else(
            || token.settings().into_iter().find(|(key, _)| *key == name).unwrap().1,
            str::to_owned,
        );
        issuer.set(name, wrong);
        let (code, text) = check(&issuer);
        assert_eq!(code, Some(64), "{name}: {text}");
        assert!(text.contains(told), "{told}: {text}");
        // A new realm does not begin without its key.
        let served = issuer.run(&["serve"]);
        assert_eq!(served.status.code(), Some(1), "{name}");
        assert!(String::from_utf8(served.stderr).unwrap().contains(told), "{told}");
        issuer.set(name, &right);
    }
    token.pin("another-pin");
    let (code, text) = check(&issuer);
    assert_eq!(code, Some(64));
    assert!(text.contains(&format!("keys.pkcs11.pin_file {pin}: the token refuses this PIN")), "{text}");
    assert!(!text.contains("another-pin"), "{text}");
    token.pin(PIN);
    let made = issuer.run(&["keys", "generate"]);
    assert_eq!(made.stdout, b"", "no token key is made in the folder");
    let shown = String::from_utf8(issuer.run(&["keys", "show"]).stdout).unwrap();
    assert_eq!(shown.matches("token key ").count(), 1, "{shown}");
    assert!(shown.contains(&key), "{shown}");
}
