//! What of the verifier is served, for `grpc.health.v1` and `/readyz`. Relaxes nothing: a type is served while it can be
//! decided.

use std::{sync::Arc, time::Duration};

use common::{
    runtime::{health::Health, shutdown::Shutdown},
    token::kind::TokenType,
};
use tokio::{sync::watch, time};

use crate::application::{alarms::Alarms, verify::Verifier};

/// The service as a whole: served while any type can be decided.
pub const SERVICE: &str = "ipms.token.v1.VerifierService";

/// Each type by itself.
const TYPES: [(TokenType, &str); 3] = [
    (TokenType::Pseudonymisation, "ipms.token.v1.VerifierService/PSEUDONYMISATION"),
    (TokenType::Reverse, "ipms.token.v1.VerifierService/REVERSE"),
    (TokenType::Secondary, "ipms.token.v1.VerifierService/SECONDARY"),
];

/// The names of the types.
pub const TYPE_NAMES: [&str; 3] = [TYPES[0].1, TYPES[1].1, TYPES[2].1];

/// A lease ends by itself, so somebody has to look.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// A board with all names, nothing served yet.
pub fn board() -> Health {
    let names: Vec<&str> = [SERVICE].into_iter().chain(TYPES.map(|(_, name)| name)).collect();
    Health::new(&names)
}

/// Keeps the board true at every publication, and four times a second, until the drain.
pub async fn tell(
    verifier: Arc<Verifier>,
    health: Health,
    mut published: watch::Receiver<()>,
    shutdown: Shutdown,
) {
    let mut clock = time::interval(LOOK_EVERY);
    clock.set_missed_tick_behavior(time::MissedTickBehavior::Delay);
    loop {
        tell_once(&verifier, &health);
        tokio::select! {
            _ = clock.tick() => {}
            Ok(()) = published.changed() => {}
            () = shutdown.begun() => return,
        }
    }
}

/// Makes the board true now.
pub fn tell_once(verifier: &Verifier, health: &Health) {
    let types = verifier.trust_view().types;
    let decidable = |kind| types.get(kind).decidable.is_ok();
    health.set(SERVICE, TokenType::ALL.into_iter().any(decidable));
    for (kind, name) in TYPES {
        health.set(name, decidable(kind));
    }
}

/// Ready while any type can be decided: protecting data goes on when exposing it must stop.
///
/// # Errors
/// Which types cannot be decided and why, and the alarms that stand.
pub fn ready(verifier: &Verifier, alarms: &Alarms) -> Result<(), Vec<String>> {
    let view = verifier.trust_view();
    let mut reasons: Vec<String> =
        view.undecidable().map(|(kind, why)| format!("{kind} cannot be decided: {why}")).collect();
    if reasons.len() < TokenType::ALL.len() {
        return Ok(());
    }
    reasons.extend(alarms.standing().iter().map(ToString::to_string));
    Err(reasons)
}
