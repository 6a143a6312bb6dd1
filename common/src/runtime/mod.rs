//! What both programs need around their services: settings, listeners, layers, health, admin port, end. No token rule
//! and no store.

pub mod admin;
mod arrivals;
pub mod aside;
pub mod bearer;
pub mod caller;
mod calls;
mod connections;
pub mod deadline;
pub mod dial;
pub mod doctor;
pub mod failures;
pub mod hardening;
pub mod health;
pub mod http;
pub mod limits;
pub mod listener;
pub mod manual;
pub mod methods;
pub mod metrics_text;
mod otlp;
mod overload;
mod panic_guard;
mod rate_limit;
pub mod rpc_log;
pub mod server;
pub mod service_settings;
pub mod settings_file;
pub mod shutdown;
pub mod status;
pub mod telemetry;
pub mod threads;
pub mod tls;
