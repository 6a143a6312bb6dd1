//! A scrape of the verifier: verdicts, and the view they are judged on. Names no token, project or organisation.

use std::time::Duration;

use common::{runtime::metrics_text::MetricsText, token::kind::TokenType};

use crate::{
    application::{alarms::Alarms, verify::Verifier},
    domain::alarm::Alarm,
};

/// Writes everything.
pub fn write(verifier: &Verifier, alarms: &Alarms, text: &mut MetricsText) {
    for one in verifier.tally().counts() {
        let kind = one.token_type.map_or("", TokenType::as_str);
        let labels = [("outcome", one.outcome), ("reason", one.reason), ("type", kind)];
        text.counter("ipms_verifications_total", "Verdicts, by outcome and reason.", &labels, one.count);
    }
    let view = verifier.trust_view();
    let position = view.position;
    // Without a lease it is as old as can be, so that one alarm covers both.
    let age = position.age.as_ref().map_or(f64::INFINITY, Duration::as_secs_f64);
    let issuer = [("issuer", verifier.issuer())];
    text.gauge("ipms_view_age_seconds", "Age of the knowledge that the view is whole.", &issuer, age);
    text.gauge("ipms_view_entries", "Entries of the log that are held.", &[], whole(view.entries));
    text.gauge("ipms_view_keys", "Token keys that are trusted.", &[], whole(view.keys.len() as u64));
    text.gauge("ipms_view_epoch", "Epoch of the log.", &[], whole(position.cursor.epoch));
    let sequence = whole(position.cursor.sequence);
    text.gauge("ipms_view_sequence", "Last entry of the log in its epoch.", &[], sequence);
    if let Some(age) = view.keys_age {
        let help = "Since the issuer stated the keys and limits in use.";
        text.gauge("ipms_key_set_age_seconds", help, &[], age.as_secs_f64());
    }
    text.gauge("ipms_cache_bytes", "Kept for verified tokens.", &[], whole(verifier.cache_bytes()));
    for kind in TokenType::ALL {
        let left = view.types.get(kind).decidable.map_or(0.0, |left| left.as_secs_f64());
        let help = "For how long tokens of a type can still be decided; 0 when they cannot.";
        text.gauge("ipms_lease_left_seconds", help, &[("type", kind.as_str())], left);
    }
    let standing = alarms.standing();
    for alarm in Alarm::ALL {
        let stands = f64::from(u8::from(standing.contains(&alarm)));
        let help = "1 while the alarm stands.";
        text.gauge("ipms_alarm", help, &[("alarm", &format!("{alarm:?}"))], stands);
    }
}

/// Exact as far as any of ours goes; cut above.
fn whole(number: u64) -> f64 {
    f64::from(u32::try_from(number).unwrap_or(u32::MAX))
}
