//! What both programs need around their services: settings. No token rule and no store.

pub mod settings_file;
