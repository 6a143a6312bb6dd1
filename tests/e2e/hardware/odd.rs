//! Tokens that hold other than one key pair under one label. Failure: a key that signs what its public half does not verify,
//! a guess which token is meant, or an issuer that starts without saying what is wrong.

use std::fs;

use harness::{
    keys,
    orders::{self, OWNER},
    programs::{Program, Programs},
    softhsm::Token,
};

use super::on_token;

#[tokio::test(flavor = "multi_thread")]
async fn a_key_without_a_public_object_is_known_by_what_its_private_one_tells() {
    let mut made = None;
    let programs = Programs::prepared(|issuer, _verifier, folder| {
        let (token, key) = on_token(issuer, folder);
        token.drop_public_halves();
        made = Some((token, key));
    });
    let programs = programs.await;
    let (_token, key) = made.unwrap();
    programs.create(orders::reversible("study")).await.unwrap();
    let good = programs.token(orders::pseudonymise("study", OWNER)).await;
    assert_eq!(programs.accepted(&good).await.key_id, key);
}

/// What `check-config` and a start say of a token that something was done to.
fn refused_for(change: impl FnOnce(&Token), told: &str) {
    let folder = tempfile::tempdir().unwrap();
    keys::copy_into(&folder.path().join("keys"), 1);
    let mut issuer = Program::new("issuer", folder.path(), &[("KEYS__DIRECTORY", "keys")]);
    let (token, _key) = on_token(&mut issuer, folder.path());
    let checked = issuer.run(&["check-config"]);
    assert_eq!(checked.status.code(), Some(0), "{}", String::from_utf8_lossy(&checked.stderr));
    change(&token);
    for (word, code) in [("check-config", 64), ("serve", 1)] {
        let ended = issuer.run(&[word]);
        let text = String::from_utf8(ended.stderr).unwrap();
        assert!(ended.status.code() == Some(code) && text.contains(told), "{word}: {text}");
    }
}

#[test]
fn two_tokens_of_one_label_are_refused_and_none_is_chosen() {
    refused_for(Token::twin, "keys.pkcs11.token_label: the module has more than one token `ipms test`");
}

#[test]
fn a_public_half_of_another_key_is_found_out_by_a_signature_on_trial() {
    let other = tempfile::tempdir().unwrap();
    let told = "keys.pkcs11.key_label: the public half of the key `ipms` does not match its signatures";
    refused_for(
        |token| {
            let mut issuer = Program::new("issuer", other.path(), &[]);
            fs::create_dir(other.path().join("keys")).unwrap();
            let (another, _key) = on_token(&mut issuer, other.path());
            token.swap_public_half(&another);
        },
        told,
    );
}

#[test]
fn a_key_that_is_published_is_not_used_because_it_lies_on_a_token() {
    let folder = tempfile::tempdir().unwrap();
    keys::copy_into(&folder.path().join("keys"), 1);
    let mut issuer = Program::new("issuer", folder.path(), &[("KEYS__DIRECTORY", "keys")]);
    let (mut token, _key) = on_token(&mut issuer, folder.path());
    let published = concat!(env!("CARGO_MANIFEST_DIR"), "/vectors/keys/test_only_ps256.pem");
    token.put("ipms-9", published.as_ref());
    let checked = issuer.run(&["check-config"]);
    let text = String::from_utf8(checked.stderr).unwrap();
    assert!(checked.status.code() == Some(64) && text.contains("the key `ipms-9` is published"), "{text}");
}
