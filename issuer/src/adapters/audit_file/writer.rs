//! The thread that writes the trail: what has queued up is one write and one fsync; heads are signed; a full file is
//! finished and the next one begun. Decides nothing about events.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::sync::{mpsc, oneshot};

use super::{AppendError, ChainEnd, Sealer, files};

/// What is asked of the thread, and where its answer goes.
#[derive(Debug)]
pub(super) struct Command {
    pub(super) what: What,
    pub(super) reply: oneshot::Sender<Result<ChainEnd, AppendError>>,
}

#[derive(Debug)]
pub(super) enum What {
    /// Lines for these events.
    Events(Vec<Vec<u8>>),
    /// A signed head, if there are lines behind the last one.
    Seal,
}

/// Where lines go: files, or in a test something that fails.
pub(super) trait Disk: Send + 'static {
    /// Appends the bytes. `Ok`: they survive a power cut. [`AppendError::Full`]: none of them is there.
    fn append(&mut self, bytes: &[u8]) -> Result<(), AppendError>;

    /// Whether so many more bytes belong into the next file.
    fn is_full(&self, more: usize) -> bool;

    /// Goes on in a next file, whose first line has this number; or goes on in the same one when there can be no next.
    fn next_file(&mut self, first: u64) -> Result<(), AppendError>;
}

/// The thread's state.
pub(super) struct Writer<D> {
    pub(super) disk: D,
    pub(super) end: ChainEnd,
    /// Lines behind the last signed head.
    pub(super) unsigned: u64,
    pub(super) seal: Sealer,
    /// Commands that are not answered yet.
    pub(super) waiting: Arc<AtomicUsize>,
}

impl<D: Disk> Writer<D> {
    /// Works until nobody can ask any more, or until it is unknown what is on the disk.
    ///
    /// An fsync that fails may have dropped the pages it should have written, and the next one would succeed without
    /// them: so nothing is acknowledged any more. A disk that is full took nothing, and may have room again.
    pub(super) fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        let mut was_full = false;
        while let Some(first) = commands.blocking_recv() {
            let mut batch = vec![first];
            while batch.len() < BATCH {
                let Ok(next) = commands.try_recv() else { break };
                batch.push(next);
            }
            let (whats, replies): (Vec<_>, Vec<_>) =
                batch.into_iter().map(|one| (one.what, one.reply)).unzip();
            let written = self.write(&whats);
            self.waiting.fetch_sub(replies.len(), Ordering::Relaxed);
            match &written {
                Ok(ends) => {
                    was_full = false;
                    for (reply, end) in replies.into_iter().zip(ends) {
                        // Who no longer waits has lost interest in the answer; the line stands all the same.
                        reply.send(Ok(*end)).ok();
                    }
                }
                Err(error) => {
                    for reply in replies {
                        reply.send(Err(*error)).ok();
                    }
                    if !matches!(error, AppendError::Full) {
                        tracing::error!(%error, "the audit trail is broken until it is opened anew");
                        return;
                    }
                    if !was_full {
                        tracing::error!(%error, "the audit trail cannot be written");
                    }
                    was_full = true;
                }
            }
        }
    }

    /// One write for all of them, and the end of the chain behind each.
    fn write(&mut self, whats: &[What]) -> Result<Vec<ChainEnd>, AppendError> {
        let bytes = whats.iter().map(|what| match what {
            What::Events(events) => events.iter().map(|event| event.len() + AROUND).sum(),
            What::Seal => 0,
        });
        if self.disk.is_full(bytes.sum()) {
            let mut last = Page::behind(self.end, self.unsigned);
            last.seal(&self.seal);
            self.commit(&last)?;
            self.disk.next_file(self.end.number() + 1)?;
        }
        let mut page = Page::behind(self.end, self.unsigned);
        let mut ends = Vec::with_capacity(whats.len());
        for what in whats {
            match what {
                What::Events(events) => {
                    for event in events {
                        if page.unsigned >= UNSIGNED_MOST {
                            page.seal(&self.seal);
                        }
                        page.push(event);
                        page.unsigned += 1;
                    }
                }
                What::Seal => page.seal(&self.seal),
            }
            ends.push(page.end);
        }
        self.commit(&page)?;
        Ok(ends)
    }

    fn commit(&mut self, page: &Page) -> Result<(), AppendError> {
        if !page.bytes.is_empty() {
            self.disk.append(&page.bytes)?;
        }
        (self.end, self.unsigned) = (page.end, page.unsigned);
        Ok(())
    }
}

/// Lines that are not on the disk yet.
struct Page {
    bytes: Vec<u8>,
    end: ChainEnd,
    unsigned: u64,
}

impl Page {
    const fn behind(end: ChainEnd, unsigned: u64) -> Self {
        Self { bytes: Vec::new(), end, unsigned }
    }

    fn push(&mut self, event: &[u8]) {
        let line = self.end.line(event);
        self.end = self.end.after(&line);
        self.bytes.extend_from_slice(&line);
        self.bytes.push(b'\n');
    }

    /// A signed head, if there is anything to sign for.
    fn seal(&mut self, seal: &Sealer) {
        if self.unsigned == 0 {
            return;
        }
        if let Some(head) = seal(self.end) {
            self.push(&head);
            self.unsigned = 0;
        } else {
            tracing::error!("a head of the audit trail could not be signed");
        }
    }
}

/// The files of a trail.
pub(super) struct Files {
    /// The one that is written.
    pub(super) file: File,
    pub(super) path: PathBuf,
    /// Its length.
    pub(super) length: u64,
    /// The number of its first line.
    pub(super) first: u64,
    /// It is finished before it gets longer than this.
    pub(super) rotate_at: u64,
    /// Held as long as anything can be written.
    pub(super) _lock: File,
}

impl Disk for Files {
    fn append(&mut self, bytes: &[u8]) -> Result<(), AppendError> {
        if let Err(error) = self.file.write_all(bytes) {
            use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
            tracing::warn!(%error, "the audit file took not all of a write");
            let full = matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge);
            // What was not synced was promised to nobody: it is taken away, so that the next line follows the last one.
            let taken_back = full && self.file.set_len(self.length).is_ok();
            return Err(if taken_back { AppendError::Full } else { AppendError::Broken });
        }
        if let Err(error) = self.file.sync_data() {
            tracing::error!(%error, "the audit file could not be synced");
            return Err(AppendError::Broken);
        }
        self.length += bytes.len() as u64;
        Ok(())
    }

    fn is_full(&self, more: usize) -> bool {
        self.length > 0 && self.length + more as u64 > self.rotate_at
    }

    fn next_file(&mut self, first: u64) -> Result<(), AppendError> {
        let (begun, finished) = (files::begun_name(&self.path), files::finished_name(&self.path, self.first));
        let next = OpenOptions::new().append(true).create(true).truncate(false).mode(0o600).open(&begun);
        let renamed = next.and_then(|next| fs::rename(&self.path, &finished).map(|()| next));
        let next = match renamed {
            Ok(next) => next,
            Err(error) => {
                // A file that is too long is better than none.
                tracing::warn!(%error, "the next audit file could not be begun");
                return Ok(());
            }
        };
        // From here on a start finds the finished file, and begins the next one if this is not done.
        let named = fs::rename(&begun, &self.path).and_then(|()| files::sync_names(&self.path));
        if let Err(error) = named {
            tracing::error!(%error, "the next audit file could not be named");
            return Err(AppendError::Broken);
        }
        tracing::info!(file = %finished.display(), "an audit file is finished");
        (self.file, self.length, self.first) = (next, 0, first);
        Ok(())
    }
}

const BATCH: usize = 256;
/// No more lines than these stand behind a signed head.
pub(super) const UNSIGNED_MOST: u64 = 1_000;
/// What a line holds besides its event, at most.
const AROUND: usize = 128;
