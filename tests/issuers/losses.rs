//! What Redis can lose: noticed by every issuer, mended by one, adopted by the other; nothing is un-revoked meanwhile.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use common::proto::v1::{RefusalReason, verify_token_response::Verdict};
use harness::{
    calls::{Calls, tokens},
    orders::{self, OWNER},
    until,
};

use crate::realm::{Realm, issues, now};

/// What is done to Redis: an early backup is at hand, and the name of the log's end.
type Lose = fn(&mut Realm, &tempfile::TempDir, &str);

/// Failure: an issuer that is not stopped within 2 s, a revoked token that is accepted, an entry that does not come back,
/// or a loss that neither a metric nor an audit line tells of.
#[tokio::test]
async fn whatever_redis_loses_is_noticed_within_2_s_and_comes_back_in_a_new_epoch() {
    let mut realm = Realm::start().await;
    realm.to_a.create(orders::reversible("study")).await.unwrap();
    let token = realm.to_a.issue(orders::pseudonymise("study", OWNER)).await.unwrap();
    let early = realm.redis.backup();
    let revoked = realm.to_a.revoke(tokens([&token.record.unwrap().token_id])).await.unwrap();
    assert!(
        realm.to_a.await_visibility(revoked.cursor.unwrap(), Duration::from_secs(10)).await.unwrap().reached
    );
    let stalls = stalls();
    let guard = Refused::watch(&realm, &token.token);
    let meta = "{ipms:default}:v1:meta";
    let losses: [(&str, Lose); 7] = [
        ("FLUSHALL", |realm, _, _| drop(realm.redis.tell("FLUSHALL"))),
        ("DEL of the log's end", |realm, _, meta| drop(realm.redis.tell(&format!("DEL {meta}")))),
        ("DEL of the entries", |realm, _, _| {
            realm.redis.tell("DEL {ipms:default}:v1:log {ipms:default}:v1:log_firsts");
        }),
        ("restarted empty", |realm, _, _| realm.redis.restart_empty()),
        ("an older dump", |realm, early, _| realm.redis.restore(early)),
        ("junk behind the end", |realm, _, meta| {
            realm.redis.tell("HSET {ipms:default}:v1:log 00000000000000000900 junk");
            realm.redis.tell("ZADD {ipms:default}:v1:log_firsts 0 00000000000000000900");
            realm.redis.tell(&format!("HSET {meta} sequence 900"));
        }),
        ("another branch", |realm, _, meta| {
            realm.redis.tell(&format!("HSET {meta} hash 01234567890123456789012345678901"));
        }),
    ];
    for (epoch, (what, lose)) in (2..).zip(losses) {
        lose(&mut realm, &early, meta);
        let begun = now();
        tokio::join!(issues(&realm.to_a, false), issues(&realm.to_b, false));
        let noticed = now().since(begun);
        eprintln!("{what}: noticed by both after {noticed:?}");
        // What this machine keeps everybody waiting is not the issuers' time.
        let late = stalls.load(Ordering::SeqCst);
        assert!(noticed < NOTICED + Duration::from_millis(4 * late), "{what}: noticed after {noticed:?}");
        tokio::join!(issues(&realm.to_a, true), issues(&realm.to_b, true));
        eprintln!("{what}: whole again after {:?}", now().since(begun));
        for calls in [&realm.to_a, &realm.to_b] {
            until("the verifiers move to the new epoch", async || {
                let view = calls.view().await.ok()?;
                let there = view.view?.cursor?.epoch >= epoch && view.types.iter().all(|one| one.decidable);
                there.then_some(())
            })
            .await;
            assert_eq!(calls.refused(&token.token).await, RefusalReason::Revoked, "{what}");
            let id = token_id(calls).await;
            let again = until("the log takes entries", async || calls.revoke(tokens([&id])).await.ok()).await;
            assert!(again.cursor.unwrap().epoch >= epoch, "{what}: the log goes on");
        }
        assert!(seen(&realm.to_a).await, "{what}: nothing that was carried over is CURSOR_LOST");
    }
    guard.unbroken();
    for (program, name) in [(&realm.a, "a"), (&realm.b, "b")] {
        let metrics = program.page("/metrics").await;
        let value = |name: &str| {
            let line = metrics.lines().find(|line| line.starts_with(&format!("{name} "))).unwrap();
            line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()
        };
        assert!(value("ipms_log_losses") >= 7.0, "{metrics}");
        assert!((value("ipms_log_losses") - value("ipms_log_mended")).abs() < 0.5, "{metrics}");
        let trail = fs::read_to_string(realm.path(&format!("{name}/audit.jsonl"))).unwrap();
        for what in [r#""what":"lost""#, r#""what":"mended""#] {
            assert!(trail.matches(what).count() >= 7, "{name}: {what}");
        }
    }
}

/// Failure: `store check` says that all is well, mends what it cannot, or leaves a token from before alive.
#[tokio::test]
async fn an_operators_new_epoch_over_redis_refuses_everything_recorded_before() {
    let mut realm = Realm::start().await;
    realm.to_a.create(orders::reversible("study")).await.unwrap();
    let token = realm.to_a.issue(orders::pseudonymise("study", OWNER)).await.unwrap().token;
    realm.to_a.accepted(&token).await;
    realm.to_a.revoke(tokens(["AAAAAAAAAAAAAAAAAAAAAA"])).await.unwrap();
    assert!(realm.a.terminate().await && realm.b.terminate().await);
    let check = |realm: &Realm, arguments: &[&str]| {
        // Not A: its line to Redis is this test's own, which waits here.
        let output = realm.b.run(&[&["store", "check"], arguments].concat());
        (output.status.success(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
    };
    let (well, text) = check(&realm, &[]);
    assert!(well && text.contains("it ends at 1/2 now") && text.contains("2 entries are held"), "{text}");
    // Entries are gone from Redis, and both trails with them; what verifiers hold is out of reach.
    for name in ["a", "b"] {
        fs::remove_file(realm.path(&format!("{name}/audit.jsonl"))).unwrap();
    }
    realm.redis.tell("HDEL {ipms:default}:v1:meta audit:a audit:b");
    realm.redis.tell("DEL {ipms:default}:v1:log {ipms:default}:v1:log_firsts");
    let (well, text) = check(&realm, &[]);
    assert!(!well && text.contains("--new-epoch"), "{text}");
    let (well, text) = check(&realm, &["--new-epoch"]);
    assert!(well && text.contains("it ends at 2/2 now"), "{text}");
    tokio::join!(realm.a.start(), realm.b.start());
    realm.call_anew();
    for calls in [&realm.to_a, &realm.to_b] {
        until("the verifiers move to the new epoch", async || {
            let view = calls.view().await.ok()?;
            let there = view.view?.cursor?.epoch == 2 && view.types.iter().all(|one| one.decidable);
            there.then_some(())
        })
        .await;
        assert_eq!(calls.refused(&token).await, RefusalReason::Revoked, "recorded before");
    }
    let new = realm.to_b.token(orders::pseudonymise("study", OWNER)).await;
    realm.to_a.accepted(&new).await;
}

/// The longest that a sleep of 10 ms took too long, in milliseconds.
fn stalls() -> Arc<AtomicU64> {
    let longest = Arc::new(AtomicU64::new(0));
    let told = Arc::clone(&longest);
    tokio::spawn(async move {
        loop {
            let begun = now();
            tokio::time::sleep(Duration::from_millis(10)).await;
            let late = now().since(begun).saturating_sub(Duration::from_millis(10));
            told.fetch_max(u64::try_from(late.as_millis()).unwrap(), Ordering::SeqCst);
        }
    });
    longest
}

/// An id of a token that nobody knows, another one each time.
async fn token_id(calls: &Calls) -> String {
    let view = calls.view().await.unwrap().view.unwrap().cursor.unwrap();
    let letter = |n: u64| char::from(b'a' + u8::try_from(n % 16).unwrap());
    let (epoch, sequence) = (view.epoch, view.sequence);
    format!(
        "AAAAAAAAAAAAAAAAA{}{}{}{}A",
        letter(epoch / 16),
        letter(epoch),
        letter(sequence / 16),
        letter(sequence)
    )
}

/// Whether the first position of all is still known as reached.
async fn seen(calls: &Calls) -> bool {
    let first = common::proto::v1::Cursor { epoch: 1, sequence: 2 };
    calls.await_visibility(first, Duration::ZERO).await.is_ok()
}

/// Asks both verifiers all the time whether a revoked token is good.
struct Refused {
    accepted: Arc<AtomicBool>,
    asking: tokio::task::JoinHandle<()>,
}

impl Refused {
    fn watch(realm: &Realm, token: &str) -> Self {
        let accepted = Arc::new(AtomicBool::new(false));
        let (told, token) = (Arc::clone(&accepted), token.to_owned());
        let calls = [realm.to_a.clone(), realm.to_b.clone()];
        let asking = tokio::spawn(async move {
            loop {
                for calls in &calls {
                    if let Ok(answer) = calls.verify(&token).await
                        && matches!(answer.verdict, Some(Verdict::Accepted(_)))
                    {
                        told.store(true, Ordering::SeqCst);
                    }
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        Self { accepted, asking }
    }

    fn unbroken(self) {
        assert!(!self.asking.is_finished());
        self.asking.abort();
        assert!(!self.accepted.load(Ordering::SeqCst), "a verifier un-revoked");
    }
}

/// RELIABILITY section 4: each issuer is not serving by then.
const NOTICED: Duration = Duration::from_secs(2);
