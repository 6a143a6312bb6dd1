//! Waiting, as an argument: the program waits on its runtime, a simulation on its own time. Never tells what time it is.

use std::{
    fmt,
    future::Future,
    pin::{Pin, pin},
    time::Duration,
};

/// A wait that is under way.
pub type Sleep = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Lets time pass.
pub trait Timer: fmt::Debug + Send + Sync {
    /// Ends once `span` has passed since the call.
    fn sleep(&self, span: Duration) -> Sleep;
}

/// The runtime's own time.
#[derive(Clone, Copy, Debug, Default)]
pub struct RuntimeTimer;

impl Timer for RuntimeTimer {
    fn sleep(&self, span: Duration) -> Sleep {
        Box::pin(tokio::time::sleep(span))
    }
}

/// What `work` comes to within `span`. `None` later: it has not ended, and may be waited for again.
pub async fn within<T>(timer: &dyn Timer, span: Duration, work: impl Future<Output = T>) -> Option<T> {
    let mut work = pin!(work);
    tokio::select! {
        biased;
        done = &mut work => Some(done),
        () = timer.sleep(span) => None,
    }
}
