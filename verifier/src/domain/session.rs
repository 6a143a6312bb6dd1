//! How a verifier keeps up with its issuer (DESIGN section 5), as inputs and actions. Pure: `now` is an argument; never a
//! stream, a file, a task.

mod log;
mod trust;
mod values;

use std::{collections::VecDeque, time::Duration};

use common::{
    clock::{BootInstant, Now},
    key_id::KeyId,
    revocation::{
        cursor::Cursor,
        head::Head,
        lease::{Probes, Renewal},
        log::{Candidate, Refused},
    },
    token::{Limits, kind::PerType},
    trust::Verified,
};

pub use self::values::{Action, Expected, Input, Keep, Reason};
use super::{alarm::Alarm, feed::Batch, view::View};

/// What is known and how it came. Lives as long as the process; streams come and go.
///
/// A revocation takes effect as early as possible: a proven batch is published first, then kept, then acknowledged.
#[derive(Debug)]
pub struct Session {
    expected: Expected,
    view: View,
    /// The head of what is published.
    head: Option<Verified<Head>>,
    /// What the file holds; without a file, what is published.
    kept: Cursor,
    /// The token keys that the file holds; without a file, those that are published.
    kept_keys: Vec<KeyId>,
    /// The limits that the next hello will tell.
    limits: PerType<Duration>,
    stream: Option<Stream>,
    trimmed: BootInstant,
    alarmed: bool,
}

/// One connection to one issuer.
#[derive(Debug)]
struct Stream {
    probes: Probes,
    probed: BootInstant,
    /// When an answer came, or entries that were needed.
    heard: BootInstant,
    trusted: bool,
    /// What is held agrees with this issuer's head.
    agreed: bool,
    incoming: Option<Incoming>,
    /// This issuer's log was refused: its entries are passed over, and its answers renew nothing.
    refused: Option<Refused>,
    /// Answers whose head has not been applied yet.
    waiting: VecDeque<Renewal>,
    acknowledged: (Cursor, Vec<KeyId>),
}

#[derive(Debug)]
struct Incoming {
    candidate: Candidate,
    batch: Batch,
}

impl Session {
    /// Goes on from `view`, under the head that covers it.
    pub fn new(expected: Expected, view: View, head: Option<Verified<Head>>, now: Now) -> Self {
        let mut session = Self {
            kept: view.log.cursor(),
            kept_keys: view.trust.as_deref().map(|trust| trust.statement().key_ids()).unwrap_or_default(),
            limits: PerType::from_fn(|_| Duration::ZERO),
            stream: None,
            trimmed: now.boot,
            alarmed: false,
            expected,
            view,
            head,
        };
        session.limits = session.applied(session.view.limits().unwrap_or(&Limits::default()));
        session
    }

    /// Whether what is held agrees with the head of the issuer that is followed now.
    pub fn agrees(&self) -> bool {
        self.stream.as_ref().is_some_and(|stream| stream.agreed)
    }

    /// Takes what happened; says what to do, in this order.
    pub fn handle(&mut self, input: Input, now: Now) -> Vec<Action> {
        let mut actions = Vec::new();
        let done = match input {
            Input::Connected => {
                self.connected(now, &mut actions);
                Ok(())
            }
            Input::Disconnected => {
                self.stream = None;
                Ok(())
            }
            Input::Kept(cursor) => {
                self.kept = self.kept.max(cursor);
                self.acknowledge(&mut actions);
                Ok(())
            }
            Input::KeysKept(keys) => {
                self.kept_keys = keys;
                self.acknowledge(&mut actions);
                Ok(())
            }
            Input::Tick => self.tick(now, &mut actions),
            Input::Wanted { epoch, after } => {
                let ours = self.stream.is_some() && epoch == self.view.log.cursor().epoch;
                actions.extend(ours.then_some(Action::Offer { after }));
                Ok(())
            }
            Input::Trust(signed) => self.trust(&signed, now, &mut actions),
            Input::Head(signed) => self.head(&signed, now, &mut actions),
            Input::Entries(run) => self.entries(run, now, &mut actions),
            Input::Answer { number, cursor, head_age } => {
                self.answer(number, cursor, head_age, now, &mut actions);
                Ok(())
            }
        };
        if let Err(reason) = done {
            if let Some(alarm) = reason.alarm() {
                self.raise(alarm, &mut actions);
            }
            self.stream = None;
            actions.push(Action::Disconnect(reason));
        }
        actions
    }

    fn connected(&mut self, now: Now, actions: &mut Vec<Action>) {
        let mut probes = Probes::default();
        let probe = probes.send(now);
        self.stream = Some(Stream {
            probes,
            probed: now.boot,
            heard: now.boot,
            trusted: false,
            agreed: false,
            incoming: None,
            refused: None,
            waiting: VecDeque::new(),
            acknowledged: (Cursor::ZERO, Vec::new()),
        });
        let head = self.head.as_ref().map(|head| head.signed().clone());
        actions.push(Action::Hello { head, limits: self.limits });
        self.acknowledge(actions);
        actions.push(Action::Probe(probe));
    }

    fn tick(&mut self, now: Now, actions: &mut Vec<Action>) -> Result<(), Reason> {
        self.trim(now, actions);
        let Some(stream) = &mut self.stream else { return Ok(()) };
        if now.boot.since(stream.heard) > SILENCE {
            return Err(Reason::Silent);
        }
        if now.boot.since(stream.probed) >= HEARTBEAT {
            stream.probed = now.boot;
            actions.push(Action::Probe(stream.probes.send(now)));
        }
        Ok(())
    }

    fn answer(
        &mut self,
        number: u64,
        cursor: Cursor,
        head_age: Duration,
        now: Now,
        actions: &mut Vec<Action>,
    ) {
        let Some(stream) = &mut self.stream else { return };
        let Some(renewal) = stream.probes.answered(number, cursor, head_age) else { return };
        stream.heard = now.boot;
        if stream.refused.is_some() {
            return;
        }
        if stream.waiting.len() == WAITING {
            stream.waiting.pop_front();
        }
        stream.waiting.push_back(renewal);
        if self.renew(now) {
            actions.push(Action::Publish(self.view.clone()));
            self.keep_lease(true, actions);
        }
    }

    /// Turns the answers whose head is applied into a lease. Whether it became younger.
    fn renew(&mut self, now: Now) -> bool {
        let Some(stream) = self.stream.as_mut().filter(|stream| stream.agreed) else { return false };
        let applied = self.view.log.cursor();
        let before = self.view.lease;
        stream.waiting.retain(|renewal| {
            let Some(lease) = renewal.once_applied(applied) else { return true };
            let held = self.view.lease.map_or(lease, |held| held.younger(lease, now.boot));
            self.view.lease = Some(held);
            false
        });
        self.view.lease != before
    }

    fn acknowledge(&mut self, actions: &mut Vec<Action>) {
        let Some(stream) = &mut self.stream else { return };
        let (cursor, keys) = &stream.acknowledged;
        if *cursor < self.kept || *keys != self.kept_keys {
            stream.acknowledged = (self.kept, self.kept_keys.clone());
            actions.push(Action::Acknowledge(self.kept, self.kept_keys.clone()));
        }
    }

    /// A file must not say that it is fresher than what it holds.
    fn keep_lease(&self, renewed: bool, actions: &mut Vec<Action>) {
        let held = renewed && self.expected.keeps_file && self.kept == self.view.log.cursor();
        if let Some(lease) = self.view.lease.filter(|_| held) {
            actions.push(Action::Keep(Keep::Lease(lease.record(self.expected.boot))));
        }
    }

    fn trim(&mut self, now: Now, actions: &mut Vec<Action>) {
        let Some(base) = self.head.as_ref().map(|head| head.statement().base.sequence) else { return };
        let gone = self.view.log.trimmable(base, now.wall);
        let due = now.boot.since(self.trimmed) >= TRIM_EVERY;
        if gone > 0 && (due || gone >= self.view.log.entries() / 8) {
            self.trimmed = now.boot;
            self.view.log = self.view.log.trimmed(base, now.wall);
            actions.push(Action::Publish(self.view.clone()));
            let log = self.view.log.clone();
            actions.extend(self.expected.keeps_file.then_some(Action::Keep(Keep::Compact(log))));
        }
    }

    fn raise(&mut self, alarm: Alarm, actions: &mut Vec<Action>) {
        self.alarmed |= alarm.is_about_the_issuer();
        actions.push(Action::Raise(alarm));
    }
}

/// How often it is asked whether the log has moved.
pub const HEARTBEAT: Duration = Duration::from_secs(1);
/// A stream on which neither an answer nor a needed entry has come for so long is dropped.
const SILENCE: Duration = Duration::from_secs(5);
/// Answers that wait for their head at the most.
const WAITING: usize = 64;
const TRIM_EVERY: Duration = Duration::from_mins(1);

#[cfg(test)]
mod tests;
