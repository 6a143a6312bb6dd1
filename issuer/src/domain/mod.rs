//! What may be issued and what is promised. Never awaits; knows no transport and no store.

pub mod approval;
pub mod audit_head;
pub mod chain;
pub mod chunks;
pub mod claims;
pub mod draft;
pub mod event;
pub mod followers;
pub mod key_holders;
pub mod key_roles;
pub mod ledger;
pub mod mending;
pub mod order;
pub mod policy;
pub mod policy_record;
pub mod ports;
pub mod project_rules;
pub mod rotation;
pub mod rounds;
pub mod transfer;
