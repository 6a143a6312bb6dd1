//! The audit trail in files: one JSON line each, hash-chained, on disk before the reply. Knows no event's meaning; never
//! repairs.

use std::{
    fs::{self, OpenOptions, Permissions},
    io::{self, Seek as _, SeekFrom},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use serde::Serialize;
use tokio::sync::{mpsc, oneshot};

pub use chain::{ChainEnd, Damage, DamageKind};
use files::Reading;
use writer::{Command, Disk, Files, What, Writer};

mod chain;
mod files;
pub mod inspect;
mod writer;

/// An open trail, this process its only writer. Clones write to the same files.
///
/// The files are closed and the lock given up when the last clone is gone and what was queued is written.
#[derive(Clone, Debug)]
pub struct AuditFile {
    queue: mpsc::Sender<Command>,
    waiting: Arc<AtomicUsize>,
    deadline: Duration,
}

/// Makes the event of a signed head of the chain that ends there. `None` when it cannot be signed.
pub type Sealer = Box<dyn Fn(ChainEnd) -> Option<Vec<u8>> + Send>;

/// What opening found.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Opened {
    /// The end of the chain that stands.
    pub end: ChainEnd,
    /// Bytes of a last line without its end that were cut off: a crash in the middle of a write, never acknowledged.
    pub torn: u64,
}

impl AuditFile {
    /// Opens or creates the file at `path` (mode 0600), checks the whole chain of it and of the finished files before it,
    /// hands each line to `each` with the end of the chain behind it, and starts the writer thread. A file is finished
    /// before it is longer than `rotate_at` bytes; `seal` signs heads.
    ///
    /// # Errors
    ///
    /// [`OpenError`]; nothing was changed then, and nothing can be written.
    pub fn open(
        path: &Path,
        rotate_at: u64,
        seal: Sealer,
        mut each: impl FnMut(&ChainEnd, &[u8]),
    ) -> Result<(Self, Opened), OpenError> {
        let lock = files::lock(path)?;
        let mut file = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path)?;
        // Nobody may read on the other side of a pipe, and a device keeps nothing.
        if !file.metadata()?.is_file() {
            return Err(OpenError::NotAFile);
        }
        let mut reading = Reading::default();
        for finished in files::finished(path)? {
            reading.finished(&finished, |line| {
                each(&line.end, line.text);
                Ok(())
            })?;
        }
        let before = reading.end();
        let (length, torn) = reading.file(path, &file, |line| {
            each(&line.end, line.text);
            Ok(())
        })?;
        let first = if before == ChainEnd::START { reading.begin() } else { before.number() + 1 };
        let end = reading.end();
        file.set_permissions(Permissions::from_mode(0o600))?;
        if torn > 0 {
            file.set_len(length)?;
        }
        file.seek(SeekFrom::End(0))?;
        file.sync_all()?;
        // Begun when a crash came; nothing is in it.
        match fs::remove_file(files::begun_name(path)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
            Ok(()) | Err(_) => {}
        }
        // A new file's name must survive a power cut as well as what is in it.
        files::sync_names(path)?;
        let disk = Files { file, path: path.to_owned(), length, first, rotate_at, _lock: lock };
        Ok((Self::start(disk, end, seal)?, Opened { end, torn }))
    }

    /// Appends a line for each event, in order, as one write. When this returns `Ok`, all of them survive a power cut; the
    /// answer is the end of the chain behind the last.
    ///
    /// Not safe to repeat after an error: the line may be in the file.
    ///
    /// # Errors
    ///
    /// [`AppendError`]; after [`AppendError::Broken`] every later append fails too, until the trail is opened anew.
    pub async fn append(&self, events: &[impl Serialize]) -> Result<ChainEnd, AppendError> {
        let lines = events.iter().map(serde_json::to_vec).collect::<Result<Vec<_>, _>>();
        let events = lines.map_err(|_reason| AppendError::NotJson)?;
        if events.iter().any(|event| event.len() > MAX_EVENT) {
            return Err(AppendError::TooLong);
        }
        self.ask(What::Events(events)).await
    }

    /// Appends a signed head, unless the last line is one.
    ///
    /// # Errors
    ///
    /// As [`AuditFile::append`].
    pub async fn seal(&self) -> Result<ChainEnd, AppendError> {
        self.ask(What::Seal).await
    }

    /// Whether everything that was asked for has been answered, if only to somebody who had gone.
    pub fn idle(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) == 0
    }

    async fn ask(&self, what: What) -> Result<ChainEnd, AppendError> {
        let (reply, answer) = oneshot::channel();
        let asked = async {
            let place = self.queue.reserve().await.map_err(|_closed| AppendError::Broken)?;
            self.waiting.fetch_add(1, Ordering::Relaxed);
            place.send(Command { what, reply });
            answer.await.unwrap_or(Err(AppendError::Broken))
        };
        tokio::time::timeout(self.deadline, asked).await.unwrap_or(Err(AppendError::Blocked))
    }

    fn start(disk: impl Disk, end: ChainEnd, seal: Sealer) -> io::Result<Self> {
        let (queue, commands) = mpsc::channel(QUEUE);
        let waiting = Arc::<AtomicUsize>::default();
        // What an earlier process left may lack its head: it is signed for at the next occasion.
        let unsigned = u64::from(end.number() > 0);
        let writer = Writer { disk, end, unsigned, seal, waiting: Arc::clone(&waiting) };
        thread::Builder::new().name("audit".to_owned()).spawn(move || writer.run(commands))?;
        Ok(Self { queue, waiting, deadline: DEADLINE })
    }
}

/// Why the trail could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another writer holds it.
    #[error("the audit file is in use by another process")]
    InUse,
    /// A pipe, a socket, a device: nothing that keeps lines.
    #[error("the audit file must be a regular file")]
    NotAFile,
    /// Its chain is broken, by more than a torn last line.
    #[error("the audit trail is damaged: {0}")]
    Damaged(#[from] Damage),
    /// The file system failed.
    #[error("the audit file could not be opened: {0}")]
    Io(#[from] io::Error),
}

/// Why a line was not acknowledged.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum AppendError {
    /// A write or an fsync failed. What reached the disk is unknown until the trail is opened anew and checked.
    #[error("the audit file is broken until it is opened anew")]
    Broken,
    /// There is no room. Nothing was written, and later there may be room again.
    #[error("there is no room for the audit file")]
    Full,
    /// The disk did not answer in time. It may do so later, and the line may be in the file then.
    #[error("the audit file's disk does not answer")]
    Blocked,
    /// The event has no JSON form. Nothing was written.
    #[error("the event cannot be written as JSON")]
    NotJson,
    /// The event is longer than 1 MiB. Nothing was written.
    #[error("the event is too long for a line")]
    TooLong,
}

const QUEUE: usize = 1024;
const MAX_EVENT: usize = 1 << 20;
/// How long a caller waits for its line. A disk that takes longer is as good as none.
const DEADLINE: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests;
