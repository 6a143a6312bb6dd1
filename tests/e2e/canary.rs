//! Failure: 16 characters in a row of a token, of a private key or of the passphrase of its file in anything that the programs
//! write, answer or send; or who asked, who approved and what for anywhere but in the audit trail. Both programs run at their
//! most talkative level.

mod panicking;
mod recorder;
mod searched;

use std::{
    fs::{self, OpenOptions},
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

use common::{
    keys::encrypted,
    proto::v1::{self as pb, TokenType},
};
use harness::{
    calls::{Selector, question, tokens},
    orders::{self, OWNER, PARTNER},
    programs::Programs,
};
use prost::Message;
use tonic::{Code, Request, Status, client::Grpc, transport::Channel};
use tonic_prost::ProstCodec;

use recorder::Recorder;
use searched::{Needles, private_parts};

/// Each once, and none part of another.
const REQUESTER: &str = "requester-b1f0c2a47d9e";
const APPROVER: &str = "approver-77aa01c9e5d3";
const PURPOSE: &str = "purpose-4c1d9b60f2e8: follow-up of arm nine";
const PASSPHRASE: &str = "passphrase-d81f6e0b35a2-of-every-key";
const COMMENT: &str = "comment-90e7d3a15b2c: reported by phone";

#[tokio::test]
async fn no_part_of_a_token_or_a_key_is_anywhere_and_people_are_in_the_audit_trail_only() {
    let (mut recorder, mut secrets) = (None, Needles::default());
    let mut programs = Programs::prepared(|issuer, verifier, folder| {
        let between = Recorder::before(issuer.grpc());
        verifier.set("ISSUER__ENDPOINTS", &format!("http://{}", between.address()));
        recorder = Some(between);
        encrypt(&folder.join("keys"), &mut secrets);
        write_private(&folder.join("passphrase"), PASSPHRASE);
        issuer.set("KEYS__PASSPHRASE_FILE", "passphrase");
    })
    .await;
    secrets.add(PASSPHRASE.as_bytes());
    let mut said = Vec::new();
    let tokens = use_everything(&programs, &mut said).await;
    for program in [&programs.issuer, &programs.verifier] {
        for page in ["/metrics", "/readyz", "/livez", "/.well-known/jwks.json", &format!("/{}", tokens[0])] {
            // What is asked for comes back in no answer either.
            said.push(program.page(page).await);
        }
    }
    programs.verifier.terminate().await;
    every_method_was_called(&programs.issuer.page("/metrics").await);
    programs.issuer.crash();
    let panicked = panic_with_keys(&programs);
    let feed = recorder.unwrap().stop().await;
    assert!(feed.len() > 1_000, "the recorder saw {} bytes", feed.len());

    let mut files = Vec::new();
    for entry in std::fs::read_dir(programs.path("")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        assert!(!name.starts_with("core"), "a crash left {name}");
        // What is looked for is in there.
        if path.is_file() && name != "passphrase" {
            files.push((name, std::fs::read(path).unwrap()));
        }
    }
    for expected in ["audit.jsonl", "issuer.redb", "view", "issuer.log", "verifier.log"] {
        assert!(
            files.iter().any(|(name, bytes)| name == expected && bytes.len() > 200),
            "{expected} is not there"
        );
    }
    let log = files.iter().find(|(name, _)| name == "issuer.log").unwrap();
    assert!(String::from_utf8_lossy(&log.1).contains("DEBUG"), "the issuer does not talk at its most");
    files.push(("what callers were told".to_owned(), said.join("\n").into_bytes()));
    files.push(("what went between issuer and verifier".to_owned(), feed));

    files.push(("what a panic left behind".to_owned(), panicked));
    for token in &tokens {
        secrets.add(token.as_bytes());
    }
    let mut people = Needles::default();
    for text in [REQUESTER, APPROVER, PURPOSE, COMMENT] {
        people.add(text.as_bytes());
    }
    for (name, bytes) in &files {
        assert_eq!(secrets.found_in(bytes), None, "of a secret, in {name}");
        if name == "audit.jsonl" {
            let text = String::from_utf8_lossy(bytes);
            for one in [REQUESTER, APPROVER, PURPOSE, COMMENT] {
                assert!(text.contains(one), "{one} is not in the trail");
            }
            only_listed_members(&text);
        } else {
            assert_eq!(people.found_in(bytes), None, "of a person or a purpose, in {name}");
        }
        // A leak would have been seen here.
        for needles in [&secrets, &people] {
            let leak = [bytes.as_slice(), b" leak: ", needles.any()].concat();
            assert!(needles.found_in(&leak).is_some());
        }
    }
}

/// The private keys of the folder, encrypted from now on. What they hold goes to `secrets`.
fn encrypt(folder: &Path, secrets: &mut Needles) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        if text.contains("PRIVATE KEY") {
            for part in private_parts(&text) {
                secrets.add_binary(&part);
            }
            write_private(&path, &encrypted(&text, PASSPHRASE.as_bytes()).unwrap());
        } else if path.ends_with("seal.key") {
            secrets.add(text.as_bytes());
        }
    }
}

fn write_private(path: &Path, text: &str) {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

/// A process that has read the passphrase and every key, and cannot print what it was asked for: all that it leaves.
fn panic_with_keys(programs: &Programs) -> Vec<u8> {
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    let ended = programs.issuer.run_into(&["keys", "show"], full);
    assert_eq!(ended.status.code(), Some(101), "it did not panic");
    let said = String::from_utf8(ended.stderr).unwrap();
    assert!(said.contains("panic"), "{said}");
    said.into_bytes()
}

/// Every call, with what it is for, and with a token wherever a text fits. Answers the tokens; what was said goes to
/// `said`.
async fn use_everything(programs: &Programs, said: &mut Vec<String>) -> Vec<String> {
    programs.create(orders::reversible("canary")).await.unwrap();
    programs.create(orders::reversible("source")).await.unwrap();
    let approval = pb::Approval {
        request_id: "request-1".to_owned(),
        requested_by: REQUESTER.to_owned(),
        approval: Some(pb::approval::Approval::ApprovedBy(APPROVER.to_owned())),
        purpose: PURPOSE.to_owned(),
    };
    let order = |kind, source| pb::IssueTokenRequest {
        approval: Some(approval.clone()),
        source,
        idempotency_key: Some(format!("once-{kind:?}")),
        ..orders::order(kind, "canary", PARTNER)
    };
    let source = Some(orders::source("source", OWNER));
    let all = [
        order(TokenType::Pseudonymisation, None),
        order(TokenType::Reverse, None),
        order(TokenType::Secondary, source),
    ];
    let mut issued = Vec::new();
    for order in &all {
        for _ in 0..2 {
            let answer = programs.issue(order.clone()).await.unwrap();
            said.push(format!("{:?}", answer.record));
            issued.push(answer.token);
        }
        // Refused, by policy and by form.
        let refused = pb::IssueTokenRequest { organisation_id: orders::STRANGER.to_owned(), ..order.clone() };
        said.push(status(&programs.issue(refused).await.unwrap_err()));
        let malformed = pb::IssueTokenRequest { project_id: "NOT A PROJECT".to_owned(), ..order.clone() };
        said.push(status(&programs.issue(malformed).await.unwrap_err()));
    }
    for token in &issued {
        programs.accepted(token).await;
        let (first, rest) = token.split_at(1);
        for bad in
            [rest, &rest.repeat(2), &format!("{rest}{first}"), &token.replace('.', ".."), &token.repeat(9)]
        {
            said.push(format!("{:?}", programs.verify(bad).await.map_err(|refused| status(&refused))));
        }
    }
    let requests: Vec<_> = issued.iter().map(|token| question(token)).collect();
    let many = programs.verifying().verify_tokens(pb::VerifyTokensRequest { requests }).await;
    many.unwrap();
    let [first, second, third] = [0, 1, 2].map(|place| issued.get(place).unwrap());
    for stuffed in [Stuffed::with(first), Stuffed::with(second), Stuffed::with(PURPOSE)] {
        for method in issuer::transport::methods::METHODS.0 {
            said.extend(stuff(programs.issuer(), method.path, &stuffed, first).await);
        }
        for method in verifier::transport::methods::METHODS.0 {
            said.extend(stuff(programs.verifier(), method.path, &stuffed, first).await);
        }
    }
    said.push(format!("{:?}", programs.view().await));
    let request = pb::RevokeRequest {
        selector: Some(Selector::TokenIds(pb::TokenIds {
            token_ids: vec![programs.accepted(third).await.token_id],
        })),
        reason: pb::RevocationReason::TokenLeaked.into(),
        comment: COMMENT.to_owned(),
    };
    let revoked = programs.revoking().revoke(request).await.unwrap().into_inner();
    said.push(format!("{revoked:?}"));
    programs.seen(&revoked).await;
    programs.refused(third).await;
    said.push(status(&programs.revoke(tokens([first.as_str()])).await.unwrap_err()));
    programs.close("source").await.unwrap();
    issued
}

/// Calls a method with a message that has the same text in its first fields, and with the token where a caller would
/// carry one.
async fn stuff(channel: Channel, path: &'static str, stuffed: &Stuffed, token: &str) -> Option<String> {
    let mut grpc = Grpc::new(channel);
    grpc.ready().await.unwrap();
    let mut request = Request::new(stuffed.clone());
    request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    let codec = ProstCodec::<Stuffed, Vec<u8>>::default();
    let answer: Result<tonic::Response<Vec<u8>>, Status> =
        grpc.unary(request, path.parse().unwrap(), codec).await;
    answer.err().as_ref().map(status)
}

#[derive(Clone, PartialEq, Eq, Message)]
struct Stuffed {
    #[prost(string, tag = "1")]
    first: String,
    #[prost(string, tag = "2")]
    second: String,
    #[prost(string, tag = "3")]
    third: String,
}

impl Stuffed {
    fn with(text: &str) -> Self {
        Self { first: text.to_owned(), second: text.to_owned(), third: text.to_owned() }
    }
}

/// All that a caller is told: code, message, details, metadata.
fn status(status: &Status) -> String {
    assert_ne!(status.code(), Code::Unknown, "{status:?}");
    format!("{status:?} {:?}", String::from_utf8_lossy(status.details()))
}

fn every_method_was_called(metrics: &str) {
    for method in issuer::transport::methods::METHODS.0 {
        assert!(metrics.contains(&format!("method=\"{}\"", method.path)), "{} was not called", method.path);
    }
}

/// Every line of the trail has the members that its kind may have.
fn only_listed_members(trail: &str) {
    use issuer::domain::event::{Approved, Ordered, What};
    let mut kinds = std::collections::BTreeSet::new();
    for line in trail.lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        let event = line.get("event").and_then(serde_json::Value::as_object).unwrap();
        let kind = event.get("what").and_then(serde_json::Value::as_str).unwrap();
        let (_, own) = What::MEMBERS.iter().find(|(named, _)| *named == kind).unwrap();
        for member in event.keys().map(String::as_str) {
            let always = ["time", "actor", "late", "what"].contains(&member);
            assert!(always || own.contains(&member), "{member} in a line of {kind}");
        }
        if let Some(order) = event.get("order").and_then(serde_json::Value::as_object) {
            assert!(order.keys().all(|member| Ordered::MEMBERS.contains(&member.as_str())), "{order:?}");
            let approval = order.get("approval").and_then(serde_json::Value::as_object).unwrap();
            assert!(
                approval.keys().all(|member| Approved::MEMBERS.contains(&member.as_str())),
                "{approval:?}"
            );
        }
        kinds.insert(kind.to_owned());
    }
    for expected in ["issue", "refuse", "append", "project"] {
        assert!(kinds.contains(expected), "no line of {expected}");
    }
}
