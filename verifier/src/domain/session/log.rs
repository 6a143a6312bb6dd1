//! Heads and entries: what is proven is taken whole, everything else not at all. Knows no trust statement and no lease.

use common::{
    clock::Now,
    revocation::{
        head::Head,
        log::{Candidate, Log, Refused},
    },
    trust::Signed,
};

use super::{Action, Incoming, Keep, Reason, Session};
use crate::domain::{
    alarm::Alarm,
    feed::{Batch, Run},
};

impl Session {
    pub(super) fn head(
        &mut self,
        signed: &Signed,
        now: Now,
        actions: &mut Vec<Action>,
    ) -> Result<(), Reason> {
        let Some(stream) = &mut self.stream else { return Ok(()) };
        if !stream.trusted || stream.incoming.is_some() {
            return Err(Reason::OutOfOrder);
        }
        // Past an entry that it cannot read, this stream says nothing of use any more.
        if stream.refused == Some(Refused::UnknownKind) {
            return Ok(());
        }
        let head = self.expected.log_keys.check::<Head>(signed)?;
        self.is_ours(&head.statement().issuer, &head.statement().realm)?;
        match self.view.log.towards(head.statement(), now.wall) {
            Ok(candidate) if candidate.next().is_some() => {
                if let Some(stream) = &mut self.stream {
                    stream.incoming = Some(Incoming { candidate, batch: Batch { runs: Vec::new(), head } });
                }
                Ok(())
            }
            Ok(candidate) => self.finish(candidate, Batch { runs: Vec::new(), head }, now, actions),
            Err(refused) => self.refuse(refused, actions),
        }
    }

    pub(super) fn entries(&mut self, run: Run, now: Now, actions: &mut Vec<Action>) -> Result<(), Reason> {
        let Some(stream) = &mut self.stream else { return Ok(()) };
        let Some(mut incoming) = stream.incoming.take() else {
            return if stream.refused.is_some() { Ok(()) } else { Err(Reason::OutOfOrder) };
        };
        if run.entries.is_empty() || run.entries.len() > Run::MAX_LEN {
            return Err(Reason::Refused(Refused::Malformed));
        }
        if let Err(refused) = incoming.candidate.take(run.epoch, run.first, &run.previous, &run.entries) {
            return self.refuse(refused, actions);
        }
        stream.heard = now.boot;
        incoming.batch.runs.push(run);
        if incoming.candidate.next().is_some() {
            stream.incoming = Some(incoming);
            return Ok(());
        }
        self.finish(incoming.candidate, incoming.batch, now, actions)
    }

    fn finish(
        &mut self,
        candidate: Candidate,
        batch: Batch,
        now: Now,
        actions: &mut Vec<Action>,
    ) -> Result<(), Reason> {
        match candidate.finish(now.wall) {
            Ok(log) => {
                self.apply(log, batch, now, actions);
                Ok(())
            }
            Err(refused) => self.refuse(refused, actions),
        }
    }

    fn apply(&mut self, log: Log, batch: Batch, now: Now, actions: &mut Vec<Action>) {
        let news = self.head.as_ref().is_none_or(|held| {
            let (held, given) = (held.statement(), batch.head.statement());
            held.cursor() != given.cursor() || held.log_time < given.log_time || held.base != given.base
        });
        // Under the other pinned log key it is kept anew: the former will be pinned no more.
        let news =
            news || self.head.as_ref().is_some_and(|held| held.signed().key != batch.head.signed().key);
        self.view.log = log;
        if let Some(stream) = &mut self.stream {
            (stream.agreed, stream.refused) = (true, None);
        }
        if std::mem::take(&mut self.alarmed) {
            actions.push(Action::IssuerBelieved);
        }
        let renewed = self.renew(now);
        if news || renewed {
            actions.push(Action::Publish(self.view.clone()));
        }
        if news {
            self.head = Some(batch.head.clone());
            if self.expected.keeps_file {
                actions.push(Action::Keep(Keep::Batch(batch)));
            } else {
                self.kept = self.view.log.cursor();
            }
        }
        self.acknowledge(actions);
        self.keep_lease(renewed, actions);
        self.trim(now, actions);
    }

    /// Nothing of this log is taken. What is held stays, and ages.
    fn refuse(&mut self, refused: Refused, actions: &mut Vec<Action>) -> Result<(), Reason> {
        let alarm = match refused {
            Refused::RolledBack => Alarm::IssuerLostEntries,
            Refused::Fork => Alarm::IssuerForked,
            Refused::EpochLacksEntries => Alarm::EpochLacksEntries,
            Refused::UnknownKind => Alarm::UnknownEntryKind,
            Refused::Future | Refused::Gap | Refused::Genesis | Refused::Malformed => {
                return Err(Reason::Refused(refused));
            }
        };
        self.raise(alarm, actions);
        if let Some(stream) = &mut self.stream {
            (stream.incoming, stream.refused, stream.agreed) = (None, Some(refused), false);
            stream.waiting.clear();
        }
        Ok(())
    }
}
