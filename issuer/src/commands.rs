//! The commands beside serving: keys, audit, store. They print for people and end.

pub mod transfer;

use std::{
    fmt::Write as _,
    fs::File,
    io::{BufRead as _, BufReader},
    path::Path,
    sync::Arc,
};

use common::clock::{Clock, SystemClock};

use crate::{
    adapters::{
        audit_file::ChainEnd,
        key_directory::{self, KeysError},
        store::seal::Seal,
        system_entropy::SystemEntropy,
    },
    settings::Settings,
    wiring::{self, StartError},
};

/// `keys generate`.
///
/// # Errors
/// [`KeysError`].
pub fn generate_keys(settings: &Settings) -> Result<String, KeysError> {
    let made = key_directory::add(&settings.keys, &SystemEntropy::default(), SystemClock.now())?;
    let mut out = String::new();
    for path in made {
        // Writing to a string cannot fail.
        writeln!(out, "wrote {}", path.display()).ok();
    }
    Ok(out)
}

/// `keys show`.
///
/// # Errors
/// [`KeysError`].
pub fn show_keys(settings: &Settings) -> Result<String, KeysError> {
    let keys = key_directory::read(&settings.keys, settings.algorithm)?;
    let mut out = String::new();
    for key in &keys.token {
        writeln!(out, "token key {} ({:?})", key.public().id(), key.public().algorithm()).ok();
    }
    writeln!(out, "log key   {}", keys.log.public().id()).ok();
    let pem = keys.log.public().to_pem();
    out +=
        &pem.map_err(|reason| KeysError::Key { path: settings.keys.join(key_directory::LOG_KEY), reason })?;
    Ok(out)
}

/// `audit verify FILE`: `Ok` tells how far the chain reaches.
///
/// # Errors
/// What is damaged, or why it cannot be read.
pub fn verify_audit(path: &Path) -> Result<String, String> {
    let file = File::open(path).map_err(|reason| format!("{}: {reason}", path.display()))?;
    let mut end = ChainEnd::START;
    for line in BufReader::new(file).split(b'\n') {
        let line = line.map_err(|reason| format!("{}: {reason}", path.display()))?;
        end.follow(&line).map_err(|damage| format!("{}: {damage}", path.display()))?;
    }
    Ok(format!("{} lines, the chain is whole\n", end.number()))
}

/// `store check`: opens the store as a start would, and tells what it found.
///
/// # Errors
/// [`StartError`].
pub async fn check_store(settings: &Settings, new_epoch: bool) -> Result<(String, bool), StartError> {
    let keys = key_directory::read(&settings.keys, settings.algorithm)?;
    let seal = Seal::new(keys.seal.expose_secret_bytes());
    let store = wiring::open_store(settings, seal).await?;
    let before = store.load().await?.end;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let realm = wiring::open(settings, keys, store, clock, new_epoch).await?;
    let published = realm.log.published();
    let told = before.map_or_else(|| "nothing".to_owned(), |end| end.cursor().to_string());
    let mut out = format!("the log ended at {told}; it ends at {} now\n", published.log.cursor());
    writeln!(out, "{} entries are held", published.log.entries()).ok();
    if published.lost {
        out += "entries are lost for good: issuing stays stopped until `issuer store check --new-epoch`\n";
    }
    Ok((out, !published.lost))
}
