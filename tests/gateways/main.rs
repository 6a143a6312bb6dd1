//! The verifier behind real gateways, with the examples of `deploy/`: Envoy, nginx and Caddy, as `tests/run` installs them.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on must fail")]

mod caddy;
mod documents;
mod envoy;
mod flow;
mod holder;
mod nginx;
mod outcomes;
#[path = "../../common/tests/tls/pki.rs"]
mod pki;
mod rig;
mod telemetry;
mod upstream;
