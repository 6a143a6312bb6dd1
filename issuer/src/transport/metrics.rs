//! What `/metrics` tells of the realm: the log, those who follow it, obstacles. Counts no calls.

use common::runtime::metrics_text::MetricsText;

use crate::application::{
    house::{Obstacle, obstacles},
    realm::Realm,
};

/// What can be told of a realm beside its calls.
pub fn write(realm: &Realm, text: &mut MetricsText) {
    let published = realm.log.published();
    let cursor = published.log.cursor();
    let gauge = |number: u64| u32::try_from(number).map_or(f64::from(u32::MAX), f64::from);
    text.gauge("ipms_log_epoch", "The log's epoch.", &[], gauge(cursor.epoch));
    text.gauge("ipms_log_sequence", "The log's last entry.", &[], gauge(cursor.sequence));
    text.gauge("ipms_log_entries", "Entries held.", &[], gauge(published.log.entries()));
    let seen = realm.followers.visibility(cursor, realm.clock.now().boot);
    text.gauge("ipms_followers", "Running verifiers.", &[], gauge(seen.followers as u64));
    let behind = gauge(seen.waiting_for.len() as u64);
    let others = gauge(realm.followers.issuers(realm.clock.now().boot).len() as u64);
    text.gauge("ipms_issuers", "Issuers that share the store.", &[], others + 1.0);
    text.gauge("ipms_followers_behind", "Running verifiers that do not see the log's end yet.", &[], behind);
    let [lost, mended, entries] = realm.conditions.losses().map(gauge);
    text.gauge(
        "ipms_log_losses",
        "How often the log was seen to have lost entries since the start.",
        &[],
        lost,
    );
    text.gauge("ipms_log_mended", "How often all of them came back since the start.", &[], mended);
    text.gauge("ipms_log_mended_entries", "Entries of the log when they last came back.", &[], entries);
    let [taken, all] = realm.pool.taken().map(|places| gauge(places as u64));
    text.gauge("ipms_signing_orders", "Orders for a token under way.", &[], taken);
    text.gauge("ipms_signing_orders_most", "Orders that may be under way at once.", &[], all);
    let faulty = realm.conditions.faulty_signatures();
    text.counter(
        "ipms_signatures_faulty_total",
        "Wrong signatures that were made and thrown away.",
        &[],
        faulty,
    );
    let standing = obstacles(realm);
    for (name, obstacle) in [
        ("STORE_LOST_DATA", Obstacle::LogLost),
        ("STORE_UNREACHABLE", Obstacle::StoreFailed),
        ("AUDIT_UNAVAILABLE", Obstacle::AuditBroken),
        ("CLOCK_SUSPECT", Obstacle::ClockSuspect),
        ("NO_SIGNING_KEY", Obstacle::NoSigningKey),
        ("SIGNER_UNAVAILABLE", Obstacle::SignerUnavailable),
        ("SIGNATURE_FAULTY", Obstacle::SignatureFaulty),
    ] {
        let stands = f64::from(u8::from(standing.contains(&obstacle)));
        text.gauge("ipms_obstacle", "1 while this stops issuing.", &[("reason", name)], stands);
    }
}
