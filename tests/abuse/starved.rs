//! A fifth of a processor, or callers that ask again whatever they are told. Failure: a good token that is refused, a revoked
//! one that is accepted, a health answer that does not come, a token that was recorded and not given to anybody, or a program
//! that stays slow when all is over.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use common::proto::v1::{self as pb, RefusalReason, verify_token_response::Verdict};
use harness::{
    calls::{Calls, question, serving, tokens},
    orders::{OWNER, pseudonymise, reversible},
    programs::{Programs, Start},
    until,
};
use rustix::process::{Pid, Signal, kill_process};
use tokio::{task::JoinSet, time::sleep};
use tonic::{Code, Status};

/// Of each tenth of a second a process runs for a fifth, as the kernel has it with `cpu.cfs_quota_us`. Let go when dropped.
struct Quota(Arc<AtomicBool>, Option<std::thread::JoinHandle<()>>);

impl Quota {
    fn of(processes: Vec<u32>) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&over);
        let all = move |signal| {
            for id in &processes {
                kill_process(Pid::from_raw((*id).try_into().unwrap()).unwrap(), signal).unwrap();
            }
        };
        let turns = std::thread::spawn(move || {
            while !told.load(Ordering::SeqCst) {
                all(Signal::STOP);
                std::thread::sleep(Duration::from_millis(80));
                all(Signal::CONT);
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        Self(over, Some(turns))
    }
}

impl Drop for Quota {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
        self.1.take().unwrap().join().unwrap();
    }
}

/// What a caller was told, call by call.
#[derive(Debug, Default)]
struct Told {
    good: AtomicU64,
    /// Refused as revoked.
    revoked: AtomicU64,
    /// Forged, and refused as such.
    forged: AtomicU64,
    /// To come again: `REVOCATIONS_STALE`, `OVERLOADED`, or too late.
    again: AtomicU64,
}

/// Calls without a pause with a good token, a revoked one once that is visible, and forged ones, until told to stop.
async fn caller(
    calls: Calls,
    good: String,
    gone: String,
    visible: Arc<AtomicBool>,
    stop: Arc<AtomicBool>,
    told: Arc<Told>,
) {
    let forged = format!("{}AAAA", good.get(..good.len() - 4).unwrap());
    while !stop.load(Ordering::SeqCst) {
        for token in [&good, &gone, &forged] {
            let must_be_refused = visible.load(Ordering::SeqCst);
            let mut request = tonic::Request::new(question(token));
            request.set_timeout(Duration::from_secs(2));
            let count = match calls.verifying().verify_token(request).await {
                Ok(answer) => match answer.into_inner().verdict.unwrap() {
                    Verdict::Accepted(_) if *token == good => &told.good,
                    Verdict::Accepted(_) => {
                        assert!(*token == gone && !must_be_refused, "accepted: {token}");
                        &told.good
                    }
                    Verdict::Refused(refused)
                        if *token == gone && refused.reason() == RefusalReason::Revoked =>
                    {
                        &told.revoked
                    }
                    Verdict::Refused(refused) => {
                        assert_eq!((token, refused.reason()), (&forged, RefusalReason::BadSignature));
                        &told.forged
                    }
                    Verdict::Undecided(_) => &told.again,
                },
                Err(status) => {
                    let again =
                        [Code::Unavailable, Code::ResourceExhausted, Code::DeadlineExceeded, Code::Cancelled];
                    assert!(again.contains(&status.code()), "{status:?}");
                    &told.again
                }
            };
            count.fetch_add(1, Ordering::SeqCst);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_fifth_of_a_processor_health_answers_revoking_works_and_no_verdict_is_wrong() {
    let quiet = || ("LOG__LEVEL", "warn".to_owned());
    let start = Start { issuer: vec![quiet()], verifier: vec![quiet()], ..Start::default() };
    let mut programs = Programs::set_up(start).await;
    programs.create(reversible("p1")).await.unwrap();
    let good = programs.token(pseudonymise("p1", OWNER)).await;
    let other = programs.issue(pseudonymise("p1", OWNER)).await.unwrap();
    programs.accepted(&good).await;
    let [visible, stop] = [(); 2].map(|()| Arc::new(AtomicBool::new(false)));
    let told = Arc::new(Told::default());
    let quota = Quota::of([&programs.issuer, &programs.verifier].map(|one| one.id().unwrap()).to_vec());
    let mut callers = JoinSet::new();
    for _ in 0..8 {
        let calls = Calls::new(programs.issuer.grpc(), programs.verifier.grpc());
        let (visible, stop, told) = (Arc::clone(&visible), Arc::clone(&stop), Arc::clone(&told));
        callers.spawn(caller(calls, good.clone(), other.token.clone(), visible, stop, told));
    }
    // Health of both, by gRPC and by the probes' page, while they are short of time; and a revocation.
    let health = async |programs: &Programs| {
        for round in 0..10 {
            serving(programs.calls().verifier(), "ipms.token.v1.VerifierService").await.unwrap();
            serving(programs.calls().issuer(), "ipms.token.v1.RevocationService").await.unwrap();
            for program in [&programs.issuer, &programs.verifier] {
                let page = tokio::time::timeout(Duration::from_secs(5), program.page("/livez")).await;
                assert!(page.unwrap().starts_with("HTTP/1.1 200"), "round {round}");
            }
        }
    };
    health(&programs).await;
    let id = other.record.unwrap().token_id;
    let revoked = until("the revocation is taken", async || programs.revoke(tokens([&*id])).await.ok()).await;
    until("all verifiers have it, or can accept no more", async || {
        let seen = programs.await_visibility(revoked.cursor?, Duration::from_secs(2)).await.ok()?;
        seen.reached.then_some(())
    })
    .await;
    visible.store(true, Ordering::SeqCst);
    let before = told.revoked.load(Ordering::SeqCst);
    until("the revoked token is refused under load", async || {
        (told.revoked.load(Ordering::SeqCst) > before + 8).then_some(())
    })
    .await;
    health(&programs).await;
    stop.store(true, Ordering::SeqCst);
    callers.join_all().await;
    drop(quota);
    println!("with a fifth of a processor: {told:?}");
    until("all is as before", async || {
        let answer = programs.verify(&good).await.ok()?;
        matches!(answer.verdict, Some(Verdict::Accepted(_))).then_some(())
    })
    .await;
    assert_eq!(programs.refused(&other.token).await, RefusalReason::Revoked);
    programs.accepted(&programs.token(pseudonymise("p1", OWNER)).await).await;
    assert!(told.good.load(Ordering::SeqCst) > 0 && told.forged.load(Ordering::SeqCst) > 0, "{told:?}");
    assert!(programs.issuer.runs() && programs.verifier.runs());
}

/// One order, asked again at once up to three times whatever the answer: how often it was refused, and whether it was served.
async fn impatient(calls: Calls, refused: Arc<AtomicU64>, others: Arc<AtomicU64>) -> bool {
    for _ in 0..4 {
        let answer: Result<pb::IssueTokenResponse, Status> = calls.issue(pseudonymise("p1", OWNER)).await;
        match answer {
            Ok(_) => return true,
            Err(status) if status.code() == Code::ResourceExhausted => {
                refused.fetch_add(1, Ordering::SeqCst);
            }
            Err(status) => {
                assert_eq!(status.code(), Code::Unavailable, "{status:?}");
                others.fetch_add(1, Ordering::SeqCst);
            }
        }
    }
    false
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storm_of_orders_that_are_repeated_at_once_is_shed_and_over_when_it_is_over() {
    let quiet = || ("LOG__LEVEL", "warn".to_owned());
    let mut programs = Programs::set_up(Start { issuer: vec![quiet()], ..Start::default() }).await;
    programs.create(reversible("p1")).await.unwrap();
    let first = programs.issue(pseudonymise("p1", OWNER)).await.unwrap();
    let [refused, others] = [(); 2].map(|()| Arc::new(AtomicU64::new(0)));
    let storm = {
        let connections: Vec<_> =
            (0..8).map(|_| Calls::new(programs.issuer.grpc(), programs.verifier.grpc())).collect();
        let (refused, others) = (Arc::clone(&refused), Arc::clone(&others));
        tokio::spawn(async move {
            let (mut served, mut turns) = (0_u64, 0);
            // Until at least half of all answers were no, which takes one turn but on a very fast machine.
            while turns < 3 || (turns < 50 && refused.load(Ordering::SeqCst) < served) {
                turns += 1;
                let mut orders = JoinSet::new();
                for number in 0..800 {
                    let calls = connections.get(number % connections.len()).unwrap().clone();
                    orders.spawn(impatient(calls, Arc::clone(&refused), Arc::clone(&others)));
                }
                served += u64::try_from(orders.join_all().await.into_iter().filter(|served| *served).count())
                    .unwrap();
            }
            served
        })
    };
    // Revoking goes on in the midst of it.
    sleep(Duration::from_millis(50)).await;
    let revoked = programs.revoke(tokens([&*first.record.unwrap().token_id])).await.unwrap();
    programs.seen(&revoked).await;
    assert_eq!(programs.refused(&first.token).await, RefusalReason::Revoked);
    let served = storm.await.unwrap();
    let (refused, others) = (refused.load(Ordering::SeqCst), others.load(Ordering::SeqCst));
    println!("storm: {served} orders served, {refused} answers to come again, {others} unavailable");
    assert!(served > 100 && refused >= served && others == 0, "{served} served, {refused} refused, {others}");
    // At once, and without one refusal: nothing of the storm is left.
    for _ in 0..50 {
        programs.accepted(&programs.token(pseudonymise("p1", OWNER)).await).await;
    }
    // Nothing was recorded for who was told to come again.
    let mut listed = 0;
    let mut page_token = String::new();
    loop {
        let request = pb::ListTokensRequest {
            project_id: "p1".into(),
            page_size: 1_000,
            page_token,
            ..Default::default()
        };
        let page = programs.issuing().list_tokens(request).await.unwrap().into_inner();
        listed += page.records.len() as u64;
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(listed, 1 + served + 50);
    assert!(programs.issuer.runs());
}
