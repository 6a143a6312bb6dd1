//! Portals that issue and revoke at both issuers, and components that ask every verifier, all at once, until they are told to
//! stop. Judges nothing.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use common::{
    clock::{BootInstant, Clock as _, SystemClock},
    proto::v1::{RefusalReason, verify_token_response},
};
use harness::{calls::Calls, until};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use tokio::task::JoinSet;

use crate::{
    record::{Event, Record, Span, Verdict},
    world::{VERIFIERS, World, issued, revoked, running},
};

/// What all of them share.
struct Shared {
    stop: AtomicBool,
    tokens: Mutex<Vec<String>>,
    /// Tokens whose revocation was begun.
    going: Mutex<Vec<usize>>,
    record: Mutex<Record>,
    starts: Arc<[AtomicU32; VERIFIERS]>,
}

/// They run.
pub(crate) struct Callers {
    shared: Arc<Shared>,
    running: JoinSet<()>,
}

impl Callers {
    pub(crate) fn start(world: &World, seed: u64) -> Self {
        let shared = Arc::new(Shared {
            stop: AtomicBool::new(false),
            tokens: Mutex::default(),
            going: Mutex::default(),
            record: Mutex::default(),
            starts: Arc::clone(&world.starts),
        });
        let mut running = JoinSet::new();
        let issuers: Vec<_> = (0..world.issuers.len()).map(|issuer| world.calls(issuer, 0)).collect();
        for portal in 0..PORTALS {
            let mut issuers = issuers.clone();
            issuers.rotate_left(portal % world.issuers.len());
            running.spawn(Arc::clone(&shared).order(issuers, StdRng::seed_from_u64(seed + portal as u64)));
        }
        for verifier in 0..VERIFIERS {
            for asker in 0..ASKERS {
                let random = StdRng::seed_from_u64(seed + 100 + (verifier * ASKERS + asker) as u64);
                running.spawn(Arc::clone(&shared).ask(world.calls(0, verifier), verifier, random));
            }
        }
        Self { shared, running }
    }

    /// Ends them, and asks every verifier once more about every token that is revoked: nothing may be lost.
    pub(crate) async fn stop(self, world: &World) -> Record {
        let Self { shared, running } = self;
        shared.stop.store(true, Ordering::SeqCst);
        running.join_all().await;
        let end = shared.record.lock().unwrap().clone();
        let tokens = shared.tokens.lock().unwrap().clone();
        for verifier in 0..VERIFIERS {
            let calls = world.calls(0, verifier);
            for event in &end.events {
                let Event::Revoked { token, .. } = *event else { continue };
                let asked = || shared.verify(&calls, verifier, token, &tokens[token]);
                let verdict = until("a verdict", async || asked().await).await;
                assert_eq!(verdict, Verdict::Revoked, "an acknowledged revocation is lost: token {token}");
            }
        }
        shared.record.lock().unwrap().clone()
    }
}

impl Shared {
    /// Issues, and revokes about half of what was issued, here or there, as long as it takes.
    async fn order(self: Arc<Self>, issuers: Vec<Calls>, mut random: StdRng) {
        let mut waiting = JoinSet::new();
        while !self.stop.load(Ordering::SeqCst) {
            let calls = &issuers[random.random_range(0..issuers.len())];
            let Some((text, id)) = issued(calls).await else {
                tokio::time::sleep(PAUSE).await;
                continue;
            };
            let token = {
                let mut tokens = self.tokens.lock().unwrap();
                tokens.push(text);
                tokens.len() - 1
            };
            // Components have had it for a while.
            tokio::time::sleep(PAUSE).await;
            if random.random_bool(0.5) {
                self.going.lock().unwrap().push(token);
                waiting.spawn(Arc::clone(&self).revoke(issuers.clone(), token, id));
            }
        }
        waiting.join_all().await;
    }

    async fn revoke(self: Arc<Self>, issuers: Vec<Calls>, token: usize, id: String) {
        let called = now();
        let cursor = revoked(&issuers, &id).await;
        self.told(Event::Revoked { token, span: Span { called, answered: now() } });
        for calls in issuers {
            let called = now();
            let seen = calls.await_visibility(cursor, Duration::from_secs(10)).await;
            if seen.is_ok_and(|seen| seen.reached) {
                self.told(Event::Visible { token, span: Span { called, answered: now() } });
                return;
            }
        }
    }

    /// Asks one verifier, mostly about tokens that are being revoked.
    async fn ask(self: Arc<Self>, calls: Calls, verifier: usize, mut random: StdRng) {
        while !self.stop.load(Ordering::SeqCst) {
            tokio::time::sleep(Duration::from_millis(random.random_range(1..10))).await;
            let recent = {
                let going = self.going.lock().unwrap();
                let from = going.len().saturating_sub(RECENT);
                let chosen = (from < going.len()).then(|| going[random.random_range(from..going.len())]);
                chosen.filter(|_| random.random_bool(0.7))
            };
            let chosen = {
                let tokens = self.tokens.lock().unwrap();
                if tokens.is_empty() {
                    continue;
                }
                let number = recent.unwrap_or_else(|| random.random_range(0..tokens.len()));
                (number, tokens[number].clone())
            };
            let (token, text) = chosen;
            self.verify(&calls, verifier, token, &text).await;
        }
    }

    /// One call, written down. `None`: no verdict.
    async fn verify(&self, calls: &Calls, verifier: usize, token: usize, text: &str) -> Option<Verdict> {
        let process = running(&self.starts, verifier);
        let called = now();
        let answer = calls.verify(text).await;
        let span = Span { called, answered: now() };
        let process = Some(process).filter(|process| *process == running(&self.starts, verifier));
        let answer = answer.ok().and_then(|answer| Some((answer.verdict?, answer.view?.cursor?)));
        let verdict = match &answer {
            Some((verify_token_response::Verdict::Accepted(_), _)) => Some(Verdict::Accepted),
            Some((verify_token_response::Verdict::Refused(refused), _)) => {
                assert_eq!(
                    refused.reason(),
                    RefusalReason::Revoked,
                    "nothing else is wrong with any token here"
                );
                Some(Verdict::Revoked)
            }
            Some((verify_token_response::Verdict::Undecided(_), _)) | None => None,
        };
        if let (Some(verdict), Some((_, cursor))) = (verdict, answer) {
            let cursor = (cursor.epoch, cursor.sequence);
            self.told(Event::Verified { token, span, verdict, process, cursor });
        } else {
            self.record.lock().unwrap().undecided += 1;
        }
        verdict
    }

    fn told(&self, event: Event) {
        self.record.lock().unwrap().events.push(event);
    }
}

fn now() -> BootInstant {
    SystemClock.now().boot
}

const PORTALS: usize = 2;
/// For each verifier.
const ASKERS: usize = 2;
/// Of the tokens that are being revoked, the last so many are asked about most.
const RECENT: usize = 8;
const PAUSE: Duration = Duration::from_millis(30);
