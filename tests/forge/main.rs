//! The whole run of mutations, in process: slices that can be taken in any order and on any day. Never part of a build.
//!
//! A slice below the number of good tokens is every mutation of one byte of that token; any other is a million seeded
//! larger ones. Each slice appends one line to the file of results; a slice that has its line is not run again.
#![expect(clippy::print_stdout, reason = "its result")]

use std::{
    collections::BTreeSet,
    fs::{self, OpenOptions},
    io::{self, Write as _},
    path::PathBuf,
    process::ExitCode,
    time::Instant,
};

use clap::Parser;
use forge::{
    judge::judged_in_its_minute,
    mutations::{Several, every},
    tally::Tally,
    variants::good_tokens,
};

#[derive(Parser)]
struct Args {
    /// The first slice.
    #[arg(long, default_value_t = 0)]
    from: usize,
    /// The slice after the last one.
    #[arg(long)]
    to: usize,
    /// Where the lines go.
    #[arg(long)]
    results: PathBuf,
}

fn main() -> io::Result<ExitCode> {
    let args = Args::parse();
    let before = fs::read_to_string(&args.results).unwrap_or_default();
    let done: BTreeSet<usize> =
        before.lines().filter_map(|line| line.split(' ').next()?.parse().ok()).collect();
    let mut results = OpenOptions::new().create(true).append(true).open(&args.results)?;
    let tokens = good_tokens();
    let bad = tokens.iter().filter(|token| judged_in_its_minute(token).is_err()).count();
    if bad > 0 {
        println!("{bad} of the good tokens are refused, so that nothing is proven by changing them");
        return Ok(ExitCode::FAILURE);
    }
    for slice in (args.from..args.to).filter(|slice| !done.contains(slice)) {
        #[expect(clippy::disallowed_methods, reason = "how long it took is told, and judges nothing")]
        let begun = Instant::now();
        let mut tally = Tally::default();
        if let Some(token) = tokens.get(slice) {
            every(token, |change, text| tally.note(text, &judged_in_its_minute(text), &change));
        } else {
            let mut several = Several::new(&tokens, slice as u64);
            while tally.tried() < 1_000_000 {
                if let Some(text) = several.next_text() {
                    tally.note(text, &judged_in_its_minute(text), &"several");
                }
            }
        }
        writeln!(results, "{slice} {tally} seconds={:.1}", begun.elapsed().as_secs_f64())?;
        if tally.accepted() > 0 {
            println!("slice {slice}: {} accepted, the first:\n{}", tally.accepted(), tally.first_accepted());
            return Ok(ExitCode::FAILURE);
        }
    }
    Ok(ExitCode::SUCCESS)
}
