//! A realm grows from the embedded store to Redis and goes back: the real commands, and verifiers that go on.

use std::{fs, path::Path, time::Duration};

use common::proto::v1::{RefusalReason, TokenState};
use harness::{
    calls::{Calls, tokens},
    keys,
    orders::{self, OWNER, PARTNER},
    programs::Program,
    redis::Redis,
};

const EMBEDDED: (&str, &str) = ("STORE__KIND", "embedded");

fn issuer(folder: &Path, store: &[(&str, &str)]) -> Program {
    Program::new("issuer", folder, &[store, &[("KEYS__DIRECTORY", "keys")]].concat())
}

fn verifier(folder: &Path, issuer: &Program) -> Program {
    let settings = [
        ("ISSUER__ENDPOINTS", &*format!("http://{}", issuer.grpc())),
        ("ISSUER__LOG_KEYS", "keys/log.public.pem"),
        ("FOLLOWER__ID", "follower-a"),
        ("SNAPSHOT__PATH", "view"),
    ];
    Program::new("verifier", folder, &settings)
}

fn told(issuer: &Program, arguments: &[&str]) -> (bool, String) {
    let output = issuer.run(arguments);
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(text).unwrap())
}

#[tokio::test]
async fn a_realm_moves_to_redis_and_back_and_nothing_is_lost() {
    let (folder, redis) = (tempfile::tempdir().unwrap(), Redis::start());
    let place = folder.path();
    keys::copy_into(&place.join("keys"), 1);
    let url = redis.url();
    let on_redis = [("STORE__KIND", "redis"), ("STORE__URL", &*url)];
    let mut first = issuer(place, &[EMBEDDED, ("STORE__PATH", "first.redb")]);
    let mut checking = verifier(place, &first);
    first.start().await;
    checking.start().await;
    let calls = Calls::new(first.grpc(), checking.grpc());
    calls.fresh().await;
    let study = calls.create(orders::reversible("study")).await.unwrap();
    let mut repeated = orders::pseudonymise("study", PARTNER);
    repeated.idempotency_key = Some("again".to_owned());
    let spared = calls.issue(repeated.clone()).await.unwrap();
    let revoked = calls.issue(orders::reverse("study", OWNER)).await.unwrap();
    let id = revoked.record.unwrap().token_id;
    let answer = calls.revoke(tokens([&id])).await.unwrap();
    calls.seen(&answer).await;
    assert!(checking.terminate().await && first.terminate().await);

    let (done, text) = told(&first, &["store", "export", "out"]);
    assert!(done && text.contains("1 projects, 2 tokens, 2 entries"), "{text}");
    assert!(!told(&first, &["store", "export", "out"]).0, "no file is written over");
    refused_files(place, &url);

    let mut second = issuer(place, &on_redis);
    let (done, text) = told(&second, &["store", "import", "out"]);
    assert!(done && text.contains("1 projects, 2 tokens, 2 entries"), "{text}");
    let (done, text) = told(&second, &["store", "import", "out"]);
    assert!(!done && text.contains("not empty"), "{text}");
    second.start().await;
    let mut checking = verifier(place, &second);
    checking.start().await;
    let calls = Calls::new(second.grpc(), checking.grpc());
    calls.fresh().await;
    assert_eq!(calls.project("study").await.unwrap(), study);
    assert_eq!(calls.record(&id).await.unwrap().state(), TokenState::Revoked);
    assert_eq!(calls.refused(&revoked.token).await, RefusalReason::Revoked);
    calls.accepted(&spared.token).await;
    let again = calls.issue(repeated).await.unwrap();
    assert_eq!(
        again.record.unwrap().token_id,
        spared.record.unwrap().token_id,
        "the same order, the same token"
    );
    assert_eq!(calls.revoke(tokens([&id])).await.unwrap().cursor, answer.cursor, "the log is the same");
    let next = calls.revoke(tokens(["AAAAAAAAAAAAAAAAAAAAAA"])).await.unwrap().cursor.unwrap();
    assert_eq!((next.epoch, next.sequence), (1, answer.cursor.unwrap().sequence + 1));
    assert!(checking.terminate().await && second.terminate().await);

    // What came since would be lost with the older file.
    let old = issuer(place, &[EMBEDDED, ("STORE__PATH", "old.redb")]);
    let (done, text) = told(&old, &["store", "import", "out"]);
    assert!(!done && text.contains("older than the audit trail"), "{text}");

    let (done, text) = told(&second, &["store", "export", "back"]);
    assert!(done, "{text}");
    let mut third = issuer(place, &[EMBEDDED, ("STORE__PATH", "third.redb")]);
    let (done, text) = told(&third, &["store", "import", "back"]);
    assert!(done && text.contains("1 projects, 2 tokens, 3 entries"), "{text}");
    third.start().await;
    let mut checking = verifier(place, &third);
    checking.start().await;
    let calls = Calls::new(third.grpc(), checking.grpc());
    calls.fresh().await;
    assert_eq!(calls.refused(&revoked.token).await, RefusalReason::Revoked);
    calls.accepted(&spared.token).await;
    let seen = calls.await_visibility(next, Duration::ZERO).await;
    assert!(seen.is_ok(), "the cursor is good: {seen:?}");
}

/// Failure: a file that is taken although it is not what the log key signed for this realm.
fn refused_files(place: &Path, url: &str) {
    let good = fs::read(place.join("out")).unwrap();
    let on_redis = [("STORE__KIND", "redis"), ("STORE__URL", url)];
    let taker = issuer(place, &on_redis);
    let refused = |name: &str, bytes: &[u8], why: &str| {
        fs::write(place.join(name), bytes).unwrap();
        let (done, text) = told(&taker, &["store", "import", name]);
        assert!(!done && text.contains(why), "{name}: {text}");
    };
    let text = String::from_utf8(good.clone()).unwrap();
    let lines: Vec<_> = text.split_inclusive('\n').collect();
    for flipped in (0..good.len()).step_by(good.len() / 40) {
        let mut bytes = good.clone();
        bytes[flipped] ^= 4;
        let (done, text) = {
            fs::write(place.join("flipped"), bytes).unwrap();
            told(&taker, &["store", "import", "flipped"])
        };
        assert!(!done, "a changed byte at {flipped}: {text}");
    }
    refused("cut", &good[..good.len() - 9], "damaged");
    refused("unsigned", lines[..lines.len() - 1].concat().as_bytes(), "damaged");
    let without = [&lines[..3], &lines[4..]].concat().concat();
    refused("without a line", without.as_bytes(), "damaged");
    refused("longer", &[&good[..], b"{}\n"].concat(), "damaged");
    refused("nothing", b"", "no exported store");
    refused("stranger", b"dear diary\n", "no exported store");
    refused("newer", text.replacen("export/v1", "export/v2", 1).as_bytes(), "export/v2");
    let realm = issuer(place, &[("REALM", "other"), ("STORE__KIND", "redis"), ("STORE__URL", url)]);
    let (done, text) = told(&realm, &["store", "import", "out"]);
    assert!(!done && text.contains("another realm"), "{text}");
    fs::create_dir(place.join("stranger-keys")).unwrap();
    let stranger =
        Program::new("issuer", place, &[&on_redis[..], &[("KEYS__DIRECTORY", "stranger-keys")]].concat());
    assert!(told(&stranger, &["keys", "generate"]).0);
    let (done, text) = told(&stranger, &["store", "import", "out"]);
    assert!(!done && text.contains("another log key"), "{text}");
}
