//! The audit trail as the use cases see it: writes lines, remembers how far it reaches, notes when it breaks.

use std::sync::{Arc, Mutex, PoisonError};

use common::clock::Clock;

use crate::{
    application::conditions::Conditions,
    domain::{
        event::{Event, What},
        ports::{AuditMark, Journal, JournalBroken},
    },
};

/// One trail of one process.
#[derive(Debug)]
pub struct Trail {
    journal: Arc<dyn Journal>,
    clock: Arc<dyn Clock>,
    conditions: Arc<Conditions>,
    mark: Mutex<Option<AuditMark>>,
}

impl Trail {
    /// Goes on from `mark`.
    pub fn new(
        journal: Arc<dyn Journal>,
        clock: Arc<dyn Clock>,
        conditions: Arc<Conditions>,
        mark: Option<AuditMark>,
    ) -> Self {
        Self { journal, clock, conditions, mark: Mutex::new(mark) }
    }

    /// Writes a line. When it answers `Ok`, the line survives a power cut.
    ///
    /// # Errors
    /// [`JournalBroken`]; noted in the conditions, so that nothing is issued any more.
    pub async fn write(&self, actor: &str, what: What<'_>) -> Result<(), JournalBroken> {
        self.write_all(vec![(actor, what)]).await
    }

    /// Writes lines, in order, as one.
    ///
    /// # Errors
    /// As [`Trail::write`].
    pub async fn write_all(&self, lines: Vec<(&str, What<'_>)>) -> Result<(), JournalBroken> {
        let time = self.clock.now().wall.seconds();
        let events: Vec<_> = lines.into_iter().map(|(actor, what)| Event { time, actor, what }).collect();
        if events.is_empty() {
            return Ok(());
        }
        match self.journal.write(&events).await {
            Ok(mark) => {
                let mut held = self.mark.lock().unwrap_or_else(PoisonError::into_inner);
                if held.is_none_or(|held| held.number < mark.number) {
                    *held = Some(mark);
                }
                Ok(())
            }
            Err(broken) => {
                self.conditions.audit_broke();
                Err(broken)
            }
        }
    }

    /// How far the trail reaches.
    pub fn mark(&self) -> Option<AuditMark> {
        *self.mark.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
