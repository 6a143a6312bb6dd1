//! A whole server on real sockets: roles, drain, panics, probes, reflection. What the services do is made up here.

mod rig;

use common::proto::v1::{VerifyTokenRequest, verifier_service_client::VerifierServiceClient};
use rig::{HOLD, PANIC, PATH, Rig, channel, http_get, token, unix_channel};
use tokio::net::TcpStream;
use tokio_stream::StreamExt;
use tonic::{Code, Request, transport::Endpoint};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};
use tonic_reflection::pb::{v1, v1alpha};
use tonic_types::StatusExt;

#[tokio::test]
async fn a_caller_without_identity_is_refused_and_counted() {
    let rig = Rig::new("");
    let bound = rig.bind().await;
    let mut client = VerifierServiceClient::new(channel(&bound));
    let serving = tokio::spawn(bound.serve());
    let refused = client.verify_token(token("")).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    assert_eq!(refused.get_details_error_info().unwrap().reason, "NO_ROLE");
    assert_eq!(rig.counts.of(PATH, Code::PermissionDenied), 1);
    rig.shutdown.end();
    serving.await.unwrap().unwrap();
}

#[tokio::test]
async fn loopback_is_trusted_only_when_the_settings_say_so() {
    let rig = Rig::new("grpc.insecure_loopback = true");
    let bound = rig.bind().await;
    let mut client = VerifierServiceClient::new(channel(&bound));
    let serving = tokio::spawn(bound.serve());
    client.verify_token(token("")).await.unwrap();
    assert_eq!(rig.actors(), ["loopback"]);
    rig.shutdown.end();
    serving.await.unwrap().unwrap();
}

#[tokio::test]
async fn who_can_open_the_unix_socket_is_a_component() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("grpc.sock");
    let rig = Rig::new(&format!("grpc.unix_socket = '{}'", path.display()));
    let bound = rig.bind().await;
    assert_eq!(bound.unix_socket(), Some(&*path));
    let serving = tokio::spawn(bound.serve());
    let mut client = VerifierServiceClient::new(unix_channel(&path).await);
    client.verify_token(token("")).await.unwrap();
    assert_eq!(rig.actors(), ["unix-socket"]);
    drop(client);
    rig.shutdown.begin();
    serving.await.unwrap().unwrap();
    assert!(!path.exists());
}

#[tokio::test]
async fn a_method_that_is_not_in_the_table_is_unimplemented() {
    let rig = Rig::new("grpc.insecure_loopback = true");
    let bound = rig.bind().await;
    let mut client = tonic::client::Grpc::new(channel(&bound));
    let serving = tokio::spawn(bound.serve());
    // The service has it, the table has not.
    for path in ["/ipms.token.v1.VerifierService/VerifyTokens", "/ipms.token.v1.None/None"] {
        client.ready().await.unwrap();
        let codec = tonic_prost::ProstCodec::<VerifyTokenRequest, ()>::default();
        let asked = client.unary(Request::new(token("")), path.parse().unwrap(), codec).await;
        assert_eq!(asked.unwrap_err().code(), Code::Unimplemented, "{path}");
    }
    rig.shutdown.end();
    serving.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_panic_ends_its_call_and_nothing_else() {
    let rig = Rig::new("grpc.insecure_loopback = true");
    let bound = rig.bind().await;
    let mut client = VerifierServiceClient::new(channel(&bound));
    let serving = tokio::spawn(bound.serve());
    let failed = client.verify_token(token(PANIC)).await.unwrap_err();
    assert_eq!((failed.code(), failed.message()), (Code::Internal, "internal error"));
    client.verify_token(token("")).await.unwrap();
    assert_eq!((rig.counts.of(PATH, Code::Internal), rig.counts.of(PATH, Code::Ok)), (1, 1));
    rig.shutdown.end();
    serving.await.unwrap().unwrap();
}

#[tokio::test]
async fn the_drain_finishes_the_call_in_flight_and_takes_no_new_one() {
    let rig = Rig::new("grpc.insecure_loopback = true\nhealth.listen = '127.0.0.1:0'");
    let bound = rig.bind().await;
    let (grpc, admin) = (bound.grpc_address().unwrap(), bound.admin_address().unwrap());
    let mut client = VerifierServiceClient::new(channel(&bound));
    let health = format!("http://{}", bound.health_address().unwrap().unwrap());
    let mut health = HealthClient::new(Endpoint::from_shared(health).unwrap().connect_lazy());
    let serving = tokio::spawn(bound.serve());
    let watch = health.watch(HealthCheckRequest { service: String::new() }).await.unwrap();
    let mut watch = watch.into_inner();
    assert_eq!(watch.next().await.unwrap().unwrap().status(), ServingStatus::Serving);

    let call = tokio::spawn(async move { client.verify_token(token(HOLD)).await });
    rig.held().await;
    rig.shutdown.begin();
    // The listener closes soon after, not at once.
    while TcpStream::connect(grpc).await.is_ok() {
        tokio::task::yield_now().await;
    }
    assert_eq!(watch.next().await.unwrap().unwrap().status(), ServingStatus::NotServing);
    assert!(watch.next().await.is_none());
    assert_eq!(http_get(admin, "/readyz").await, (503, "draining\n".to_owned()));
    assert!(!call.is_finished() && !serving.is_finished());

    rig.release();
    call.await.unwrap().unwrap();
    drop((watch, health));
    serving.await.unwrap().unwrap();
    assert!(TcpStream::connect(admin).await.is_err());
}

#[tokio::test]
async fn a_second_signal_does_not_wait_for_the_call_in_flight() {
    let rig = Rig::new("grpc.insecure_loopback = true");
    let bound = rig.bind().await;
    let mut client = VerifierServiceClient::new(channel(&bound));
    let serving = tokio::spawn(bound.serve());
    let call = tokio::spawn(async move { client.verify_token(token(HOLD)).await });
    rig.held().await;
    rig.shutdown.begin();
    rig.shutdown.end();
    serving.await.unwrap().unwrap();
    call.abort();
}

#[tokio::test]
async fn the_admin_port_tells_life_readiness_and_metrics() {
    let rig = Rig::new("");
    let bound = rig.bind().await;
    let admin = bound.admin_address().unwrap();
    let serving = tokio::spawn(bound.serve());
    assert_eq!(http_get(admin, "/livez").await, (200, "ok\n".to_owned()));
    assert_eq!(http_get(admin, "/readyz").await, (503, "no view\nno key\n".to_owned()));
    rig.make_ready();
    assert_eq!(http_get(admin, "/readyz").await, (200, "ready\n".to_owned()));
    let (code, text) = http_get(admin, "/metrics").await;
    assert_eq!((code, text.contains("made_up 1\n")), (200, true), "{text}");
    assert_eq!(http_get(admin, "/extra").await, (200, "more".to_owned()));
    assert_eq!(http_get(admin, "/none").await.0, 404);
    rig.shutdown.begin();
    serving.await.unwrap().unwrap();
}

#[tokio::test]
async fn health_alone_is_served_on_its_own_port() {
    let rig = Rig::new("health.listen = '127.0.0.1:0'");
    let bound = rig.bind().await;
    let address = format!("http://{}", bound.health_address().unwrap().unwrap());
    let grpc = channel(&bound);
    let serving = tokio::spawn(bound.serve());
    let alone = Endpoint::from_shared(address).unwrap().connect_lazy();
    rig.health.set("made.up", true);
    for channel in [grpc, alone.clone()] {
        let asked = HealthCheckRequest { service: "made.up".to_owned() };
        let told = HealthClient::new(channel).check(asked).await.unwrap();
        assert_eq!(told.into_inner().status(), ServingStatus::Serving);
    }
    let refused = VerifierServiceClient::new(alone).verify_token(token("")).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unimplemented);
    rig.shutdown.end();
    serving.await.unwrap().unwrap();
}

#[tokio::test]
async fn reflection_lists_the_services_in_both_versions() {
    let rig = Rig::new("");
    let bound = rig.bind().await;
    let channel = channel(&bound);
    let serving = tokio::spawn(bound.serve());

    let asked = v1::ServerReflectionRequest {
        message_request: Some(v1::server_reflection_request::MessageRequest::ListServices(String::new())),
        ..v1::ServerReflectionRequest::default()
    };
    let mut client = v1::server_reflection_client::ServerReflectionClient::new(channel.clone());
    let answers = client.server_reflection_info(tokio_stream::once(asked)).await.unwrap();
    let answer = answers.into_inner().next().await.unwrap().unwrap().message_response.unwrap();
    let v1::server_reflection_response::MessageResponse::ListServicesResponse(list) = answer else {
        panic!("another answer")
    };
    let names: Vec<&str> = list.service.iter().map(|service| &*service.name).collect();
    for name in ["ipms.token.v1.VerifierService", "grpc.health.v1.Health"] {
        assert!(names.contains(&name), "{names:?}");
    }

    let asked = v1alpha::ServerReflectionRequest {
        message_request: Some(
            v1alpha::server_reflection_request::MessageRequest::ListServices(String::new()),
        ),
        ..v1alpha::ServerReflectionRequest::default()
    };
    let mut client = v1alpha::server_reflection_client::ServerReflectionClient::new(channel);
    let answers = client.server_reflection_info(tokio_stream::once(asked)).await.unwrap();
    assert!(answers.into_inner().next().await.unwrap().is_ok());
    rig.shutdown.end();
    serving.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_taken_address_is_told() {
    let rig = Rig::new("");
    let bound = rig.bind().await;
    let taken = bound.grpc_address().unwrap();
    let other = Rig::new(&format!("admin.listen = '{taken}'"));
    let told = other.try_bind().await.err().unwrap().to_string();
    assert!(told.starts_with(&format!("cannot listen on {taken}: ")), "{told}");
}
