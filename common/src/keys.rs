//! RSA keys: made, read, named and published. Never a role, never a file, never a private key in a log or an error.

mod published;
mod weak;

use std::{fmt, sync::Arc};

use aws_lc_rs::{
    digest::{SHA256, digest},
    rand::SystemRandom,
    rsa::{KeyPair, PublicKeyComponents},
    signature::{
        ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, RSA_PSS_2048_8192_SHA256,
        RSA_PSS_SHA256,
    },
};
use rsa::{
    pkcs8::{
        DecodePrivateKey as _, DecodePublicKey as _, EncodePrivateKey as _, EncodePublicKey as _, LineEnding,
    },
    rand_core::CryptoRng,
    traits::PublicKeyParts as _,
};
use zeroize::Zeroizing;

use crate::{encoding, jws::Algorithm, key_id::KeyId};

/// A public key that may verify: 2048 to 4096 bits, exponent 65537, not of the weak kind of CVE-2017-15361, one algorithm for
/// life.
#[derive(Clone)]
pub struct PublicKey {
    id: KeyId,
    algorithm: Algorithm,
    modulus: Arc<[u8]>,
    parsed: Arc<ParsedPublicKey>,
}

impl PublicKey {
    /// Reads a `PUBLIC KEY` PEM (SPKI, RFC 5280).
    ///
    /// # Errors
    /// [`InvalidKey`].
    pub fn from_pem(pem: &str, algorithm: Algorithm) -> Result<Self, InvalidKey> {
        let key = rsa::PublicKey::from_public_key_pem(pem).ok().ok_or(InvalidKey::Unreadable)?;
        Self::from_components(&key.n_bytes(), &key.e_bytes(), algorithm)
    }

    /// Reads the `n` and `e` of a JWK (RFC 7518 section 6.3.1).
    ///
    /// # Errors
    /// [`InvalidKey`].
    pub fn from_jwk(n: &str, e: &str, algorithm: Algorithm) -> Result<Self, InvalidKey> {
        let modulus = encoding::decode(n).ok_or(InvalidKey::Unreadable)?;
        let exponent = encoding::decode(e).ok_or(InvalidKey::Unreadable)?;
        Self::from_components(&modulus, &exponent, algorithm)
    }

    /// The RFC 7638 thumbprint.
    pub const fn id(&self) -> KeyId {
        self.id
    }

    /// The only algorithm this key verifies.
    pub const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The size of the modulus.
    pub fn bits(&self) -> usize {
        bits(&self.modulus)
    }

    /// The `n` of the JWK.
    pub fn jwk_n(&self) -> String {
        encoding::encode(&self.modulus)
    }

    /// The `e` of the JWK.
    pub fn jwk_e(&self) -> String {
        encoding::encode(&EXPONENT)
    }

    /// The `PUBLIC KEY` PEM, to be pinned.
    ///
    /// # Errors
    /// Never in practice: the key was checked when it was read.
    pub fn to_pem(&self) -> Result<String, InvalidKey> {
        let modulus = rsa::BoxedUint::from_be_slice_vartime(&self.modulus);
        let key = rsa::PublicKey::new(modulus, 65_537_u32.into()).ok().ok_or(InvalidKey::Unreadable)?;
        key.to_public_key_pem(LineEnding::LF).ok().ok_or(InvalidKey::Unreadable)
    }

    /// Checks a signature over `context` and `message`. A `context` ends with a zero byte, so it is never a prefix of
    /// another one, nor of a token.
    ///
    /// # Errors
    /// When the signature is not this key's.
    pub fn verify(&self, context: &[u8], message: &[u8], signature: &[u8]) -> Result<(), BadSignature> {
        self.verify_bytes(&[context, message].concat(), signature)
    }

    pub(crate) fn verify_bytes(&self, message: &[u8], signature: &[u8]) -> Result<(), BadSignature> {
        self.parsed.verify_sig(message, signature).ok().ok_or(BadSignature)
    }

    /// Of the two numbers, big-endian and without zeros in front.
    ///
    /// # Errors
    /// [`InvalidKey`].
    pub fn from_components(
        modulus: &[u8],
        exponent: &[u8],
        algorithm: Algorithm,
    ) -> Result<Self, InvalidKey> {
        modulus.first().filter(|first| **first != 0).ok_or(InvalidKey::Unreadable)?;
        if !(MIN_BITS..=MAX_BITS).contains(&bits(modulus)) {
            return Err(InvalidKey::Size);
        }
        if exponent != EXPONENT {
            return Err(InvalidKey::Exponent);
        }
        if weak::is_roca(modulus) {
            return Err(InvalidKey::Weak);
        }
        let parameters = match algorithm {
            Algorithm::Ps256 => &RSA_PSS_2048_8192_SHA256,
            Algorithm::Rs256 => &RSA_PKCS1_2048_8192_SHA256,
        };
        let components = PublicKeyComponents { n: modulus, e: exponent };
        let parsed = components.to_parsed_public_key(parameters).ok().ok_or(InvalidKey::Unreadable)?;
        Ok(Self { id: thumbprint(modulus), algorithm, modulus: modulus.into(), parsed: Arc::new(parsed) })
    }
}

impl Eq for PublicKey {}

/// One modulus, one algorithm: nothing else of a key can differ.
impl PartialEq for PublicKey {
    fn eq(&self, other: &Self) -> bool {
        (self.id, self.algorithm) == (other.id, other.algorithm)
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PublicKey")
            .field("id", &self.id)
            .field("algorithm", &self.algorithm)
            .finish_non_exhaustive()
    }
}

/// What holds a private key: a library in this process, or a device.
pub trait Holder: Send + Sync {
    /// Signs `message` with the key's one algorithm. May block.
    ///
    /// # Errors
    /// When it cannot sign now. What it answers is not believed before it was checked.
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, CannotSignNow>;
}

/// A private key that signs with one algorithm. Shows nothing of itself and is never copied.
///
/// Every signature is checked before it is given out: one that a fault in memory, in a processor or in a device made wrong
/// tells the private key to whoever gets it.
pub struct SigningKey {
    holder: Box<dyn Holder>,
    public: PublicKey,
}

impl SigningKey {
    /// Reads a `PRIVATE KEY` PEM (PKCS#8, RFC 5958).
    ///
    /// # Errors
    /// [`InvalidKey`].
    pub fn from_pem(pem: &str, algorithm: Algorithm) -> Result<Self, InvalidKey> {
        Self::checked(&rsa::PrivateKey::from_pkcs8_pem(pem).ok().ok_or(InvalidKey::Unreadable)?, algorithm)
    }

    /// Reads an `ENCRYPTED PRIVATE KEY` PEM.
    ///
    /// # Errors
    /// [`InvalidKey`]; a wrong password is [`InvalidKey::Unreadable`].
    pub fn from_encrypted_pem(pem: &str, password: &[u8], algorithm: Algorithm) -> Result<Self, InvalidKey> {
        let key =
            rsa::PrivateKey::from_pkcs8_encrypted_pem(pem, password).ok().ok_or(InvalidKey::Unreadable)?;
        Self::checked(&key, algorithm)
    }

    /// The key of this public half, which `holder` has.
    pub fn held_by(holder: Box<dyn Holder>, public: PublicKey) -> Self {
        Self { holder, public }
    }

    /// The public half.
    pub const fn public(&self) -> &PublicKey {
        &self.public
    }

    /// Signs `context` and `message`; [`PublicKey::verify`] checks it. CPU work of up to 1.5 ms.
    ///
    /// # Errors
    /// [`SigningFailed`].
    pub fn sign(&self, context: &[u8], message: &[u8]) -> Result<Vec<u8>, SigningFailed> {
        self.sign_bytes(&[context, message].concat())
    }

    pub(crate) fn sign_bytes(&self, message: &[u8]) -> Result<Vec<u8>, SigningFailed> {
        let signature = self.holder.sign(message)?;
        self.public.verify_bytes(message, &signature).map_err(|_wrong| SigningFailed::Faulty)?;
        Ok(signature)
    }

    fn checked(key: &rsa::PrivateKey, algorithm: Algorithm) -> Result<Self, InvalidKey> {
        let public = PublicKey::from_components(&key.n_bytes(), &key.e_bytes(), algorithm)?;
        let der = key.to_pkcs8_der().ok().ok_or(InvalidKey::Unreadable)?;
        let pair = KeyPair::from_pkcs8(der.as_bytes()).ok().ok_or(InvalidKey::Unreadable)?;
        Ok(Self::held_by(Box::new(InProcess { pair, algorithm }), public))
    }
}

/// The library holds the key.
struct InProcess {
    pair: KeyPair,
    algorithm: Algorithm,
}

impl Holder for InProcess {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, CannotSignNow> {
        let mut signature = vec![0; self.pair.public_modulus_len()];
        let encoding = match self.algorithm {
            Algorithm::Ps256 => &RSA_PSS_SHA256,
            Algorithm::Rs256 => &RSA_PKCS1_SHA256,
        };
        let signed = self.pair.sign(encoding, &SystemRandom::new(), message, &mut signature);
        signed.map_err(|_unspecified| CannotSignNow)?;
        Ok(signature)
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("id", &self.public.id).finish_non_exhaustive()
    }
}

/// Makes a key of 3072 bits as a `PRIVATE KEY` PEM, wiped when dropped. Takes seconds.
///
/// # Errors
/// When the library cannot make one.
pub fn generate(rng: &mut impl CryptoRng) -> Result<Zeroizing<String>, InvalidKey> {
    let key = rsa::PrivateKey::new(rng, GENERATED_BITS).ok().ok_or(InvalidKey::Unreadable)?;
    key.to_pkcs8_pem(LineEnding::LF).ok().ok_or(InvalidKey::Unreadable)
}

/// The key of a `PRIVATE KEY` PEM as an `ENCRYPTED PRIVATE KEY` PEM (PKCS#8, RFC 5958; PBES2 with scrypt and AES-256-CBC).
///
/// # Errors
/// [`InvalidKey::Unreadable`].
pub fn encrypted(pem: &str, password: &[u8]) -> Result<Zeroizing<String>, InvalidKey> {
    let key = rsa::PrivateKey::from_pkcs8_pem(pem).ok().ok_or(InvalidKey::Unreadable)?;
    key.to_pkcs8_encrypted_pem(password, LineEnding::LF).ok().ok_or(InvalidKey::Unreadable)
}

/// A key that is not taken.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum InvalidKey {
    /// Not an RSA key in the form expected, damaged, or encrypted with another password.
    #[error("not a readable RSA key")]
    Unreadable,
    /// Outside 2048 to 4096 bits.
    #[error("an RSA key must have {MIN_BITS} to {MAX_BITS} bits")]
    Size,
    /// Another public exponent than 65537.
    #[error("an RSA key must have the public exponent 65537")]
    Exponent,
    /// Made by a library whose keys can be factored (ROCA, CVE-2017-15361).
    #[error("an RSA key of the weak kind of CVE-2017-15361: make another one")]
    Weak,
}

/// The signature is not this key's over these bytes.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the signature does not match")]
pub struct BadSignature;

/// The library or device did not sign.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the key's holder cannot sign now")]
pub struct CannotSignNow;

/// Why there is no signature.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum SigningFailed {
    /// Nothing was signed; later it may be.
    #[error(transparent)]
    Unavailable(#[from] CannotSignNow),
    /// A wrong signature was made, and thrown away.
    #[error("a wrong signature was made and thrown away")]
    Faulty,
}

/// Without leading zero bytes.
fn bits(modulus: &[u8]) -> usize {
    modulus.first().map_or(0, |first| modulus.len() * 8 - first.leading_zeros() as usize)
}

/// RFC 7638 section 3: the required members in lexicographic order, without white space.
fn thumbprint(modulus: &[u8]) -> KeyId {
    let jwk = format!(
        r#"{{"e":"{}","kty":"RSA","n":"{}"}}"#,
        encoding::encode(&EXPONENT),
        encoding::encode(modulus)
    );
    let mut id = [0; 32];
    id.copy_from_slice(digest(&SHA256, jwk.as_bytes()).as_ref());
    KeyId::from_bytes(id)
}

const MIN_BITS: usize = 2048;
const MAX_BITS: usize = 4096;
const GENERATED_BITS: usize = 3072;
const EXPONENT: [u8; 3] = [1, 0, 1];

#[cfg(test)]
pub(crate) mod tests;
