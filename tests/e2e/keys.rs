//! Keys that change: by hand, by schedule, in an emergency. And what they ask of a verifier: nothing.

mod emergency;
mod log_key;
mod memory;
mod rotation;
mod unknown;
