//! The two keys of a layer, both from one secret: one makes pseudonyms, one seals what they stand for.

use aws_lc_rs::{
    aead::{AES_256_GCM_SIV, Aad, NONCE_LEN, Nonce, RandomizedNonceKey},
    error::Unspecified,
    hmac, rand,
};
use common::{project::Treatment, secret::Secret};
use zeroize::Zeroizing;

/// Bytes of a layer's secret.
pub(crate) const SECRET_BYTES: usize = 32;

/// What a layer can do. Lives for one request and is wiped after it.
pub(crate) struct LayerKeys {
    making: hmac::Key,
    sealing: RandomizedNonceKey,
}

impl LayerKeys {
    pub(crate) fn of(secret: &Secret) -> Result<Self, Unspecified> {
        if secret.expose_secret_bytes().len() != SECRET_BYTES {
            return Err(Unspecified);
        }
        let root = hmac::Key::new(hmac::HMAC_SHA256, secret.expose_secret_bytes());
        let sealing = hmac::sign(&root, b"incert/seal/v1");
        Ok(Self {
            making: hmac::Key::new(hmac::HMAC_SHA256, hmac::sign(&root, b"incert/pseudonym/v1").as_ref()),
            sealing: RandomizedNonceKey::new(&AES_256_GCM_SIV, sealing.as_ref())?,
        })
    }

    /// Under which key the pseudonym of a value is made: the layer's, or one that nobody keeps.
    pub(crate) fn making(&self, treatment: Treatment) -> Result<hmac::Key, Unspecified> {
        match treatment {
            Treatment::AlwaysSame => Ok(self.making.clone()),
            Treatment::AlwaysDifferent => {
                let drawn = drawn_secret()?;
                Ok(hmac::Key::new(hmac::HMAC_SHA256, drawn.as_slice()))
            }
        }
    }

    /// Nonce, then what only this layer's key opens, and only beside the same pseudonym.
    pub(crate) fn seal(&self, pseudonym: &str, value: &str) -> Result<Vec<u8>, Unspecified> {
        let mut sealed = value.as_bytes().to_vec();
        let nonce = self.sealing.seal_in_place_append_tag(Aad::from(pseudonym.as_bytes()), &mut sealed)?;
        Ok([nonce.as_ref().as_slice(), &sealed].concat())
    }

    /// The inverse of [`LayerKeys::seal`].
    pub(crate) fn open(&self, pseudonym: &str, sealed: &[u8]) -> Result<String, Unspecified> {
        let (nonce, rest) = sealed.split_at_checked(NONCE_LEN).ok_or(Unspecified)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce)?;
        let mut rest = rest.to_vec();
        let value = self.sealing.open_in_place(nonce, Aad::from(pseudonym.as_bytes()), &mut rest)?;
        String::from_utf8(value.to_vec()).map_err(|_text| Unspecified)
    }
}

/// A secret that nobody can guess.
pub(crate) fn drawn_secret() -> Result<Zeroizing<Vec<u8>>, Unspecified> {
    let mut secret = Zeroizing::new(vec![0; SECRET_BYTES]);
    rand::fill(&mut secret)?;
    Ok(secret)
}
