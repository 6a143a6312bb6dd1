//! The child: calls of every kind at once, each told on standard output once it was answered.

use std::{io::Write as _, path::Path, sync::Arc};

use aws_lc_rs::{
    encoding::AsDer as _,
    rsa::{KeyPair, KeySize},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use common::{
    clock::SystemClock,
    encoding,
    jws::Algorithm,
    keys::SigningKey,
    organisation_id::OrganisationId,
    project::{Alphabet, Method, OutputFormat, Project, ProjectConfiguration, Treatment},
    revocation::entry::Reason,
    runtime::settings_file::SettingsFile,
    timestamp::Timestamp,
    token_id::TokenId,
};
use issuer::{
    adapters::{key_directory, store::seal::Seal},
    application::{
        issue::issue,
        projects,
        realm::Realm,
        revoke::{Selector, revoke},
    },
    domain::{
        approval::{Approval, Decision, Reference},
        order::{Operation, Order},
    },
    settings::Settings,
    wiring,
};
use tempfile::TempDir;

/// What the child says that it has answered.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Answered {
    /// With a token of this id.
    Issued(String),
    /// No token.
    Refused,
    /// A project.
    Created(String),
    /// Up to this entry.
    Revoked(u64),
}

impl Answered {
    fn tell(&self) {
        let line = match self {
            Self::Issued(id) => format!("issued {id}\n"),
            Self::Refused => "refused -\n".to_owned(),
            Self::Created(id) => format!("created {id}\n"),
            Self::Revoked(sequence) => format!("revoked {sequence}\n"),
        };
        // One write for each line. It fails when nobody reads any more, and then the child ends.
        std::io::stdout().write_all(line.as_bytes()).unwrap();
    }

    pub(crate) fn parse(line: &str) -> Option<Self> {
        let (kind, rest) = line.split_once(' ')?;
        match kind {
            "issued" => Some(Self::Issued(rest.to_owned())),
            "refused" => Some(Self::Refused),
            "created" => Some(Self::Created(rest.to_owned())),
            "revoked" => Some(Self::Revoked(rest.parse().ok()?)),
            _ => None,
        }
    }
}

/// The files of an issuer, with keys that are quickly made and used.
pub(crate) struct Folder(TempDir);

impl Folder {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let keys = folder.path().join("keys");
        std::fs::create_dir(&keys).unwrap();
        let log = pem();
        let public = SigningKey::from_pem(&log, Algorithm::Ps256).unwrap().public().to_pem().unwrap();
        let seal = encoding::encode(&[7; 32]);
        for (name, text) in [
            ("log.pem", &log),
            ("log.public.pem", &public),
            ("seal.key", &seal),
            ("token-000000000001-x.pem", &pem()),
        ] {
            let path = keys.join(name);
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        }
        Self(folder)
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }
}

fn pem() -> String {
    let der = KeyPair::generate(KeySize::Rsa2048).unwrap().as_der().unwrap();
    let text = STANDARD.encode(der.as_ref());
    let lines: Vec<_> = text.as_bytes().chunks(64).map(|line| str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", lines.join("\n"))
}

/// Works until it is killed, or nobody listens.
pub(crate) fn work(folder: &Path, round: u32) {
    // Behind what the test harness said on this line.
    std::io::stdout().write_all(b"\n").unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let realm = open(folder).await;
        create(&realm, "still").await;
        let mut tasks: Vec<_> = (0..4).map(|_| tokio::spawn(issuing(Arc::clone(&realm)))).collect();
        tasks.push(tokio::spawn(revoking(Arc::clone(&realm), round)));
        tasks.push(tokio::spawn(others(Arc::clone(&realm), round)));
        for task in tasks {
            task.await.unwrap();
        }
    });
}

async fn open(folder: &Path) -> Arc<Realm> {
    let path = |name: &str| folder.join(name).display().to_string();
    let variables = [
        ("ISSUER_KEYS__DIRECTORY".to_owned(), path("keys")),
        ("ISSUER_STORE__PATH".to_owned(), path("issuer.redb")),
        ("ISSUER_AUDIT__PATH".to_owned(), path("audit.jsonl")),
    ];
    let mut settings = Settings::read(SettingsFile::new(toml::Table::new(), variables, "ISSUER_")).unwrap();
    // Small, so that kills come while files are finished too.
    settings.audit_rotate_at = 20_000;
    let keys = key_directory::read(&settings.keys).unwrap();
    let seal = Seal::new(keys.seal.expose_secret_bytes());
    let store = wiring::open_store(&settings, seal).await.unwrap();
    wiring::open(&settings, keys, store, Arc::new(SystemClock), false).await.unwrap()
}

async fn create(realm: &Realm, id: &str) {
    let project = Project {
        id: id.parse().unwrap(),
        owner: OrganisationId::from_bytes([1; 16]),
        collaborators: Vec::new(),
        configuration: ProjectConfiguration {
            method: Method::NotReversible,
            treatment: Treatment::AlwaysSame,
            output_format: OutputFormat::new(Alphabet::Numeric, 39).unwrap(),
        },
        created: Timestamp::EPOCH,
        closed: None,
        version: 1,
    };
    projects::create(realm, project, "child").await.unwrap();
    Answered::Created(id.to_owned()).tell();
}

async fn issuing(realm: Arc<Realm>) {
    loop {
        let issued = issue(&realm, &order("still"), "child").await.unwrap();
        Answered::Issued(issued.record.id.to_string()).tell();
    }
}

async fn revoking(realm: Arc<Realm>, round: u32) {
    for number in 0_u64.. {
        let mut id = [0; 16];
        id[..4].copy_from_slice(&round.to_be_bytes());
        id[8..].copy_from_slice(&number.to_be_bytes());
        let selector = Selector::Tokens(vec![TokenId::from_bytes(id)]);
        let done = revoke(&realm, selector, Reason::Operator, String::new(), "child").await.unwrap();
        Answered::Revoked(done.cursor.sequence).tell();
    }
}

async fn others(realm: Arc<Realm>, round: u32) {
    for number in 0.. {
        issue(&realm, &order("none"), "child").await.err().unwrap();
        Answered::Refused.tell();
        create(&realm, &format!("project-{round}-{number}")).await;
    }
}

fn order(project: &str) -> Order {
    Order {
        project: project.parse().unwrap(),
        organisation: OrganisationId::from_bytes([1; 16]),
        operation: Operation::Pseudonymise,
        lifetime: None,
        approval: Some(Approval {
            request: Reference::new("request").unwrap(),
            requested_by: Reference::new("somebody").unwrap(),
            decision: Decision::Automatic,
            purpose: None,
        }),
        holder: None,
        idempotency_key: None,
    }
}
