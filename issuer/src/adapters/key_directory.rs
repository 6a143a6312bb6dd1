//! `keys.directory`: token keys, the log key and the sealing key as private files. Shows nothing of them.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use common::{
    clock::Now,
    encoding,
    jws::Algorithm,
    keys::{InvalidKey, SigningKey, generate},
    secret::{Secret, SecretError},
};
use rand::{SeedableRng as _, rngs::StdRng};
use zeroize::Zeroizing;

use crate::domain::ports::{Entropy, NoEntropy};

/// The keys of an issuer.
#[derive(Debug)]
pub struct Keys {
    /// Token keys, the newest first. At least one.
    pub token: Vec<Arc<SigningKey>>,
    /// The log key.
    pub log: Arc<SigningKey>,
    /// Seals records, blinds idempotency keys: 32 bytes.
    pub seal: Secret,
}

/// The private log key's file name.
pub const LOG_KEY: &str = "log.pem";
/// The public log key's file name: what verifiers pin.
pub const PUBLIC_LOG_KEY: &str = "log.public.pem";
/// The sealing key's file name.
pub const SEAL_KEY: &str = "seal.key";

/// Reads every key of the folder.
///
/// # Errors
/// [`KeysError`], naming the file.
pub fn read(folder: &Path, algorithm: Algorithm) -> Result<Keys, KeysError> {
    let unreadable = |reason| KeysError::Folder { folder: folder.to_owned(), reason };
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let name = entry.map_err(unreadable)?.file_name();
        let wanted = |name: &&str| {
            name.strip_prefix(TOKEN_PREFIX).is_some_and(|rest| rest.strip_suffix(".pem").is_some())
        };
        if let Some(name) = name.to_str().filter(wanted) {
            names.push(name.to_owned());
        }
    }
    // Names begin with the instant of their making, so the newest is the last.
    names.sort_unstable_by(|one, other| other.cmp(one));
    let token: Result<Vec<_>, _> = names.iter().map(|name| private(&folder.join(name), algorithm)).collect();
    let token = token?;
    if token.is_empty() {
        return Err(KeysError::None { folder: folder.to_owned() });
    }
    let log = private(&folder.join(LOG_KEY), algorithm)?;
    let path = folder.join(SEAL_KEY);
    let text = secret(&path)?;
    let bytes =
        str::from_utf8(text.expose_secret_bytes()).ok().and_then(|text| encoding::decode(text.trim_end()));
    let bytes = bytes.map(Zeroizing::new).filter(|bytes| bytes.len() == SEAL_BYTES);
    let seal = bytes.map(Secret::new).ok_or(KeysError::Seal { path })?;
    Ok(Keys { token, log, seal })
}

/// Adds a token key; and the log key and the sealing key where there are none. Returns the files that it made.
///
/// # Errors
/// [`KeysError`]; files that were made before it stay.
pub fn add(folder: &Path, entropy: &dyn Entropy, now: Now) -> Result<Vec<PathBuf>, KeysError> {
    let unwritable = |reason| KeysError::Folder { folder: folder.to_owned(), reason };
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(unwritable)?;
    let mut made = Vec::new();
    let log = folder.join(LOG_KEY);
    if !log.exists() {
        let pem = new_key(entropy)?;
        write(&log, pem.as_bytes(), 0o600)?;
        made.push(log.clone());
    }
    let public = folder.join(PUBLIC_LOG_KEY);
    if !public.exists() {
        let pem = private(&log, Algorithm::Ps256)?.public().to_pem();
        write(&public, pem.map_err(|reason| KeysError::Key { path: log, reason })?.as_bytes(), 0o644)?;
        made.push(public);
    }
    let seal = folder.join(SEAL_KEY);
    if !seal.exists() {
        let mut bytes = Zeroizing::new([0; SEAL_BYTES]);
        entropy.fill(bytes.as_mut_slice())?;
        let text = Zeroizing::new(encoding::encode(bytes.as_slice()));
        write(&seal, text.as_bytes(), 0o600)?;
        made.push(seal);
    }
    let pem = new_key(entropy)?;
    let key = SigningKey::from_pem(&pem, Algorithm::Ps256)
        .map_err(|reason| KeysError::Key { path: folder.to_owned(), reason })?;
    let name = format!("{TOKEN_PREFIX}{:012}-{}.pem", now.wall.seconds(), key.public().id());
    let token = folder.join(name);
    write(&token, pem.as_bytes(), 0o600)?;
    made.push(token);
    Ok(made)
}

fn new_key(entropy: &dyn Entropy) -> Result<Zeroizing<String>, KeysError> {
    let mut seed = Zeroizing::new([0; 32]);
    entropy.fill(seed.as_mut_slice())?;
    generate(&mut StdRng::from_seed(*seed)).map_err(|_cause| KeysError::Generation)
}

fn private(path: &Path, algorithm: Algorithm) -> Result<Arc<SigningKey>, KeysError> {
    let pem = secret(path)?;
    let text = str::from_utf8(pem.expose_secret_bytes()).map_err(|_cause| InvalidKey::Unreadable);
    let key = text.and_then(|pem| SigningKey::from_pem(pem, algorithm));
    key.map(Arc::new).map_err(|reason| KeysError::Key { path: path.to_owned(), reason })
}

fn secret(path: &Path) -> Result<Secret, KeysError> {
    Secret::read(path).map_err(|reason| KeysError::File { path: path.to_owned(), reason })
}

/// Never over a file that is there.
fn write(path: &Path, bytes: &[u8], mode: u32) -> Result<(), KeysError> {
    let written =
        OpenOptions::new().write(true).create_new(true).mode(mode).open(path).and_then(|mut file| {
            file.write_all(bytes)?;
            file.sync_all()
        });
    written.map_err(|reason| KeysError::Write { path: path.to_owned(), reason })
}

/// Why keys were not read or made. Names files, never what is in them.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// The folder cannot be read or made.
    #[error("the folder {} cannot be used: {reason}", folder.display())]
    Folder {
        /// Which.
        folder: PathBuf,
        /// Why.
        reason: io::Error,
    },
    /// No token key.
    #[error("the folder {} holds no token key: make one with `issuer keys generate`", folder.display())]
    None {
        /// Which.
        folder: PathBuf,
    },
    /// A file that may not be used as a secret.
    #[error("the key file {} {reason}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        reason: SecretError,
    },
    /// A file that holds no usable key.
    #[error("the key file {} holds {reason}", path.display())]
    Key {
        /// Which.
        path: PathBuf,
        /// Why.
        reason: InvalidKey,
    },
    /// The sealing key is not 32 bytes of base64url.
    #[error("the file {} does not hold 32 bytes in base64url", path.display())]
    Seal {
        /// Which.
        path: PathBuf,
    },
    /// A file cannot be written.
    #[error("the file {} cannot be written: {reason}", path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// Why.
        reason: io::Error,
    },
    /// The system gives no random bytes.
    #[error(transparent)]
    Entropy(#[from] NoEntropy),
    /// The library makes no key.
    #[error("no key could be made")]
    Generation,
}

const TOKEN_PREFIX: &str = "token-";
const SEAL_BYTES: usize = 32;

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use common::clock::{Clock as _, SystemClock};

    use super::*;
    use crate::adapters::system_entropy::SystemEntropy;

    #[test]
    fn generated_keys_are_read_back_the_newest_first_and_the_log_key_stays() {
        let folder = tempfile::tempdir().unwrap();
        let keys = folder.path().join("keys");
        let entropy = SystemEntropy::default();
        assert!(matches!(read(&keys, Algorithm::Ps256), Err(KeysError::Folder { .. })));
        let now = SystemClock.now();
        let made = add(&keys, &entropy, now).unwrap();
        assert_eq!(made.len(), 4);
        for path in made.iter().filter(|path| !path.ends_with(PUBLIC_LOG_KEY)) {
            assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600, "{}", path.display());
        }
        let first = read(&keys, Algorithm::Ps256).unwrap();
        let later = Now { wall: now.wall.plus(std::time::Duration::from_secs(1)), ..now };
        assert_eq!(add(&keys, &entropy, later).unwrap().len(), 1);
        let both = read(&keys, Algorithm::Ps256).unwrap();
        assert_eq!(both.token.len(), 2);
        assert_eq!(both.token[1].public().id(), first.token[0].public().id());
        assert_eq!(both.log.public().id(), first.log.public().id());
    }
}
