//! Private keys as PEM files, plain or encrypted. Knows no folder and no role.

use std::{path::Path, sync::Arc};

use common::{
    keys::{InvalidKey, SigningKey, encrypted},
    secret::Secret,
};
use zeroize::Zeroizing;

use super::{KeysError, Place};

/// What private keys are encrypted with.
#[derive(Debug)]
pub(super) struct Passphrase(Secret);

impl Passphrase {
    /// Reads it of a private file; a line feed at the end is not part of it.
    pub(super) fn read(path: &Path) -> Result<Self, KeysError> {
        let secret = Secret::read(path)
            .map_err(|reason| KeysError::PassphraseFile { path: path.to_owned(), reason })?;
        let passphrase = Self(secret);
        if passphrase.bytes().is_empty() {
            return Err(KeysError::EmptyPassphrase { path: path.to_owned() });
        }
        Ok(passphrase)
    }

    fn bytes(&self) -> &[u8] {
        let bytes = self.0.expose_secret_bytes();
        let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
        bytes.strip_suffix(b"\r").unwrap_or(bytes)
    }
}

/// Reads a private key. One that anybody can read in published vectors is none, but for development.
pub(super) fn read(
    place: &Place,
    name: &str,
    passphrase: Option<&Passphrase>,
) -> Result<Arc<SigningKey>, KeysError> {
    let (path, algorithm) = (place.file(name), place.algorithm);
    let path = path.as_path();
    let unusable = |reason| KeysError::Key { path: path.to_owned(), reason };
    let pem = secret(path)?;
    let pem = str::from_utf8(pem.expose_secret_bytes()).map_err(|_cause| unusable(InvalidKey::Unreadable))?;
    let key = if pem.contains(ENCRYPTED) {
        let passphrase = passphrase.ok_or_else(|| KeysError::NoPassphrase { path: path.to_owned() })?;
        SigningKey::from_encrypted_pem(pem, passphrase.bytes(), algorithm).map_err(|reason| match reason {
            InvalidKey::Unreadable => KeysError::Decrypt { path: path.to_owned() },
            InvalidKey::Size | InvalidKey::Exponent | InvalidKey::Weak => unusable(reason),
        })?
    } else {
        SigningKey::from_pem(pem, algorithm).map_err(unusable)?
    };
    match key.public().published_in() {
        Some(publication) if !place.published_keys => {
            Err(KeysError::Published { path: path.to_owned(), publication })
        }
        Some(_) | None => Ok(Arc::new(key)),
    }
}

/// The text of a private key's file: encrypted, if there is a passphrase.
pub(super) fn sealed(
    path: &Path,
    pem: &Zeroizing<String>,
    passphrase: Option<&Passphrase>,
) -> Result<Zeroizing<String>, KeysError> {
    let Some(passphrase) = passphrase else { return Ok(pem.clone()) };
    encrypted(pem, passphrase.bytes()).map_err(|reason| KeysError::Key { path: path.to_owned(), reason })
}

pub(super) fn secret(path: &Path) -> Result<Secret, KeysError> {
    Secret::read(path).map_err(|reason| KeysError::File { path: path.to_owned(), reason })
}

const ENCRYPTED: &str = "-----BEGIN ENCRYPTED PRIVATE KEY-----";
