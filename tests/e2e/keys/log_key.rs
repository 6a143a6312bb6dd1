//! The exchange of the log key, step by step as the drill in docs/SECURITY.md goes.

use std::{
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
    programs::Programs,
    until,
};

/// Verifies all the while. Failure: a verdict on a good token that is not an acceptance.
struct Watch {
    stop: Arc<AtomicBool>,
    accepted: Arc<AtomicU64>,
    task: tokio::task::JoinHandle<()>,
}

impl Watch {
    fn begin(calls: Calls, token: String) -> Self {
        let (stop, accepted) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (stopped, counted) = (Arc::clone(&stop), Arc::clone(&accepted));
        let task = tokio::spawn(async move {
            while !stopped.load(Ordering::Relaxed) {
                let answer = calls.verify(&token).await.unwrap();
                assert!(matches!(answer.verdict, Some(Verdict::Accepted(_))), "{answer:?}");
                counted.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        Self { stop, accepted, task }
    }

    async fn end(self) {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await.unwrap();
        assert!(self.accepted.load(Ordering::Relaxed) > 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn section_5_the_log_key_is_exchanged_without_a_gap_in_trust() {
    let mut programs = Programs::start().await;
    programs.create(orders::reversible("study")).await.unwrap();
    let good = programs.token(orders::pseudonymise("study", OWNER)).await;
    let bad = programs.issue(orders::pseudonymise("study", OWNER)).await.unwrap();
    let revoked = programs.revoke(tokens([&bad.record.unwrap().token_id])).await.unwrap();
    programs.seen(&revoked).await;

    let run = |programs: &Programs, arguments: &[&str]| {
        let done = programs.issuer.run(arguments);
        done.status.success().then(|| String::from_utf8(done.stdout).unwrap())
    };

    // 1. The next one is made; it signs nothing. 2. Verifiers pin both.
    assert!(run(&programs, &["keys", "switch-log-key"]).is_none(), "there is none to change to");
    run(&programs, &["keys", "generate", "--log-key"]).unwrap();
    assert!(run(&programs, &["keys", "generate", "--log-key"]).is_none(), "one exchange at a time");
    programs.verifier.terminate().await;
    programs.verifier.set("ISSUER__LOG_KEYS", "keys/log.public.pem,keys/log.next.public.pem");
    programs.restart_verifier().await;
    programs.fresh().await;

    // 3. The issuer changes to it, while tokens are verified.
    let watch = Watch::begin((*programs).clone(), good.clone());
    let shown = run(&programs, &["keys", "show"]).unwrap();
    assert!(shown.contains("other log key"), "{shown}");
    programs.issuer.terminate().await;
    run(&programs, &["keys", "switch-log-key"]).unwrap();
    programs.restart_issuer().await;
    // A statement and a head of the new key are enough, without a revocation between.
    programs.fresh().await;
    let again = programs.issue(orders::pseudonymise("study", OWNER)).await.unwrap();
    let later = programs.revoke(tokens([&again.record.unwrap().token_id])).await.unwrap();
    assert_eq!(later.cursor.unwrap().sequence, revoked.cursor.unwrap().sequence + 1, "the log is the same");
    programs.seen(&later).await;
    watch.end().await;

    // 4. Verifiers pin the new one alone, one of them while no issuer is there, and twice: it goes on from its file.
    // The second change of the file shows that the first lease since then is in it as a whole.
    for _ in 0..2 {
        let before = std::fs::read(programs.path("view")).unwrap();
        let changed = async || (std::fs::read(programs.path("view")).unwrap() != before).then_some(());
        until("its own lease is written", changed).await;
    }
    programs.issuer.kill();
    for _ in 0..2 {
        programs.verifier.kill();
        programs.verifier.set("ISSUER__LOG_KEYS", "keys/log.public.pem");
        programs.verifier.spawn();
        programs.call_anew();
        until("the verifier goes on from its file", async || {
            let answer = programs.verify(&good).await.ok()?;
            matches!(answer.verdict, Some(Verdict::Accepted(_))).then_some(())
        })
        .await;
        for token in [&bad.token, &again.token] {
            assert_eq!(programs.refused(token).await, RefusalReason::Revoked);
        }
    }
    programs.restart_issuer().await;
    programs.fresh().await;
    programs.verifier.terminate().await;
    programs.restart_verifier().await;
    programs.fresh().await;
    for token in [&bad.token, &again.token] {
        assert_eq!(programs.refused(token).await, RefusalReason::Revoked);
    }
    // 5. The old one goes.
    std::fs::remove_file(programs.path("keys/log.previous.pem")).unwrap();
    std::fs::remove_file(programs.path("keys/log.previous.public.pem")).unwrap();
    programs.issuer.terminate().await;
    programs.restart_issuer().await;
    programs.fresh().await;
    programs.accepted(&good).await;
    until("the issuer's shown keys", async || {
        let shown = run(&programs, &["keys", "show"])?;
        (!shown.contains("other log key")).then_some(())
    })
    .await;
}
