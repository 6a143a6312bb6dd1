//! What every gateway that asks over HTTP must do, whichever it is. Starts no gateway.

use std::net::SocketAddr;

use harness::{orders::OWNER, programs::Programs, until};
use rustix::process::{Pid, Signal, kill_process};

use crate::rig::{Tokens, bearing, curl};

/// Both programs, with `/authz` on the socket `authz.sock` of their folder.
pub(crate) async fn with_http() -> Programs {
    let mut programs = Programs::start().await;
    assert!(programs.verifier.terminate().await);
    let socket = programs.path("authz.sock");
    programs.verifier.set("AUTHZ__LISTEN", &format!("unix:{}", socket.display()));
    programs.restart_verifier().await;
    programs.fresh().await;
    programs
}

/// 2xx, 401 and 503 as the client sees them, and what the component hears. The verifier runs again afterwards.
pub(crate) async fn what_is_refused_or_not_known_stops(
    programs: &mut Programs,
    issued: &Tokens,
    gateway: SocketAddr,
) {
    let (protect, expose) =
        (format!("http://{gateway}/api/request-psn"), format!("http://{gateway}/api/request-psn-rev"));
    let forged = [
        "--header",
        "x-ipms-project-id: other",
        "--header",
        "x-ipms-source-project-id: other",
        "--header",
        "x-ipms-source-organisation-id: other",
    ];
    let answer = bearing(&issued.reverse, &expose, &forged).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let lower = answer.body.to_ascii_lowercase();
    for line in [
        "x-ipms-token-type: reverse",
        &format!("x-ipms-organisation-id: {OWNER}"),
        "x-ipms-project-id: p1",
        "x-ipms-method: reversible",
        "x-ipms-treatment: always_same",
        "x-ipms-output-alphabet: hexadecimal",
        "x-ipms-output-length: 40",
    ] {
        assert!(lower.lines().any(|told| told == line), "{line}: {answer:?}");
    }
    for name in ["x-ipms-retention-end", "x-ipms-expire-time", "x-ipms-usable-until", "x-ipms-token-id"] {
        assert!(answer.sent(name).is_some_and(|value| !value.is_empty()), "{name}: {answer:?}");
    }
    for name in ["authorization", "x-ipms-source-project-id", "x-ipms-source-organisation-id"] {
        assert!(answer.sent(name).is_none_or(str::is_empty), "{name}: {answer:?}");
    }
    let answer = bearing(&issued.secondary, &protect, &forged).await;
    assert_eq!(answer.sent("x-ipms-source-project-id"), Some("p2"), "{answer:?}");

    for token in [&*issued.reverse, "a.b.c"] {
        let answer = bearing(token, &protect, &[]).await;
        let challenge = answer.header("www-authenticate");
        assert_eq!((answer.status, challenge), (401, Some("Bearer error=\"invalid_token\"")), "{answer:?}");
    }
    let answer = curl(&protect, &[]).await;
    assert_eq!((answer.status, answer.header("www-authenticate")), (401, Some("Bearer")), "{answer:?}");
    // The door itself is not to be had from outside.
    for path in ["/authz", "/authz-reverse", "/authz?accepted_types=REVERSE"] {
        assert_eq!(
            bearing(&issued.reverse, &format!("http://{gateway}{path}"), &[]).await.status,
            404,
            "{path}"
        );
    }

    let pid = programs.verifier.pid().unwrap();
    let stopped = Pid::from_raw(pid.try_into().unwrap()).unwrap();
    kill_process(stopped, Signal::STOP).unwrap();
    assert_eq!(bearing(&issued.pseudonymise, &protect, &[]).await.status, 503, "it is too slow");
    kill_process(stopped, Signal::CONT).unwrap();
    programs.verifier.kill();
    assert_eq!(bearing(&issued.pseudonymise, &protect, &[]).await.status, 503, "it is gone");
    // Who knows nothing yet cannot decide either.
    programs.verifier.set("LIMITS__REVERSE__STALENESS", "3s");
    programs.restart_verifier().await;
    programs.fresh().await;
    let passes = async |token: &str, url: &str| bearing(token, url, &[]).await.status;
    until("it passes again", async || (passes(&issued.reverse, &expose).await == 200).then_some(())).await;
    programs.issuer.kill();
    until("reversing stops", async || (passes(&issued.reverse, &expose).await == 503).then_some(())).await;
    assert_eq!(passes(&issued.pseudonymise, &protect).await, 200, "protecting goes on");
}
