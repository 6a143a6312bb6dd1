//! Measures what the services promise, on this machine, now. One line for each figure; asserts nothing.

mod calls;
mod cost;
mod floors;
mod follower;
mod report;
mod revoke;
mod stand;
mod start;

use std::process::ExitCode;

use self::stand::Failure;

/// How much is measured.
#[derive(Clone, Copy)]
struct Sizes {
    rounds: usize,
    followers: u64,
    many_followers: u64,
    many_rounds: usize,
    ids: u32,
    projects: u32,
    calls: usize,
    starts: usize,
}

const FULL: Sizes = Sizes {
    rounds: 1_000,
    followers: 100,
    many_followers: 1_000,
    many_rounds: 100,
    ids: 1_000_000,
    projects: 100_000,
    calls: 2_000,
    starts: 5,
};

/// Only to see that everything here works.
const SMALL: Sizes = Sizes {
    rounds: 2,
    followers: 3,
    many_followers: 5,
    many_rounds: 2,
    ids: 2_000,
    projects: 100,
    calls: 20,
    starts: 1,
};

const ALL: [&str; 5] = ["revoke", "many", "start", "cost", "calls"];

fn main() -> ExitCode {
    let mut chosen: Vec<String> = std::env::args().skip(1).collect();
    let small = chosen.iter().position(|word| word == "--small").map(|place| chosen.remove(place));
    let sizes = if small.is_some() { SMALL } else { FULL };
    if chosen.is_empty() {
        chosen = ALL.map(String::from).to_vec();
    }
    if !chosen.iter().all(|word| ALL.contains(&word.as_str())) {
        eprintln!("usage: bench [--small] [{}]", ALL.join("|"));
        return ExitCode::from(64);
    }
    match run(sizes, &chosen) {
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
            "revoke" => runtime.block_on(revoke::run(sizes.followers, sizes.rounds, true))?,
            "many" => modest.block_on(revoke::run(sizes.many_followers, sizes.many_rounds, false))?,
            "start" => runtime.block_on(start::run(sizes.ids, sizes.starts))?,
            "cost" => cost::run(sizes.ids, sizes.projects)?,
            _ => runtime.block_on(calls::run(sizes.calls))?,
        }
    }
    Ok(())
}
