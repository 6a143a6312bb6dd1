//! Redis in the topologies that the store supports, each of a test's own: Sentinels, a cluster, TLS. Gone when dropped.

pub(crate) mod cluster;
pub(crate) mod proxy;
pub(crate) mod sentinel;
pub(crate) mod tls;

use std::{path::PathBuf, time::Duration};

/// Valkey, as `tests/run` puts it in place.
pub(crate) fn valkey() -> PathBuf {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    root.join("target/tools/valkey/usr/bin/valkey-server")
}

/// Asks until it is so. Panics when it never is.
pub(crate) fn until(what: &str, mut so: impl FnMut() -> bool) {
    for _ in 0..PATIENCE_MS / PAUSE_MS {
        if so() {
            return;
        }
        std::thread::sleep(Duration::from_millis(PAUSE_MS));
    }
    panic!("it never came about: {what}");
}

const PAUSE_MS: u64 = 20;
const PATIENCE_MS: u64 = 120_000;
