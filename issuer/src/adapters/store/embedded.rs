//! The embedded store: one redb file, one writer thread, one fsync for all that has queued up. Decides nothing.

mod reads;
mod register;
mod steps;
mod tables;
mod transfer;
mod writer;

use std::{
    fs::{OpenOptions, Permissions},
    io,
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use common::{
    organisation_id::OrganisationId, project::Project, project_id::ProjectId, revocation::head::Link,
    timestamp::Timestamp, token_id::TokenId,
};
use redb::{
    Database, DatabaseError, ReadTransaction, StorageBackend, StorageError, WriteTransaction,
    backends::{FileBackend, InMemoryBackend},
};
use tokio::sync::oneshot;

use self::writer::{Step, Writer};
use super::seal::Seal;
use crate::domain::{
    followers::{Follower, Row, Tenure},
    ledger::TokenRecord,
    policy_record::PolicyRecord,
    ports::{
        Answer, Append, Appended, Created, Loaded, LogEnd, Recorded, Recording, Store, StoreError, TokensOf,
    },
    rounds::{Round, Rounded},
    transfer::{Kept, Part},
};

/// A store in one file, or in memory for tests. One process holds it.
///
/// After a failure of the disk it answers [`StoreError::Unreachable`] until it is opened anew: what the disk holds is not
/// known. Dropped: what is queued is written, and the file is closed once nobody reads.
#[derive(Debug)]
pub struct EmbeddedStore {
    writer: Writer,
    database: Arc<Database>,
    seal: Arc<Seal>,
    broken: Arc<AtomicBool>,
}

impl EmbeddedStore {
    /// Opens or creates the file (mode 0600) in a folder that is there.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(path: &Path, seal: Seal) -> Result<Self, OpenError> {
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
        file.set_permissions(Permissions::from_mode(0o600))?;
        let store = Self::over(FileBackend::new(file)?, seal)?;
        // A new file's name must survive a power cut as well as what is in it.
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        std::fs::File::open(folder)?.sync_all()?;
        Ok(store)
    }

    /// A store that forgets everything when it is dropped. For tests.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn in_memory(seal: Seal) -> Result<Self, OpenError> {
        Self::over(InMemoryBackend::new(), seal)
    }

    fn over(backend: impl StorageBackend, seal: Seal) -> Result<Self, OpenError> {
        let database = Database::builder().set_check_integrity_on_open(true).create_with_backend(backend)?;
        tables::create(&database)?;
        let (database, broken) = (Arc::new(database), Arc::new(AtomicBool::new(false)));
        let writer = Writer::start(Arc::clone(&database), Arc::clone(&broken))?;
        Ok(Self { writer, database, seal: Arc::new(seal), broken })
    }

    /// Runs `step` in the next write transaction, and answers once that is on the disk.
    fn write<T: Send + 'static>(
        &self,
        step: impl FnOnce(&WriteTransaction, &Seal) -> Result<T, Fault> + Send + 'static,
    ) -> Answer<'_, T> {
        Box::pin(async move {
            let (reply, answer) = oneshot::channel();
            let asked = Asked { step: Some(step), outcome: None, reply, seal: Arc::clone(&self.seal) };
            if !self.broken.load(Ordering::SeqCst)
                && self.writer.queue(Box::new(asked)).await
                && let Ok(answer) = answer.await
            {
                return answer;
            }
            // The thread ends in a moment, if it has not yet: who asks next must know.
            self.broken.store(true, Ordering::SeqCst);
            Err(StoreError::Unreachable)
        })
    }

    /// Runs `look` in a read transaction, away from the async workers.
    fn read<T: Send + 'static>(
        &self,
        look: impl FnOnce(&ReadTransaction, &Seal) -> Result<T, Fault> + Send + 'static,
    ) -> Answer<'_, T> {
        Box::pin(async move {
            if self.broken.load(Ordering::SeqCst) {
                return Err(StoreError::Unreachable);
            }
            let (database, seal) = (Arc::clone(&self.database), Arc::clone(&self.seal));
            let looked = tokio::task::spawn_blocking(move || {
                let transaction = redb::ReadableDatabase::begin_read(&*database)?;
                look(&transaction, &seal)
            });
            looked.await.map_err(|_panicked| StoreError::Unreachable)?.map_err(|fault| {
                if matches!(fault, Fault::Disk(_)) {
                    self.broken.store(true, Ordering::SeqCst);
                }
                fault.told()
            })
        })
    }
}

impl Store for EmbeddedStore {
    fn copies(&self) -> u32 {
        1
    }

    fn load(&self) -> Answer<'_, Loaded> {
        self.read(reads::load)
    }

    fn shared(&self) -> bool {
        false
    }

    fn confirmed_end(&self) -> Answer<'_, Option<LogEnd>> {
        self.read(|transaction, _| reads::end(transaction))
    }

    fn runs(&self, end: LogEnd, behind: u64) -> Answer<'_, Option<Vec<Vec<u8>>>> {
        self.read(move |transaction, _| reads::runs(transaction, end, behind))
    }

    fn create_project(&self, project: Project) -> Answer<'_, Created> {
        self.write(move |transaction, seal| steps::create_project(transaction, seal, &project))
    }

    fn project(&self, id: ProjectId) -> Answer<'_, Option<Project>> {
        self.read(move |transaction, seal| reads::project(transaction, seal, &id))
    }

    fn projects(
        &self,
        organisation: Option<OrganisationId>,
        after: Option<ProjectId>,
        most: usize,
    ) -> Answer<'_, Vec<Project>> {
        self.read(move |transaction, seal| {
            reads::projects(transaction, seal, organisation, after.as_ref(), most)
        })
    }

    fn append(&self, append: Append) -> Answer<'_, Appended> {
        self.write(move |transaction, seal| steps::append(transaction, seal, &append))
    }

    fn record(&self, recording: Recording) -> Answer<'_, Recorded> {
        self.write(move |transaction, seal| steps::record(transaction, seal, recording))
    }

    fn token(&self, id: TokenId) -> Answer<'_, Option<TokenRecord>> {
        self.read(move |transaction, _| reads::token(transaction, id))
    }

    fn tokens(&self, of: TokensOf, before: Option<u64>, most: usize) -> Answer<'_, Vec<(u64, TokenRecord)>> {
        self.read(move |transaction, _| reads::tokens(transaction, &of, before, most))
    }

    fn forget_tokens(&self, expired_before: Timestamp, most: usize) -> Answer<'_, usize> {
        self.write(move |transaction, _| steps::forget_tokens(transaction, expired_before, most))
    }

    fn trim(&self, epoch: u64, base: Link) -> Answer<'_, ()> {
        self.write(move |transaction, _| steps::trim(transaction, epoch, base))
    }

    fn save_policy(&self, record: PolicyRecord) -> Answer<'_, bool> {
        self.write(move |transaction, seal| steps::save_policy(transaction, seal, &record))
    }

    fn policy(&self) -> Answer<'_, Option<PolicyRecord>> {
        self.read(reads::standing_policy)
    }

    fn save_follower(&self, row: Row) -> Answer<'_, Row> {
        self.write(move |transaction, _| register::join(transaction, row))
    }

    fn remove_followers(&self, followers: Vec<(Follower, Option<Tenure>)>) -> Answer<'_, ()> {
        self.write(move |transaction, _| register::leave(transaction, &followers))
    }

    fn round(&self, round: Round) -> Answer<'_, Rounded> {
        self.write(move |transaction, seal| register::round(transaction, seal, round))
    }

    fn ledger(&self, after: u64, most: usize) -> Answer<'_, (Vec<Kept>, u64)> {
        self.read(move |transaction, _| transfer::ledger(transaction, after, most))
    }

    fn take_in(&self, part: Part) -> Answer<'_, bool> {
        self.write(move |transaction, seal| transfer::take_in(transaction, seal, part))
    }

    fn expel(&self, issuer: u64, number: Option<u64>) -> Answer<'_, bool> {
        self.write(move |transaction, _| register::expel(transaction, issuer, number))
    }
}

struct Asked<S, T> {
    step: Option<S>,
    outcome: Option<Result<T, StoreError>>,
    reply: oneshot::Sender<Result<T, StoreError>>,
    seal: Arc<Seal>,
}

impl<S, T> Step for Asked<S, T>
where
    S: FnOnce(&WriteTransaction, &Seal) -> Result<T, Fault> + Send,
    T: Send,
{
    fn run(&mut self, transaction: &WriteTransaction) -> Result<(), redb::Error> {
        let Some(step) = self.step.take() else { return Ok(()) };
        match step(transaction, &self.seal) {
            Ok(done) => self.outcome = Some(Ok(done)),
            Err(Fault::Disk(error)) => return Err(*error),
            Err(fault @ (Fault::Lost(_) | Fault::HalfImported)) => self.outcome = Some(Err(fault.told())),
        }
        Ok(())
    }

    fn answer(self: Box<Self>, durable: bool) {
        let outcome = self.outcome.filter(|_| durable).unwrap_or(Err(StoreError::Unreachable));
        // Who no longer waits has lost interest in the answer; the step stands all the same.
        self.reply.send(outcome).ok();
    }
}

/// Why a step or a look did not succeed.
#[derive(Debug)]
enum Fault {
    /// The disk, or the database itself.
    Disk(Box<redb::Error>),
    /// A record of this table cannot be believed.
    Lost(&'static str),
    /// An import was not finished.
    HalfImported,
}

impl Fault {
    /// What the application is told; the rest is for the log.
    fn told(self) -> StoreError {
        match self {
            Self::Disk(error) => {
                tracing::error!(%error, "the store's disk failed");
                StoreError::Unreachable
            }
            Self::HalfImported => StoreError::HalfImported,
            Self::Lost(table) => {
                tracing::error!(table, "a record of the store cannot be believed");
                StoreError::LostData
            }
        }
    }
}

impl<E: Into<redb::Error>> From<E> for Fault {
    fn from(error: E) -> Self {
        Self::Disk(Box::new(error.into()))
    }
}

/// Why the store was not opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process holds it.
    #[error("is in use by another process")]
    InUse,
    /// What is in the file is no store, or a damaged one.
    #[error("is damaged")]
    Damaged(#[source] Box<redb::Error>),
    /// A format that this program does not know.
    #[error("is of another format")]
    Foreign,
    /// The file system failed.
    #[error("cannot be read or written: {0}")]
    Io(#[from] io::Error),
}

impl From<DatabaseError> for OpenError {
    fn from(error: DatabaseError) -> Self {
        if let DatabaseError::DatabaseAlreadyOpen | DatabaseError::LockProtocolMismatch = error {
            return Self::InUse;
        }
        if let DatabaseError::UpgradeRequired(_) = error {
            return Self::Foreign;
        }
        // A file that is not one of redb's, or too short for one, is no failure of the file system.
        if let DatabaseError::Storage(StorageError::Io(error)) = error {
            let of_content = [io::ErrorKind::InvalidData, io::ErrorKind::UnexpectedEof];
            return if of_content.contains(&error.kind()) {
                Self::Damaged(Box::new(redb::Error::Io(error)))
            } else {
                Self::Io(error)
            };
        }
        Self::Damaged(Box::new(error.into()))
    }
}

#[cfg(test)]
mod tests;
