//! A whole issuer in this process, over a store in Redis: keys, journal, log writer. Serves nothing.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use common::{clock::SystemClock, runtime::settings_file::SettingsFile};
use issuer::{
    adapters::{
        key_directory::{self, Place},
        store::redis::RedisSettings,
        system_entropy::SystemEntropy,
    },
    application::{log::Published, realm::Realm},
    settings::Settings,
    wiring,
};

use crate::{server::open, steps::in_time};

/// Its files. They outlive the issuer.
pub(crate) struct House(tempfile::TempDir);

impl House {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let now = common::clock::Clock::now(&SystemClock);
        key_directory::add(&Place::plain(folder.path()), &SystemEntropy::default(), now).unwrap();
        Self(folder)
    }

    /// Starts an issuer. One that was dropped just now may still hold the journal.
    pub(crate) async fn issuer(&self, redis: &RedisSettings) -> Arc<Realm> {
        let toml = format!("[audit]\npath = '{}'", self.0.path().join("audit.jsonl").display());
        let settings = Settings::read(SettingsFile::new(toml.parse().unwrap(), [], "ISSUER_")).unwrap();
        in_time("the issuer starts", async || {
            let store = open(redis, "test").await.ok()?;
            let keys = key_directory::read(&Place::plain(self.0.path())).unwrap();
            wiring::open(&settings, keys, Arc::new(store), Arc::new(SystemClock), false).await.ok()
        })
        .await
    }
}

/// How long it takes until the issuer notices that entries were lost. A new epoch of its own making counts: it opens one
/// only when it has noticed.
pub(crate) async fn noticed(realm: &Realm, since: Instant) -> Duration {
    let epoch = realm.log.published().log.cursor().epoch;
    let mut published = realm.log.subscribe();
    let lost = |now: &Arc<Published>| now.lost || now.log.cursor().epoch > epoch;
    let seen = tokio::time::timeout(Duration::from_mins(1), published.wait_for(lost)).await;
    seen.expect("the loss is never noticed").unwrap();
    since.elapsed()
}
