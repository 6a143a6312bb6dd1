//! The child: steps of every kind at once, each told on standard output once the store has answered for it.

use std::{io::Write as _, path::Path, sync::Arc, time::Duration};

use common::{
    key_id::KeyId,
    organisation_id::OrganisationId,
    project::{Alphabet, Method, OutputFormat, Project, ProjectConfiguration, Treatment},
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
    adapters::store::{embedded::EmbeddedStore, seal::Seal},
    domain::{
        approval::Reference,
        draft::Checked,
        followers::{Follower, Row, Tenure},
        ledger::TokenRecord,
        order::Operation,
        ports::{
            Append, Appended, AuditMark, Idempotency, LogEnd, ProjectChange, Recorded, Recording, Store,
        },
    },
};

/// What the child says that the store has answered for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Acknowledged {
    /// The log reaches this sequence, and the project has this version.
    Append { sequence: u64, version: u64 },
    /// Everything up to this sequence is forgotten.
    Trim { base: u64 },
    /// The token of this task and number is recorded at this sequence.
    Record { round: u32, task: u32, number: u64, sequence: u64 },
    /// This row is in the register.
    Joined { instance: u64 },
    /// This row is not in the register.
    Left { instance: u64 },
}

impl Acknowledged {
    fn tell(self) {
        let line = match self {
            Self::Append { sequence, version } => format!("append {sequence} {version}\n"),
            Self::Trim { base } => format!("trim {base}\n"),
            Self::Record { round, task, number, sequence } => {
                format!("record {round} {task} {number} {sequence}\n")
            }
            Self::Joined { instance } => format!("joined {instance}\n"),
            Self::Left { instance } => format!("left {instance}\n"),
        };
        // One write for each line. It fails when nobody reads any more, and then the child ends.
        std::io::stdout().write_all(line.as_bytes()).unwrap();
    }

    pub(crate) fn parse(line: &str) -> Option<Self> {
        let mut words = line.split(' ');
        let kind = words.next()?;
        let numbers: Vec<u64> = words.map_while(|word| word.parse().ok()).collect();
        match (kind, numbers.as_slice()) {
            ("append", &[sequence, version]) => Some(Self::Append { sequence, version }),
            ("trim", &[base]) => Some(Self::Trim { base }),
            ("record", &[round, task, number, sequence]) => Some(Self::Record {
                round: u32::try_from(round).ok()?,
                task: u32::try_from(task).ok()?,
                number,
                sequence,
            }),
            ("joined", &[instance]) => Some(Self::Joined { instance }),
            ("left", &[instance]) => Some(Self::Left { instance }),
            _ => None,
        }
    }
}

/// Works until it is killed, or nobody listens.
pub(crate) fn work(path: &Path, round: u32) {
    // Behind what the test harness said on this line.
    std::io::stdout().write_all(b"\n").unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    runtime.block_on(async {
        let store = Arc::new(open(path));
        for name in [CHANGING, STILL] {
            store.create_project(project(name)).await.unwrap();
        }
        let mut tasks =
            vec![tokio::spawn(append(Arc::clone(&store))), tokio::spawn(follow(Arc::clone(&store), round))];
        tasks.extend((1..=4).map(|task| tokio::spawn(record(Arc::clone(&store), round, task))));
        for task in tasks {
            task.await.unwrap();
        }
    });
}

/// The file of the child, opened.
pub(crate) fn open(path: &Path) -> EmbeddedStore {
    EmbeddedStore::open(path, Seal::new(&[1; 32])).unwrap()
}

/// Appends one to three entries; every other time the last of them goes with a change of the project.
async fn append(store: Arc<EmbeddedStore>) {
    let mut stands = store.load().await.unwrap().end;
    let mut project = store.project(CHANGING.parse().unwrap()).await.unwrap().unwrap();
    for step in 0_u64.. {
        let after = stands.map(|end| (end.epoch, end.end));
        let start = Link { sequence: 0, hash: [0; 32] };
        let mut end =
            stands.unwrap_or(LogEnd { epoch: 1, base: start, end: start, log_time: Timestamp::EPOCH });
        let change = step.is_multiple_of(2).then(|| ProjectChange {
            expected: project.version,
            project: Project { version: project.version + 1, ..project.clone() },
        });
        let mut entries = Vec::new();
        for left in (0..=step % 3).rev() {
            let change = change.as_ref().filter(|_| left == 0);
            let entry = entry(end.end.sequence + 1, change);
            end.end = Link { sequence: entry.cursor.sequence, hash: entry.link(&end.end.hash) };
            entries.push(entry);
        }
        // The mark goes with the step too: it has the number of the last entry.
        let audit = Some(AuditMark { number: end.end.sequence, hash: end.end.hash });
        let step_of_log = Append { after, entries: pack(&entries), end, change: change.clone(), audit };
        assert_eq!(store.append(step_of_log).await, Ok(Appended::Done));
        if let Some(change) = change {
            project = change.project;
        }
        Acknowledged::Append { sequence: end.end.sequence, version: project.version }.tell();
        if step % 8 == 7 {
            let base = entries.first().map(|first| first.cursor.sequence).unwrap();
            let hash = entries[0].link(&after.unwrap().1.hash);
            store.trim(1, Link { sequence: base, hash }).await.unwrap();
            end.base = Link { sequence: base, hash };
            Acknowledged::Trim { base }.tell();
        }
        stands = Some(end);
    }
}

async fn record(store: Arc<EmbeddedStore>, round: u32, task: u32) {
    while store.load().await.unwrap().end.is_none() {
        tokio::task::yield_now().await;
    }
    for number in 1.. {
        let answer = store.record(recording(round, task, number)).await;
        let Ok(Recorded::At(cursor)) = answer else { panic!("{answer:?}") };
        Acknowledged::Record { round, task, number, sequence: cursor.sequence }.tell();
    }
}

/// Adds a row, then removes the one before.
async fn follow(store: Arc<EmbeddedStore>, round: u32) {
    for number in 1.. {
        let instance = u64::from(round) << 32 | number;
        let row = |instance| Row {
            follower: Follower { id: "verifier".to_owned(), instance },
            limits: PerType::from_fn(|_| Duration::from_secs(10)),
            tenure: Tenure { issuer: 1, session: 1 },
            acknowledged: Cursor::ZERO,
        };
        store.save_follower(row(instance)).await.unwrap();
        Acknowledged::Joined { instance }.tell();
        if number > 1 {
            let gone = row(instance - 1);
            store.remove_followers(vec![(gone.follower, Some(gone.tenure))]).await.unwrap();
            Acknowledged::Left { instance: instance - 1 }.tell();
        }
    }
}

/// The recording of a task and number, always the same.
pub(crate) fn recording(round: u32, task: u32, number: u64) -> Recording {
    let mut id = [0; 16];
    id[..4].copy_from_slice(&round.to_be_bytes());
    id[4..8].copy_from_slice(&task.to_be_bytes());
    id[8..].copy_from_slice(&number.to_be_bytes());
    let record = TokenRecord {
        id: TokenId::from_bytes(id),
        project: STILL.parse().unwrap(),
        organisation: OrganisationId::from_bytes([1; 16]),
        operation: Operation::Reverse,
        approval_request: Reference::new("request").unwrap(),
        issued_at: Timestamp::EPOCH,
        expires_at: Timestamp::from_seconds(number).unwrap(),
        key: KeyId::from_bytes([2; 32]),
        holder: None,
        recorded: Cursor::ZERO,
    };
    let mut key = [0; 32];
    key[..16].copy_from_slice(&id);
    let checked = vec![Checked { project: record.project.clone(), version: 1 }];
    Recording { record, checked, idempotency: Some(Idempotency { key, content: [3; 32] }), audit: None }
}

fn entry(sequence: u64, change: Option<&ProjectChange>) -> Entry {
    let cursor = Cursor::new(1, sequence);
    let body = Body::Rule {
        rule: Rule::Token(TokenId::from_bytes([4; 16])),
        reason: Reason::Operator,
        cut: cursor,
        project: change.map(|change| (change.project.id.clone(), change.project.version)),
    };
    Entry { cursor, recorded_at: Timestamp::EPOCH, expires_at: Timestamp::MAX, body }
}

fn project(name: &str) -> Project {
    Project {
        id: name.parse().unwrap(),
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
    }
}

/// Its version is named by the last entry that goes with a change.
pub(crate) const CHANGING: &str = "changing";
/// Tokens are recorded for it.
pub(crate) const STILL: &str = "still";
