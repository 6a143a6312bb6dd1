//! Two adapters, one sequence of steps: they answer the same. What the answers should be is said elsewhere.

use common::{revocation::cursor::Cursor, token::Limits};
use issuer::{
    adapters::store::memory::MemoryStore,
    domain::{
        approval::Reference,
        draft::Checked,
        followers::Row,
        ledger::TokenRecord,
        policy_record::PolicyRecord,
        ports::{Append, Appended, AuditMark, Recording, Store, TokensOf},
        rounds::{Entry, Round, Rounded},
    },
};
use proptest::prelude::*;

use crate::{
    register::round,
    samples::{Folder, Log, change, id, idempotency, organisation, project, record, recording, row, time},
    server::RedisServer,
};

/// One step, in small numbers so that steps meet.
#[derive(Clone, Debug)]
enum Step {
    Create { name: u8, owner: u8, collaborator: u8 },
    Append { count: u64, elsewhere: bool, change: Option<(u8, u64, u8)>, mark: Option<u64> },
    NewEpoch { count: u64 },
    Trim { epoch: u64, sequence: u64 },
    Record { number: u8, name: u8, version: u64, key: Option<(u8, u8)>, expiry: u64, mark: Option<u64> },
    Forget { before: u64, most: usize },
    Policy { version: u64 },
    Join { instance: u64, seconds: u64 },
    Leave { instances: Vec<u64> },
    Round { issuer: u64, number: u64, entry: Entry, acknowledges: Vec<u64>, known: Option<u64> },
    Expel { issuer: u64, number: Option<u64> },
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    let name = 0..3_u8;
    let mark = || prop::option::of(1..4_u64);
    prop_oneof![
        2 => (name.clone(), 1..3_u8, 1..4_u8)
            .prop_map(|(name, owner, collaborator)| Step::Create { name, owner, collaborator }),
        6 => (0..4_u64, prop::bool::weighted(0.1), prop::option::of((name.clone(), 1..3_u64, 1..4_u8)), mark())
            .prop_map(|(count, elsewhere, change, mark)| Step::Append { count, elsewhere, change, mark }),
        1 => (0..4_u64).prop_map(|count| Step::NewEpoch { count }),
        3 => (1..3_u64, 0..12_u64).prop_map(|(epoch, sequence)| Step::Trim { epoch, sequence }),
        6 => (0..8_u8, name, 1..3_u64, prop::option::of((0..4_u8, 0..2_u8)), 1..5_u64, mark()).prop_map(
            |(number, name, version, key, expiry, mark)| Step::Record { number, name, version, key, expiry, mark }
        ),
        1 => (1..6_u64, 0..4_usize).prop_map(|(before, most)| Step::Forget { before, most }),
        1 => (0..5_u64).prop_map(|version| Step::Policy { version }),
        1 => (0..4_u64, 0..3_u64).prop_map(|(instance, seconds)| Step::Join { instance, seconds }),
        1 => prop::collection::vec(0..4_u64, 0..3).prop_map(|instances| Step::Leave { instances }),
        3 => (5..7_u64, 1..5_u64, entry(), prop::collection::vec(0..4_u64, 0..3), prop::option::of(0..6_u64)).prop_map(
            |(issuer, number, entry, acknowledges, known)| Step::Round { issuer, number, entry, acknowledges, known }
        ),
        1 => (5..7_u64, prop::option::of(1..5_u64)).prop_map(|(issuer, number)| Step::Expel { issuer, number }),
        1 => Just(Step::Reopen),
    ]
}

fn entry() -> impl Strategy<Value = Entry> {
    prop_oneof![(1..5_u64).prop_map(Entry::Stands), Just(Entry::New), Just(Entry::AfterLoss)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_sequence_of_steps_has_the_same_answers_in_a_file_and_in_memory(
        steps in prop::collection::vec(step(), 1..40),
    ) {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
            let folder = Folder::new();
            let (memory, mut file) = (MemoryStore::default(), Some(folder.open()));
            let mut log = Log::new();
            for step in steps {
                if let Step::Reopen = step {
                    file = None;
                }
                let file = file.get_or_insert_with(|| folder.open());
                let mut after = log.clone();
                let said = take(&memory, &step, &mut after).await;
                assert_eq!(take(file, &step, &mut log).await, said, "{step:?}");
                assert_eq!(seen(file).await, seen(&memory).await, "after {step:?}");
            }
        });
    }

    #[test]
    fn a_sequence_of_steps_has_the_same_answers_in_redis_and_in_memory(
        steps in prop::collection::vec(step(), 1..40),
    ) {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
            let server = RedisServer::start();
            let (memory, mut redis) = (MemoryStore::default(), server.open().await);
            let mut log = Log::new();
            for step in steps {
                if let Step::Reopen = step {
                    redis = server.open().await;
                }
                let mut after = log.clone();
                let said = take(&memory, &step, &mut after).await;
                assert_eq!(take(&redis, &step, &mut log).await, said, "{step:?}");
                assert_eq!(seen(&redis).await, seen(&memory).await, "after {step:?}");
            }
        });
    }
}

/// Takes the step and says what was answered.
async fn take(store: &dyn Store, step: &Step, log: &mut Log) -> String {
    match step.clone() {
        Step::Create { name, owner, collaborator } => {
            format!("{:?}", store.create_project(project(&named(name), owner, &[collaborator])).await)
        }
        Step::Append { count, elsewhere, change: asked, mark: number } => {
            let (append, after) = log.step(count);
            let change = asked.map(|(name, version, collaborator)| {
                let stands = common::project::Project { version, ..project(&named(name), 1, &[]) };
                change(&stands, &[collaborator])
            });
            let after_that = if elsewhere { Some((9, append.end.end)) } else { append.after };
            append_and_follow(
                store,
                Append { after: after_that, change, audit: mark(number), ..append },
                log,
                after,
            )
            .await
        }
        Step::NewEpoch { count } => {
            let (append, after) = log.next_epoch(count);
            append_and_follow(store, append, log, after).await
        }
        Step::Trim { epoch, sequence } => format!("{:?}", store.trim(epoch, log.link(sequence)).await),
        Step::Record { number, name, version, key, expiry, mark: line } => {
            let record = TokenRecord {
                organisation: organisation(1 + number % 2),
                approval_request: Reference::new(if number < 4 { "r" } else { "r 2" }).unwrap(),
                expires_at: time(expiry),
                ..record(number, &named(name))
            };
            let asked = Recording {
                checked: vec![Checked { project: id(&named(name)), version }],
                idempotency: key.map(|(key, content)| idempotency(key, content)),
                audit: mark(line),
                ..recording(record)
            };
            format!("{:?}", store.record(asked).await)
        }
        Step::Forget { before, most } => format!("{:?}", store.forget_tokens(time(before), most).await),
        Step::Policy { version } => {
            let record = PolicyRecord { version, ..PolicyRecord::first(Limits::default()) };
            format!("{:?}", store.save_policy(record).await)
        }
        Step::Join { instance, seconds } => {
            format!("{:?}", store.save_follower(row("verifier", instance, seconds, seconds)).await)
        }
        Step::Leave { instances } => {
            let rows = instances.into_iter().map(|instance| row("verifier", instance, 1, 1));
            let rows = rows.map(|row| (row.follower, Some(row.tenure))).collect();
            format!("{:?}", store.remove_followers(rows).await)
        }
        Step::Round { issuer, number, entry, acknowledges, known } => {
            let seen = |instance| Row { acknowledged: Cursor::new(1, 2), ..row("verifier", instance, 1, 1) };
            let acknowledged = acknowledges.into_iter().map(seen).collect();
            let shown = store.round(Round { acknowledged, known, ..round(issuer, number, entry) }).await;
            // A server has a name of its own.
            format!("{:?}", shown.map(|shown| Rounded { server: String::new(), ..shown }))
        }
        Step::Expel { issuer, number } => format!("{:?}", store.expel(issuer, number).await),
        Step::Reopen => String::new(),
    }
}

async fn append_and_follow(store: &dyn Store, append: Append, log: &mut Log, after: Log) -> String {
    let answer = store.append(append).await;
    if answer == Ok(Appended::Done) {
        *log = after;
    }
    format!("{answer:?}")
}

/// Everything that a store shows.
async fn seen(store: &dyn Store) -> Vec<String> {
    let mut seen = vec![format!("{:?}", store.load().await)];
    for number in 0..8 {
        seen.push(format!("{:?}", store.token(record(number, "p").id).await));
    }
    for (of, after) in
        [(None, None), (Some(1), None), (Some(2), Some(id("p0"))), (Some(3), None), (None, Some(id("p1")))]
    {
        for most in [2, 9] {
            seen.push(format!("{:?}", store.projects(of.map(organisation), after.clone(), most).await));
        }
    }
    for of in [
        TokensOf::Everyone,
        TokensOf::Project(id("p1")),
        TokensOf::Organisation(organisation(1)),
        TokensOf::Request(Reference::new("r 2").unwrap()),
    ] {
        for (before, most) in [(None, 9), (Some(4), 2)] {
            seen.push(format!("{:?}", store.tokens(of.clone(), before, most).await));
        }
    }
    seen
}

fn named(name: u8) -> String {
    format!("p{name}")
}

fn mark(number: Option<u64>) -> Option<AuditMark> {
    number.map(|number| AuditMark { number, hash: [1; 32] })
}
