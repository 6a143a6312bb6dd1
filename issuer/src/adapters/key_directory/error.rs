//! Why keys were not read or made: which file, and what is wrong with it. Never what is in it.

use std::{io, path::PathBuf};

use common::{keys::InvalidKey, secret::SecretError};

use crate::{adapters::pkcs11::DeviceError, domain::ports::NoEntropy};

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
    /// The device.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// A new realm begins with a key that signs.
    #[error("a new realm needs a token key to begin with: {why}")]
    DeviceAway {
        /// Why there is none.
        why: String,
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
    /// A key that anybody has.
    #[error(
        "the key file {} holds a key that is published ({publication}): anybody can sign with it. It is taken for \
         development only, with grpc.insecure_loopback = true",
        path.display()
    )]
    Published {
        /// Which.
        path: PathBuf,
        /// Where anybody finds it.
        publication: &'static str,
    },
    /// An encrypted key, and no passphrase.
    #[error("the key file {} is encrypted, and keys.passphrase_file is not given", path.display())]
    NoPassphrase {
        /// Which.
        path: PathBuf,
    },
    /// An encrypted key, and another passphrase.
    #[error("the key file {} cannot be decrypted with the passphrase of keys.passphrase_file", path.display())]
    Decrypt {
        /// Which.
        path: PathBuf,
    },
    /// The passphrase's file.
    #[error("keys.passphrase_file {} {reason}", path.display())]
    PassphraseFile {
        /// Which.
        path: PathBuf,
        /// Why.
        reason: SecretError,
    },
    /// The passphrase's file holds nothing.
    #[error("keys.passphrase_file {} is empty", path.display())]
    EmptyPassphrase {
        /// Which.
        path: PathBuf,
    },
    /// The last exchange of the log key is not finished.
    #[error("the file {} is still there: finish the last exchange of the log key first", path.display())]
    LogKeyExchange {
        /// Which.
        path: PathBuf,
    },
    /// There is no log key to change to.
    #[error("the folder {} holds no next log key: make one with `issuer keys generate --log-key`", folder.display())]
    NoNextLogKey {
        /// Which.
        folder: PathBuf,
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
