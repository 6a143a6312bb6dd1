//! Work that must take nothing from others: one thread of the lowest priority does it, piece by piece, a bounded number in
//! line. What there is to do is the caller's matter.

use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::mpsc::{SyncSender, TrySendError, sync_channel},
    thread,
};

use rustix::process::setpriority_process;
use tokio::sync::oneshot;
use tonic::{Code, Status};

use super::{limits::MAX_ASIDE, status};

/// The thread, and the line before it. The thread ends when the last of these is dropped.
#[derive(Clone, Debug)]
pub struct Aside(SyncSender<Piece>);

type Piece = Box<dyn FnOnce() + Send>;

impl Aside {
    /// Starts the thread.
    ///
    /// # Errors
    /// The system has no thread for it.
    pub fn start() -> io::Result<Self> {
        let (line, pieces) = sync_channel::<Piece>(MAX_ASIDE);
        thread::Builder::new().name("aside".to_owned()).spawn(move || {
            // Of this thread alone, as Linux has it. Whoever computes at the usual priority comes first.
            if let Err(error) = setpriority_process(None, LOWEST) {
                tracing::warn!(%error, "the thread for doubtful tokens has the usual priority");
            }
            for piece in pieces {
                // A panic ends the piece, whose caller learns of it; what it said may quote what the caller sent.
                drop(catch_unwind(AssertUnwindSafe(piece)));
            }
        })?;
        Ok(Self(line))
    }

    /// Puts `work` in line; what comes back has its result. Nobody computes for a caller that has gone.
    ///
    /// # Errors
    /// `RESOURCE_EXHAUSTED` `OVERLOADED`: the line is full.
    pub fn begin<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<oneshot::Receiver<T>, Status> {
        let (tell, told) = oneshot::channel();
        let piece = move || {
            if !tell.is_closed() {
                // The caller may go while it is worked on.
                let _ = tell.send(work());
            }
        };
        self.0.try_send(Box::new(piece)).map_err(|error| match error {
            TrySendError::Full(_) => status::with_reason(
                Code::ResourceExhausted,
                "OVERLOADED",
                "this connection brought too many forged tokens; others come first",
            ),
            TrySendError::Disconnected(_) => panicked(),
        })?;
        Ok(told)
    }
}

/// What a caller is told whose work panicked.
pub fn panicked() -> Status {
    Status::internal("internal error")
}

const LOWEST: i32 = 19;

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use rustix::process::getpriority_process;

    use super::*;

    #[tokio::test]
    async fn work_is_done_in_order_at_the_lowest_priority_and_a_panic_ends_only_itself() {
        let aside = Aside::start().unwrap();
        let usual = getpriority_process(None).unwrap();
        let first = aside.begin(|| panic!("said nowhere")).unwrap();
        let second = aside.begin(|| getpriority_process(None).unwrap()).unwrap();
        let nothing: Result<(), _> = first.await;
        assert!(nothing.is_err());
        assert_eq!(second.await.unwrap(), LOWEST);
        assert_eq!(getpriority_process(None).unwrap(), usual, "nobody else's");
    }

    #[tokio::test]
    async fn a_full_line_takes_no_more_and_who_has_gone_is_not_worked_for() {
        let aside = Aside::start().unwrap();
        let (go, wait) = mpsc::channel::<()>();
        let (begun, begins) = mpsc::channel();
        let held = aside.begin(move || (begun.send(()).unwrap(), wait.recv().is_ok())).unwrap();
        begins.recv().unwrap();
        let (done, seen) = mpsc::channel();
        let gone: Vec<_> = std::iter::repeat_with(|| {
            let done = done.clone();
            aside.begin(move || done.send(()).unwrap())
        })
        .take(MAX_ASIDE)
        .collect();
        assert!(gone.iter().all(Result::is_ok));
        assert_eq!(aside.begin(|| ()).unwrap_err().code(), Code::ResourceExhausted);
        drop((gone, done));
        go.send(()).unwrap();
        assert!(held.await.unwrap().1);
        assert!(seen.recv().is_err(), "nothing was done for them");
        let later = std::iter::from_fn(|| Some(aside.begin(|| ()))).find_map(Result::ok).unwrap();
        later.await.unwrap();
    }
}
