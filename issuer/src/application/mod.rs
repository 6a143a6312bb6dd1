//! What the issuer does, step by step. Knows ports and the domain; no transport, no store by name.

pub mod conditions;
mod denials;
pub mod follow;
pub mod followers;
pub mod house;
pub mod issue;
pub mod key_book;
pub mod log;
pub mod projects;
pub mod realm;
pub mod restore;
pub mod revoke;
pub mod rotate_keys;
pub mod signing_pool;
pub mod timer;
pub mod tokens;
pub mod trail;
