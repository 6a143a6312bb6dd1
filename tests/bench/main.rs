//! Measures what the services promise, on this machine, now. One line for each figure; asserts nothing.

mod abuse;
mod burst;
mod calls;
mod cost;
mod floors;
mod follower;
mod guard;
mod issuing;
mod keys;
mod load;
mod overload;
mod record;
mod redis;
mod repair;
mod report;
mod revoke;
mod stand;
mod start;
mod subjects;
mod telemetry;
mod timing;
mod tokens;
mod verify;

use std::{path::PathBuf, process::ExitCode, time::Duration};

use self::{record::Records, stand::Failure};

/// How much is measured.
#[derive(Clone, Copy)]
struct Sizes {
    rounds: usize,
    followers: u64,
    many_followers: u64,
    many_rounds: usize,
    keys: usize,
    key_tokens: usize,
    ids: u32,
    burst: u32,
    bursts: usize,
    projects: u32,
    calls: usize,
    guard_rounds: usize,
    starts: usize,
    verify: verify::Sizes,
    issuing: usize,
    signatures: usize,
    abuse_turns: usize,
    abuse_span: Duration,
    idle: u32,
    overload_span: Duration,
}

const FULL: Sizes = Sizes {
    rounds: 1_000,
    followers: 100,
    many_followers: 1_000,
    many_rounds: 100,
    keys: 30,
    key_tokens: 20,
    ids: 1_000_000,
    burst: 100_000,
    bursts: 5,
    projects: 100_000,
    calls: 2_000,
    guard_rounds: 200,
    starts: 5,
    verify: verify::Sizes { rounds: 5, window: 60_000, distinct: 100_000, misses: 8_000 },
    issuing: 60,
    signatures: 100_000,
    abuse_turns: 3,
    abuse_span: Duration::from_secs(2),
    idle: 10_000,
    overload_span: Duration::from_secs(5),
};

/// Only to see that everything here works.
const SMALL: Sizes = Sizes {
    rounds: 2,
    followers: 3,
    many_followers: 5,
    many_rounds: 2,
    keys: 2,
    key_tokens: 3,
    ids: 2_000,
    burst: 2_000,
    bursts: 1,
    projects: 100,
    calls: 20,
    guard_rounds: 2,
    starts: 1,
    verify: verify::Sizes { rounds: 1, window: 256, distinct: 128, misses: 32 },
    issuing: 1,
    signatures: 200,
    abuse_turns: 1,
    abuse_span: Duration::from_millis(50),
    idle: 100,
    overload_span: Duration::from_millis(100),
};

/// To see what a change is worth.
const SHORT: Sizes = Sizes {
    rounds: 50,
    many_rounds: 10,
    many_followers: 200,
    keys: 10,
    ids: 100_000,
    bursts: 2,
    projects: 10_000,
    calls: 200,
    guard_rounds: 20,
    starts: 2,
    verify: verify::Sizes { rounds: 3, window: 30_000, distinct: 5_000, misses: 1_500 },
    issuing: 20,
    signatures: 10_000,
    abuse_turns: 1,
    abuse_span: Duration::from_secs(1),
    idle: 1_000,
    overload_span: Duration::from_secs(2),
    ..FULL
};

const ALL: [&str; 18] = [
    "verify",
    "telemetry",
    "revoke",
    "many",
    "keys",
    "start",
    "cost",
    "calls",
    "guard",
    "redis",
    "shared",
    "burst",
    "repair",
    "audit",
    "hsm",
    "timing",
    "abuse",
    "overload",
];

fn main() -> ExitCode {
    let (mut sizes, mut chosen, mut records) = (FULL, Vec::new(), Records::default());
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        match word.as_str() {
            "--small" => sizes = SMALL,
            "--short" => sizes = SHORT,
            "--record" => records.folder = words.next().map(PathBuf::from),
            "--against" => records.older = words.next().map(PathBuf::from),
            known if ALL.contains(&known) => chosen.push(word),
            _ => {
                let all = ALL.join("|");
                eprintln!("usage: bench [--small|--short] [--record FOLDER] [--against BENCH.JSON] [{all}]");
                return ExitCode::from(64);
            }
        }
    }
    if let Some(number) = std::env::var_os("BENCH_SIGNATURES").and_then(|text| text.to_str()?.parse().ok()) {
        sizes.signatures = number;
    }
    if chosen.is_empty() {
        chosen = ALL.map(String::from).to_vec();
    }
    let outcome = run(sizes, &chosen);
    // What was measured before a failure is kept too.
    let written = records.write();
    match outcome.and(written) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn lower_rank() {
    // Without it the figure is only worse.
    rustix::process::nice(19).ok();
}

fn run(sizes: Sizes, chosen: &[String]) -> Result<(), Failure> {
    // Each follower here keeps a thread for its file, as each verifier does in a process of its own.
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.enable_all().max_blocking_threads(4_096);
    let runtime = builder.build()?;
    // A thousand verifiers are never on the issuer's own machine: here they take what time it leaves them. The issuer
    // and its caller are started by this thread, which keeps its rank.
    let modest = builder.on_thread_start(lower_rank).build()?;
    report::heading();
    for word in chosen {
        match word.as_str() {
            "verify" => runtime.block_on(verify::run(sizes.verify))?,
            "telemetry" => runtime.block_on(telemetry::run(sizes.verify))?,
            "revoke" => runtime.block_on(revoke::run(sizes.followers, sizes.rounds, true))?,
            "many" => modest.block_on(revoke::run(sizes.many_followers, sizes.many_rounds, false))?,
            "keys" => runtime.block_on(keys::run(sizes.followers, sizes.keys, sizes.key_tokens))?,
            "start" => runtime.block_on(start::run(sizes.ids, sizes.starts))?,
            "guard" => runtime.block_on(guard::run(sizes.guard_rounds))?,
            "abuse" => {
                let abuse = abuse::run(modest.handle(), sizes.abuse_turns, sizes.abuse_span, sizes.idle);
                runtime.block_on(abuse)?;
            }
            "overload" => runtime.block_on(overload::run(modest.handle(), sizes.overload_span))?,
            "cost" => cost::run(sizes.ids, sizes.projects)?,
            "audit" => runtime.block_on(issuing::audit(sizes.issuing))?,
            "hsm" => runtime.block_on(issuing::hardware(sizes.issuing))?,
            "timing" => timing::run(sizes.signatures)?,
            "redis" => runtime.block_on(redis::run(sizes.calls))?,
            "shared" => runtime.block_on(revoke::over_redis(sizes.followers, sizes.rounds))?,
            "burst" => modest.block_on(burst::run(sizes.burst, sizes.bursts))?,
            "repair" => runtime.block_on(repair::run(sizes.ids))?,
            _ => runtime.block_on(calls::run(sizes.calls))?,
        }
    }
    Ok(())
}
