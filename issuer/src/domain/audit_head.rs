//! How far the audit trail reached at an instant, as the log key signs it. Pure: no file, no clock.

use common::{
    encoding,
    keys::{BadSignature, PublicKey, SigningFailed, SigningKey},
    timestamp::Timestamp,
};

use crate::domain::event::SignedHead;

/// The trail's line numbered `line` has this hash, and so every line before it is what it was (docs/adr/0010).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AuditHead {
    /// The `iss` of the realm's tokens.
    pub issuer: String,
    /// The realm.
    pub realm: String,
    /// The number of the last line.
    pub line: u64,
    /// Its SHA-256.
    pub hash: [u8; 32],
    /// When, by the issuer's clock.
    pub time: Timestamp,
}

impl AuditHead {
    /// Signs it. CPU work of up to 1.5 ms.
    ///
    /// # Errors
    /// When the library cannot sign.
    pub fn sign(self, key: &SigningKey) -> Result<SignedHead, SigningFailed> {
        let signature = encoding::encode(&key.sign(CONTEXT, &self.canonical())?);
        let (key, hash) = (key.public().id().to_string(), encoding::encode(&self.hash));
        Ok(SignedHead { issuer: self.issuer, realm: self.realm, line: self.line, hash, key, signature })
    }

    /// Whether `key` signed it.
    ///
    /// # Errors
    /// When it did not.
    pub fn check(&self, key: &PublicKey, signature: &[u8]) -> Result<(), BadSignature> {
        key.verify(CONTEXT, &self.canonical(), signature)
    }

    /// Version, issuer and realm with their lengths, line, hash, time: one spelling.
    fn canonical(&self) -> Vec<u8> {
        let mut bytes = vec![VERSION];
        for text in [&self.issuer, &self.realm] {
            bytes.extend((text.len() as u64).to_be_bytes());
            bytes.extend(text.as_bytes());
        }
        bytes.extend(self.line.to_be_bytes());
        bytes.extend(self.hash);
        bytes.extend(self.time.seconds().to_be_bytes());
        bytes
    }
}

/// What a signature over an audit head begins with, so that it is one over nothing else.
const CONTEXT: &[u8] = b"ipms-audit-head/v1\0";
const VERSION: u8 = 1;
