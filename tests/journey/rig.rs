//! A pair, the component behind its verifier, and HTTP calls to it. Makes no claim.

use std::{fmt, net::SocketAddr, ops::Deref, path::PathBuf, sync::Arc};

use axum::body::{Body, to_bytes};
use common::{
    clock::Clock,
    guard::{HolderCertificate, Judge, Patience, Verifiers},
    proto::v1 as pb,
    timestamp::Timestamp,
};
use harness::pair::{Pair, Setup};
use http::{Request, StatusCode, header};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use tokio::task::JoinSet;
use tower::util::MapRequestLayer;

use crate::component::{Layer, Vault, routes};

/// Everything that a journey needs.
pub(crate) struct Rig {
    pub(crate) pair: Pair,
    pub(crate) vault: Arc<Vault>,
    address: SocketAddr,
    client: Client<HttpConnector, Body>,
    serving: JoinSet<()>,
}

impl Deref for Rig {
    type Target = Pair;

    fn deref(&self) -> &Pair {
        &self.pair
    }
}

/// An answer of the component.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Told {
    pub(crate) status: StatusCode,
    pub(crate) kind: String,
    pub(crate) challenge: String,
    pub(crate) retry_after: String,
    pub(crate) text: String,
}

/// One of the two endpoints.
#[derive(Clone, Copy, Debug)]
pub(crate) enum End {
    Forward,
    Backward,
}

impl Rig {
    pub(crate) async fn start() -> Self {
        Self::with(Setup::default()).await
    }

    pub(crate) async fn with(setup: Setup) -> Self {
        let pair = Pair::with(setup).await;
        let verifier = format!("http://{}", pair.verifier_address());
        let judge = Verifiers::connect(&[&verifier], Patience::default()).unwrap();
        Self::judged_by(pair, Arc::new(judge)).await
    }

    /// A component that asks somebody else than the pair's verifier over TCP.
    pub(crate) async fn judged_by<J: Judge>(pair: Pair, judge: Arc<J>) -> Self {
        let vault = Arc::new(Vault::open(&pair.path("mappings.redb"), &pair.path("layer-keys")).unwrap());
        let clock: Arc<dyn Clock> = Arc::<common::clock::ManualClock>::clone(&pair.verifier_clock);
        let routes = routes(&judge, Arc::clone(&vault), clock).layer(MapRequestLayer::new(where_tls_ends));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut serving = JoinSet::new();
        serving.spawn(async move { axum::serve(listener, routes).await.unwrap() });
        let client = Client::builder(TokioExecutor::new()).build_http();
        Self { pair, vault, address, client, serving }
    }

    /// Sends anything.
    pub(crate) async fn send(&self, end: End, headers: &[(header::HeaderName, &str)], body: &[u8]) -> Told {
        assert!(!self.serving.is_empty());
        let path = match end {
            End::Forward => "request-psn",
            End::Backward => "request-psn-rev",
        };
        let mut request = Request::post(format!("http://{}/api/{path}", self.address));
        for (name, value) in headers {
            request = request.header(name, *value);
        }
        let response = self.client.request(request.body(Body::from(body.to_vec())).unwrap()).await.unwrap();
        let text = |name| {
            let value = response.headers().get(name);
            value.map_or(String::new(), |value| value.to_str().unwrap().to_owned())
        };
        let (kind, challenge) = (text(header::CONTENT_TYPE), text(header::WWW_AUTHENTICATE));
        let (status, retry_after) = (response.status(), text(header::RETRY_AFTER));
        let body = to_bytes(Body::new(response.into_body()), 4 << 20).await.unwrap();
        Told { status, kind, challenge, retry_after, text: String::from_utf8(body.to_vec()).unwrap() }
    }

    /// Sends values as JSON with a token.
    pub(crate) async fn tell<T: AsRef<str>>(&self, end: End, token: &str, values: &[T]) -> Told {
        let values: Vec<_> = values.iter().map(AsRef::as_ref).collect();
        let body = serde_json::json!({ "data": values }).to_string();
        let bearer = format!("Bearer {token}");
        let headers = [(header::AUTHORIZATION, &*bearer), (header::CONTENT_TYPE, "application/json")];
        self.send(end, &headers, body.as_bytes()).await
    }

    /// The values of an answer, if it is one.
    pub(crate) async fn ask<T: AsRef<str>>(
        &self,
        end: End,
        token: &str,
        values: &[T],
    ) -> Result<Vec<String>, Told> {
        let told = self.tell(end, token, values).await;
        if told.status != StatusCode::OK {
            assert_eq!(told.text, "", "nothing is told with a failure");
            return Err(told);
        }
        let answer: serde_json::Value = serde_json::from_str(&told.text).unwrap();
        let data = answer["data"].as_array().unwrap();
        Ok(data.iter().map(|value| value.as_str().unwrap().to_owned()).collect())
    }

    pub(crate) async fn forward<T: AsRef<str>>(&self, token: &str, values: &[T]) -> Vec<String> {
        self.ask(End::Forward, token, values).await.unwrap()
    }

    pub(crate) async fn backward<T: AsRef<str>>(&self, token: &str, values: &[T]) -> Vec<String> {
        self.ask(End::Backward, token, values).await.unwrap()
    }

    /// The status of a call that must fail.
    pub(crate) async fn fails<T: AsRef<str>>(&self, end: End, token: &str, values: &[T]) -> StatusCode {
        self.ask(end, token, values).await.unwrap_err().status
    }

    /// What the verifier's clock says, which is the component's too.
    pub(crate) fn verifier_clock_now(&self) -> Timestamp {
        self.verifier_clock.now().wall
    }

    /// As if a token let it: what the vault itself says.
    pub(crate) fn reverse_directly(
        &self,
        project: &str,
        organisation: &str,
        values: &[String],
    ) -> Result<Vec<String>, String> {
        let layer = Layer::first(&project.parse().unwrap(), organisation.parse().unwrap());
        let reversed = self.vault.reverse(&layer, values, self.verifier_clock_now());
        reversed.map_err(|error| error.to_string())
    }

    /// Everything that the component keeps: its mappings and the names and contents of its keys.
    pub(crate) fn kept(&self) -> (Vec<u8>, Vec<(PathBuf, Vec<u8>)>) {
        let keys = std::fs::read_dir(self.path("layer-keys")).unwrap().map(|entry| entry.unwrap().path());
        let keys = keys.map(|path| (path.clone(), std::fs::read(path).unwrap())).collect();
        (std::fs::read(self.path("mappings.redb")).unwrap(), keys)
    }
}

/// Says what the certificate was that the caller showed: here, where a test says so in a header of its own.
fn where_tls_ends(mut request: Request<Body>) -> Request<Body> {
    if let Some(shown) = request.headers_mut().remove(SHOWN) {
        let number = shown.to_str().unwrap().parse().unwrap();
        request.extensions_mut().insert(HolderCertificate([number; 32]));
    }
    request
}

/// The header in which a test names a certificate: the number that fills its hash.
pub(crate) const SHOWN: header::HeaderName = header::HeaderName::from_static("x-test-certificate");

impl fmt::Debug for Rig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Rig")
    }
}

/// A project of another treatment and format.
pub(crate) fn formed(
    mut project: pb::CreateProjectRequest,
    treatment: pb::Treatment,
    alphabet: pb::Alphabet,
    length: u32,
) -> pb::CreateProjectRequest {
    let configuration = project.configuration.as_mut().unwrap();
    configuration.treatment = treatment.into();
    configuration.output_format = Some(pb::OutputFormat { alphabet: alphabet.into(), length });
    project
}

/// The names that travel. No hexadecimal digits could spell them.
pub(crate) const NAMES: [&str; 3] = ["Zoë Mystery, the first", "Quentin \"Q\" Quux", "Yvonne von Yonder"];
