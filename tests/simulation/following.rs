//! A verifier: the real session, keeper, snapshot file and verdicts, with nobody but the simulation to wake them. What the
//! session decides is done as `verifier::application::following` does it.

use std::{
    fs::OpenOptions,
    io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use common::{
    clock::Clock as _,
    revocation::{cursor::Cursor, head::Head, lease::LeaseRecord, log::Log},
    token::kind::{PerType, TokenType},
    trust::{Trust, Verified},
    verification::Policy,
};
use tokio::sync::mpsc::{UnboundedReceiver, channel, unbounded_channel};
use verifier::{
    adapters::snapshot::{Identity, Snapshot},
    application::{
        following::keeper::{Keeper, Report},
        shared_view::SharedView,
        verify::{Judged, Question, Undecided, Verdict, Verifier},
    },
    domain::{
        alarm::Alarm,
        cache::VerifiedTokens,
        feed::{Batch, Book, Offer, Run, Said},
        session::{Action, Expected, Input, Keep, Reason, Session},
        view::View,
    },
};

use crate::{
    issuing::{AUDIENCE, ISSUER, REALM, log_keys},
    machine::Machine,
};

/// A machine with a verifier's file on it.
#[derive(Debug)]
pub(crate) struct Home {
    pub(crate) machine: Machine,
    /// `None`: it keeps no file.
    pub(crate) file: Option<PathBuf>,
    pub(crate) full: Arc<AtomicBool>,
    /// How much of the file is on the disk for good.
    pub(crate) synced: Arc<AtomicU64>,
}

/// A running verifier.
pub(crate) struct Process {
    session: Session,
    keeper: Option<Keeper<Disk>>,
    reports: UnboundedReceiver<Report>,
    shared: Arc<SharedView>,
    judge: Verifier,
    machine: Machine,
    pub(crate) instance: u64,
    pub(crate) replaces: Option<u64>,
    /// The disk does not answer.
    pub(crate) stalled: bool,
    pub(crate) alarms: Vec<Alarm>,
    /// The highest position that was acknowledged to an issuer.
    pub(crate) acknowledged: Cursor,
}

/// What a process wants done.
#[derive(Debug)]
pub(crate) enum Wish {
    Say(Said),
    Leave(Reason),
}

impl Process {
    /// Starts over the file of its home.
    pub(crate) fn start(home: &Home, instance: u64) -> Self {
        let now = home.machine.now();
        let boot = home.machine.boot_id();
        let (to, reports) = unbounded_channel();
        let (mut view, mut head, mut keeper, mut replaces) = (View::empty(), None, None, None);
        if let Some(path) = &home.file {
            let keys = log_keys();
            let identity = Identity { issuer: ISSUER.into(), realm: REALM.into(), log_keys: keys.ids() };
            let opened = Snapshot::open(path, &identity, &keys, boot, now).unwrap();
            assert!(
                opened.refused.is_none(),
                "a file that no fault had touched was refused: {:?}",
                opened.refused
            );
            let mut snapshot = opened.snapshot;
            snapshot.hold(instance, boot);
            (view, head, replaces) = (opened.view, snapshot.head().cloned(), opened.predecessor);
            let disk = Disk {
                file: snapshot,
                path: path.clone(),
                full: Arc::clone(&home.full),
                synced: Arc::clone(&home.synced),
            };
            disk.note();
            keeper = Some(Keeper::new(disk, Arc::new(home.machine.clone()), to));
        }
        let expected = Expected {
            issuer: ISSUER.into(),
            realm: REALM.into(),
            log_keys: log_keys(),
            own_staleness: PerType::default(),
            boot,
            keeps_file: keeper.is_some(),
        };
        let shared = Arc::new(SharedView::new(view.clone()));
        let policy = Policy::new(ISSUER.into(), AUDIENCE.into(), Policy::DEFAULT_LEEWAY).unwrap();
        let cache = VerifiedTokens::new(1 << 16);
        let clock = Arc::new(home.machine.clone());
        let judge = Verifier::new(Arc::clone(&shared), policy, cache, clock, PerType::default());
        Self {
            session: Session::new(expected, view, head, now),
            keeper,
            reports,
            shared,
            judge,
            machine: home.machine.clone(),
            instance,
            replaces,
            stalled: false,
            alarms: Vec::new(),
            acknowledged: Cursor::ZERO,
        }
    }

    /// Something happened to it.
    pub(crate) fn hear(&mut self, input: Input) -> Vec<Wish> {
        let mut wishes = self.handle(input);
        wishes.extend(self.write());
        wishes
    }

    /// Its disk may have done something.
    pub(crate) fn write(&mut self) -> Vec<Wish> {
        let mut wishes = Vec::new();
        let Some(keeper) = self.keeper.as_mut().filter(|_| !self.stalled) else { return wishes };
        keeper.write();
        while let Ok(report) = self.reports.try_recv() {
            match report {
                Report::Kept(cursor) => wishes.extend(self.handle(Input::Kept(cursor))),
                Report::KeysKept(keys) => wishes.extend(self.handle(Input::KeysKept(keys))),
                Report::Failing | Report::Working => {}
            }
        }
        wishes
    }

    fn handle(&mut self, input: Input) -> Vec<Wish> {
        let mut wishes = Vec::new();
        for action in self.session.handle(input, self.machine.now()) {
            match action {
                Action::Publish(view) => self.shared.publish(view),
                Action::Keep(keep) => self.keep(keep),
                Action::Hello { head, limits } => wishes.push(Wish::Say(Said::Hello { head, limits })),
                Action::Probe(number) => wishes.push(Wish::Say(Said::Probe(number))),
                Action::Acknowledge(cursor, keys) => {
                    self.acknowledged = self.acknowledged.max(cursor);
                    wishes.push(Wish::Say(Said::Acknowledge(cursor, keys)));
                }
                Action::Offer { after } => {
                    wishes.extend(self.offers(after).into_iter().map(|offer| Wish::Say(Said::Offer(offer))));
                }
                Action::Raise(alarm) => self.alarms.push(alarm),
                Action::IssuerBelieved => self.alarms.clear(),
                Action::Disconnect(why) => wishes.push(Wish::Leave(why)),
            }
        }
        wishes
    }

    fn keep(&mut self, keep: Keep) {
        if let Some(keeper) = &mut self.keeper {
            keeper.take(keep);
        }
    }

    fn offers(&self, after: u64) -> Vec<Offer> {
        let (to, mut offered) = channel(10_000);
        if let Some(keeper) = &self.keeper {
            keeper.offer(after, &to).unwrap();
        }
        std::iter::from_fn(|| offered.try_recv().ok()).collect()
    }

    /// Whether it may say goodbye: nobody can go on from its lease.
    pub(crate) fn relinquishes(&mut self) -> bool {
        self.keeper.as_mut().is_none_or(Keeper::relinquish)
    }

    pub(crate) fn verify(&self, token: &str, kind: TokenType) -> Judged<Result<Verdict, Undecided>> {
        self.judge.verify(&Question {
            token,
            accepted_types: vec![kind],
            at_least: None,
            max_staleness: None,
            holder: None,
            audience: None,
        })
    }

    pub(crate) fn view(&self) -> View {
        View::clone(&self.shared.load())
    }
}

/// The file on a disk that may be full, and whose unsynced end a power cut may take.
#[derive(Debug)]
struct Disk {
    file: Snapshot,
    path: PathBuf,
    full: Arc<AtomicBool>,
    synced: Arc<AtomicU64>,
}

impl Disk {
    fn room(&self) -> io::Result<()> {
        if self.full.load(Ordering::Relaxed) { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    fn note(&self) {
        self.synced.store(std::fs::metadata(&self.path).unwrap().len(), Ordering::Relaxed);
    }
}

impl Book for Disk {
    fn head(&self) -> Option<&Verified<Head>> {
        self.file.head()
    }

    fn append(&mut self, batch: &Batch) -> io::Result<()> {
        self.room()?;
        self.file.append(batch)?;
        self.note();
        Ok(())
    }

    fn trust(&mut self, trust: &Verified<Trust>) -> io::Result<()> {
        self.room()?;
        self.file.trust(trust)?;
        self.note();
        Ok(())
    }

    fn lease(&mut self, record: LeaseRecord) -> io::Result<()> {
        self.room()?;
        self.file.lease(record)
    }

    fn relinquish(&mut self) -> io::Result<()> {
        self.room()?;
        self.file.relinquish()?;
        self.note();
        Ok(())
    }

    fn compact(&mut self, log: &Log) -> io::Result<bool> {
        self.room()?;
        let done = self.file.compact(log)?;
        self.note();
        Ok(done)
    }

    fn runs_after(&self, after: u64, each: &mut dyn FnMut(Run) -> io::Result<()>) -> io::Result<()> {
        self.file.runs_after(after, each)
    }
}

/// A power cut leaves so much of a file.
pub(crate) fn cut(path: &Path, length: u64) {
    OpenOptions::new().write(true).open(path).unwrap().set_len(length).unwrap();
}
