//! A call whose handler panics, with a message that quotes the caller. Failure: a word of it anywhere, another call that
//! suffers, or a process that ends.

use std::{fs, path::Path};

use common::proto::v1::{self as pb, TokenType};
use harness::{
    orders::{self, PARTNER},
    programs::Programs,
};
use tonic::Code;

use super::{APPROVER, Needles, PASSPHRASE, PURPOSE, REQUESTER, encrypt, status, write_private};

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_that_panics_over_what_it_was_told_ends_its_call_and_says_nothing_of_it() {
    let mut secrets = Needles::default();
    let mut programs = Programs::prepared(|issuer, verifier, folder| {
        encrypt(&folder.join("keys"), &mut secrets);
        write_private(&folder.join("passphrase"), PASSPHRASE);
        issuer.set("KEYS__PASSPHRASE_FILE", "passphrase");
        for program in [issuer, verifier] {
            program.played_by("bomb");
            program.environment(("RUST_BACKTRACE", "full".to_owned()));
        }
    })
    .await;
    programs.create(orders::reversible("canary")).await.unwrap();
    let order = pb::IssueTokenRequest {
        approval: Some(pb::Approval {
            request_id: "request-1".to_owned(),
            requested_by: REQUESTER.to_owned(),
            approval: Some(pb::approval::Approval::ApprovedBy(APPROVER.to_owned())),
            purpose: PURPOSE.to_owned(),
        }),
        ..orders::order(TokenType::Reverse, "canary", PARTNER)
    };
    let token = programs.token(order.clone()).await;
    programs.accepted(&token).await;
    let processes = [programs.issuer.pid(), programs.verifier.pid()];
    let said = format!("{token} {PASSPHRASE} {REQUESTER} {APPROVER} {PURPOSE}");
    let mut told = Vec::new();
    for _ in 0..3 {
        arm(&programs.path("panic.issuer"), &said);
        let refused = programs.issue(order.clone()).await.unwrap_err();
        assert_eq!((refused.code(), refused.message()), (Code::Internal, "internal error"));
        told.push(status(&refused));
        programs.accepted(&programs.token(order.clone()).await).await;
        arm(&programs.path("panic.verifier"), &said);
        let refused = programs.verify(&token).await.unwrap_err();
        assert_eq!((refused.code(), refused.message()), (Code::Internal, "internal error"));
        told.push(status(&refused));
        programs.accepted(&token).await;
    }
    assert_eq!([programs.issuer.pid(), programs.verifier.pid()], processes);
    assert!(programs.issuer.runs() && programs.verifier.runs());
    for program in [&programs.issuer, &programs.verifier] {
        let log = fs::read_to_string(program.log()).unwrap();
        assert_eq!(log.matches("a handler panicked").count(), 3, "{log}");
    }
    programs.issuer.crash();
    programs.verifier.crash();

    secrets.add(token.as_bytes());
    secrets.add(PASSPHRASE.as_bytes());
    let mut people = Needles::default();
    for text in [REQUESTER, APPROVER, PURPOSE] {
        people.add(text.as_bytes());
    }
    let told = told.join("\n").into_bytes();
    assert_eq!(secrets.found_in(&told).or(people.found_in(&told)), None, "a caller was told");
    // What is looked for is found where it is.
    assert!(secrets.found_in(said.as_bytes()).is_some() && people.found_in(said.as_bytes()).is_some());
    for entry in fs::read_dir(programs.path("")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        assert!(!name.starts_with("core") && !name.starts_with("panic"), "{name} is left");
        if path.is_file() && name != "passphrase" {
            let bytes = fs::read(&path).unwrap();
            assert_eq!(secrets.found_in(&bytes), None, "of a secret, in {name}");
            if name != "audit.jsonl" {
                assert_eq!(people.found_in(&bytes), None, "of a person or a purpose, in {name}");
            }
        }
    }
}

/// The next call panics.
fn arm(file: &Path, said: &str) {
    let part = file.with_extension("part");
    fs::write(&part, said).unwrap();
    fs::rename(part, file).unwrap();
}
