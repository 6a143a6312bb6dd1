//! The end of the log as the log key signs it: canonical bytes, and nothing of keys or signatures.

use super::{
    cursor::Cursor,
    entry::Hash,
    wire::{Reader, Short},
};
use crate::timestamp::Timestamp;

/// What a holder of the log may believe once the log key's signature over [`Head::canonical`] is checked (DESIGN
/// section 5, *The log*): base + 1 … sequence are all there, and their chain of hashes ends in `hash`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Head {
    /// The `iss` of the realm's tokens, at most 65,535 bytes.
    pub issuer: String,
    /// Whose log it is, at most 65,535 bytes.
    pub realm: String,
    /// The epoch, from 1.
    pub epoch: u64,
    /// The last entry that was trimmed away; sequence 0 when none was.
    pub base: Link,
    /// The last entry.
    pub end: Link,
    /// The issuer's clock, never back.
    pub log_time: Timestamp,
}

/// An entry's place in the chain.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Link {
    /// The entry's number in its epoch.
    pub sequence: u64,
    /// The hash of the chain up to it.
    pub hash: Hash,
}

impl Head {
    /// What a signature over a head begins with, so that it is one over nothing else.
    pub const CONTEXT: &'static [u8] = b"ipms-log-head/v1\0";

    /// The position of the last entry.
    pub const fn cursor(&self) -> Cursor {
        Cursor::new(self.epoch, self.end.sequence)
    }

    /// The one spelling of this head: version, issuer and realm with their lengths, epoch, base, end, log time.
    ///
    /// # Errors
    ///
    /// [`HeadError::TooLong`]: an issuer or realm above 65,535 bytes.
    pub fn canonical(&self) -> Result<Vec<u8>, HeadError> {
        let mut bytes = vec![VERSION];
        for text in [&self.issuer, &self.realm] {
            let length = u16::try_from(text.len()).map_err(|_too_long| HeadError::TooLong)?;
            bytes.extend(length.to_be_bytes());
            bytes.extend(text.as_bytes());
        }
        bytes.extend(self.epoch.to_be_bytes());
        for link in [&self.base, &self.end] {
            bytes.extend(link.sequence.to_be_bytes());
            bytes.extend(link.hash);
        }
        bytes.extend(self.log_time.seconds().to_be_bytes());
        Ok(bytes)
    }

    /// Reads the one spelling and no other.
    ///
    /// # Errors
    ///
    /// [`HeadError`], by name.
    pub fn decode(bytes: &[u8]) -> Result<Self, HeadError> {
        let mut reader = Reader::new(bytes);
        match reader.byte()? {
            VERSION => {}
            version => return Err(HeadError::UnknownVersion(version)),
        }
        let head = Self {
            issuer: text(&mut reader)?,
            realm: text(&mut reader)?,
            epoch: reader.u64()?,
            base: link(&mut reader)?,
            end: link(&mut reader)?,
            log_time: Timestamp::from_seconds(reader.u64()?).ok_or(HeadError::LogTime)?,
        };
        if !reader.is_empty() {
            return Err(HeadError::TrailingBytes);
        }
        if head.epoch == 0 || head.end.sequence < head.base.sequence {
            return Err(HeadError::Order);
        }
        Ok(head)
    }
}

/// Bytes that are no head.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum HeadError {
    /// They end too early.
    #[error("a head that ends too early")]
    Truncated,
    /// A form that this program does not know.
    #[error("a head of version {0}; version 1 is known")]
    UnknownVersion(u8),
    /// Issuer or realm are not UTF-8.
    #[error("a head whose issuer or realm is not UTF-8")]
    Text,
    /// The log time is past the year 9999.
    #[error("a head whose log time is past the year 9999")]
    LogTime,
    /// Something follows.
    #[error("a head with trailing bytes")]
    TrailingBytes,
    /// Epoch 0, or an end before its base.
    #[error("a head of epoch 0, or one that ends before its base")]
    Order,
    /// Issuer or realm are too long to be written.
    #[error("an issuer or realm above 65,535 bytes")]
    TooLong,
}

impl From<Short> for HeadError {
    fn from(_short: Short) -> Self {
        Self::Truncated
    }
}

fn text(reader: &mut Reader<'_>) -> Result<String, HeadError> {
    let length = reader.u16()?;
    let bytes = reader.take(usize::from(length))?;
    str::from_utf8(bytes).map(str::to_owned).map_err(|_not_utf8| HeadError::Text)
}

fn link(reader: &mut Reader<'_>) -> Result<Link, HeadError> {
    Ok(Link { sequence: reader.u64()?, hash: reader.array()? })
}

const VERSION: u8 = 1;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn head() -> Head {
        Head {
            issuer: "https://issuer.test".to_owned(),
            realm: "default".to_owned(),
            epoch: 2,
            base: Link { sequence: 3, hash: [4; 32] },
            end: Link { sequence: 5, hash: [6; 32] },
            log_time: Timestamp::from_seconds(7).unwrap(),
        }
    }

    #[test]
    fn a_head_has_one_spelling_and_every_cut_or_longer_one_is_refused() {
        let bytes = head().canonical().unwrap();
        assert_eq!(Head::decode(&bytes), Ok(head()));
        for cut in 0..bytes.len() {
            assert_eq!(Head::decode(&bytes[..cut]), Err(HeadError::Truncated), "cut at {cut}");
        }
        assert_eq!(Head::decode(&[bytes, vec![0]].concat()), Err(HeadError::TrailingBytes));
    }

    #[test]
    fn an_unknown_version_and_an_impossible_order_are_named() {
        let mut bytes = head().canonical().unwrap();
        bytes[0] = 2;
        assert_eq!(Head::decode(&bytes), Err(HeadError::UnknownVersion(2)));
        for impossible in
            [Head { epoch: 0, ..head() }, Head { base: Link { sequence: 6, hash: [4; 32] }, ..head() }]
        {
            assert_eq!(Head::decode(&impossible.canonical().unwrap()), Err(HeadError::Order));
        }
    }

    proptest! {
        #[test]
        fn whatever_is_read_is_written_the_same(mut bytes in Just(head().canonical().unwrap()), at in any::<prop::sample::Index>(), to in any::<u8>()) {
            let at = at.index(bytes.len());
            bytes[at] = to;
            if let Ok(read) = Head::decode(&bytes) {
                prop_assert_eq!(read.canonical(), Ok(bytes));
            }
        }
    }
}
