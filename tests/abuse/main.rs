//! Both programs under attack: whoever means well is served all the while, whoever does not is bounded, and what is too much
//! is refused. Real processes; the attackers are ours.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

mod floods;
mod legitimate;
#[path = "../../common/tests/tls/pki.rs"]
mod pki;
mod resources;
mod starting;
mod starved;
