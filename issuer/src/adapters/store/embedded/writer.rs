//! The one thread that writes: what has queued up becomes one transaction and one fsync, then everyone is answered.
//! Knows no step.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
};

use redb::{Database, Durability, WriteTransaction};
use tokio::sync::mpsc;

/// A step that waits for the writer thread.
pub(super) trait Step: Send {
    /// Does it. An error means that the transaction must not be committed.
    fn run(&mut self, transaction: &WriteTransaction) -> Result<(), redb::Error>;

    /// Answers, once it is known whether the transaction is on the disk.
    fn answer(self: Box<Self>, durable: bool);
}

/// The thread. Dropped: what is queued is still written, and the thread has let go of the database.
#[derive(Debug)]
pub(super) struct Writer {
    steps: Option<mpsc::Sender<Box<dyn Step>>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    pub(super) fn start(database: Arc<Database>, broken: Arc<AtomicBool>) -> io::Result<Self> {
        let (steps, waiting) = mpsc::channel(QUEUE);
        let thread = thread::Builder::new().name("store".to_owned()).spawn(move || {
            let broken = BrokenAfter(broken);
            write_all(&database, &broken.0, waiting);
        })?;
        Ok(Self { steps: Some(steps), thread: Some(thread) })
    }

    /// Queues a step, waiting for room. `false`: the thread takes none any more.
    pub(super) async fn queue(&self, step: Box<dyn Step>) -> bool {
        match &self.steps {
            Some(steps) => steps.send(step).await.is_ok(),
            None => false,
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.steps = None;
        if let Some(thread) = self.thread.take() {
            // A panic was reported where it happened, and the store is broken since.
            thread.join().ok();
        }
    }
}

/// However the thread ends, nothing is believed of the database afterwards.
struct BrokenAfter(Arc<AtomicBool>);

impl Drop for BrokenAfter {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

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
            broken.store(true, Ordering::SeqCst);
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

const QUEUE: usize = 1_024;
const BATCH: usize = 256;
