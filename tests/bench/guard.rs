//! What the guard costs an HTTP request: the same handler without it, with a verifier behind a socket, and with one in
//! the component's own process. In turns, so that whatever else this machine does happens to all of them.

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    body::{Body, Bytes, to_bytes},
    routing::post,
};
use common::{
    clock::SystemClock,
    guard::{Guard, Judge, Patience, Verifiers},
    revocation::lease::BootId,
    runtime::{settings_file::SettingsFile, shutdown::Shutdown},
    token::kind::TokenType,
};
use http::{Request, StatusCode, header};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use rustix::time::{ClockId, clock_gettime};
use tokio::net::TcpListener;
use verifier::{settings::Settings, wiring};

use crate::{
    floors::awaited,
    report::{Spans, Target, told},
    stand::{Clients, Failure, Issuer},
};

const NAME: &str = "guard";
/// Requests in a row before it is another one's turn.
const TURN: usize = 50;

/// Each way `rounds` times `TURN` requests.
pub(crate) async fn run(rounds: usize) -> Result<(), Failure> {
    let issuer = Issuer::start().await?;
    let process = issuer.verifier(NAME).await?;
    let mut clients = Clients::connect(issuer.address).await?;
    clients.create_project().await?;
    let (token, _) = clients.issue().await?;
    let shutdown = Shutdown::manual();
    let embedded = embedded(&issuer, &shutdown)?;
    let socket = format!("unix:{}", issuer.folder.path().join(format!("{NAME}.sock")).display());
    let asked = Verifiers::connect(&[&socket], Patience::default())?;
    let address = serve(Arc::new(asked), Arc::clone(&embedded.verifier)).await?;
    let client = Caller { client: Client::builder(TokioExecutor::new()).build_http(), address, token };
    let mut ways = ["plain", "called", "inside"].map(Way::new);
    for way in &ways {
        client.until_answered(way.path).await?;
    }
    let before = process.computed()?;
    for _ in 0..rounds {
        for way in &mut ways {
            way.turn(&client).await?;
        }
    }
    let judging = process.computed()?.saturating_sub(before);
    shutdown.begin();
    embedded.following.await?;
    process.stop().await?;
    issuer.stop().await?;
    let [plain, called, inside] = &ways;
    let floor = Some(plain.spans.median());
    let computed = plain.computed.median();
    told("guard: request, unguarded, p50", plain.spans.median(), None, Target::None);
    told("guard: request computed by caller and component, unguarded, p50", computed, None, Target::None);
    for (way, by) in [(called, "verifier behind a socket"), (inside, "verifier in the process")] {
        let what = format!("guard: request, {by}, p50 (floor: unguarded)");
        told(&what, way.spans.median(), floor, Target::None);
        let more = way.computed.median().saturating_sub(computed);
        told(&format!("guard: request computed more, {by}, p50"), more, None, Target::None);
    }
    let requests = u32::try_from(rounds * TURN)?;
    told(
        "guard: request computed by the verifier behind the socket, mean",
        judging / requests,
        None,
        Target::None,
    );
    Ok(())
}

/// One way to the handler.
struct Way {
    path: &'static str,
    spans: Spans,
    /// Processor time of this process, which is component and caller, a request: one span for each turn.
    computed: Spans,
}

impl Way {
    fn new(path: &'static str) -> Self {
        Self { path, spans: Spans::default(), computed: Spans::default() }
    }

    async fn turn(&mut self, caller: &Caller) -> Result<(), Failure> {
        let before = computed()?;
        for _ in 0..TURN {
            let (status, span) = awaited(caller.ask(self.path)).await;
            if status? != StatusCode::OK {
                return Err("a good token is refused".into());
            }
            self.spans.add(span);
        }
        self.computed.add(computed()?.saturating_sub(before) / u32::try_from(TURN)?);
        Ok(())
    }
}

struct Caller {
    client: Client<HttpConnector, Body>,
    address: String,
    token: String,
}

impl Caller {
    async fn ask(&self, path: &str) -> Result<StatusCode, Failure> {
        let request = Request::post(format!("http://{}/{path}", self.address))
            .header(header::AUTHORIZATION, format!("Bearer {}", self.token))
            .header(header::CONTENT_TYPE, "application/json")
            .body(Body::from(r#"{"data":["Ada Lovelace","Grace Hopper","Rosalind Franklin"]}"#))?;
        let response = self.client.request(request).await?;
        let status = response.status();
        to_bytes(Body::new(response.into_body()), 1 << 20).await?;
        Ok(status)
    }

    /// Whoever judges may still be connecting, or have heard nothing yet.
    async fn until_answered(&self, path: &str) -> Result<(), Failure> {
        for _ in 0..1_000 {
            if self.ask(path).await? == StatusCode::OK {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Err("the component does not answer".into())
    }
}

/// The same handler three times: it reads the body and gives it back.
async fn serve<C: Judge, I: Judge>(called: Arc<C>, inside: Arc<I>) -> Result<String, Failure> {
    let handler = async |body: Bytes| body;
    let types = [TokenType::Pseudonymisation];
    let routes = Router::new()
        .route("/plain", post(handler))
        .route("/called", post(handler).route_layer(Guard::new(called, types)))
        .route("/inside", post(handler).route_layer(Guard::new(inside, types)));
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?.to_string();
    tokio::spawn(async move { axum::serve(listener, routes).await });
    Ok(address)
}

/// A verifier that follows the issuer from here.
fn embedded(issuer: &Issuer, shutdown: &Shutdown) -> Result<wiring::Embedded, Failure> {
    let variables = [
        ("VERIFIER_ISSUER__ENDPOINTS", format!("http://{}", issuer.address)),
        ("VERIFIER_ISSUER__LOG_KEYS", issuer.log_key().display().to_string()),
    ];
    let variables = variables.map(|(name, value)| (name.to_owned(), value));
    let file = SettingsFile::new(toml::Table::new(), variables, "VERIFIER_");
    let settings = Settings::read(file, "guard-inside").map_err(|mistakes| mistakes.to_string())?;
    Ok(wiring::embed(&settings, Arc::new(SystemClock), BootId([1; 16]), shutdown.clone())?)
}

/// Processor time of all threads of this process.
fn computed() -> Result<Duration, Failure> {
    Ok(Duration::try_from(clock_gettime(ClockId::ProcessCPUTime))?)
}
