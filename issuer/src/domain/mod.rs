//! What may be issued and what is promised. Never awaits; knows no transport and no store.

pub mod approval;
pub mod draft;
pub mod followers;
pub mod order;
pub mod policy;
pub mod project_rules;
