//! Issuers, verifiers, a store and the network between them, and one way for time to pass. What happens to them is in
//! `faults`, what is seen of them in `looking`.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use issuer::{
    adapters::store::memory::{Image, MemoryStore},
    application::{follow::Hello, realm::Realm},
    domain::followers::Follower,
};
use tempfile::TempDir;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use verifier::domain::{feed::Said, session::Input};

use crate::{
    executor::{Executor, Owner},
    following::{Home, Process, Wish},
    history::History,
    issuing::{Heard, Plan, REALM, Slot, carry, live},
    journal::Trail,
    machine::{Dice, Machine},
    store::{Link, Remote},
    users::Told,
    wire::{Mouth, Parcel, Wire},
};

/// Everything that there is in one run.
pub(crate) struct World {
    pub(crate) dice: Dice,
    pub(crate) tasks: Executor,
    /// True time.
    pub(crate) time: Machine,
    pub(crate) wire: Arc<Mutex<Wire>>,
    pub(crate) store: Arc<MemoryStore>,
    pub(crate) shared: bool,
    pub(crate) image: Option<Image>,
    pub(crate) issuers: Vec<Issuing>,
    pub(crate) verifiers: Vec<Verifying>,
    pub(crate) history: History,
    pub(crate) told: Told,
    /// The store lost something, and not every issuer is whole again.
    pub(crate) mending: bool,
    streams: BTreeMap<u64, Stream>,
    processes: u32,
    trace: u64,
    aloud: bool,
    /// Gone with the world.
    _folder: TempDir,
}

pub(crate) struct Issuing {
    pub(crate) plan: Plan,
    pub(crate) slot: Slot,
    pub(crate) process: Option<Owner>,
    pub(crate) halt: Halt,
}

pub(crate) struct Verifying {
    pub(crate) home: Home,
    pub(crate) process: Option<Process>,
    pub(crate) halt: Halt,
    /// Knows no entry of this build.
    pub(crate) old: bool,
    pub(crate) stream: Option<u64>,
    /// Connects again from then on.
    pub(crate) again: u64,
    /// What arrived while it was stopped.
    inbox: Vec<(u64, Parcel)>,
}

/// Why a process does not run although it is there.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum Halt {
    /// It runs.
    #[default]
    No,
    /// SIGSTOP.
    Stopped,
    /// Its machine is suspended.
    Asleep,
}

struct Stream {
    verifier: usize,
    instance: u64,
    replaces: Option<u64>,
    old: bool,
    issuer: usize,
    to_issuer: Option<(Owner, UnboundedSender<Heard>)>,
}

/// A promise was broken.
pub(crate) type Broken = String;

impl World {
    pub(crate) fn new(seed: u64, aloud: bool) -> Self {
        let dice = Dice::new(seed);
        let shared = dice.percent(60);
        let store = if shared { MemoryStore::of_many_issuers() } else { MemoryStore::default() };
        let (store, time) = (Arc::new(store), Machine::new(0));
        let unruly = if dice.percent(30) { 2 } else { 0 };
        let wire = Arc::new(Mutex::new(Wire::new(dice.clone(), unruly)));
        let folder = room();
        let issuers = (0..if shared { 2 } else { 1 }).map(|n| {
            let (world, link) = (time.clone(), Arc::<Link>::default());
            let machine = Machine::new(7_654_321 * (n + 1));
            let (store, home) = (Arc::clone(&store), machine.clone());
            let store = Remote { store, world, home, dice: dice.clone(), link };
            let plan = Plan { machine, store, trail: Arc::<Trail>::default(), dice: dice.clone() };
            Issuing { plan, slot: Slot::default(), process: None, halt: Halt::No }
        });
        let issuers = issuers.collect();
        let verifiers = (0..dice.between(1, 3)).map(|n| {
            let file = dice.percent(70).then(|| folder.path().join(format!("view-{n}")));
            let (full, synced) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
            let home = Home { machine: Machine::new(99_000_000 + n * 1_234_567), file, full, synced };
            let old = dice.percent(4);
            let inbox = Vec::new();
            Verifying { home, process: None, halt: Halt::No, old, stream: None, again: 0, inbox }
        });
        let verifiers = verifiers.collect();
        let mut world = Self {
            dice,
            tasks: Executor::default(),
            time,
            wire,
            store,
            shared,
            image: None,
            issuers,
            verifiers,
            history: History::default(),
            told: Told::default(),
            mending: false,
            streams: BTreeMap::new(),
            processes: 0,
            trace: 0xcbf2_9ce4_8422_2325,
            aloud,
            _folder: folder,
        };
        (0..world.issuers.len()).for_each(|n| world.start_issuer(n));
        (0..world.verifiers.len()).for_each(|n| world.start_verifier(n));
        world
    }

    pub(crate) fn now(&self) -> u64 {
        self.time.awake()
    }

    /// What must be the same whenever the seed is.
    pub(crate) fn note(&mut self, what: fmt::Arguments<'_>) {
        let text = format!("{:>7} {what}", self.now());
        if self.aloud {
            eprintln!("{text}");
        }
        for byte in text.bytes() {
            self.trace = (self.trace ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
        }
    }

    pub(crate) const fn trace(&self) -> u64 {
        self.trace
    }

    /// The realm of an issuer that serves and is not stopped.
    pub(crate) fn serving(&self, n: usize) -> Option<Arc<Realm>> {
        let issuer = &self.issuers[n];
        issuer.slot.lock().unwrap().clone().filter(|_| issuer.halt == Halt::No)
    }

    pub(crate) fn start_issuer(&mut self, n: usize) {
        self.processes += 1;
        let owner = self.processes;
        let issuer = &mut self.issuers[n];
        issuer.process = Some(owner);
        issuer.slot = Slot::default();
        // A number that no other process has: odd, as every real one is.
        let number = u64::from(owner) * 2 + 1;
        self.tasks.spawn(owner, live(issuer.plan.clone(), number, Arc::clone(&issuer.slot)));
    }

    pub(crate) fn kill_issuer(&mut self, n: usize, told: bool) {
        let issuer = &mut self.issuers[n];
        issuer.slot = Slot::default();
        issuer.halt = Halt::No;
        let Some(owner) = issuer.process.take() else { return };
        self.tasks.kill(owner);
        // The dead machine of a killed process tells nobody; the kernel of a living one does.
        self.hang_up(n, told);
    }

    /// Every stream of an issuer ends.
    pub(crate) fn hang_up(&mut self, n: usize, told: bool) {
        for (id, stream) in &mut self.streams {
            if stream.issuer == n && stream.to_issuer.take().is_some() && told {
                self.wire.lock().unwrap().send(*id, &Parcel::CloseVerifier);
            }
        }
    }

    pub(crate) fn start_verifier(&mut self, v: usize) {
        self.processes += 1;
        let process = Process::start(&self.verifiers[v].home, u64::from(self.processes));
        self.note(format_args!("verifier {v} starts at {}", process.view().log.cursor()));
        let again = self.now();
        let verifier = &mut self.verifiers[v];
        (verifier.process, verifier.again, verifier.halt) = (Some(process), again, Halt::No);
    }

    pub(crate) fn kill_verifier(&mut self, v: usize) {
        let verifier = &mut self.verifiers[v];
        (verifier.process, verifier.halt) = (None, Halt::No);
        verifier.inbox.clear();
        if let Some(stream) = verifier.stream.take() {
            self.wire.lock().unwrap().send(stream, &Parcel::CloseIssuer);
        }
    }

    /// Time passes: at most `ms`, and then everybody does what there is to do.
    pub(crate) fn pass(&mut self, ms: u64) -> Result<(), Broken> {
        self.wire.lock().unwrap().passes(ms);
        self.time.passes(ms);
        let issuers = self.issuers.iter().map(|issuer| (&issuer.plan.machine, issuer.halt));
        let verifiers = self.verifiers.iter().map(|verifier| (&verifier.home.machine, verifier.halt));
        for (machine, halt) in issuers.chain(verifiers) {
            if halt == Halt::Asleep { machine.suspended(ms) } else { machine.passes(ms) }
        }
        for v in 0..self.verifiers.len() {
            if self.verifiers[v].halt == Halt::No && self.verifiers[v].process.is_some() {
                for (stream, parcel) in std::mem::take(&mut self.verifiers[v].inbox) {
                    self.hears(v, stream, parcel);
                }
                self.with(v, |process| process.hear(Input::Tick));
                if self.verifiers[v].stream.is_none() && self.verifiers[v].again <= self.now() {
                    self.connect(v);
                }
            }
        }
        self.settle()
    }

    fn connect(&mut self, v: usize) {
        let issuer = self.dice.index(self.issuers.len());
        let id = self.wire.lock().unwrap().open(v, issuer);
        self.note(format_args!("verifier {v} calls issuer {issuer}"));
        let verifier = &mut self.verifiers[v];
        let Some(process) = &verifier.process else { return };
        verifier.stream = Some(id);
        let (instance, replaces, old) = (process.instance, process.replaces, verifier.old);
        self.streams.insert(id, Stream { verifier: v, instance, replaces, old, issuer, to_issuer: None });
        self.with(v, |process| process.hear(Input::Connected));
    }

    /// A verifier does something, and what it wishes is done.
    pub(crate) fn with(&mut self, v: usize, what: impl FnOnce(&mut Process) -> Vec<Wish>) {
        let Some(process) = &mut self.verifiers[v].process else { return };
        for wish in what(process) {
            let Some(stream) = self.verifiers[v].stream else { continue };
            match wish {
                Wish::Say(said) => {
                    self.wire.lock().unwrap().send(stream, &Parcel::ToIssuer(Heard::Said(said)));
                }
                Wish::Leave(why) => {
                    self.note(format_args!("verifier {v} leaves: {why}"));
                    self.wire.lock().unwrap().send(stream, &Parcel::CloseIssuer);
                    self.lose_stream(v);
                }
            }
        }
    }

    fn lose_stream(&mut self, v: usize) {
        self.note(format_args!("verifier {v} is without a stream"));
        let again = self.now() + self.dice.between(100, 1_500);
        let verifier = &mut self.verifiers[v];
        (verifier.stream, verifier.again) = (None, again);
        self.with(v, |process| process.hear(Input::Disconnected));
    }

    fn hears(&mut self, v: usize, stream: u64, parcel: Parcel) {
        if self.verifiers[v].stream != Some(stream) {
            return;
        }
        if self.verifiers[v].halt != Halt::No {
            self.verifiers[v].inbox.push((stream, parcel));
            return;
        }
        match parcel {
            Parcel::ToVerifier(input) => self.with(v, |process| process.hear(input)),
            Parcel::CloseVerifier => self.lose_stream(v),
            Parcel::ToIssuer(_) | Parcel::CloseIssuer => {}
        }
    }

    /// Whatever has arrived is heard, and everybody works until nobody has anything to do.
    pub(crate) fn settle(&mut self) -> Result<(), Broken> {
        loop {
            let stopped: Vec<Owner> = self
                .issuers
                .iter()
                .filter(|issuer| issuer.halt != Halt::No)
                .filter_map(|issuer| issuer.process)
                .collect();
            self.tasks.run(|owner| stopped.contains(&owner));
            let arrived = self.wire.lock().unwrap().arrived();
            let Some((stream, parcel)) = arrived else { break };
            self.arrives(stream, parcel);
        }
        self.hear_users()?;
        self.look()
    }

    fn arrives(&mut self, id: u64, parcel: Parcel) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        match parcel {
            Parcel::ToIssuer(Heard::Said(Said::Hello { head, limits })) => {
                let issuer = &self.issuers[stream.issuer];
                let realm = issuer.slot.lock().unwrap().clone();
                let say = Mouth { wire: Arc::clone(&self.wire), stream: id };
                let Some((realm, owner)) = realm.zip(issuer.process) else {
                    return say.say(&Parcel::CloseVerifier);
                };
                let (to_issuer, heard) = unbounded_channel();
                stream.to_issuer = Some((owner, to_issuer));
                let id = format!("verifier-{}", stream.verifier);
                let hello = Hello {
                    follower: Follower { id, instance: stream.instance },
                    realm: REALM.into(),
                    head,
                    limits,
                    entry_kinds: u32::from(!stream.old),
                    schema: 1,
                    replaces: stream.replaces,
                };
                self.tasks.spawn(owner, carry(realm, hello, heard, say));
            }
            Parcel::ToIssuer(heard) => {
                let alive = stream.to_issuer.as_ref();
                if alive.is_none_or(|(_, to)| to.send(heard).is_err()) {
                    self.wire.lock().unwrap().send(id, &Parcel::CloseVerifier);
                }
            }
            Parcel::CloseIssuer => stream.to_issuer = None,
            Parcel::ToVerifier(_) | Parcel::CloseVerifier => {
                let v = stream.verifier;
                self.hears(v, id, parcel);
            }
        }
    }

    /// A machine's calendar, for all of them.
    pub(crate) fn machines(&self) -> impl Iterator<Item = &Machine> {
        let issuers = self.issuers.iter().map(|issuer| &issuer.plan.machine);
        issuers.chain(self.verifiers.iter().map(|verifier| &verifier.home.machine))
    }

    pub(crate) fn link(&self, n: usize) -> &Link {
        &self.issuers[n].plan.store.link
    }

    pub(crate) fn is_cut(&self, n: usize) -> bool {
        self.link(n).cut.load(Ordering::Relaxed)
    }
}

/// In memory, where there is such a place: what is tested is not the disk of this machine.
fn room() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_none| tempfile::tempdir()).unwrap()
}
