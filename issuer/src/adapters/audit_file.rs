//! The audit file: one JSON line each, hash-chained, on disk before the reply. Knows no event's meaning; never repairs.

use std::{
    fs::{File, OpenOptions, Permissions, TryLockError},
    io::{self, BufRead, BufReader, Read as _, Seek as _, SeekFrom, Write},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::Path,
    thread,
};

use serde::Serialize;
use tokio::sync::{mpsc, oneshot};

pub use verify::{ChainEnd, Damage, DamageKind};

pub mod verify;

/// An open audit file, this process its only writer. Clones write to the same file.
///
/// The file is closed and its lock given up when the last clone is gone and what was queued is written.
#[derive(Clone, Debug)]
pub struct AuditFile {
    queue: mpsc::Sender<Command>,
}

/// What opening found.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Opened {
    /// The end of the chain that stands.
    pub end: ChainEnd,
    /// Bytes of a last line without its end that were cut off: a crash in the middle of a write, never acknowledged.
    pub torn: u64,
}

impl AuditFile {
    /// Opens or creates the file at `path` (mode 0600), checks its whole chain, hands each line to `each` with the end of
    /// the chain behind it, and starts the writer thread.
    ///
    /// # Errors
    ///
    /// [`OpenError`]; nothing was changed then, and nothing can be written.
    pub fn open(path: &Path, each: impl FnMut(&ChainEnd, &[u8])) -> Result<(Self, Opened), OpenError> {
        let mut file = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path)?;
        file.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => OpenError::InUse,
            TryLockError::Error(error) => OpenError::Io(error),
        })?;
        let (end, whole, torn) = check(&mut BufReader::new(&file), each)?;
        file.set_permissions(Permissions::from_mode(0o600))?;
        if torn > 0 {
            file.set_len(whole)?;
        }
        file.seek(SeekFrom::End(0))?;
        file.sync_all()?;
        // A new file's name must survive a power cut as well as what is in it.
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(folder)?.sync_all()?;
        Ok((Self::start(file, end)?, Opened { end, torn }))
    }

    /// Appends a line for each event, in order, as one write. When this returns `Ok`, all of them survive a power cut; the
    /// answer is the end of the chain behind the last.
    ///
    /// Not safe to repeat after an error: the line may be in the file.
    ///
    /// # Errors
    ///
    /// [`AppendError`]; after [`AppendError::Broken`] every later append fails too, until the file is opened anew.
    pub async fn append(&self, events: &[impl Serialize]) -> Result<ChainEnd, AppendError> {
        let lines = events.iter().map(serde_json::to_vec).collect::<Result<Vec<_>, _>>();
        let events = lines.map_err(|_reason| AppendError::NotJson)?;
        if events.iter().any(|event| event.len() > MAX_EVENT) {
            return Err(AppendError::TooLong);
        }
        let (reply, answer) = oneshot::channel();
        self.queue.send(Command { events, reply }).await.map_err(|_closed| AppendError::Broken)?;
        answer.await.unwrap_or(Err(AppendError::Broken))
    }

    fn start(disk: impl Disk, end: ChainEnd) -> io::Result<Self> {
        let (queue, commands) = mpsc::channel(QUEUE);
        thread::Builder::new().name("audit".to_owned()).spawn(move || write_all(disk, end, commands))?;
        Ok(Self { queue })
    }
}

/// Why the audit file could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another writer holds it.
    #[error("the audit file is in use by another process")]
    InUse,
    /// Its chain is broken, by more than a torn last line.
    #[error("the audit file is damaged")]
    Damaged(#[from] Damage),
    /// The file system failed.
    #[error("the audit file could not be opened")]
    Io(#[from] io::Error),
}

/// Why a line was not acknowledged.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum AppendError {
    /// A write or an fsync failed. What reached the disk is unknown until the file is opened anew and checked.
    #[error("the audit file is broken until it is opened anew")]
    Broken,
    /// The event has no JSON form. Nothing was written.
    #[error("the event cannot be written as JSON")]
    NotJson,
    /// The event is longer than 1 MiB. Nothing was written.
    #[error("the event is too long for a line")]
    TooLong,
}

#[derive(Debug)]
struct Command {
    events: Vec<Vec<u8>>,
    reply: oneshot::Sender<Result<ChainEnd, AppendError>>,
}

/// Where lines go: a file, or in a test one that fails.
trait Disk: Write + Send + 'static {
    fn sync(&mut self) -> io::Result<()>;
}

impl Disk for File {
    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }
}

/// The writer thread: what has queued up becomes one write and one fsync, then everyone is answered.
///
/// It ends at the first failure. An fsync that fails may have dropped the pages it should have written, and the
/// next one would succeed without them: so nothing is acknowledged any more.
fn write_all(mut disk: impl Disk, mut end: ChainEnd, mut commands: mpsc::Receiver<Command>) {
    while let Some(first) = commands.blocking_recv() {
        let mut bytes = Vec::new();
        let mut replies = Vec::new();
        let mut next = Some(first);
        while let Some(command) = next {
            for event in &command.events {
                let line = end.line(event);
                end = end.after(&line);
                bytes.extend_from_slice(&line);
                bytes.push(b'\n');
            }
            replies.push((command.reply, end));
            next = if replies.len() < BATCH { commands.try_recv().ok() } else { None };
        }
        let written = disk.write_all(&bytes).and_then(|()| disk.sync());
        for (reply, end) in replies {
            // Who no longer waits has lost interest in the answer; the line stands all the same.
            let _gone = reply.send(if written.is_ok() { Ok(end) } else { Err(AppendError::Broken) });
        }
        if let Err(error) = written {
            tracing::error!(%error, "the audit file is broken until it is opened anew");
            return;
        }
    }
}

/// The end of the chain, the length of its whole lines, and that of a torn last one.
fn check(
    file: &mut impl BufRead,
    mut each: impl FnMut(&ChainEnd, &[u8]),
) -> Result<(ChainEnd, u64, u64), OpenError> {
    let (mut end, mut whole, mut line) = (ChainEnd::START, 0, Vec::new());
    loop {
        line.clear();
        let read = file.by_ref().take(MAX_LINE).read_until(b'\n', &mut line)? as u64;
        match line.strip_suffix(b"\n") {
            Some(line) => {
                end.follow(line)?;
                each(&end, line);
            }
            None if read == MAX_LINE => {
                return Err(Damage { line: end.number().saturating_add(1), kind: DamageKind::TooLong }.into());
            }
            None => return Ok((end, whole, read)),
        }
        whole += read;
    }
}

const QUEUE: usize = 1024;
const BATCH: usize = 256;
const MAX_EVENT: usize = 1 << 20;
const MAX_LINE: u64 = (1 << 20) + 256;

#[cfg(test)]
mod tests;
