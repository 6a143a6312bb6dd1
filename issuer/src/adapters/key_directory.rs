//! `keys.directory`: token keys, the log key and the sealing key as private files. Shows nothing of them.

mod error;
mod folder;
mod log_key;
mod pem;

use std::{
    fs::{self, OpenOptions},
    io::Write as _,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use common::{
    clock::Now,
    encoding,
    jws::Algorithm,
    keys::{PublicKey, SigningKey, generate},
    secret::Secret,
};
use rand::{SeedableRng as _, rngs::StdRng};
use zeroize::Zeroizing;

pub use self::{
    error::KeysError,
    folder::KeyFolder,
    log_key::{add_log_key, switch_log_key},
};
use self::{log_key::other_log_key, pem::Passphrase};
use crate::{adapters::pkcs11::DeviceSettings, domain::ports::Entropy};

/// Where the keys are, and how they are read.
#[derive(Clone, Debug)]
pub struct Place {
    /// `keys.directory`.
    pub folder: PathBuf,
    /// `token.algorithm`.
    pub algorithm: Algorithm,
    /// `keys.passphrase_file`: private keys are made encrypted, and may be.
    pub passphrase_file: Option<PathBuf>,
    /// `keys.pkcs11`: token keys are on this token too, and made there. The log key and the sealing key stay files.
    pub device: Option<DeviceSettings>,
    /// `grpc.insecure_loopback`: a key that anybody can read in published vectors may be used.
    pub published_keys: bool,
}

/// The keys of an issuer.
#[derive(Debug)]
pub struct Keys {
    /// Token keys, the newest first, those of the device before those of the folder. None only when the device is away.
    pub token: Vec<Arc<SigningKey>>,
    /// Where token keys come from, also those that are put there later.
    pub folder: Arc<KeyFolder>,
    /// The log key.
    pub log: Arc<SigningKey>,
    /// While the log key is exchanged: the one before, or the next one.
    pub other_log: Option<PublicKey>,
    /// Seals records, blinds idempotency keys: 32 bytes.
    pub seal: Secret,
}

/// The private log key's file name.
pub const LOG_KEY: &str = "log.pem";
/// The public log key's file name: what verifiers pin.
pub const PUBLIC_LOG_KEY: &str = "log.public.pem";
/// The sealing key's file name.
pub const SEAL_KEY: &str = "seal.key";

impl Place {
    /// Unencrypted keys in this folder, for `PS256`.
    pub fn plain(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
            algorithm: Algorithm::Ps256,
            passphrase_file: None,
            device: None,
            published_keys: false,
        }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn passphrase(&self) -> Result<Option<Passphrase>, KeysError> {
        self.passphrase_file.as_deref().map(Passphrase::read).transpose()
    }
}

/// Reads every key of the folder.
///
/// # Errors
/// [`KeysError`], naming the file.
pub fn read(place: &Place) -> Result<Keys, KeysError> {
    let folder = KeyFolder::open(place.clone())?;
    let token = folder.keys();
    if token.is_empty() && place.device.is_none() {
        return Err(KeysError::None { folder: place.folder.clone() });
    }
    let passphrase = place.passphrase()?;
    let log = pem::read(place, LOG_KEY, passphrase.as_ref())?;
    let path = place.file(SEAL_KEY);
    let text = pem::secret(&path)?;
    let bytes =
        str::from_utf8(text.expose_secret_bytes()).ok().and_then(|text| encoding::decode(text.trim_end()));
    let bytes = bytes.map(Zeroizing::new).filter(|bytes| bytes.len() == SEAL_BYTES);
    let seal = bytes.map(Secret::new).ok_or(KeysError::Seal { path })?;
    Ok(Keys { token, folder: Arc::new(folder), log, other_log: other_log_key(place)?, seal })
}

/// Adds a token key, unless those are made on a device; and the log key and the sealing key where there are none. Returns
/// the files that it made.
///
/// # Errors
/// [`KeysError`]; files that were made before it stay.
pub fn add(place: &Place, entropy: &dyn Entropy, now: Now) -> Result<Vec<PathBuf>, KeysError> {
    let unwritable = |reason| KeysError::Folder { folder: place.folder.clone(), reason };
    fs::DirBuilder::new().recursive(true).mode(0o700).create(&place.folder).map_err(unwritable)?;
    let passphrase = place.passphrase()?;
    let mut made = Vec::new();
    let log = place.file(LOG_KEY);
    if !log.exists() {
        new_key(entropy, &log, passphrase.as_ref())?;
        made.push(log.clone());
    }
    let public = place.file(PUBLIC_LOG_KEY);
    if !public.exists() {
        let key = pem::read(place, LOG_KEY, passphrase.as_ref())?;
        write_public(&public, key.public())?;
        made.push(public);
    }
    let seal = place.file(SEAL_KEY);
    if !seal.exists() {
        let mut bytes = Zeroizing::new([0; SEAL_BYTES]);
        entropy.fill(bytes.as_mut_slice())?;
        let text = Zeroizing::new(encoding::encode(bytes.as_slice()));
        write(&seal, text.as_bytes(), 0o600)?;
        made.push(seal);
    }
    if place.device.is_some() {
        return Ok(made);
    }
    let (key, pem) = generated(entropy)?;
    let name = format!("{TOKEN_PREFIX}{:012}-{}.pem", now.wall.seconds(), key.public().id());
    let token = place.file(&name);
    write(&token, pem::sealed(&token, &pem, passphrase.as_ref())?.as_bytes(), 0o600)?;
    made.push(token);
    Ok(made)
}

/// Makes a key, and writes it.
fn new_key(
    entropy: &dyn Entropy,
    path: &Path,
    passphrase: Option<&Passphrase>,
) -> Result<SigningKey, KeysError> {
    let (key, pem) = generated(entropy)?;
    write(path, pem::sealed(path, &pem, passphrase)?.as_bytes(), 0o600)?;
    Ok(key)
}

fn generated(entropy: &dyn Entropy) -> Result<(SigningKey, Zeroizing<String>), KeysError> {
    let mut seed = Zeroizing::new([0; 32]);
    entropy.fill(seed.as_mut_slice())?;
    let pem = generate(&mut StdRng::from_seed(*seed)).map_err(|_cause| KeysError::Generation)?;
    let key = SigningKey::from_pem(&pem, Algorithm::Ps256).map_err(|_cause| KeysError::Generation)?;
    Ok((key, pem))
}

fn write_public(path: &Path, key: &PublicKey) -> Result<(), KeysError> {
    let pem = key.to_pem().map_err(|reason| KeysError::Key { path: path.to_owned(), reason })?;
    write(path, pem.as_bytes(), 0o644)
}

/// Never over a file that is there. Whoever looks meanwhile finds it whole or not at all.
fn write(path: &Path, bytes: &[u8], mode: u32) -> Result<(), KeysError> {
    let part = path.with_extension("part");
    let written = OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(&part).and_then(
        |mut file| {
            file.write_all(bytes)?;
            file.sync_all()?;
            fs::hard_link(&part, path)?;
            fs::remove_file(&part)
        },
    );
    written.map_err(|reason| KeysError::Write { path: path.to_owned(), reason })
}

const TOKEN_PREFIX: &str = "token-";
const SEAL_BYTES: usize = 32;

#[cfg(test)]
mod tests;
