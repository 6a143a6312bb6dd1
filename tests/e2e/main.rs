//! Claims about the whole: everything goes through the wire, and nothing is replaced but the clocks.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

mod canary;
mod errors;
mod feed;
mod freshness;
mod hardware;
mod idempotency;
mod keys;
mod race;
mod restarts;
mod revocation;
mod rules;
mod sinks;
mod time;
