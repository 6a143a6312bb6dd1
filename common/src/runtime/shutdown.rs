//! The end of the process, from the first signal to the last. Closes nothing itself.

use std::{io, sync::Arc, time::Duration};

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::watch,
};

/// How long calls in flight may take once the drain has begun.
pub const DRAIN_DEADLINE: Duration = Duration::from_secs(10);

#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Phase {
    Running,
    Draining,
    Ended,
}

/// Tells everybody that the process is to end. All clones are one.
#[derive(Clone, Debug)]
pub struct Shutdown(Arc<watch::Sender<Phase>>);

impl Shutdown {
    /// The first SIGTERM or SIGINT begins the drain, the second ends it. To be called within the runtime.
    ///
    /// # Errors
    ///
    /// The signals cannot be caught.
    pub fn on_signals() -> io::Result<Self> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let shutdown = Self::manual();
        let told = shutdown.clone();
        tokio::spawn(async move {
            either(&mut terminate, &mut interrupt).await;
            tracing::info!("a signal: draining");
            told.begin();
            either(&mut terminate, &mut interrupt).await;
            tracing::warn!("a second signal: ending without waiting");
            told.end();
        });
        Ok(shutdown)
    }

    /// Begins only when told.
    pub fn manual() -> Self {
        Self(Arc::new(watch::Sender::new(Phase::Running)))
    }

    /// Begins the drain, or does nothing if it has begun.
    pub fn begin(&self) {
        self.advance(Phase::Draining);
    }

    /// Ends the drain at once.
    pub fn end(&self) {
        self.advance(Phase::Ended);
    }

    /// Whether the drain has begun.
    pub fn is_begun(&self) -> bool {
        *self.0.borrow() >= Phase::Draining
    }

    /// Until the drain begins. Streams that would never end by themselves wait for it.
    pub async fn begun(&self) {
        self.reached(Phase::Draining).await;
    }

    /// Until the drain is over: [`DRAIN_DEADLINE`] after its beginning, or when told.
    pub async fn ended(&self) {
        self.begun().await;
        if tokio::time::timeout(DRAIN_DEADLINE, self.reached(Phase::Ended)).await.is_err() {
            self.end();
        }
    }

    async fn reached(&self, phase: Phase) {
        // The sender is ours: it cannot be gone while we wait.
        let _ = self.0.subscribe().wait_for(|now| *now >= phase).await;
    }

    fn advance(&self, phase: Phase) {
        self.0.send_if_modified(|now| {
            let later = *now < phase;
            *now = phase.max(*now);
            later
        });
    }
}

async fn either(one: &mut Signal, other: &mut Signal) {
    tokio::select! {
        _ = one.recv() => {}
        _ = other.recv() => {}
    }
}

#[cfg(test)]
mod tests {
    use rustix::process::{Signal, getpid, kill_process};

    use super::{Phase, Shutdown};

    #[tokio::test]
    async fn all_clones_begin_together_and_the_past_is_told_too() {
        let shutdown = Shutdown::manual();
        let clone = shutdown.clone();
        assert!(!clone.is_begun());
        shutdown.begin();
        clone.begun().await;
        assert!(clone.is_begun());
    }

    #[tokio::test]
    async fn the_first_signal_drains_and_the_second_ends() {
        let shutdown = Shutdown::on_signals().unwrap();
        kill_process(getpid(), Signal::TERM).unwrap();
        shutdown.begun().await;
        kill_process(getpid(), Signal::INT).unwrap();
        // Nobody counts the deadline here: only a signal gets it there.
        shutdown.reached(Phase::Ended).await;
    }

    #[tokio::test]
    async fn an_end_does_not_wait_for_the_deadline_and_is_not_taken_back() {
        let shutdown = Shutdown::manual();
        shutdown.end();
        shutdown.begin();
        shutdown.ended().await;
        assert!(shutdown.is_begun());
    }
}
