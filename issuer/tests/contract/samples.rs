//! Projects, entries and records to put into a store, and a folder to keep one in. Nothing random.

use std::time::Duration;

use common::{
    key_id::KeyId,
    organisation_id::OrganisationId,
    project::{
        Alphabet, Collaborator, Method, OutputFormat, Project, ProjectConfiguration, Retention, Treatment,
    },
    project_id::ProjectId,
    revocation::{
        cursor::Cursor,
        entry::{Body, Entry, Reason, pack},
        head::Link,
        rule::Rule,
    },
    timestamp::Timestamp,
    token::kind::PerType,
    token_id::TokenId,
};
use issuer::{
    adapters::store::{
        embedded::{EmbeddedStore, OpenError},
        seal::Seal,
    },
    domain::{
        approval::Reference,
        draft::Checked,
        followers::{Follower, Row, Tenure},
        ledger::TokenRecord,
        order::Operation,
        ports::{Append, Appended, Idempotency, LogEnd, ProjectChange, Recorded, Recording, Store},
    },
};

/// A folder for one store; gone when it is dropped.
pub(crate) struct Folder(tempfile::TempDir);

impl Folder {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self) -> std::path::PathBuf {
        self.0.path().join("store")
    }

    pub(crate) fn open(&self) -> EmbeddedStore {
        self.try_open().unwrap()
    }

    pub(crate) fn try_open(&self) -> Result<EmbeddedStore, OpenError> {
        EmbeddedStore::open(&self.path(), Seal::new(&[1; 32]))
    }
}

/// The row of a verifier whose limits are so many seconds, held by issuer 5 since its hello `session`.
pub(crate) fn row(name: &str, instance: u64, seconds: u64, session: u64) -> Row {
    Row {
        follower: Follower { id: name.to_owned(), instance },
        limits: PerType::from_fn(|_| Duration::from_secs(seconds)),
        tenure: Tenure { issuer: 5, session },
        acknowledged: Cursor::ZERO,
    }
}

pub(crate) fn time(seconds: u64) -> Timestamp {
    Timestamp::from_seconds(seconds).unwrap()
}

pub(crate) fn id(text: &str) -> ProjectId {
    text.parse().unwrap()
}

pub(crate) fn organisation(number: u8) -> OrganisationId {
    OrganisationId::from_bytes([number; 16])
}

pub(crate) fn project(name: &str, owner: u8, collaborators: &[u8]) -> Project {
    let collaborator = |number: &u8| Collaborator { organisation: organisation(*number), can_reverse: false };
    Project {
        id: id(name),
        owner: organisation(owner),
        collaborators: collaborators.iter().map(collaborator).collect(),
        configuration: ProjectConfiguration {
            method: Method::Reversible {
                retention: Retention::new(1, 0, 0).unwrap(),
                retention_end: time(9),
            },
            treatment: Treatment::AlwaysDifferent,
            output_format: OutputFormat::new(Alphabet::Numeric, 39).unwrap(),
        },
        created: time(5),
        closed: None,
        version: 1,
    }
}

/// The next version of a project.
pub(crate) fn change(project: &Project, collaborators: &[u8]) -> ProjectChange {
    let collaborators = self::project("x", 1, collaborators).collaborators;
    ProjectChange {
        expected: project.version,
        project: Project { collaborators, version: project.version + 1, ..project.clone() },
    }
}

/// A log as its issuer sees it: it knows what it appended.
#[derive(Clone, Debug)]
pub(crate) struct Log {
    pub(crate) end: Option<LogEnd>,
    pub(crate) entries: Vec<Entry>,
}

impl Log {
    pub(crate) fn new() -> Self {
        Self { end: None, entries: Vec::new() }
    }

    /// The step that appends `count` entries.
    pub(crate) fn step(&self, count: u64) -> (Append, Self) {
        let end = self.end.unwrap_or(LogEnd { epoch: 1, base: START, end: START, log_time: time(1) });
        self.step_in(end, count)
    }

    /// The step that opens the next epoch with `count` entries.
    pub(crate) fn next_epoch(&self, count: u64) -> (Append, Self) {
        let epoch = self.end.map_or(0, |end| end.epoch) + 1;
        let (append, mut after) =
            self.step_in(LogEnd { epoch, base: START, end: START, log_time: time(1) }, count);
        after.entries.drain(..self.entries.len());
        (append, after)
    }

    fn step_in(&self, mut end: LogEnd, count: u64) -> (Append, Self) {
        let mut new = Vec::new();
        for _ in 0..count {
            let entry = entry(end.epoch, end.end.sequence + 1);
            end.end = Link { sequence: entry.cursor.sequence, hash: entry.link(&end.end.hash) };
            new.push(entry);
        }
        end.log_time = time(end.log_time.seconds() + 1);
        let append = Append {
            after: self.end.map(|end| (end.epoch, end.end)),
            entries: pack(&new),
            end,
            change: None,
            audit: None,
        };
        (append, Self { end: Some(end), entries: [&self.entries[..], &new].concat() })
    }

    /// Appends, and expects that it stands.
    pub(crate) async fn append(&mut self, store: &dyn Store, count: u64) {
        let (append, after) = self.step(count);
        assert_eq!(store.append(append).await, Ok(Appended::Done));
        *self = after;
    }

    /// The link of the entry with this number.
    pub(crate) fn link(&self, sequence: u64) -> Link {
        let up_to = self.entries.iter().filter(|entry| entry.cursor.sequence <= sequence);
        Link { sequence, hash: up_to.fold(START.hash, |hash, entry| entry.link(&hash)) }
    }
}

/// Before the first entry.
pub(crate) const START: Link = Link { sequence: 0, hash: [0; 32] };

fn entry(epoch: u64, sequence: u64) -> Entry {
    let cursor = Cursor::new(epoch, sequence);
    let mut token = [0; 16];
    token[..8].copy_from_slice(&sequence.to_be_bytes());
    Entry {
        cursor,
        recorded_at: time(1),
        expires_at: time(2),
        body: Body::Rule {
            rule: Rule::Token(TokenId::from_bytes(token)),
            reason: Reason::Operator,
            cut: cursor,
            project: None,
        },
    }
}

/// A token number `number` of a project, for organisation 1 and request `r`.
pub(crate) fn record(number: u8, project: &str) -> TokenRecord {
    TokenRecord {
        id: TokenId::from_bytes([number; 16]),
        project: id(project),
        organisation: organisation(1),
        operation: Operation::Reverse,
        approval_request: Reference::new("r").unwrap(),
        issued_at: time(10),
        expires_at: time(100),
        key: KeyId::from_bytes([3; 32]),
        holder: None,
        recorded: Cursor::ZERO,
    }
}

/// The step that records it, checked against version 1 of its project.
pub(crate) fn recording(record: TokenRecord) -> Recording {
    let checked = vec![Checked { project: record.project.clone(), version: 1 }];
    Recording { record, checked, idempotency: None, audit: None }
}

pub(crate) fn idempotency(key: u8, content: u8) -> Idempotency {
    Idempotency { key: [key; 32], content: [content; 32] }
}

/// Records, and expects that it stands at the log's end.
pub(crate) async fn keep(store: &dyn Store, recording: Recording) {
    let answer = store.record(recording).await.unwrap();
    assert!(matches!(answer, Recorded::At(_)), "{answer:?}");
}

/// A store with a log of one entry and the project `p` of organisation 1.
pub(crate) async fn ready(store: &dyn Store) -> Log {
    let mut log = Log::new();
    log.append(store, 1).await;
    store.create_project(project("p", 1, &[])).await.unwrap();
    log
}
