//! `deploy/envoy/sidecar.yaml` in a real Envoy, with both programs and components over HTTP and gRPC.

use std::{
    fs,
    net::SocketAddr,
    path::Path,
    process::{Command, Output},
};

use harness::{
    calls::tokens,
    orders,
    ports::free_address,
    programs::{Programs, Start},
    until,
};
use rustix::process::{Pid, Signal, kill_process};
use tonic::Code;

use crate::{
    pki::{Authority, write},
    rig::{Gateway, Tokens, bearing, curl, deploy, example, socket, tool},
    upstream::{self, Upstream},
};

/// Both programs, a gateway before two components.
struct World {
    gateway: SocketAddr,
    _envoy: Gateway,
    _components: [Upstream; 2],
    programs: Programs,
}

impl World {
    async fn start() -> Self {
        let verifier = vec![
            ("GRPC__UNIX_SOCKET", "verifier.sock".to_owned()),
            ("LIMITS__REVERSE__STALENESS", "4s".to_owned()),
        ];
        let programs = Programs::set_up(Start { verifier, ..Start::default() }).await;
        let components = [upstream::http().await, upstream::grpc().await];
        let (gateway, admin) = (free_address(), free_address());
        let folder = programs.path("");
        let [http, grpc] = components.each_ref().map(|component| component.address.port());
        let path = example(
            &folder,
            "envoy/sidecar.yaml",
            &[
                (&socket("0.0.0.0", 8080), &socket("127.0.0.1", gateway.port())),
                (&socket("127.0.0.1", 9901), &socket("127.0.0.1", admin.port())),
                (&socket("127.0.0.1", 8081), &socket("127.0.0.1", http)),
                (&socket("127.0.0.1", 8082), &socket("127.0.0.1", grpc)),
                ("/run/ipms/verifier.sock", programs.path("verifier.sock").to_str().unwrap()),
            ],
        );
        let envoy = Gateway::start(command(&path), &folder, gateway).await;
        Self { programs, gateway, _envoy: envoy, _components: components }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.gateway)
    }
}

/// Runs Envoy with these settings.
pub(crate) fn command(settings: &Path) -> Command {
    let mut command = Command::new(tool("envoy/bin/envoy"));
    command.arg("-c").arg(settings);
    command.args(["--concurrency", "1", "--disable-hot-restart", "--log-level", "warn"]);
    command
}

#[tokio::test(flavor = "multi_thread")]
async fn envoy_passes_on_what_the_token_says_and_not_the_token() {
    let world = World::start().await;
    let issued = Tokens::issue(&world.programs).await;
    // What a client says of itself is not what the component hears.
    let forged = [
        "--header",
        "x-ipms-project-id: other",
        "--header",
        "x-ipms-source-project-id: other",
        "--header",
        "x-forwarded-client-cert: Hash=00",
    ];
    let answer = bearing(&issued.reverse, &world.url("/api/request-psn-rev"), &forged).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    for (name, value) in [
        ("x-ipms-token-type", "REVERSE"),
        ("x-ipms-organisation-id", orders::OWNER),
        ("x-ipms-project-id", "p1"),
        ("x-ipms-method", "REVERSIBLE"),
        ("x-ipms-treatment", "ALWAYS_SAME"),
        ("x-ipms-output-alphabet", "HEXADECIMAL"),
        ("x-ipms-output-length", "40"),
    ] {
        assert_eq!(answer.sent(name), Some(value), "{answer:?}");
    }
    for name in ["authorization", "x-ipms-source-project-id", "x-forwarded-client-cert"] {
        assert_eq!(answer.sent(name), None, "{name}: {answer:?}");
    }
    assert!(!answer.body.contains(&issued.reverse));
    let answer = bearing(&issued.secondary, &world.url("/api/request-psn"), &forged).await;
    assert_eq!(answer.sent("x-ipms-source-project-id"), Some("p2"), "{answer:?}");
    assert_eq!(answer.sent("x-ipms-source-organisation-id"), Some(orders::OWNER));
    // Without a token only what the route says needs none.
    assert_eq!(curl(&world.url("/livez"), &[]).await.status, 200);
    assert_eq!(curl(&world.url("/other"), &[]).await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn envoy_denies_alike_whatever_the_reason() {
    let world = World::start().await;
    let issued = Tokens::issue(&world.programs).await;
    let url = world.url("/api/request-psn");
    let revoked = {
        let one = world.programs.issue(orders::pseudonymise("p1", orders::OWNER)).await.unwrap();
        let done = world.programs.revoke(tokens([&*one.record.unwrap().token_id])).await.unwrap();
        world.programs.seen(&done).await;
        one.token
    };
    let mut forged = issued.pseudonymise.clone();
    forged.replace_range(forged.len() - 4.., "AAAA");
    let mut denied = Vec::new();
    for token in [&revoked, &forged, &issued.reverse, "a.b.c", "a b"] {
        let answer = bearing(token, &url, &[]).await;
        assert_eq!(answer.status, 401, "{answer:?}");
        assert_eq!(answer.header("www-authenticate"), Some("Bearer error=\"invalid_token\""));
        let without_date = answer.headers.lines().filter(|line| !line.starts_with("date:"));
        denied.push((without_date.map(str::to_owned).collect::<Vec<_>>(), answer.body));
    }
    denied.dedup();
    assert_eq!(denied.len(), 1, "{denied:?}");
    for arguments in [&[][..], &["--header", "authorization: Basic YTpi"]] {
        let answer = curl(&url, arguments).await;
        assert_eq!((answer.status, answer.header("www-authenticate")), (401, Some("Bearer")), "{answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grpc_client_behind_envoy_gets_grpc_codes() {
    let world = World::start().await;
    let issued = Tokens::issue(&world.programs).await;
    let bearer = |token: &str| format!("Bearer {token}");
    let good = bearer(&issued.pseudonymise);
    let told =
        upstream::call(world.gateway, &[("authorization", &good), ("x-ipms-project-id", "x")]).await.unwrap();
    assert!(told.contains("x-ipms-project-id: p1\n") && !told.contains("authorization"), "{told}");
    let wrong = bearer(&issued.reverse);
    for metadata in [&[][..], &[("authorization", &*wrong)]] {
        let refused = upstream::call(world.gateway, metadata).await.unwrap_err();
        assert_eq!(refused.code(), Code::Unauthenticated, "{refused:?}");
    }
    // Nobody can tell.
    let stopped =
        world.programs.verifier.pid().and_then(|pid| Pid::from_raw(pid.try_into().unwrap())).unwrap();
    kill_process(stopped, Signal::STOP).unwrap();
    let undecided = upstream::call(world.gateway, &[("authorization", &good)]).await.unwrap_err();
    kill_process(stopped, Signal::CONT).unwrap();
    assert_eq!(undecided.code(), Code::Unavailable, "{undecided:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn envoy_says_503_while_nobody_can_tell() {
    let mut world = World::start().await;
    let issued = Tokens::issue(&world.programs).await;
    let (protect, expose) = (world.url("/api/request-psn"), world.url("/api/request-psn-rev"));
    let ask = async |token: &str, url: &str| bearing(token, url, &[]).await.status;
    until("the good one passes", async || (ask(&issued.reverse, &expose).await == 200).then_some(())).await;
    // The verifier does not answer in time.
    let pid = world.programs.verifier.pid().unwrap();
    let stopped = Pid::from_raw(pid.try_into().unwrap()).unwrap();
    kill_process(stopped, Signal::STOP).unwrap();
    assert_eq!(ask(&issued.pseudonymise, &protect).await, 503);
    kill_process(stopped, Signal::CONT).unwrap();
    until("it passes again", async || (ask(&issued.pseudonymise, &protect).await == 200).then_some(())).await;
    // Its lease has ended: what exposes stops first.
    world.programs.issuer.kill();
    until("reversing stops", async || (ask(&issued.reverse, &expose).await == 503).then_some(())).await;
    assert_eq!(ask(&issued.pseudonymise, &protect).await, 200);
    assert_eq!(ask("a.b.c", &protect).await, 401, "what no knowledge could change is refused");
    // It is gone.
    world.programs.verifier.kill();
    assert_eq!(ask(&issued.pseudonymise, &protect).await, 503);
}

#[test]
fn every_example_is_valid_to_envoy_and_fails_closed() {
    let folder = tempfile::tempdir().unwrap();
    let ca = Authority::new("A");
    for who in ["edge", "gateway"] {
        write(folder.path(), who, &ca.issue(&["localhost"], 1, 2090), &ca.pem, None);
    }
    let mut seen = 0;
    for entry in fs::read_dir(deploy().join("envoy")).unwrap() {
        let name = format!("envoy/{}", entry.unwrap().file_name().into_string().unwrap());
        let text = fs::read_to_string(deploy().join(&name)).unwrap();
        let count = |what: &str| text.matches(what).count();
        let filters = count("ext_authz.v3.ExtAuthz\n");
        assert!(filters >= 1, "{name}");
        for needed in [
            "failure_mode_allow: false\n",
            "status_on_error: { code: ServiceUnavailable }\n",
            "grpc_service:\n                        timeout: 1s\n",
        ] {
            assert_eq!(count(needed), filters, "{needed} in {name}");
        }
        let here = folder.path().to_str().unwrap();
        let changes = [("/etc/ipms/tls", here)];
        let path = example(folder.path(), &name, if count("/etc/ipms/tls") > 0 { &changes } else { &[] });
        let Output { status, stderr, .. } = command(&path).args(["--mode", "validate"]).output().unwrap();
        assert!(status.success(), "{name}: {}", String::from_utf8_lossy(&stderr));
        seen += 1;
    }
    assert!(seen >= 2);
}
