//! The exchange of the log key: the next one is made, pinned at verifiers beside the old one, changed to, and the old one
//! goes. Never a token key.

use std::{
    fs,
    path::{Path, PathBuf},
};

use common::{
    jws::Algorithm,
    keys::{InvalidKey, PublicKey},
};

use super::{KeysError, LOG_KEY, PUBLIC_LOG_KEY, Place, new_key, pem, write_public};
use crate::domain::ports::Entropy;

/// Makes the log key that is to follow, as `log.next.pem` and `log.next.public.pem`. Returns the files.
///
/// # Errors
/// [`KeysError`]; [`KeysError::LogKeyExchange`] while an exchange is under way.
pub fn add_log_key(place: &Place, entropy: &dyn Entropy) -> Result<Vec<PathBuf>, KeysError> {
    for name in [NEXT, NEXT_PUBLIC, PREVIOUS, PREVIOUS_PUBLIC] {
        let path = place.file(name);
        if path.exists() {
            return Err(KeysError::LogKeyExchange { path });
        }
    }
    let passphrase = place.passphrase()?;
    let (private, public) = (place.file(NEXT), place.file(NEXT_PUBLIC));
    let key = new_key(entropy, &private, passphrase.as_ref())?;
    write_public(&public, key.public())?;
    Ok(vec![private, public])
}

/// Makes the next log key the one that signs from the next start on. The one before is kept as `log.previous.pem` and
/// `log.previous.public.pem`, so that what it signed is still known. May be repeated after a crash.
///
/// # Errors
/// [`KeysError`]; [`KeysError::NoNextLogKey`] when there is none.
pub fn switch_log_key(place: &Place) -> Result<Vec<PathBuf>, KeysError> {
    let passphrase = place.passphrase()?;
    if !place.file(NEXT).exists() && !place.file(NEXT_PUBLIC).exists() {
        return Err(KeysError::NoNextLogKey { folder: place.folder.clone() });
    }
    // It must be usable before anything moves.
    if place.file(NEXT).exists() {
        pem::read(place, NEXT, passphrase.as_ref())?;
        // The old one, unless that was done before a crash. `log.pem` is there at any time.
        if !place.file(PREVIOUS).exists() {
            linked(place, LOG_KEY, PREVIOUS)?;
        }
        moved(place, NEXT, LOG_KEY)?;
    }
    if !place.file(PREVIOUS_PUBLIC).exists() {
        linked(place, PUBLIC_LOG_KEY, PREVIOUS_PUBLIC)?;
    }
    moved(place, NEXT_PUBLIC, PUBLIC_LOG_KEY)?;
    Ok([LOG_KEY, PUBLIC_LOG_KEY, PREVIOUS, PREVIOUS_PUBLIC].map(|name| place.file(name)).to_vec())
}

/// The other log key of an exchange: verifiers pin it too, and what it signed is believed.
pub(super) fn other_log_key(place: &Place) -> Result<Option<PublicKey>, KeysError> {
    let found =
        [NEXT_PUBLIC, PREVIOUS_PUBLIC].map(|name| place.file(name)).into_iter().find(|path| path.exists());
    found.map(|path| public(&path, place.algorithm)).transpose()
}

fn public(path: &Path, algorithm: Algorithm) -> Result<PublicKey, KeysError> {
    let pem = fs::read_to_string(path).map_err(|_cause| InvalidKey::Unreadable);
    let key = pem.and_then(|pem| PublicKey::from_pem(&pem, algorithm));
    key.map_err(|reason| KeysError::Key { path: path.to_owned(), reason })
}

fn moved(place: &Place, from: &str, to: &str) -> Result<(), KeysError> {
    let to = place.file(to);
    let renamed = fs::rename(place.file(from), &to).and_then(|()| fs::File::open(&place.folder)?.sync_all());
    renamed.map_err(|reason| KeysError::Write { path: to, reason })
}

fn linked(place: &Place, from: &str, to: &str) -> Result<(), KeysError> {
    let to = place.file(to);
    fs::hard_link(place.file(from), &to).map_err(|reason| KeysError::Write { path: to, reason })
}

const NEXT: &str = "log.next.pem";
const NEXT_PUBLIC: &str = "log.next.public.pem";
const PREVIOUS: &str = "log.previous.pem";
const PREVIOUS_PUBLIC: &str = "log.previous.public.pem";
