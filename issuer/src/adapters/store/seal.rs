//! Seals: a record that was changed behind the issuer's back is not believed. Shows nothing of its key.

use std::fmt;

use aws_lc_rs::hmac;

/// An HMAC-SHA256 over a record's kind, name and bytes.
pub struct Seal(hmac::Key);

impl Seal {
    /// Seals with `secret`, at least 32 bytes.
    pub fn new(secret: &[u8]) -> Self {
        // A key of its own: the same secret serves elsewhere.
        let derived = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), b"ipms-record-seal/v1");
        Self(hmac::Key::new(hmac::HMAC_SHA256, derived.as_ref()))
    }

    /// The bytes with their seal before them.
    pub(super) fn close(&self, kind: &str, name: &str, bytes: &[u8]) -> Vec<u8> {
        let seal = hmac::sign(&self.0, &message(kind, name, bytes));
        [seal.as_ref(), bytes].concat()
    }

    /// The bytes behind a good seal; `None` when it is not.
    pub(super) fn open<'a>(&self, kind: &str, name: &str, sealed: &'a [u8]) -> Option<&'a [u8]> {
        let (seal, bytes) = sealed.split_at_checked(LENGTH)?;
        hmac::verify(&self.0, &message(kind, name, bytes), seal).ok()?;
        Some(bytes)
    }
}

impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seal")
    }
}

/// Each part behind its length: no record passes for another one.
fn message(kind: &str, name: &str, bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for part in [kind.as_bytes(), name.as_bytes(), bytes] {
        out.extend((part.len() as u64).to_be_bytes());
        out.extend(part);
    }
    out
}

const LENGTH: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seal_holds_for_its_own_record_only() {
        let seal = Seal::new(&[7; 32]);
        let closed = seal.close("project", "p1", b"bytes");
        assert_eq!(seal.open("project", "p1", &closed), Some(&b"bytes"[..]));
        assert_eq!(seal.open("project", "p2", &closed), None);
        assert_eq!(seal.open("policy", "p1", &closed), None);
        assert_eq!(Seal::new(&[8; 32]).open("project", "p1", &closed), None);
        let mut changed = closed.clone();
        *changed.last_mut().unwrap() ^= 1;
        assert_eq!(seal.open("project", "p1", &changed), None);
        assert_eq!(seal.open("project", "p1", &closed[..10]), None);
    }
}
