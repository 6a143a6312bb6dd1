//! What a verdict is judged on. Never awaits; knows no transport and no disk.

pub mod alarm;
pub mod cache;
pub mod feed;
pub mod session;
pub mod trust_view;
pub mod view;
#[cfg(test)]
pub(crate) mod written;
