//! Who is judged when: whoever brings many forged tokens waits behind everybody else, and only for what costs a check of a
//! signature. No verdict is made here, and none is changed.

use std::{fmt, num::NonZeroU32, sync::Arc};

use common::{
    clock::Clock,
    runtime::{
        aside::{Aside, panicked},
        failures::Failures,
    },
};
use tokio::sync::oneshot;
use tonic::Status;

use crate::application::verify::Verifier;

/// Judges at once or in time; shared by all ways to ask.
#[derive(Clone)]
pub struct Fairness(Arc<Parts>);

struct Parts {
    verifier: Arc<Verifier>,
    aside: Aside,
    clock: Arc<dyn Clock>,
}

impl Fairness {
    /// What is put aside is worked on by `aside`.
    pub fn new(verifier: Arc<Verifier>, aside: Aside, clock: Arc<dyn Clock>) -> Self {
        Self(Arc::new(Parts { verifier, aside, clock }))
    }

    /// The result of `work`, or when it will be there; `work` also counts the forged tokens that it found. `is_known` is
    /// asked only for a connection that brought too many: whether no signature has to be checked.
    ///
    /// # Errors
    /// `RESOURCE_EXHAUSTED` `OVERLOADED`: too much is put aside.
    pub(super) fn judge<T: Send + 'static>(
        &self,
        extensions: &http::Extensions,
        is_known: impl FnOnce(&Verifier) -> bool,
        work: impl FnOnce(&Verifier) -> (T, u32) + Send + 'static,
    ) -> Result<Judging<T>, Status> {
        let failures = Failures::of(extensions);
        if failures.is_some_and(|failures| failures.too_many(self.0.clock.now().boot))
            && !is_known(&self.0.verifier)
        {
            let (this, failures) = (self.clone(), failures.cloned());
            let work = move || this.work(failures.as_deref(), work);
            return self.0.aside.begin(work).map(Judging::Later);
        }
        Ok(Judging::Done(self.work(failures.map(|failures| &**failures), work)))
    }

    fn work<T>(&self, failures: Option<&Failures>, work: impl FnOnce(&Verifier) -> (T, u32)) -> T {
        let (judged, forged) = work(&self.0.verifier);
        if let Some((failures, forged)) = failures.zip(NonZeroU32::new(forged)) {
            failures.note(forged, self.0.clock.now().boot);
        }
        judged
    }
}

impl fmt::Debug for Fairness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fairness")
    }
}

/// What was judged, or will be.
pub(super) enum Judging<T> {
    /// At once.
    Done(T),
    /// When nobody else has work.
    Later(oneshot::Receiver<T>),
}

impl<T> Judging<T> {
    /// Waits for it.
    ///
    /// # Errors
    /// `INTERNAL`: it panicked.
    pub(super) async fn done(self) -> Result<T, Status> {
        match self {
            Self::Done(judged) => Ok(judged),
            Self::Later(judged) => judged.await.map_err(|_gone| panicked()),
        }
    }
}
