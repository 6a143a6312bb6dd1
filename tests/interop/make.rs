//! Tokens and a key set as the issuer gives them out: its wiring, its store, its admin port; no shortcut of ours.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    path::Path,
    sync::Arc,
};

use common::{
    clock::{Clock, SystemClock},
    organisation_id::OrganisationId,
    project::{Alphabet, Method, OutputFormat, Project, ProjectConfiguration, Retention, Treatment},
    runtime::{service_settings, shutdown::Shutdown},
};
use issuer::{
    adapters::{
        key_directory::{self, Place},
        store::seal::Seal,
        system_entropy::SystemEntropy,
    },
    application::{issue, projects, realm::Realm},
    domain::{
        approval::{Approval, Decision, Purpose, Reference},
        order::{Operation, Order, SourceLayer},
    },
    settings::Settings,
    wiring,
};
use serde_json::{Value, json};

use crate::{AUDIENCE, ISSUER, log};

/// Writes `<algorithm>.jwks.json`, `<algorithm>.log.json` and `ours.json`, and leaves the keys in `keys/`.
pub(crate) fn everything(folder: &Path) {
    let clock = SystemClock;
    key_directory::add(&Place::plain(folder.join("keys")), &SystemEntropy::default(), clock.now()).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let mut made = Vec::new();
    for algorithm in ["PS256", "RS256"] {
        made.extend(runtime.block_on(of(folder, algorithm)));
    }
    println!("ours.json: {} tokens made by our issuer", made.len());
    fs::write(folder.join("ours.json"), Value::Array(made).to_string()).unwrap();
}

async fn of(folder: &Path, algorithm: &str) -> Vec<Value> {
    let settings = settings(folder, algorithm);
    let keys = key_directory::read(&settings.keys).unwrap();
    let seal = Seal::new(keys.seal.expose_secret_bytes());
    let store = wiring::open_store(&settings, seal).await.unwrap();
    let realm = wiring::open(&settings, keys, store, Arc::new(SystemClock), false).await.unwrap();
    let shutdown = Shutdown::manual();
    let bound = wiring::serve(settings, Arc::clone(&realm), shutdown.clone()).await.unwrap();
    let admin = bound.admin_address().unwrap();
    let serving = tokio::spawn(Box::pin(bound.serve()));
    let jwks = tokio::task::spawn_blocking(move || key_set(admin)).await.unwrap();
    let name = format!("{algorithm}.jwks.json");
    fs::write(folder.join(&name), &jwks).unwrap();
    let tokens = tokens(&realm).await;
    log::write(folder, algorithm, &realm).await;
    shutdown.begin();
    serving.await.unwrap().unwrap();
    let row = |token: String| json!({ "token": token, "jwks": name, "alg": algorithm, "iss": ISSUER, "aud": AUDIENCE });
    tokens.into_iter().map(row).collect()
}

fn settings(folder: &Path, algorithm: &str) -> Settings {
    let path = |name: &str| folder.join(name).display().to_string();
    let toml = [
        format!("token = {{ issuer = '{ISSUER}', audience = '{AUDIENCE}', algorithm = '{algorithm}' }}"),
        format!("store = {{ path = '{}' }}", path(&format!("{algorithm}.redb"))),
        format!("audit = {{ path = '{}' }}", path(&format!("{algorithm}.audit"))),
        format!("keys = {{ directory = '{}' }}", path("keys")),
        "grpc = { listen = '127.0.0.1:0' }\nadmin = { listen = '127.0.0.1:0' }".to_owned(),
    ];
    let file = folder.join(format!("{algorithm}.toml"));
    fs::write(&file, toml.join("\n")).unwrap();
    Settings::read(service_settings::load(Some(&file), "ISSUER_").unwrap()).unwrap()
}

/// The JWK Set as anybody gets it.
fn key_set(admin: SocketAddr) -> String {
    let mut stream = TcpStream::connect(admin).unwrap();
    let request = "GET /.well-known/jwks.json HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    answer.split_once("\r\n\r\n").unwrap().1.to_owned()
}

/// One token of each type.
async fn tokens(realm: &Realm) -> Vec<String> {
    let organisation = OrganisationId::from_bytes([1; 16]);
    let now = realm.clock.now().wall;
    for id in ["project-a", "project-b"] {
        let retention = Retention::new(1, 0, 0).unwrap();
        let retention_end = retention.end(now).unwrap();
        let project = Project {
            id: id.parse().unwrap(),
            owner: organisation,
            collaborators: Vec::new(),
            configuration: ProjectConfiguration {
                method: Method::Reversible { retention, retention_end },
                treatment: Treatment::AlwaysSame,
                output_format: OutputFormat::new(Alphabet::Alphanumeric, 32).unwrap(),
            },
            created: now,
            closed: None,
            version: 1,
        };
        projects::create(realm, project, "interop").await.unwrap();
    }
    let reference = |text| Reference::new(text).unwrap();
    let source = SourceLayer { project: "project-b".parse().unwrap(), organisation };
    let mut tokens = Vec::new();
    for operation in [Operation::Pseudonymise, Operation::Reverse, Operation::Secondary(source)] {
        let order = Order {
            project: "project-a".parse().unwrap(),
            organisation,
            operation,
            lifetime: None,
            approval: Some(Approval {
                request: reference("request-1"),
                requested_by: reference("requester"),
                decision: Decision::Person(reference("approver")),
                purpose: Purpose::new("interoperability").unwrap(),
            }),
            holder: None,
            idempotency_key: None,
        };
        tokens.push(issue::issue(realm, &order, "interop").await.ok().unwrap().token);
    }
    tokens
}
