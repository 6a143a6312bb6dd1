//! Components that tell back what they were sent, over HTTP and over gRPC, and an authorizer that says what its path asks for.

use std::{
    future::{Ready, ready},
    net::SocketAddr,
    time::Duration,
};

use axum::{Router, body::Body, extract::Request, response::Response, routing::any};
use common::proto::envoy::service::auth::v3::{CheckRequest, DeniedHttpResponse, OkHttpResponse};
use harness::until;
use http::HeaderMap;
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{
    Code, Status,
    client::Grpc,
    server::UnaryService,
    service::Routes,
    transport::{Channel, Endpoint, Server},
};
use tonic_prost::ProstCodec;

/// Something that listens until it is dropped.
pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
    serving: JoinHandle<()>,
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// Answers every request with the headers that it came with.
pub(crate) async fn http() -> Upstream {
    let routes = Router::new().fallback(any(async |request: Request| tell(request.headers())));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    Upstream { address, serving: tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() }) }
}

/// The same over gRPC: every method takes nothing and answers text.
pub(crate) async fn grpc() -> Upstream {
    over_grpc(Router::new().fallback(any(async |request: Request| {
        let told = Ok(tell(request.headers()));
        respond(
            tonic::server::Grpc::new(ProstCodec::<String, ()>::default()).unary(Saying(told), request).await,
        )
    })))
    .await
}

/// Calls a method of it through a gateway, with metadata.
pub(crate) async fn call(gateway: SocketAddr, metadata: &[(&'static str, &str)]) -> Result<String, Status> {
    let channel: Channel = Endpoint::from_shared(format!("http://{gateway}")).unwrap().connect_lazy();
    let mut client = Grpc::new(channel);
    until("the gateway answers", async || client.ready().await.ok()).await;
    let mut request = tonic::Request::new(());
    for (name, value) in metadata {
        request.metadata_mut().insert(*name, value.parse().unwrap());
    }
    let path = "/component.v1.Component/Do".parse().unwrap();
    client.unary(request, path, ProstCodec::<(), String>::default()).await.map(tonic::Response::into_inner)
}

/// An authorizer that can be as wrong as can be: it does what the path of the request asks for.
pub(crate) async fn authorizer() -> Upstream {
    over_grpc(Router::new().route(
        "/envoy.service.auth.v3.Authorization/Check",
        any(async |request: Request| {
            let codec = ProstCodec::<Answer, CheckRequest>::default();
            respond(tonic::server::Grpc::new(codec).unary(Scripted, request).await)
        }),
    ))
    .await
}

async fn over_grpc(routes: Router) -> Upstream {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = async move {
        let server = Server::builder().add_routes(Routes::from(routes));
        server.serve_with_incoming(TcpListenerStream::new(listener)).await.unwrap();
    };
    Upstream { address, serving: tokio::spawn(serving) }
}

fn respond(answer: http::Response<tonic::body::Body>) -> Response {
    answer.map(Body::new)
}

fn tell(headers: &HeaderMap) -> String {
    let lines = headers.iter().map(|(name, value)| format!("{name}: {}\n", value.to_str().unwrap()));
    lines.collect::<Vec<_>>().concat()
}

/// Says one thing.
struct Saying(Result<String, Status>);

impl UnaryService<()> for Saying {
    type Response = String;
    type Future = Ready<Result<tonic::Response<String>, Status>>;

    fn call(&mut self, _request: tonic::Request<()>) -> Self::Future {
        ready(self.0.clone().map(tonic::Response::new))
    }
}

/// `CheckResponse` with all ways to answer, those too that ours never takes.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Answer {
    #[prost(message, optional, tag = "1")]
    status: Option<tonic_types::Status>,
    #[prost(message, optional, tag = "3")]
    ok: Option<OkHttpResponse>,
    #[prost(message, optional, tag = "5")]
    error: Option<DeniedHttpResponse>,
}

struct Scripted;

impl UnaryService<CheckRequest> for Scripted {
    type Response = Answer;
    type Future = std::pin::Pin<Box<dyn Future<Output = Result<tonic::Response<Answer>, Status>> + Send>>;

    fn call(&mut self, request: tonic::Request<CheckRequest>) -> Self::Future {
        let asked = request.into_inner().attributes.unwrap().request.unwrap().http.unwrap();
        let word = asked.headers.get(":path").cloned().unwrap_or_default();
        Box::pin(async move {
            let with =
                |code: Code| tonic_types::Status { code: code.into(), ..tonic_types::Status::default() };
            let answer = match word.trim_start_matches('/') {
                "ok" => {
                    Answer { status: Some(with(Code::Ok)), ok: Some(OkHttpResponse::default()), error: None }
                }
                "status-7" => Answer { status: Some(with(Code::PermissionDenied)), ..Answer::default() },
                "status-14" => Answer { status: Some(with(Code::Unavailable)), ..Answer::default() },
                "status-16" => Answer { status: Some(with(Code::Unauthenticated)), ..Answer::default() },
                "error-response" => Answer {
                    status: Some(with(Code::Internal)),
                    error: Some(DeniedHttpResponse::default()),
                    ok: None,
                },
                "unavailable" => return Err(Status::unavailable("")),
                "internal" => return Err(Status::internal("")),
                "exhausted" => return Err(Status::resource_exhausted("")),
                "slow" => {
                    tokio::time::sleep(Duration::from_mins(1)).await;
                    return Err(Status::deadline_exceeded(""));
                }
                other => panic!("nothing is meant by {other}"),
            };
            Ok(tonic::Response::new(answer))
        })
    }
}
