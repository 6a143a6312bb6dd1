//! What whole-system tests stand on: running issuers and verifiers, callers, orders, patience. No claim is made here.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "a harness that cannot go on must fail its test"
)]

pub mod calls;
pub mod expect;
pub mod faults;
pub mod hostile;
pub mod keys;
pub mod orders;
pub mod pair;
pub mod ports;
pub mod programs;
pub mod redis;
pub mod softhsm;

use std::time::Duration;

/// Looks every few milliseconds until `look` finds something. Panics after 20 s, naming `what` was waited for.
pub async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let patient = async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            tokio::time::sleep(LOOK).await;
        }
    };
    let found = tokio::time::timeout(PATIENCE, patient).await;
    found.unwrap_or_else(|_elapsed| panic!("not within {PATIENCE:?}: {what}"))
}

const LOOK: Duration = Duration::from_millis(10);
const PATIENCE: Duration = Duration::from_secs(20);
