//! The embedded store: one redb file, one writer thread, one fsync for all that has queued up. Decides nothing.

mod reads;
mod steps;
mod tables;

use std::{
    fs::{OpenOptions, Permissions},
    io,
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use common::{
    organisation_id::OrganisationId, project::Project, project_id::ProjectId, revocation::head::Link,
    timestamp::Timestamp, token_id::TokenId,
};
use redb::{Database, DatabaseError, Durability, ReadTransaction, StorageError, WriteTransaction};
use tokio::sync::{mpsc, oneshot};

use super::seal::Seal;
use crate::domain::{
    followers::{Follower, Row},
    ledger::TokenRecord,
    policy_record::PolicyRecord,
    ports::{Answer, Append, Appended, Created, Loaded, Recorded, Recording, Store, StoreError, TokensOf},
};

/// A store in one file, or in memory for tests. One process holds it.
#[derive(Debug)]
pub struct EmbeddedStore {
    database: Arc<Database>,
    seal: Arc<Seal>,
    broken: Arc<AtomicBool>,
    steps: mpsc::Sender<Box<dyn Step>>,
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
        let database = Database::builder().set_check_integrity_on_open(true).create(path)?;
        // A new file's name must survive a power cut as well as what is in it.
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        std::fs::File::open(folder)?.sync_all()?;
        Self::over(database, seal)
    }

    /// A store that forgets everything when it is dropped. For tests.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn in_memory(seal: Seal) -> Result<Self, OpenError> {
        Self::over(Database::builder().create_with_backend(redb::backends::InMemoryBackend::new())?, seal)
    }

    fn over(database: Database, seal: Seal) -> Result<Self, OpenError> {
        tables::create(&database)?;
        let (steps, waiting) = mpsc::channel(QUEUE);
        let (database, broken) = (Arc::new(database), Arc::new(AtomicBool::new(false)));
        let writer = (Arc::clone(&database), Arc::clone(&broken));
        thread::Builder::new()
            .name("store".to_owned())
            .spawn(move || write_all(&writer.0, &writer.1, waiting))?;
        Ok(Self { database, seal: Arc::new(seal), broken, steps })
    }

    /// Runs `step` in the next write transaction, and answers once that is on the disk.
    fn write<T: Send + 'static>(
        &self,
        step: impl FnOnce(&WriteTransaction, &Seal) -> Result<T, Fault> + Send + 'static,
    ) -> Answer<'_, T> {
        Box::pin(async move {
            let (reply, answer) = oneshot::channel();
            let asked = Asked { step: Some(step), outcome: None, reply, seal: Arc::clone(&self.seal) };
            self.steps.send(Box::new(asked)).await.map_err(|_stopped| StoreError::Unreachable)?;
            answer.await.unwrap_or(Err(StoreError::Unreachable))
        })
    }

    /// Runs `look` in a read transaction, away from the async workers.
    fn read<T: Send + 'static>(
        &self,
        look: impl FnOnce(&ReadTransaction, &Seal) -> Result<T, Fault> + Send + 'static,
    ) -> Answer<'_, T> {
        if self.broken.load(Ordering::Relaxed) {
            return Box::pin(async { Err(StoreError::Unreachable) });
        }
        let (database, seal) = (Arc::clone(&self.database), Arc::clone(&self.seal));
        Box::pin(async move {
            let looked = tokio::task::spawn_blocking(move || {
                let transaction = redb::ReadableDatabase::begin_read(&*database).map_err(Fault::from)?;
                look(&transaction, &seal)
            });
            looked.await.map_err(|_panicked| StoreError::Unreachable)?.map_err(Fault::told)
        })
    }
}

impl Store for EmbeddedStore {
    fn load(&self) -> Answer<'_, Loaded> {
        self.read(reads::load)
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

    fn save_follower(&self, row: Row) -> Answer<'_, ()> {
        self.write(move |transaction, _| steps::save_follower(transaction, &row))
    }

    fn remove_followers(&self, followers: Vec<Follower>) -> Answer<'_, ()> {
        self.write(move |transaction, _| steps::remove_followers(transaction, &followers))
    }
}

/// A step that waits for the writer thread.
trait Step: Send {
    /// Does it. An error means that the transaction must not be committed.
    fn run(&mut self, transaction: &WriteTransaction) -> Result<(), redb::Error>;

    /// Answers, once it is known whether the transaction is on the disk.
    fn answer(self: Box<Self>, durable: bool);
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
            Err(Fault::Lost(table)) => self.outcome = Some(Err(Fault::Lost(table).told())),
            Err(Fault::Disk(error)) => return Err(*error),
        }
        Ok(())
    }

    fn answer(self: Box<Self>, durable: bool) {
        let outcome = self.outcome.filter(|_| durable).unwrap_or(Err(StoreError::Unreachable));
        // Who no longer waits has lost interest in the answer; the step stands all the same.
        self.reply.send(outcome).ok();
    }
}

/// The writer thread: what has queued up becomes one transaction and one fsync, then everyone is answered.
///
/// It takes no step any more after the first failure: what the disk holds then is known only by opening it anew.
fn write_all(database: &Database, broken: &AtomicBool, mut waiting: mpsc::Receiver<Box<dyn Step>>) {
    while let Some(first) = waiting.blocking_recv() {
        let mut batch = vec![first];
        while batch.len() < BATCH
            && let Ok(next) = waiting.try_recv()
        {
            batch.push(next);
        }
        let done = commit(database, &mut batch);
        if let Err(error) = &done {
            tracing::error!(%error, "the store's disk failed; it is not used until this process starts anew");
            broken.store(true, Ordering::Relaxed);
        }
        for step in batch {
            step.answer(done.is_ok());
        }
        if done.is_err() {
            return;
        }
    }
}

fn commit(database: &Database, batch: &mut [Box<dyn Step>]) -> Result<(), redb::Error> {
    let mut transaction = database.begin_write()?;
    transaction.set_durability(Durability::Immediate)?;
    for step in batch {
        step.run(&transaction)?;
    }
    transaction.commit()?;
    Ok(())
}

/// Why a step or a look did not succeed.
#[derive(Debug)]
enum Fault {
    /// The disk, or the database itself.
    Disk(Box<redb::Error>),
    /// A record of this table cannot be believed.
    Lost(&'static str),
}

impl Fault {
    /// What the application is told; the rest is for the log.
    fn told(self) -> StoreError {
        match self {
            Self::Disk(error) => {
                tracing::error!(%error, "the store's disk failed");
                StoreError::Unreachable
            }
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
        if let DatabaseError::Storage(StorageError::Io(error)) = error {
            return Self::Io(error);
        }
        Self::Damaged(Box::new(error.into()))
    }
}

const QUEUE: usize = 1_024;
const BATCH: usize = 256;
