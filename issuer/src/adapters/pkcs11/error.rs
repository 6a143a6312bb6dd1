//! Why a PKCS#11 token does not serve: which setting, and what is wrong. Never a PIN.

use std::path::PathBuf;

use common::{keys::InvalidKey, secret::SecretError};
use cryptoki::error::{Error, RvError};

use super::PIN_BYTES;

/// Why a token of a PKCS#11 module, or a key on it, is not used.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// The library does not load, or is none of PKCS#11.
    #[error("keys.pkcs11.module {} cannot be loaded: {reason}", path.display())]
    Module {
        /// Which.
        path: PathBuf,
        /// Why.
        reason: Error,
    },
    /// No such token: it is away, or never was there.
    #[error("keys.pkcs11.token_label: the module has no token `{label}`")]
    NoToken {
        /// Which.
        label: String,
    },
    /// Which of them is meant?
    #[error("keys.pkcs11.token_label: the module has more than one token `{label}`")]
    TwoTokens {
        /// Which.
        label: String,
    },
    /// The PIN's file.
    #[error("keys.pkcs11.pin_file {} {reason}", path.display())]
    PinFile {
        /// Which.
        path: PathBuf,
        /// Why.
        reason: SecretError,
    },
    /// The PIN's file holds none.
    #[error("keys.pkcs11.pin_file {} must hold a PIN of 1 to {PIN_BYTES} bytes of text", path.display())]
    NoPin {
        /// Which.
        path: PathBuf,
    },
    /// The token does not take the PIN. It is not offered again: some tokens lock themselves after three.
    #[error("keys.pkcs11.pin_file {}: the token refuses this PIN; it is not tried again until the file changes", path.display())]
    PinRefused {
        /// Which.
        path: PathBuf,
    },
    /// The token cannot sign as tokens are signed.
    #[error("token.algorithm: the token `{label}` does not offer {mechanism}")]
    Mechanism {
        /// Which.
        label: String,
        /// What it lacks.
        mechanism: &'static str,
    },
    /// No such key.
    #[error(
        "keys.pkcs11.key_label: the token holds no RSA key that signs and is labelled `{label}` or `{label}-…`"
    )]
    NoKey {
        /// Which.
        label: String,
    },
    /// A key that is not fit.
    #[error("keys.pkcs11.key_label: the key `{label}` is {reason}")]
    Key {
        /// Which.
        label: String,
        /// Why.
        reason: InvalidKey,
    },
    /// A key that anybody has, whatever keeps this copy.
    #[error(
        "keys.pkcs11.key_label: the key `{label}` is published ({publication}): anybody can sign with it"
    )]
    Published {
        /// Which.
        label: String,
        /// Where anybody finds it.
        publication: &'static str,
    },
    /// Private and public half do not belong together.
    #[error("keys.pkcs11.key_label: the public half of the key `{label}` does not match its signatures")]
    Mismatch {
        /// Which.
        label: String,
    },
    /// The module said no.
    #[error("the PKCS#11 module: {0}")]
    Call(#[from] Error),
}

impl DeviceError {
    /// Whether the token is merely away: the same settings may do later.
    pub(crate) const fn is_away(&self) -> bool {
        match self {
            Self::NoToken { .. } | Self::Call(_) => true,
            Self::Module { .. }
            | Self::TwoTokens { .. }
            | Self::PinFile { .. }
            | Self::NoPin { .. }
            | Self::PinRefused { .. }
            | Self::Mechanism { .. }
            | Self::NoKey { .. }
            | Self::Key { .. }
            | Self::Published { .. }
            | Self::Mismatch { .. } => false,
        }
    }

    /// Whether the token was asked with a PIN and said no.
    pub(super) const fn refuses_pin(error: &Error) -> bool {
        matches!(
            error,
            Error::Pkcs11(
                RvError::PinIncorrect
                    | RvError::PinInvalid
                    | RvError::PinLenRange
                    | RvError::PinExpired
                    | RvError::PinLocked,
                _
            )
        )
    }
}
