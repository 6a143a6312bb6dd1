//! What many callers were answered while processes die and Redis fails over, written down with one clock and judged
//! afterwards (RELIABILITY, I1 to I4). Everything is a real process.

#[cfg(test)]
mod callers;
#[cfg(test)]
mod faults;
#[cfg(test)]
use harness::ports;
#[cfg(test)]
mod record;
#[cfg(test)]
#[expect(dead_code, reason = "the issuer's tests use more of it")]
#[path = "../../issuer/tests/contract/server.rs"]
mod server;
#[cfg(test)]
#[expect(dead_code, reason = "the issuer's tests use more of it")]
#[path = "../../issuer/tests/servers/mod.rs"]
mod servers;
#[cfg(test)]
mod world;

/// `HISTORY_FAULTS` asks for more faults than one of each kind, `HISTORY_SEED` for others.
#[cfg(test)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_history_of_kills_and_failovers_breaks_what_was_promised() {
    use common::clock::{Clock as _, SystemClock};

    use crate::{callers::Callers, faults::Nemesis, record::check, world::World};

    let variable = |name: &str, otherwise: u64| {
        std::env::var_os(name).map_or(otherwise, |text| text.to_str().unwrap().parse().unwrap())
    };
    let (faults, seed) = (variable("HISTORY_FAULTS", faults::KINDS), variable("HISTORY_SEED", 1));
    let begun = SystemClock.now().boot;
    let world = World::start().await;
    println!("all run after {:?}", SystemClock.now().boot.since(begun));
    let callers = Callers::start(&world, seed);
    let world = tokio::task::spawn_blocking(move || Nemesis::new(world, seed).strike(faults)).await.unwrap();
    println!("the faults are over after {:?}", SystemClock.now().boot.since(begun));
    let record = callers.stop(&world).await;
    let tally = record.tally();
    println!("{faults} faults, HISTORY_SEED={seed}: {tally:?}");
    let broken = check(&record.events, world::LIMIT);
    assert!(broken.is_empty(), "HISTORY_SEED={seed}: {} times, first {:#?}", broken.len(), &broken[..1]);
    // A history in which nothing happens breaks nothing.
    assert!(
        tally.revoked > 10 && tally.visible > 10 && tally.accepted > 100 && tally.refused > 100,
        "{tally:?}"
    );
}
