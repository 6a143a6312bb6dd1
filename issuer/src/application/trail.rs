//! The audit trail as the use cases see it: writes lines, remembers how far it reaches, and what it still owes.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use common::clock::Clock;

use crate::{
    application::{conditions::Conditions, denials::Denials},
    domain::{
        event::{Denied, Event, What},
        ports::{AuditMark, Journal, NotWritten},
    },
};

/// One trail of one process.
///
/// Once a line could not be written, none is until [`Trail::heal`] has written what is owed: so the trail has no gap, and
/// nobody waits for a disk that does not answer.
#[derive(Debug)]
pub struct Trail {
    journal: Arc<dyn Journal>,
    clock: Arc<dyn Clock>,
    conditions: Arc<Conditions>,
    state: Mutex<State>,
    denials: Denials,
}

#[derive(Debug)]
struct State {
    mark: Option<AuditMark>,
    /// The trail cannot be written.
    down: Option<Down>,
}

#[derive(Debug)]
struct Down {
    why: NotWritten,
    since: u64,
    owed: Vec<Owed>,
    /// What the owed lines take up, about.
    size: usize,
}

/// A line that is to be written late.
#[derive(Debug)]
struct Owed {
    time: u64,
    actor: Arc<str>,
    what: What<'static>,
}

impl Trail {
    /// Goes on from `mark`.
    pub fn new(
        journal: Arc<dyn Journal>,
        clock: Arc<dyn Clock>,
        conditions: Arc<Conditions>,
        mark: Option<AuditMark>,
    ) -> Self {
        let state = Mutex::new(State { mark, down: None });
        Self { journal, clock, conditions, state, denials: Denials::default() }
    }

    /// Writes a line. When it answers `Ok`, the line survives a power cut.
    ///
    /// # Errors
    /// [`NotWritten`]; noted in the conditions, so that nothing is issued until the trail has healed.
    pub async fn write(&self, actor: &str, what: What<'_>) -> Result<(), NotWritten> {
        let time = self.clock.now().wall.seconds();
        self.write_events(&[Event { time, actor, late: false, what: &what }]).await
    }

    /// Writes that a call was denied, unless its caller was denied all the time. The denial stands whether or not a line
    /// of it can be written.
    pub async fn deny(&self, actor: &str, denied: Denied<'_>) {
        if let Some(unwritten) = self.denials.note(actor, self.clock.now().boot) {
            // A broken trail is noted where it broke.
            self.write(actor, What::Deny(Denied { unwritten, ..denied })).await.ok();
        }
    }

    /// Writes lines about what has happened, in order, as one. What cannot be written now is owed, and written late.
    ///
    /// # Errors
    /// [`NotWritten`]: it is owed.
    pub async fn write_or_owe(&self, lines: Vec<(Arc<str>, What<'static>)>) -> Result<(), NotWritten> {
        self.write_lines(lines, false).await
    }

    /// As [`Trail::write_or_owe`], about what an earlier process did and could not write.
    ///
    /// # Errors
    /// As [`Trail::write_or_owe`].
    pub async fn write_late(&self, lines: Vec<(Arc<str>, What<'static>)>) -> Result<(), NotWritten> {
        self.write_lines(lines, true).await
    }

    /// Writes what is owed, if the trail is down and may be written again. To be called again and again.
    pub async fn heal(&self) {
        let mut resumed = false;
        while let Some((since, owed)) = self.may_heal() {
            let now = self.clock.now().wall.seconds();
            let resume = What::Resume { since };
            let begin = Event { time: now, actor: "issuer", late: false, what: &resume };
            let late =
                owed.iter().map(|Owed { time, actor, what }| Event { time: *time, actor, late: true, what });
            let events: Vec<_> = (!resumed).then_some(begin).into_iter().chain(late).collect();
            let written = self.journal.write(&events).await;
            drop(events);
            match written {
                Ok(mark) => {
                    resumed = true;
                    self.reached(mark);
                    if self.is_up_again() {
                        tracing::info!("the audit trail is written again");
                        return;
                    }
                }
                Err(why) => {
                    self.still_owed(why, owed);
                    return;
                }
            }
        }
    }

    /// Has the log key sign for what was written since it last did.
    ///
    /// # Errors
    /// [`NotWritten`]; noted in the conditions.
    pub async fn seal(&self) -> Result<(), NotWritten> {
        if let Some(why) = self.down() {
            return Err(why);
        }
        let sealed = self.journal.seal().await;
        sealed.map(|mark| self.reached(mark)).inspect_err(|why| self.broke(*why))
    }

    /// Why the trail cannot be written, while it cannot.
    pub fn down(&self) -> Option<NotWritten> {
        self.state().down.as_ref().map(|down| down.why)
    }

    /// How far the trail reaches.
    pub fn mark(&self) -> Option<AuditMark> {
        self.state().mark
    }

    async fn write_lines(&self, lines: Vec<(Arc<str>, What<'static>)>, late: bool) -> Result<(), NotWritten> {
        if lines.is_empty() {
            return Ok(());
        }
        let time = self.clock.now().wall.seconds();
        let owed: Vec<_> = lines.into_iter().map(|(actor, what)| Owed { time, actor, what }).collect();
        let events: Vec<_> =
            owed.iter().map(|Owed { actor, what, .. }| Event { time, actor, late, what }).collect();
        let written = self.write_events(&events).await;
        drop(events);
        if let Err(why) = written {
            self.owe(why, owed);
        }
        written
    }

    async fn write_events(&self, events: &[Event<'_>]) -> Result<(), NotWritten> {
        if let Some(why) = self.down() {
            return Err(why);
        }
        let written = self.journal.write(events).await;
        written.map(|mark| self.reached(mark)).inspect_err(|why| self.broke(*why))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn reached(&self, mark: AuditMark) {
        let held = &mut self.state().mark;
        if held.is_none_or(|held| held.number < mark.number) {
            *held = Some(mark);
        }
    }

    fn broke(&self, why: NotWritten) {
        self.owe(why, Vec::new());
    }

    fn owe(&self, why: NotWritten, owed: Vec<Owed>) {
        let since = self.clock.now().wall.seconds();
        let mut state = self.state();
        self.conditions.audit_down(true);
        let down = state.down.get_or_insert_with(|| {
            tracing::error!(%why, "the audit trail cannot be written: nothing is issued");
            Down { why, since, owed: Vec::new(), size: 0 }
        });
        down.size += owed.iter().map(Owed::size).sum::<usize>();
        down.owed.extend(owed);
        let too_many = down.size > OWED_MOST && down.why != NotWritten::Broken;
        if too_many {
            tracing::error!(
                "the audit trail is owed more lines than are kept: a restart writes them from the log"
            );
        }
        down.broke(if too_many { NotWritten::Broken } else { why });
    }

    fn may_heal(&self) -> Option<(u64, Vec<Owed>)> {
        let mut state = self.state();
        let down = state.down.as_mut().filter(|down| down.why != NotWritten::Broken)?;
        self.journal.idle().then(|| (down.since, std::mem::take(&mut down.owed)))
    }

    /// Whether nothing more is owed; then the trail is up.
    fn is_up_again(&self) -> bool {
        let mut state = self.state();
        let up = state.down.as_ref().is_none_or(|down| down.owed.is_empty());
        if up {
            state.down = None;
            self.conditions.audit_down(false);
        }
        up
    }

    fn still_owed(&self, why: NotWritten, mut owed: Vec<Owed>) {
        if let Some(down) = &mut self.state().down {
            owed.append(&mut down.owed);
            down.owed = owed;
            down.broke(why);
        }
    }
}

impl Down {
    /// What is broken stays so.
    fn broke(&mut self, why: NotWritten) {
        if self.why != NotWritten::Broken {
            self.why = why;
        }
        if self.why == NotWritten::Broken {
            // The next start writes them from the log.
            self.owed = Vec::new();
        }
    }
}

impl Owed {
    fn size(&self) -> usize {
        let own = match &self.what {
            What::Append(append) => append.entries.len() + append.comment.len(),
            What::Issue { .. }
            | What::Refuse { .. }
            | What::Deny(_)
            | What::Project { .. }
            | What::Key { .. }
            | What::Policy { .. }
            | What::Lost { .. }
            | What::Mended { .. }
            | What::Trim { .. }
            | What::Resume { .. }
            | What::Head(_) => 0,
        };
        own + 256
    }
}

/// Memory for lines that are owed.
const OWED_MOST: usize = 16 << 20;

#[cfg(test)]
mod tests;
