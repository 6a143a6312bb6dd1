//! Traces and metrics of both programs in a real collector (rotel), and Envoy's trace joined.

use std::{net::SocketAddr, path::Path, process::Command};

use common::proto::v1::{RevocationReason, RevokeRequest, VerifyTokenRequest};
use harness::{
    calls::{question, tokens},
    orders::{self, OWNER},
    ports::free_address,
    programs::{Programs, Start},
    until,
};
use tonic::{Request, metadata::MetadataValue};

use crate::{
    envoy::command,
    rig::{Gateway, bearing, curl, example, socket, tool},
    upstream,
};

/// A collector that writes down all it is sent.
async fn collector(folder: &Path, address: SocketAddr) -> Gateway {
    let mut command = Command::new(tool("rotel/bin/rotel-agent"));
    command.args(["start", "--exporter", "blackhole", "--debug-log", "traces", "--debug-log", "metrics"]);
    command.args([
        "--debug-log-verbosity",
        "detailed",
        "--pid-file",
        "rotel.pid",
        "--log-file",
        "rotel.own.log",
    ]);
    command.args(["--otlp-grpc-endpoint", &address.to_string()]);
    command.args(["--otlp-http-endpoint", &free_address().to_string()]);
    Gateway::start(command, folder, address).await
}

/// A trace of a caller's, recorded or not.
fn traced<T>(message: T, trace: &str, flags: &str) -> Request<T> {
    let mut request = Request::new(message);
    let text = format!("00-{trace}-{PARENT}-{flags}");
    request.metadata_mut().insert("traceparent", MetadataValue::try_from(text).unwrap());
    request
}

const PARENT: &str = "b7ad6b7169203331";

fn trace(number: u8) -> String {
    format!("0af7651916cd43dd8448eb211c8031{number:02x}")
}

/// Both programs, whose telemetry goes to `address`.
async fn programs(address: SocketAddr, verifier: Vec<(&'static str, String)>) -> Programs {
    let to = || ("TELEMETRY__OTLP_ENDPOINT", format!("http://{address}"));
    let verifier = verifier.into_iter().chain([to()]).collect();
    Programs::set_up(Start { issuer: vec![to()], verifier, ..Start::default() }).await
}

/// What the collector wrote of one trace: each span from its head to the next one's.
fn spans(log: &str, trace: &str) -> Vec<String> {
    let parts: Vec<&str> = log.split("Span #").collect();
    parts.iter().skip(1).filter(|part| part.contains(trace)).map(|part| (*part).to_owned()).collect()
}

#[tokio::test]
async fn a_call_of_a_recorded_trace_is_a_span_in_the_collector_and_no_other_is() {
    let address = free_address();
    let authz = free_address();
    // Before there is a collector: nobody waits for it.
    let programs = programs(address, vec![("AUTHZ__LISTEN", authz.to_string())]).await;
    programs.create(orders::reversible("study")).await.unwrap();
    let before = programs.issue(orders::pseudonymise("study", OWNER)).await.unwrap();
    let collector = collector(&programs.path(""), address).await;

    let order = traced(orders::pseudonymise("study", OWNER), &trace(1), "01");
    let issued = programs.issuing().issue_token(order).await.unwrap().into_inner();
    let token = &issued.token;
    let mut verifying = programs.verifying();
    verifying.verify_token(traced(question(token), &trace(2), "01")).await.unwrap();
    verifying.verify_token(traced(question(token), &trace(3), "00")).await.unwrap();
    programs.accepted(token).await;
    let wrong = traced(VerifyTokenRequest::default(), &trace(4), "01");
    verifying.verify_token(wrong).await.unwrap_err();
    let parent = format!("traceparent: 00-{}-{PARENT}-01", trace(5));
    let url = format!("http://{authz}/authz?accepted_types=PSEUDONYMISATION");
    assert_eq!(bearing(token, &url, &["--header", &parent]).await.status, 200);
    let [one, two] = [8, 9].map(|number| format!("traceparent: 00-{}-{PARENT}-01", trace(number)));
    assert_eq!(bearing(token, &url, &["--header", &one, "--header", &two]).await.status, 200);
    let id = issued.record.unwrap().token_id;
    let revoke = RevokeRequest {
        selector: Some(tokens([&id])),
        reason: RevocationReason::Operator.into(),
        ..RevokeRequest::default()
    };
    programs.revoking().revoke(traced(revoke, &trace(6), "01")).await.unwrap();

    let seen = [
        (1, "ipms.token.v1.IssuerService/IssueToken", "rpc.grpc.status_code: Int(0)"),
        (2, "ipms.token.v1.VerifierService/VerifyToken", "rpc.grpc.status_code: Int(0)"),
        (4, "ipms.token.v1.VerifierService/VerifyToken", "rpc.grpc.status_code: Int(3)"),
        (5, "GET /authz", "http.response.status_code: Int(200)"),
        (6, "ipms.token.v1.RevocationService/Revoke", "rpc.grpc.status_code: Int(0)"),
    ];
    for (number, name, status) in seen {
        let told = until(name, async || spans(&collector.log(), &trace(number)).pop()).await;
        let parent = format!("Parent ID      : {PARENT}\n");
        assert!([&*parent, name, status].into_iter().all(|line| told.contains(line)), "{told}");
    }
    let log = collector.log();
    assert!(spans(&log, &trace(3)).is_empty(), "a trace that nobody records");
    assert!([8, 9].iter().all(|number| spans(&log, &trace(*number)).is_empty()), "two parents are none");
    for program in ["issuer", "verifier"] {
        assert!(log.contains(&format!("service.name: Str({program})\n")), "{log}");
    }
    let count = |number| spans(&log, &trace(number)).len();
    assert_eq!([1, 2, 4, 5, 6].map(count), [1; 5], "one call, one span");

    // Metrics come by the same names as they are scraped.
    for name in
        ["ipms_verifications_total", "ipms_view_age_seconds", "ipms_followers", "ipms_otlp_spans_total"]
    {
        until(name, async || collector.log().contains(name).then_some(())).await;
    }
    let scraped = curl(&format!("http://{}/metrics", programs.verifier.admin()), &[]).await.body;
    assert!(scraped.contains("ipms_otlp_spans_total{outcome=\"sent\"} 3"), "{scraped}");

    // Nothing of a token, or of who asked for it and why, is in what was sent.
    let log = collector.log();
    for text in [token, &before.token] {
        for part in text.split('.').skip(1) {
            let slices = part.as_bytes().windows(16).step_by(8);
            assert!(slices.into_iter().all(|slice| !log.contains(str::from_utf8(slice).unwrap())));
        }
    }
    for told in [orders::ASKER, orders::APPROVER, orders::PURPOSE] {
        assert!(!log.contains(told), "{told}");
    }
}

/// Failure: calls or the end wait for a collector that is gone or does not answer, or nobody can tell that spans are lost.
#[tokio::test]
async fn a_collector_that_is_not_there_or_does_not_answer_delays_no_call_and_is_counted() {
    is_counted(free_address()).await;
    // Connections are taken, by the system, and nobody reads.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    is_counted(silent.local_addr().unwrap()).await;
}

async fn is_counted(collector: SocketAddr) {
    let mut programs = programs(collector, Vec::new()).await;
    programs.create(orders::reversible("study")).await.unwrap();
    let token = programs.token(orders::pseudonymise("study", OWNER)).await;
    let mut verifying = programs.verifying();
    for number in 0..100 {
        verifying.verify_token(traced(question(&token), &trace(number), "01")).await.unwrap();
    }
    until("failures are counted", async || {
        let scraped = curl(&format!("http://{}/metrics", programs.verifier.admin()), &[]).await.body;
        let lost = ["spans_total{outcome=\"failed\"} 100", "metrics_total{outcome=\"failed\"} 1"];
        lost.iter().all(|line| scraped.contains(line)).then_some(())
    })
    .await;
    assert!(programs.verifier.terminate().await && programs.issuer.terminate().await);
}

#[tokio::test]
async fn envoy_and_the_verifier_are_in_one_trace() {
    let address = free_address();
    let programs = programs(address, vec![("GRPC__UNIX_SOCKET", "verifier.sock".to_owned())]).await;
    let folder = programs.path("");
    let collector = collector(&folder, address).await;
    programs.create(orders::reversible("study")).await.unwrap();
    let token = programs.token(orders::pseudonymise("study", OWNER)).await;
    let component = upstream::http().await;
    let (gateway, admin) = (free_address(), free_address());
    // Envoy's own tracing, as its reference has it.
    let tracing = "stat_prefix: component\n                tracing:\n                  provider:\n                    \
                   name: envoy.tracers.opentelemetry\n                    typed_config:\n                      \
                   \"@type\": type.googleapis.com/envoy.config.trace.v3.OpenTelemetryConfig\n                      \
                   service_name: envoy\n                      grpc_service:\n                        \
                   timeout: 1s\n                        envoy_grpc: { cluster_name: collector }";
    let cluster = format!(
        "clusters:\n    - name: collector\n      type: STATIC\n      typed_extension_protocol_options:\n        \
         envoy.extensions.upstreams.http.v3.HttpProtocolOptions:\n          \
         \"@type\": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions\n          \
         explicit_http_config: {{ http2_protocol_options: {{}} }}\n      load_assignment:\n        \
         cluster_name: collector\n        endpoints:\n          - lb_endpoints:\n              \
         - endpoint: {{ address: {{ socket_address: {} }} }}\n",
        socket("127.0.0.1", address.port())
    );
    let path = example(
        &folder,
        "envoy/sidecar.yaml",
        &[
            (&socket("0.0.0.0", 8080), &socket("127.0.0.1", gateway.port())),
            (&socket("127.0.0.1", 9901), &socket("127.0.0.1", admin.port())),
            (&socket("127.0.0.1", 8081), &socket("127.0.0.1", component.address.port())),
            ("/run/ipms/verifier.sock", programs.path("verifier.sock").to_str().unwrap()),
            ("stat_prefix: component", tracing),
            ("clusters:\n", &cluster),
        ],
    );
    let _envoy = Gateway::start(command(&path), &folder, gateway).await;
    let parent = format!("traceparent: 00-{}-{PARENT}-01", trace(7));
    let url = format!("http://{gateway}/api/request-psn");
    assert_eq!(bearing(&token, &url, &["--header", &parent]).await.status, 200);
    // Below a span of Envoy's, which is below the client's.
    let check = "envoy.service.auth.v3.Authorization/Check";
    until("the question to the verifier is in the trace", async || {
        let told = spans(&collector.log(), &trace(7));
        told.iter().any(|span| span.contains(check) && !span.contains(PARENT)).then_some(())
    })
    .await;
}
