//! Short of file descriptors, short of memory, and connections that come to nothing. Fails when the program ends, when it
//! does not serve again at once, or when revoking and the feed do not go on meanwhile.

use std::{net::SocketAddr, time::Duration};

use common::proto::v1::RefusalReason;
use harness::{
    calls::{Calls, tokens},
    hostile::{Mode, attack_at},
    orders::{OWNER, pseudonymise, reversible},
    programs::{Programs, Start},
};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::{
    io::AsyncWriteExt as _,
    net::TcpStream,
    task::JoinSet,
    time::{Instant, sleep},
};

use crate::legitimate::Legitimate;

/// Connections that nobody uses; some of them the server may have closed.
async fn connections(address: SocketAddr, many: usize) -> Vec<TcpStream> {
    let mut connected = Vec::new();
    for _ in 0..many {
        connected.extend(TcpStream::connect(address).await);
    }
    connected
}

#[tokio::test(flavor = "multi_thread")]
async fn out_of_file_descriptors_revoking_and_the_feed_go_on_and_others_get_in_at_once_after() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).unwrap();
    let mut programs = Programs::set_up(Start { limits: "ulimit -n 64", ..Start::default() }).await;
    programs.create(reversible("p1")).await.unwrap();
    let issued = programs.issue(pseudonymise("p1", OWNER)).await.unwrap();
    programs.accepted(&issued.token).await;
    let addresses = [&programs.issuer, &programs.verifier].map(|one| [one.grpc(), one.admin()]);
    let mut floods = Vec::new();
    for address in addresses.into_iter().flatten() {
        floods.push(connections(address, 1_000).await);
    }
    for program in [&programs.issuer, &programs.verifier] {
        assert!(program.files() < 64, "{} files", program.files());
    }
    // Over the connections of before: revoked, and the verifier hears of it.
    let revoked = programs.revoke(tokens([&*issued.record.unwrap().token_id])).await.unwrap();
    programs.seen(&revoked).await;
    assert_eq!(programs.refused(&issued.token).await, RefusalReason::Revoked);
    // The verifier, which is full, follows the next issuer all the same.
    let verifier = programs.calls().verifier();
    programs.issuer.kill();
    programs.issuer.start().await;
    let follows =
        Calls::over(Calls::new(programs.issuer.grpc(), programs.verifier.grpc()).issuer(), verifier);
    let again = follows.issue(pseudonymise("p1", OWNER)).await.unwrap();
    let revoked = follows.revoke(tokens([&*again.record.unwrap().token_id])).await.unwrap();
    follows.seen(&revoked).await;
    assert_eq!(follows.refused(&again.token).await, RefusalReason::Revoked);
    drop(floods);
    let released = Instant::now();
    loop {
        programs.call_anew();
        if programs.view().await.is_ok() && programs.project("p1").await.is_ok() {
            break;
        }
        // One second is the promise; the rest is for machines that do other things too.
        assert!(released.elapsed() < Duration::from_secs(5), "nobody gets in again");
        sleep(Duration::from_millis(10)).await;
    }
    assert!(programs.issuer.runs() && programs.verifier.runs());
}

#[tokio::test(flavor = "multi_thread")]
async fn with_little_memory_long_requests_are_refused_and_the_program_goes_on() {
    let quiet = || ("LOG__LEVEL", "info".to_owned());
    // All that a process may write to: no more than some 100 MiB above what it has after its start.
    let start = Start { issuer: vec![quiet()], verifier: vec![quiet()], limits: LITTLE };
    let mut programs = Programs::set_up(start).await;
    programs.create(reversible("p1")).await.unwrap();
    let token = programs.token(pseudonymise("p1", OWNER)).await;
    let legitimate = Legitimate::start(programs.calls().verifier(), token);
    let mut attacks = JoinSet::new();
    for number in 0..20 {
        let mode = if number % 2 == 0 { Mode::LargeBodies } else { Mode::NeverReading };
        let (address, patience) = (programs.verifier.grpc(), Duration::from_secs(6));
        attacks.spawn(async move { attack_at(address, mode, patience).await.unwrap() });
    }
    attacks.join_all().await;
    legitimate.end().await;
    assert!(programs.verifier.runs());
}

const LITTLE: &str = "ulimit -d 262144";

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_come_to_nothing_end_no_accept_loop() {
    let mut programs = Programs::start().await;
    programs.create(reversible("p1")).await.unwrap();
    let token = programs.token(pseudonymise("p1", OWNER)).await;
    let legitimate = Legitimate::start(programs.calls().verifier(), token.clone());
    for address in [programs.verifier.grpc(), programs.verifier.admin(), programs.issuer.grpc()] {
        let mut half_open = Vec::new();
        for number in 0..600 {
            let mut stream = TcpStream::connect(address).await.unwrap();
            match number % 3 {
                // A reset, often before it is accepted.
                0 => stream.set_zero_linger().unwrap(),
                1 => {
                    stream.write_all(&[0x16, 3, 1, 0xff, 0xff, 1, 2, 3]).await.ok();
                }
                _ => half_open.push(stream),
            }
        }
        let anew = Calls::new(programs.issuer.grpc(), programs.verifier.grpc());
        anew.accepted(&token).await;
        assert!(programs.verifier.page("/readyz").await.starts_with("HTTP/1.1 200"));
    }
    legitimate.end().await;
    assert!(programs.verifier.runs() && programs.issuer.runs());
}
