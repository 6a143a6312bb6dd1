//! Who kills processes and loses masters, one after another, and brings each back. Judges nothing.

use std::{sync::atomic::Ordering, thread::sleep, time::Duration};

use common::clock::{Clock as _, SystemClock};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use rustix::process::{Pid, Signal, kill_process};
use tokio::runtime::Handle;

use crate::{
    servers::{sentinel::as_store, until},
    world::{LIMIT, VERIFIERS, World},
};

/// On a thread of its own: Redis is waited for without a runtime.
pub(crate) struct Nemesis {
    world: World,
    random: StdRng,
}

impl Nemesis {
    pub(crate) fn new(world: World, seed: u64) -> Self {
        Self { world, random: StdRng::seed_from_u64(seed) }
    }

    /// So many faults: first one of each kind, then any.
    pub(crate) fn strike(mut self, faults: u64) -> World {
        for fault in 0..faults {
            sleep(Duration::from_millis(self.random.random_range(300..900)));
            let kind = if fault < KINDS { fault } else { self.random.random_range(0..KINDS) };
            let begun = SystemClock.now().boot;
            match kind {
                0 => self.kill_verifier(),
                1 => self.kill_issuer(),
                2 => self.freeze_verifier(),
                3 => self.kill_redis(),
                _ => self.fail_over(),
            }
            println!("fault {fault}: kind {kind}, over after {:?}", SystemClock.now().boot.since(begun));
        }
        sleep(Duration::from_millis(500));
        self.world
    }

    /// Its port is kept, so that callers come back.
    fn kill_verifier(&mut self) {
        let number = self.random.random_range(0..VERIFIERS);
        let verifier = &mut self.world.verifiers[number];
        verifier.kill();
        self.world.starts[number].fetch_add(1, Ordering::SeqCst);
        Handle::current().block_on(verifier.start());
    }

    fn kill_issuer(&mut self) {
        let number = self.random.random_range(0..self.world.issuers.len());
        let issuer = &mut self.world.issuers[number];
        issuer.kill();
        sleep(Duration::from_millis(self.random.random_range(0..500)));
        Handle::current().block_on(issuer.start());
    }

    /// It sleeps until its lease has run out.
    fn freeze_verifier(&mut self) {
        let number = self.random.random_range(0..VERIFIERS);
        let id = self.world.verifiers[number].id().unwrap();
        let process = Pid::from_raw(id.try_into().unwrap()).unwrap();
        kill_process(process, Signal::STOP).unwrap();
        sleep(LIMIT + Duration::from_millis(500));
        kill_process(process, Signal::CONT).unwrap();
    }

    /// The master is back before it is missed, or it is not.
    fn kill_redis(&mut self) {
        let master = self.world.redis.master();
        let server = &mut self.world.redis.servers[master].0;
        server.kill();
        sleep(Duration::from_millis(self.random.random_range(0..300)));
        server.start_again();
        until("there is a majority again", || {
            let (server, _) = &self.world.redis.servers[self.world.redis.master()];
            let told = server.tell(&as_store("INFO replication"));
            told.contains("role:master") && told.contains("state=online")
        });
    }

    /// The master is killed, frozen or cut off until another is promoted, and comes back then.
    fn fail_over(&mut self) {
        let redis = &mut self.world.redis;
        let master = redis.master();
        let way = self.random.random_range(0..3);
        match way {
            0 => redis.servers[master].0.kill(),
            1 => redis.servers[master].0.freeze(),
            _ => redis.cut(master),
        }
        redis.promoted(master);
        sleep(Duration::from_millis(self.random.random_range(0..500)));
        match way {
            0 => redis.servers[master].0.start_again(),
            1 => redis.servers[master].0.thaw(),
            _ => redis.heal(master),
        }
        // Two of three are enough to go on; a run that ends here does not wait for the third.
        sleep(Duration::from_secs(2));
    }
}

pub(crate) const KINDS: u64 = 5;
