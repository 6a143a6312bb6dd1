//! What the thread does that writes the file: a slow disk delays acknowledgements, never a revocation. Decides nothing else.

use std::{
    collections::VecDeque,
    io,
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError},
    },
    time::Duration,
};

use common::{
    clock::{BootInstant, Clock},
    key_id::KeyId,
    revocation::cursor::Cursor,
};
use tokio::sync::{
    mpsc::{Sender, UnboundedSender},
    oneshot,
};

use crate::domain::{
    feed::{Book, Offer},
    session::Keep,
};

/// What is to be done with the file.
#[derive(Debug)]
pub(super) enum Work {
    Keep(Box<Keep>),
    /// Send the entries behind `after`.
    Offer {
        after: u64,
        to: Sender<Offer>,
    },
    /// Write what is owed and forget the lease; answers whether both are on the disk.
    Relinquish(oneshot::Sender<bool>),
}

/// What became of it.
#[derive(Clone, Debug)]
pub enum Report {
    /// The file holds everything up to here.
    Kept(Cursor),
    /// The file holds these token keys.
    KeysKept(Vec<KeyId>),
    /// The file cannot be written.
    Failing,
    /// It can again.
    Working,
}

/// Writes until nobody can ask for more.
#[derive(Debug)]
pub struct Keeper<B> {
    book: B,
    clock: Arc<dyn Clock>,
    reports: UnboundedSender<Report>,
    /// What must not be lost and is not written yet, in order.
    owed: VecDeque<Keep>,
    /// A write failed; it is tried again from then on.
    retry: Option<BootInstant>,
}

impl<B: Book> Keeper<B> {
    /// Writes to `book`, and tells `reports`.
    pub const fn new(book: B, clock: Arc<dyn Clock>, reports: UnboundedSender<Report>) -> Self {
        Self { book, clock, reports, owed: VecDeque::new(), retry: None }
    }

    pub(super) fn run(mut self, work: &Receiver<Work>) {
        loop {
            match work.recv_timeout(RETRY) {
                Ok(Work::Keep(keep)) => self.take(*keep),
                Ok(Work::Offer { after, to }) => {
                    if let Err(error) = self.offer(after, &to) {
                        tracing::warn!(%error, "the offer was not made in full");
                    }
                }
                Ok(Work::Relinquish(done)) => {
                    done.send(self.relinquish()).ok();
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            self.write();
        }
        self.retry = None;
        self.write();
    }

    /// Whether all that is owed is on the disk, and the lease forgotten there.
    pub fn relinquish(&mut self) -> bool {
        self.write();
        self.owed.is_empty() && self.book.relinquish().is_ok()
    }

    /// Owes it from now on.
    pub fn take(&mut self, keep: Keep) {
        match &keep {
            Keep::Batch(_) | Keep::Trust(_) => self.owed.push_back(keep),
            // Of no use unless all before it is on the disk, and never missed.
            Keep::Lease(_) | Keep::Compact(_) if self.owed.is_empty() && self.retry.is_none() => {
                self.owed.push_back(keep);
            }
            Keep::Lease(_) | Keep::Compact(_) => {}
        }
    }

    /// Writes what is owed, unless the disk is left alone for a while.
    pub fn write(&mut self) {
        if self.retry.is_some_and(|at| self.clock.now().boot < at) {
            return;
        }
        while let Some(keep) = self.owed.front() {
            if let Err(error) = write(&mut self.book, keep) {
                tracing::error!(%error, "the snapshot cannot be written");
                self.owed.retain(|keep| matches!(keep, Keep::Batch(_) | Keep::Trust(_)));
                self.retry = Some(self.clock.now().boot.plus(RETRY));
                self.report(Report::Failing);
                return;
            }
            let kept = match keep {
                Keep::Batch(batch) => Some(Report::Kept(batch.cursor())),
                Keep::Trust(trust) => Some(Report::KeysKept(trust.statement().key_ids())),
                Keep::Lease(_) | Keep::Compact(_) => None,
            };
            if let Some(kept) = kept {
                self.report(kept);
            }
            self.owed.pop_front();
        }
        if self.retry.take().is_some() {
            self.report(Report::Working);
        }
    }

    /// Sends the entries behind `after`. Blocks while `to` is full.
    ///
    /// # Errors
    /// The file cannot be read, or nobody listens any more.
    pub fn offer(&self, after: u64, to: &Sender<Offer>) -> io::Result<()> {
        let Some(head) = self.book.head().map(|head| head.signed().clone()) else { return Ok(()) };
        let send = |run, last| {
            let offer = Offer { head: head.clone(), run, last };
            to.blocking_send(offer).map_err(|_gone| io::Error::from(io::ErrorKind::BrokenPipe))
        };
        let mut before = None;
        self.book.runs_after(after, &mut |run| match before.replace(run) {
            Some(run) => send(Some(run), false),
            None => Ok(()),
        })?;
        send(before, true)
    }

    fn report(&self, report: Report) {
        // Nobody listens any more only when the program ends.
        let _ended = self.reports.send(report);
    }
}

fn write(book: &mut impl Book, keep: &Keep) -> io::Result<()> {
    match keep {
        Keep::Batch(batch) => book.append(batch),
        Keep::Trust(trust) => book.trust(trust),
        Keep::Lease(record) => book.lease(*record),
        Keep::Compact(log) => book.compact(log).map(|_worth_it| ()),
    }
}

/// After a failure the disk is left alone for so long.
const RETRY: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use common::{
        clock::{ManualClock, Now},
        revocation::{head::Head, lease::LeaseRecord, log::Log},
        timestamp::Timestamp,
        trust::{Trust, Verified},
    };
    use tokio::sync::mpsc::unbounded_channel;

    use super::*;
    use crate::domain::{
        feed::{Batch, Run},
        written::Written,
    };

    /// A disk that is full for as many writes, and counts the others.
    struct Full(u32, u32);

    impl Full {
        fn write(&mut self) -> io::Result<()> {
            self.1 += u32::from(self.0 == 0);
            self.0.checked_sub(1).map_or(Ok(()), |left| {
                self.0 = left;
                Err(io::ErrorKind::StorageFull.into())
            })
        }
    }

    impl Book for Full {
        fn head(&self) -> Option<&Verified<Head>> {
            None
        }
        fn append(&mut self, _: &Batch) -> io::Result<()> {
            self.write()
        }
        fn trust(&mut self, _: &Verified<Trust>) -> io::Result<()> {
            self.write()
        }
        fn lease(&mut self, _: LeaseRecord) -> io::Result<()> {
            self.write()
        }
        fn relinquish(&mut self) -> io::Result<()> {
            self.write()
        }
        fn compact(&mut self, _: &Log) -> io::Result<bool> {
            self.write().map(|()| true)
        }
        fn runs_after(&self, _: u64, _: &mut dyn FnMut(Run) -> io::Result<()>) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_batch_that_could_not_be_written_is_owed_until_the_disk_has_room() {
        let written = Written::new(1);
        let batch = |end| Keep::Batch(Batch { runs: Vec::new(), head: written.head(0, end, 1) });
        let clock = Arc::new(ManualClock::new(Now { wall: Timestamp::EPOCH, boot: BootInstant::default() }));
        let (reports, mut heard) = unbounded_channel();
        let mut keeper = Keeper::new(Full(1, 0), Arc::<ManualClock>::clone(&clock), reports);
        keeper.take(batch(1));
        keeper.write();
        assert!(matches!(heard.try_recv(), Ok(Report::Failing)));
        keeper.take(batch(2));
        keeper.take(Keep::Compact(Log::empty()));
        keeper.write();
        assert_eq!(keeper.book.1, 0, "the disk is left alone for a while");
        clock.advance(RETRY);
        keeper.write();
        assert_eq!(keeper.book.1, 2, "what only saves room is not owed");
        for expected in [Cursor::new(1, 1), Cursor::new(1, 2)] {
            assert!(matches!(heard.try_recv(), Ok(Report::Kept(cursor)) if cursor == expected));
        }
        assert!(matches!(heard.try_recv(), Ok(Report::Working)));
    }
}
