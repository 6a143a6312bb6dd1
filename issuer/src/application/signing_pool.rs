//! A few threads for RSA signatures, away from the async workers, behind a bounded queue. Knows no key and no token.

use std::{
    fmt,
    num::NonZeroUsize,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    },
    thread,
    time::Duration,
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

/// Runs jobs of a fraction of a millisecond. Dropped: what is queued is still done, then the threads end.
pub struct SigningPool {
    /// `None`: whoever asks does the job.
    queue: Option<SyncSender<Job>>,
    places: Arc<Semaphore>,
    depth: usize,
}

/// A place for one job that is yet to come; given back when it is dropped.
#[derive(Debug)]
pub struct Place {
    _permit: OwnedSemaphorePermit,
}

type Job = Box<dyn FnOnce() + Send>;

impl SigningPool {
    /// Starts `threads` threads behind a queue of `depth` waiting jobs.
    ///
    /// # Errors
    ///
    /// When the system starts no more threads.
    pub fn start(threads: NonZeroUsize, depth: usize) -> std::io::Result<Self> {
        let (queue, jobs) = sync_channel::<Job>(depth);
        let jobs = Arc::new(Mutex::new(jobs));
        for number in 0..threads.get() {
            let jobs = Arc::clone(&jobs);
            thread::Builder::new().name(format!("signing-{number}")).spawn(move || work(&jobs))?;
        }
        Ok(Self { queue: Some(queue), places: Arc::new(Semaphore::new(depth)), depth })
    }

    /// Has no thread: a job is done at once by whoever asks, and keeps it that long. For a simulation, whose order of
    /// things no thread may decide.
    pub fn without_threads(places: usize) -> Self {
        Self { queue: None, places: Arc::new(Semaphore::new(places)), depth: places }
    }

    /// A place for a job whose preparation costs something: whoever gets none has not begun.
    ///
    /// # Errors
    ///
    /// [`NotRun::Full`] at once: load is shed here, not buffered.
    pub fn place(&self) -> Result<Place, NotRun> {
        Arc::clone(&self.places)
            .try_acquire_owned()
            .map(|permit| Place { _permit: permit })
            .map_err(|_none_left| NotRun::Full)
    }

    /// Places that are taken, and all there are.
    pub fn taken(&self) -> [usize; 2] {
        [self.depth.saturating_sub(self.places.available_permits()), self.depth]
    }

    /// Runs `job` on one of the threads.
    ///
    /// # Errors
    ///
    /// [`NotRun::Full`] at once when the queue is full: load is shed here, not buffered. [`NotRun::Failed`] when the job
    /// panicked; the thread goes on. [`NotRun::Late`] when it was begun and hangs, as a device may make it; its thread comes
    /// back when the device does.
    pub async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, NotRun> {
        let Some(queue) = &self.queue else { return Ok(job()) };
        let (begin, taken) = oneshot::channel();
        let (answer, answered) = oneshot::channel();
        let job = move || {
            // Nobody waits any more: the caller has gone, so the signature is not worth its time.
            if !answer.is_closed() {
                begin.send(()).ok();
                answer.send(job()).ok();
            }
        };
        queue.try_send(Box::new(job)).map_err(|refused| match refused {
            TrySendError::Full(_) => NotRun::Full,
            TrySendError::Disconnected(_) => NotRun::Failed,
        })?;
        taken.await.map_err(|_gone| NotRun::Failed)?;
        let answered = tokio::time::timeout(LONGEST, answered).await.map_err(|_elapsed| NotRun::Late)?;
        answered.map_err(|_gone| NotRun::Failed)
    }
}

impl fmt::Debug for SigningPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningPool")
    }
}

fn work(jobs: &Mutex<Receiver<Job>>) {
    loop {
        // The lock is held while waiting for a job, never while doing one.
        let next = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = next else { return };
        if catch_unwind(AssertUnwindSafe(job)).is_err() {
            tracing::error!("a signing job panicked");
        }
    }
}

/// Why a job gave no result.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum NotRun {
    /// Too many are waiting: try again later.
    #[error("the signing queue is full")]
    Full,
    /// Our fault.
    #[error("the signing job failed")]
    Failed,
    /// It was begun, and there is no end of it.
    #[error("the signing job hangs")]
    Late,
}

/// A job that takes longer hangs.
const LONGEST: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use std::{
        future::Future as _,
        pin::pin,
        sync::mpsc,
        task::{Context, Poll, Waker},
    };

    use super::*;

    fn pool(depth: usize) -> SigningPool {
        SigningPool::start(NonZeroUsize::MIN, depth).unwrap()
    }

    #[tokio::test]
    async fn a_job_gives_its_result() {
        assert_eq!(pool(1).run(|| 7).await, Ok(7));
    }

    #[tokio::test]
    async fn a_full_queue_sheds_at_once_and_loses_nothing_that_was_taken() {
        let pool = pool(1);
        let (release, gate) = mpsc::channel::<()>();
        let (started, running) = mpsc::channel();
        let mut busy = pin!(pool.run(move || {
            started.send(()).ok();
            gate.recv()
        }));
        let mut context = Context::from_waker(Waker::noop());
        assert!(busy.as_mut().poll(&mut context).is_pending());
        running.recv().unwrap();
        let mut waiting = pin!(pool.run(|| 2));
        assert!(waiting.as_mut().poll(&mut context).is_pending());
        assert_eq!(pin!(pool.run(|| 3)).poll(&mut context), Poll::Ready(Err(NotRun::Full)));
        release.send(()).unwrap();
        assert_eq!(busy.await, Ok(Ok(())));
        assert_eq!(waiting.await, Ok(2));
    }

    #[test]
    fn there_are_as_many_places_as_jobs_may_wait_and_each_comes_back() {
        let pool = pool(2);
        let (first, second) = (pool.place().unwrap(), pool.place().unwrap());
        assert_eq!(pool.place().unwrap_err(), NotRun::Full);
        drop(first);
        assert!(pool.place().is_ok());
        drop(second);
    }

    #[tokio::test]
    async fn a_panic_fails_one_job_and_the_thread_goes_on() {
        let pool = pool(1);
        assert_eq!(pool.run(|| -> u8 { panic!("on purpose") }).await, Err(NotRun::Failed));
        assert_eq!(pool.run(|| 7).await, Ok(7));
    }

    #[tokio::test]
    async fn a_job_that_nobody_waits_for_is_not_done() {
        let pool = pool(2);
        let (release, gate) = mpsc::channel::<()>();
        let (started, running) = mpsc::channel();
        let (done, was_done) = mpsc::channel::<()>();
        let mut context = Context::from_waker(Waker::noop());
        let mut busy = Box::pin(pool.run(move || {
            started.send(()).ok();
            gate.recv().ok();
        }));
        assert!(busy.as_mut().poll(&mut context).is_pending());
        running.recv().unwrap();
        {
            let mut given_up = pin!(pool.run(move || done.send(()).ok()));
            assert!(given_up.as_mut().poll(&mut context).is_pending());
        }
        release.send(()).unwrap();
        busy.await.unwrap();
        assert_eq!(pool.run(|| 7).await, Ok(7));
        assert!(was_done.try_recv().is_err());
    }
}
