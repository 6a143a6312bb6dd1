//! Bytes signed by the log key, and the one door by which they become something to believe. Never a token key.

use std::fmt;

use crate::{
    key_id::KeyId,
    keys::{PublicKey, SigningFailed, SigningKey},
    revocation::head::{Head, HeadError},
};

/// Something that the log key signs, in one spelling.
pub trait Statement: Sized {
    /// What a signature begins with, so that one over this is one over nothing else. Ends with a zero byte.
    const CONTEXT: &'static [u8];

    /// Its one spelling.
    ///
    /// # Errors
    /// When it is too long to be written.
    fn canonical(&self) -> Result<Vec<u8>, Unwritable>;

    /// Reads the one spelling and no other. `None` for anything else.
    fn decode(bytes: &[u8]) -> Option<Self>;
}

/// Too long to be written.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("too long to be written")]
pub struct Unwritable;

/// A statement as it travels: nothing is proven.
#[derive(Clone, Eq, PartialEq)]
pub struct Signed {
    /// Its canonical bytes.
    pub bytes: Vec<u8>,
    /// Over context and bytes.
    pub signature: Vec<u8>,
    /// The log key that is said to have signed.
    pub key: KeyId,
}

impl Signed {
    /// Signs a statement. CPU work of up to 1.5 ms.
    ///
    /// # Errors
    /// [`SignError`].
    pub fn sign<S: Statement>(statement: S, key: &SigningKey) -> Result<Verified<S>, SignError> {
        let bytes = statement.canonical()?;
        let signature = key.sign(S::CONTEXT, &bytes)?;
        Ok(Verified { statement, signed: Self { bytes, signature, key: key.public().id() } })
    }
}

impl fmt::Debug for Signed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signed").field("key", &self.key).finish_non_exhaustive()
    }
}

/// Why nothing was signed.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum SignError {
    /// The statement cannot be written.
    #[error(transparent)]
    Unwritable(#[from] Unwritable),
    /// The library could not sign.
    #[error(transparent)]
    Failed(#[from] SigningFailed),
}

/// A statement that a log key signed. Can be made only by [`LogKeys::check`] and [`Signed::sign`].
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Verified<S> {
    statement: S,
    signed: Signed,
}

impl<S> Verified<S> {
    /// What it says.
    pub const fn statement(&self) -> &S {
        &self.statement
    }

    /// As it travels.
    pub const fn signed(&self) -> &Signed {
        &self.signed
    }
}

/// The pinned public log keys: one, or two while they are exchanged.
#[derive(Clone, Debug)]
pub struct LogKeys(Vec<PublicKey>);

impl LogKeys {
    /// Pins `keys`.
    ///
    /// # Errors
    /// [`InvalidLogKeys`] unless there are one or two of them.
    pub fn new(keys: Vec<PublicKey>) -> Result<Self, InvalidLogKeys> {
        if (1..=2).contains(&keys.len()) { Ok(Self(keys)) } else { Err(InvalidLogKeys) }
    }

    /// Their names.
    pub fn ids(&self) -> Vec<KeyId> {
        self.0.iter().map(PublicKey::id).collect()
    }

    /// Believes a statement if one of the pinned keys signed it.
    ///
    /// # Errors
    /// [`NotTrusted`].
    pub fn check<S: Statement>(&self, signed: &Signed) -> Result<Verified<S>, NotTrusted> {
        let key = self.0.iter().find(|key| key.id() == signed.key).ok_or(NotTrusted::UnknownLogKey)?;
        let checked = key.verify(S::CONTEXT, &signed.bytes, &signed.signature);
        checked.ok().ok_or(NotTrusted::BadSignature)?;
        let statement = S::decode(&signed.bytes).ok_or(NotTrusted::Unreadable)?;
        Ok(Verified { statement, signed: signed.clone() })
    }
}

/// None, or more than two.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("must be one log key, or two while they are exchanged")]
pub struct InvalidLogKeys;

/// Why a statement is not believed.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum NotTrusted {
    /// Signed by none of the pinned log keys.
    #[error("signed by none of the pinned log keys")]
    UnknownLogKey,
    /// The signature does not match.
    #[error("the log key's signature does not match")]
    BadSignature,
    /// Well signed, and not in a form that this build knows.
    #[error("a signed statement of an unknown form")]
    Unreadable,
}

impl Statement for Head {
    const CONTEXT: &'static [u8] = Self::CONTEXT;

    fn canonical(&self) -> Result<Vec<u8>, Unwritable> {
        Self::canonical(self).map_err(|error| match error {
            HeadError::Truncated
            | HeadError::UnknownVersion(_)
            | HeadError::Text
            | HeadError::LogTime
            | HeadError::TrailingBytes
            | HeadError::Order
            | HeadError::TooLong => Unwritable,
        })
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        Self::decode(bytes).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{jws::Algorithm, keys::tests::signing_key, trust::Trust};

    fn head() -> Head {
        Head::decode(&{
            let mut bytes = vec![1, 0, 1, b'i', 0, 1, b'r'];
            bytes.extend(1_u64.to_be_bytes());
            bytes.extend([0; 88]);
            bytes
        })
        .unwrap()
    }

    #[test]
    fn only_a_pinned_key_makes_a_statement_believed() {
        let (ours, theirs) = (signing_key(0, Algorithm::Ps256), signing_key(1, Algorithm::Ps256));
        let keys = LogKeys::new(vec![ours.public().clone()]).unwrap();
        let signed = Signed::sign(head(), &ours).unwrap();
        assert_eq!(keys.check::<Head>(signed.signed()).unwrap().statement(), &head());
        let stranger = Signed::sign(head(), &theirs).unwrap();
        assert_eq!(keys.check::<Head>(stranger.signed()), Err(NotTrusted::UnknownLogKey));
        let posing = Signed { key: ours.public().id(), ..stranger.signed().clone() };
        assert_eq!(keys.check::<Head>(&posing), Err(NotTrusted::BadSignature));
    }

    #[test]
    fn a_signature_over_a_head_is_one_over_nothing_else() {
        let key = signing_key(0, Algorithm::Ps256);
        let keys = LogKeys::new(vec![key.public().clone()]).unwrap();
        let signed = Signed::sign(head(), &key).unwrap();
        assert!(matches!(keys.check::<Trust>(signed.signed()), Err(NotTrusted::BadSignature)));
    }

    #[test]
    fn one_or_two_log_keys_are_pinned() {
        let key = signing_key(0, Algorithm::Ps256).public().clone();
        assert!(LogKeys::new(Vec::new()).is_err());
        assert!(LogKeys::new(vec![key.clone(), key.clone()]).is_ok());
        assert!(LogKeys::new(vec![key; 3]).is_err());
    }
}
