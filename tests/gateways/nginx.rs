//! `deploy/nginx/nginx.conf` in a real nginx, over HTTP and gRPC.

use std::{fs, process::Command};

use harness::ports::free_address;
use tonic::Code;

use crate::{
    flow::{what_is_refused_or_not_known_stops, with_http},
    rig::{Gateway, Tokens, deploy, example},
    upstream,
};

#[tokio::test(flavor = "multi_thread")]
async fn nginx_passes_on_what_the_token_says_and_stops_what_is_refused_or_not_known() {
    let mut programs = with_http().await;
    let (component, grpc) = (upstream::http().await, upstream::grpc().await);
    let (http, http2) = (free_address(), free_address());
    let folder = programs.path("");
    for name in ["ask.conf", "told.conf", "pass.conf", "pass-grpc.conf"] {
        fs::copy(deploy().join("nginx").join(name), folder.join(name)).unwrap();
    }
    let path = example(
        &folder,
        "nginx/nginx.conf",
        &[
            // Whoever runs the tests owns the socket.
            ("worker_processes 1;", "user root;\nworker_processes 1;"),
            ("127.0.0.1:8080", &http.to_string()),
            ("127.0.0.1:8090", &http2.to_string()),
            ("127.0.0.1:8081", &component.address.to_string()),
            ("127.0.0.1:8082", &grpc.address.to_string()),
            ("/run/ipms/authz.sock", programs.path("authz.sock").to_str().unwrap()),
            ("/run/nginx-ipms.pid", programs.path("nginx.pid").to_str().unwrap()),
        ],
    );
    let mut command = Command::new("nginx");
    command.arg("-c").arg(&path).arg("-p").arg(&folder).args(["-e", "stderr", "-g", "daemon off;"]);
    let _nginx = Gateway::start(command, &folder, http).await;
    let issued = Tokens::issue(&programs).await;
    what_is_refused_or_not_known_stops(&mut programs, &issued, http).await;

    let good = format!("Bearer {}", issued.pseudonymise);
    let told = upstream::call(http2, &[("authorization", &good), ("x-ipms-project-id", "x")]).await.unwrap();
    assert!(told.contains("x-ipms-project-id: p1\n") && !told.contains("authorization"), "{told}");
    let refused = upstream::call(http2, &[("authorization", "Bearer a.b.c")]).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated, "{refused:?}");
    programs.verifier.kill();
    let undecided = upstream::call(http2, &[("authorization", &good)]).await.unwrap_err();
    assert_eq!(undecided.code(), Code::Unavailable, "{undecided:?}");
}
