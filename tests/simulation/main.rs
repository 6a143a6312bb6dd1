//! Issuers, verifiers, their store and the network between them in one thread, whose every step a seed decides.
//!
//! What runs is the program's own: the use cases, log writer, feed, register and mending of the issuer; the session, keeper,
//! snapshot file and verdicts of the verifier; the log, heads and leases of both. What is not: sockets, threads, the store
//! (one in memory that keeps the contract, and loses what it held when the simulation says so), the disk of the trail, and
//! the private half of the RSA keys.
//!
//! **Failure**, checked whenever anything happened, in true time:
//! - I1: a verification that starts after `AwaitVisibility` said *reached* accepts what was revoked;
//! - I2: one that starts later than the type's limit after `Revoke` answered accepts it;
//! - I3: a running verifier accepts what it refused as revoked; or so does its successor, once that is in the file;
//! - I4: the position that a running verifier shows goes back;
//! - I5: a token was given out, or a revocation acknowledged by an issuer whose trail has room, and no trail says so;
//! - I6: a token is accepted that has expired by the verifier's clock or the log's, or was issued in the future;
//! - an entry of an unknown kind is passed over; a file that no fault touched is refused; a trail has gaps;
//! - in the end, with every fault gone: the log is not whole, a verifier is not up to date within 45 s, a good token is not
//!   accepted, or a revoked one is.
//!
//! **No failure**: that anything is refused, undecided, stopped or slow while something is broken. That a call whose
//! answer got lost was done or not done. That what was revoked is accepted within its type's limit, or, if the store lost it
//! meanwhile, within that limit after the log was whole again (`effective_by` counts on the store). That a killed verifier
//! forgets what it had not acknowledged. What every holder loses at once is not simulated: when several issuers share a store
//! that loses entries, all of them run, reach it and have seen its end, until each is whole again; one issuer with its own store
//! may be killed at any time, because its trail holds everything, unless that was full. Neither is a verifier's file that somebody sets back: that is noticed by
//! the file system's own time.
//!
//! `IPMS_SIM_SEEDS` runs more of them, `IPMS_SIM_FIRST` others.
#![cfg(test)]
#![expect(clippy::wildcard_enum_match_arm, reason = "a simulation that cannot go on must fail its test")]

mod executor;
mod faults;
mod following;
mod healing;
mod history;
mod issuing;
mod journal;
mod looking;
mod machine;
mod quick_key;
mod store;
mod users;
mod wire;
mod world;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use crate::{healing::run, history::Tally};

#[test]
fn i1_to_i6_hold_whatever_happens_to_issuers_verifiers_store_and_network() {
    let (first, seeds) = (setting("IPMS_SIM_FIRST", 0), setting("IPMS_SIM_SEEDS", SEEDS));
    let (next, sum, found) = (AtomicU64::new(first), Mutex::new(Tally::default()), Mutex::new(Vec::new()));
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= first + seeds {
                return;
            }
            match catch_unwind(AssertUnwindSafe(|| run(seed, seeds == 1))) {
                Ok((outcome, world)) => {
                    sum.lock().unwrap().add(&world.history.tally);
                    if let Err(broken) = outcome {
                        if seeds == 1 {
                            world.tell_of_logs();
                        }
                        found.lock().unwrap().push((seed, broken));
                    }
                }
                Err(_said_already) => found.lock().unwrap().push((seed, "a panic".to_owned())),
            }
        }
    };
    std::thread::scope(|scope| {
        let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        (0..threads).for_each(|_| drop(scope.spawn(work)));
    });
    let mut found = found.into_inner().unwrap();
    found.sort_unstable();
    let mut sum = sum.into_inner().unwrap();
    println!("{seeds} seeds: {sum:?}");
    for (seed, broken) in found.iter().take(20) {
        println!("seed {seed}: {broken}\n  IPMS_SIM_FIRST={seed} IPMS_SIM_SEEDS=1 {COMMAND}");
    }
    assert_eq!(found.len(), 0, "seeds that broke a promise");
    if seeds >= 100 {
        // A simulation in which nothing happens finds nothing.
        sum.each().into_iter().for_each(|(name, count)| assert!(*count > 0, "{name} never happened"));
    }
}

#[test]
fn a_seed_tells_the_same_story_whenever_it_is_run() {
    for seed in 0..20 {
        let ((one, first), (other, second)) = (run(seed, false), run(seed, false));
        assert_eq!((one, first.trace()), (other, second.trace()), "seed {seed}");
        let ((), another) = ((), run(seed + 1_000, false).1);
        assert_ne!(first.trace(), another.trace(), "the trace says something of what happened");
    }
}

/// A knob of this test.
fn setting(name: &str, otherwise: u64) -> u64 {
    #[expect(clippy::disallowed_methods, reason = "a test's own knob")]
    std::env::var(name).map_or(otherwise, |text| text.parse().unwrap())
}

const COMMAND: &str = "cargo nextest run --workspace --test simulation --no-capture -E 'test(i1_to_i6)'";
const SEEDS: u64 = 2_000;
