//! `issuer doctor`: looks at all that a start needs and at the issuer that runs. Writes nothing; the round trip, which does,
//! is a file of its own and has to be asked for.

mod round_trip;

use std::{path::Path, sync::Arc};

use common::{
    clock::Clock,
    runtime::{
        dial::Endpoint,
        doctor::{Page, Report, own_health},
        service_settings::ServiceSettings,
        tls::TlsFiles,
    },
};

use self::round_trip::round_trip;
use crate::{
    adapters::{
        key_directory::{self, Keys},
        store::{
            embedded::{self, EmbeddedStore},
            redis::{self, RedisSettings, RedisStore, Unfit},
            seal::Seal,
        },
        system_entropy::SystemEntropy,
    },
    args::DoctorOptions,
    domain::ports::Store,
    settings::{Settings, StoreSettings},
    transport::methods::SERVICES,
};

/// Whose tokens are followed through, and as whom both programs are called.
#[derive(Clone, Debug)]
pub struct Trip {
    /// The issuer.
    pub issuer: Endpoint,
    /// A verifier that follows it.
    pub verifier: Endpoint,
    /// For `https://`.
    pub tls: Option<TlsFiles>,
}

/// Looks at everything, and goes the round trip if that is asked for.
pub async fn examine_all(settings: &Settings, options: &DoctorOptions, clock: Arc<dyn Clock>) -> Report {
    let mut report = examine(settings, &clock).await;
    let asked = options.round_trip.clone();
    match (asked, own_endpoint(settings)) {
        (None, _) => report.left("round trip", "asked for with --round-trip VERIFIER"),
        (Some(_), None) => report.left("round trip", "name the issuer with --issuer: gRPC speaks TLS here"),
        (Some(verifier), Some(issuer)) => {
            round_trip(&Trip { issuer, verifier, tls: options.tls() }, &clock, &mut report).await;
        }
    }
    report
}

/// The round trip and nothing else.
pub async fn round_trip_alone(trip: &Trip, clock: Arc<dyn Clock>) -> Report {
    let mut report = Report::default();
    round_trip(trip, &clock, &mut report).await;
    report
}

/// Looks at everything but the round trip.
async fn examine(settings: &Settings, clock: &Arc<dyn Clock>) -> Report {
    let mut report = Report::default();
    report.good("settings", "all are taken");
    let keys = keys(settings, &mut report);
    report.own_certificate(&settings.service, Arc::clone(clock));
    report.writable_folder("audit trail", Page::Audit, &settings.audit);
    let runs = report.serving(&settings.service, &SERVICES).await;
    if let Some(keys) = keys {
        store(settings, &keys, runs, clock, &mut report).await;
    } else {
        report.left("store", "it is opened with the sealing key, which could not be read");
    }
    report
}

/// Where the issuer of these settings is called from its own machine, in plaintext.
fn own_endpoint(settings: &Settings) -> Option<Endpoint> {
    // Without TLS gRPC tells health too, and is on loopback.
    own_health(&ServiceSettings { health_listen: None, ..settings.service.clone() })
}

fn keys(settings: &Settings, report: &mut Report) -> Option<Keys> {
    match key_directory::read(&settings.keys) {
        Ok(keys) => {
            let (count, log) = (keys.token.len(), keys.log.public().id());
            report.good("keys", format!("{count} for tokens, log key {log}, sealing key"));
            Some(keys)
        }
        Err(error) => {
            report.bad("keys", Page::Keys, error.to_string());
            None
        }
    }
}

async fn store(settings: &Settings, keys: &Keys, runs: bool, clock: &Arc<dyn Clock>, report: &mut Report) {
    let seal = Seal::new(keys.seal.expose_secret_bytes());
    match &settings.store {
        StoreSettings::Embedded(path) => embedded(path, seal, runs, report).await,
        StoreSettings::Redis(redis) => shared(redis, &settings.realm, seal, clock, report).await,
    }
}

async fn embedded(path: &Path, seal: Seal, runs: bool, report: &mut Report) {
    report.left("clocks", "the embedded store has no clock of its own");
    // Opening would make it.
    if !path.exists() {
        report.writable_folder("store", Page::Store, path);
        return report
            .left("store", format!("{} is not there yet: the first start makes it", path.display()));
    }
    match EmbeddedStore::open(path, seal) {
        Ok(store) => loaded(&store, report).await,
        Err(embedded::OpenError::InUse) if runs => {
            report.good("store", format!("{} is held by the issuer that runs", path.display()));
        }
        Err(error) => report.bad("store", Page::Store, format!("{} {error}", path.display())),
    }
}

async fn shared(
    settings: &RedisSettings,
    realm: &str,
    seal: Seal,
    clock: &Arc<dyn Clock>,
    report: &mut Report,
) {
    match RedisStore::open(settings, realm, seal, &SystemEntropy::default(), Arc::clone(clock)).await {
        Err(redis::OpenError::Unfit(Unfit::Wrong(wrong))) => {
            for one in wrong {
                report.bad("store", Page::Store, format!("Redis: {one}"));
            }
            report.left("clocks", "a store that is set wrongly is not asked for its time");
        }
        Err(error) => {
            report.bad("store", Page::Store, error.to_string());
            report.left("clocks", "the store does not tell its time");
        }
        Ok(store) => {
            loaded(&store, report).await;
            if store.clock_off() {
                report.bad("clocks", Page::Clocks, "the clock of the store is over 5 s off this machine's");
            } else {
                report.good("clocks", "the store's agrees with this machine's within 5 s");
            }
        }
    }
}

async fn loaded(store: &dyn Store, report: &mut Report) {
    match store.load().await {
        Err(error) => report.bad("store", Page::Store, error.to_string()),
        Ok(loaded) => {
            let end = loaded.end.map_or_else(|| "nothing".to_owned(), |end| end.cursor().to_string());
            report.good("store", format!("set as it must be; its log ends at {end}"));
        }
    }
}
