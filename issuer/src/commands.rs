//! The commands beside serving: keys, audit, store. They print for people and end.

pub mod doctor;
pub mod transfer;

use std::{
    fmt::{Display, Write as _},
    path::PathBuf,
    sync::Arc,
};

use common::{
    clock::{Clock, SystemClock},
    encoding,
    jws::Algorithm,
    keys::PublicKey,
};

use crate::{
    adapters::{
        audit_file::{
            ChainEnd,
            inspect::{Known, inspect},
        },
        key_directory::{self, KeysError},
        store::seal::Seal,
        system_entropy::SystemEntropy,
    },
    domain::ports::KeySource as _,
    settings::Settings,
    wiring::{self, StartError},
};

/// `check-config`, once the settings themselves are good: reads every file that a start would read before it serves.
///
/// # Errors
/// All mistakes, one a line.
pub fn check_config(settings: &Settings) -> Result<String, String> {
    let keys = match key_directory::read(&settings.keys) {
        // A start would wait for a device that is away.
        Ok(keys) => keys.folder.complaint(),
        Err(mistake) => Some(mistake.to_string()),
    };
    let tls = settings.service.check_files(Arc::new(SystemClock)).err();
    let keys = keys.map(|mistake| format!("keys.directory: {mistake}"));
    let mistakes: Vec<_> = keys.into_iter().chain(tls.map(|mistake| format!("tls: {mistake}"))).collect();
    if mistakes.is_empty() {
        Ok("settings, keys and TLS files are good\n".to_owned())
    } else {
        Err(mistakes.join("\n"))
    }
}

/// `keys generate`.
///
/// # Errors
/// [`KeysError`].
pub fn generate_keys(settings: &Settings) -> Result<String, KeysError> {
    key_directory::add(&settings.keys, &SystemEntropy::default(), SystemClock.now()).map(|made| told(&made))
}

/// `keys generate --log-key`.
///
/// # Errors
/// [`KeysError`].
pub fn generate_log_key(settings: &Settings) -> Result<String, KeysError> {
    key_directory::add_log_key(&settings.keys, &SystemEntropy::default()).map(|made| told(&made))
}

/// `keys switch-log-key`.
///
/// # Errors
/// [`KeysError`].
pub fn switch_log_key(settings: &Settings) -> Result<String, KeysError> {
    key_directory::switch_log_key(&settings.keys).map(|made| told(&made))
}

fn told(made: &[PathBuf]) -> String {
    made.iter().fold(String::new(), |mut out, path| {
        // Writing to a string cannot fail.
        writeln!(out, "wrote {}", path.display()).ok();
        out
    })
}

/// `keys show`.
///
/// # Errors
/// [`KeysError`].
pub fn show_keys(settings: &Settings) -> Result<String, KeysError> {
    let keys = key_directory::read(&settings.keys)?;
    let mut out = String::new();
    if let Some(complaint) = keys.folder.complaint() {
        writeln!(out, "token keys on the PKCS#11 token are not shown: {complaint}").ok();
    }
    for key in &keys.token {
        let (id, algorithm) = (key.public().id(), key.public().algorithm());
        let place = keys.folder.label(id).map(|label| format!(", on the PKCS#11 token as `{label}`"));
        writeln!(out, "token key {id} ({algorithm:?}){}", place.unwrap_or_default()).ok();
    }
    for (name, key) in
        [Some(("log key  ", keys.log.public())), keys.other_log.as_ref().map(|key| ("other log key", key))]
            .into_iter()
            .flatten()
    {
        writeln!(out, "{name} {}", key.id()).ok();
        let path = settings.keys.folder.join(key_directory::LOG_KEY);
        out += &key.to_pem().map_err(|reason| KeysError::Key { path, reason })?;
    }
    Ok(out)
}

/// `audit verify FILE…`: `Ok` tells how far the chain reaches, and how far the log key signed for it.
///
/// # Errors
/// What is damaged, or why it cannot be read.
pub fn verify_audit(files: &[PathBuf], log_keys: &[PathBuf], known: Option<&str>) -> Result<String, String> {
    let mut known = Known { line: known.map(known_line).transpose()?, ..Known::default() };
    for path in log_keys {
        let unreadable = |reason: &dyn Display| format!("{}: {reason}", path.display());
        let pem = std::fs::read_to_string(path).map_err(|reason| unreadable(&reason))?;
        // A log key signs with either; which one is not in the file.
        for algorithm in [Algorithm::Ps256, Algorithm::Rs256] {
            known.log_keys.push(PublicKey::from_pem(&pem, algorithm).map_err(|reason| unreadable(&reason))?);
        }
    }
    inspect(files, &known).map(|report| report.to_string()).map_err(|error| error.to_string())
}

fn known_line(text: &str) -> Result<ChainEnd, String> {
    let parse = || {
        let (number, hash) = text.split_once(':')?;
        Some(ChainEnd::at(number.parse().ok()?, encoding::decode_array(hash)?))
    };
    parse()
        .ok_or_else(|| "--known must be a line's number and hash, as an earlier check told them".to_owned())
}

/// `store check`: opens the store as a start would, and tells what it found.
///
/// # Errors
/// [`StartError`].
pub async fn check_store(settings: &Settings, new_epoch: bool) -> Result<(String, bool), StartError> {
    let keys = key_directory::read(&settings.keys)?;
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
