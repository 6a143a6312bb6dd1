//! One run of a seed, and its end: with every fault gone, everything must be as it should.

use std::sync::atomic::Ordering;

use common::clock::Clock as _;

use crate::{
    machine::Machine,
    users::at_once,
    wire::Cable,
    world::{Broken, Halt, World},
};

impl World {
    /// Nothing stands in the way any more: then everything must be as it should.
    pub(crate) fn heal(&mut self) -> Result<(), Broken> {
        self.note(format_args!("healed"));
        // A loss that an issuer with its own store has not noticed yet, or that came while an answer was on its way.
        self.mending |= !self.is_whole();
        self.wire.lock().unwrap().unruly = 0;
        self.agree_on_time();
        for n in 0..self.issuers.len() {
            for v in 0..self.verifiers.len() {
                *self.wire.lock().unwrap().cable(v, n) = Cable::default();
            }
            self.link(n).cut.store(false, Ordering::Relaxed);
            self.link(n).slow.store(0, Ordering::Relaxed);
            self.issuers[n].plan.trail.full.store(false, Ordering::Relaxed);
            self.issuers[n].halt = Halt::No;
            // What an unruly network lost of a stream is missing there for good.
            self.hang_up(n, true);
            if self.issuers[n].process.is_none() || (self.mending && !self.shared) {
                self.kill_issuer(n, true);
                self.start_issuer(n);
            }
        }
        for v in 0..self.verifiers.len() {
            self.verifiers[v].home.full.store(false, Ordering::Relaxed);
            self.verifiers[v].halt = Halt::No;
            if self.verifiers[v].process.is_none() {
                self.start_verifier(v);
            }
            self.with(v, |process| {
                process.stalled = false;
                Vec::new()
            });
        }
        self.wait(2_000, 2_000)?;
        // Whoever has just started may know of a later log time.
        self.agree_on_time();
        self.wait(45_000, 45_000)?;
        self.ask()?;
        self.is_well()
    }

    /// Every calendar says the same, and no earlier than anybody was told.
    fn agree_on_time(&self) {
        let latest = self.machines().map(Machine::wall).max().unwrap_or(0);
        let told = at_once(issuer::domain::ports::Store::load(&*self.store)).end;
        let told = told.map_or(0, |end| i64::try_from(end.log_time.seconds()).unwrap() * 1_000);
        let shown = self.verifiers.iter().filter_map(|verifier| verifier.process.as_ref());
        let shown =
            shown.map(|process| i64::try_from(process.view().log.log_time().seconds()).unwrap() * 1_000);
        let said = self.issuers.iter().filter_map(|issuer| {
            let realm = issuer.slot.lock().unwrap();
            let stated = realm.as_ref()?.log.published().head.statement().log_time;
            Some(i64::try_from(stated.seconds()).unwrap() * 1_000)
        });
        let latest = shown.chain(said).chain([latest, told]).max().unwrap_or(0) + 1_000;
        self.machines().chain([&self.time]).for_each(|machine| machine.set_wall(latest));
    }

    fn is_well(&mut self) -> Result<(), Broken> {
        if !self.is_whole() {
            return Err("the log was not mended".to_owned());
        }
        let issuer = self.serving(0).map(|realm| realm.log.published().log.cursor());
        for (v, verifier) in self.verifiers.iter().enumerate().filter(|(_, verifier)| !verifier.old) {
            let Some(process) = &verifier.process else { continue };
            let (view, now) = (process.view(), verifier.home.machine.now());
            let fresh = view.age(&now).is_some_and(|age| age.as_secs() < 3);
            if Some(view.log.cursor()) != issuer || !fresh {
                let at = (view.log.cursor(), view.age(&now), &process.alarms);
                return Err(format!("verifier {v} is at {at:?}, the issuers at {issuer:?}"));
            }
        }
        let given = self.history.tokens.len();
        // Twice: the store may have lost the project.
        for _ in 0..3 {
            self.order(0);
            self.pass(100)?;
        }
        if self.history.tokens.len() == given {
            return Err("no token is issued".to_owned());
        }
        for v in 0..self.verifiers.len() {
            if !self.verify(v, given)? && !self.verifiers[v].old {
                return Err(format!("verifier {v} does not accept a good token"));
            }
        }
        Ok(())
    }
}

/// One run of a seed.
pub(crate) fn run(seed: u64, aloud: bool) -> (Result<(), Broken>, Box<World>) {
    let mut world = Box::new(World::new(seed, aloud));
    let outcome = (|| {
        // The beginning: a project, and everybody has shown of everything.
        world.order(0);
        world.wait(1_500, 1_500)?;
        let steps = world.dice.between(60, 140);
        for _ in 0..steps {
            world.step()?;
        }
        world.heal()
    })();
    world.history.tally.seconds = world.now() / 1_000;
    (outcome, world)
}
