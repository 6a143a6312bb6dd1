//! Tokens that are issued, verified at once, and verified again after their end. Counts; what is wrong is kept.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fmt,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use common::{
    clock::{Clock as _, SystemClock},
    proto::v1::{RefusalReason, verify_token_response::Verdict},
};
use harness::{
    calls::Calls,
    orders::{self, OWNER},
    until,
};
use tokio::task::JoinHandle;
use tonic::Code;

use crate::stand::Stand;

/// What was seen so far.
#[derive(Default)]
pub(crate) struct Traffic {
    stop: AtomicBool,
    accepted: AtomicU64,
    expired: AtomicU64,
    revoked: AtomicU64,
    undecided: AtomicU64,
    not_issued: AtomicU64,
    by_key: Mutex<BTreeMap<String, u64>>,
    /// Keys that are being revoked, and those of which that is visible.
    suspects: Mutex<BTreeSet<String>>,
    gone: Mutex<BTreeSet<String>>,
    wrong: Mutex<Vec<(Wrong, String)>>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Wrong {
    Refused,
    Accepted,
}

/// The figures.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) accepted: u64,
    pub(crate) expired: u64,
    pub(crate) wrong_refusals: usize,
    pub(crate) wrong_acceptances: usize,
    revoked: u64,
    undecided: u64,
    not_issued: u64,
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} good tokens accepted, {} refused when expired, {} refused as revoked, {} told to ask again, {} orders told \
             to come again; wrong refusals {}, wrong acceptances {}",
            self.accepted,
            self.expired,
            self.revoked,
            self.undecided,
            self.not_issued,
            self.wrong_refusals,
            self.wrong_acceptances
        )
    }
}

pub(crate) struct Running(Arc<Traffic>, Vec<JoinHandle<()>>);

impl Running {
    pub(crate) async fn end(self) {
        self.0.stop.store(true, Ordering::SeqCst);
        for task in self.1 {
            task.await.unwrap();
        }
    }
}

struct Held {
    token: String,
    key: String,
    expiry: u64,
}

impl Traffic {
    pub(crate) fn begin(self: &Arc<Self>, stand: &Stand) -> Running {
        let one = |(number, issuer): (usize, &Calls)| {
            let (this, issuer, verifiers) = (Arc::clone(self), issuer.clone(), stand.verifiers.clone());
            tokio::spawn(async move { this.run(number, issuer, verifiers).await })
        };
        let issuers = stand.issuers.iter().chain(&stand.issuers);
        Running(Arc::clone(self), issuers.enumerate().map(one).collect())
    }

    async fn run(&self, number: usize, issuer: Calls, verifiers: Vec<Calls>) {
        let (mut held, mut turn) = (VecDeque::<Held>::new(), number);
        while !self.stop.load(Ordering::SeqCst) {
            turn += 1;
            let verifier = &verifiers[turn % verifiers.len()];
            match issuer.issue(orders::pseudonymise("study", OWNER)).await {
                Ok(answer) => {
                    let record = answer.record.unwrap();
                    let expiry = record.expire_time.unwrap().seconds.try_into().unwrap();
                    let token = Held { token: answer.token, key: record.key_id, expiry };
                    self.judge(verifier, &token).await;
                    *self.by_key.lock().unwrap().entry(token.key.clone()).or_default() += 1;
                    held.push_back(token);
                }
                Err(status) => {
                    let again = [Code::Unavailable, Code::Aborted, Code::ResourceExhausted];
                    assert!(again.contains(&status.code()), "{status:?}");
                    self.not_issued.fetch_add(1, Ordering::SeqCst);
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
            // Once more while it lives, at another verifier, and once when it has ended.
            if let Some(token) = held.get(held.len() / 2) {
                self.judge(&verifiers[(turn + 1) % verifiers.len()], token).await;
            }
            while held.front().is_some_and(|token| token.expiry + 1 < now()) {
                let token = held.pop_front().unwrap();
                self.judge(verifier, &token).await;
            }
        }
    }

    /// Asks, and compares with what must be.
    async fn judge(&self, verifier: &Calls, token: &Held) {
        let visible = self.gone.lock().unwrap().contains(&token.key);
        let expired_before = token.expiry <= now();
        // One that is frozen answers nobody.
        let asked = tokio::time::timeout(Duration::from_secs(1), verifier.verify(&token.token)).await;
        let Ok(Ok(answer)) = asked else {
            self.undecided.fetch_add(1, Ordering::SeqCst);
            return;
        };
        let suspect = self.suspects.lock().unwrap().contains(&token.key);
        let expired = token.expiry <= now();
        let wrong = |what: Wrong, why: String| self.wrong.lock().unwrap().push((what, why));
        match answer.verdict {
            Some(Verdict::Accepted(_)) if visible || expired_before => {
                wrong(Wrong::Accepted, format!("key {}, revoked {visible}", token.key));
            }
            Some(Verdict::Accepted(_)) => _ = self.accepted.fetch_add(1, Ordering::SeqCst),
            Some(Verdict::Refused(refused)) => {
                let reason = refused.reason();
                // A key that is gone has no tokens that live.
                let ended = [RefusalReason::Expired, RefusalReason::UnknownKey].contains(&reason);
                if suspect && reason == RefusalReason::Revoked {
                    self.revoked.fetch_add(1, Ordering::SeqCst);
                } else if expired && ended {
                    self.expired.fetch_add(1, Ordering::SeqCst);
                } else {
                    wrong(Wrong::Refused, format!("key {}, {reason:?}", token.key));
                }
            }
            Some(Verdict::Undecided(_)) | None => _ = self.undecided.fetch_add(1, Ordering::SeqCst),
        }
    }

    /// It is about to be revoked.
    pub(crate) fn suspect(&self, key: &str) {
        self.suspects.lock().unwrap().insert(key.to_owned());
    }

    /// No verification that starts later may accept a token of it.
    pub(crate) fn revoked(&self, key: &str) {
        self.gone.lock().unwrap().insert(key.to_owned());
    }

    /// Some tokens of this key were issued and judged.
    pub(crate) async fn some_more(&self, key: &str) {
        let begun = SystemClock.now().boot;
        until("tokens of the new key", async || {
            (self.by_key.lock().unwrap().get(key).copied().unwrap_or(0) >= 20).then_some(())
        })
        .await;
        // As many keys as a statement holds are published at most: each for 35 s after its last use.
        tokio::time::sleep(Duration::from_millis(1_500).saturating_sub(SystemClock.now().boot.since(begun)))
            .await;
    }

    pub(crate) fn told(&self) -> Told {
        let count = |number: &AtomicU64| number.load(Ordering::SeqCst);
        let wrong = |what| self.wrong.lock().unwrap().iter().filter(|(wrong, _)| *wrong == what).count();
        Told {
            accepted: count(&self.accepted),
            expired: count(&self.expired),
            wrong_refusals: wrong(Wrong::Refused),
            wrong_acceptances: wrong(Wrong::Accepted),
            revoked: count(&self.revoked),
            undecided: count(&self.undecided),
            not_issued: count(&self.not_issued),
        }
    }

    pub(crate) fn wrong(&self) -> Vec<(Wrong, String)> {
        self.wrong.lock().unwrap().clone()
    }
}

fn now() -> u64 {
    SystemClock.now().wall.seconds()
}
