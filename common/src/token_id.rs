//! A token's identity. Never the token itself.

use std::{fmt, str::FromStr};

use crate::encoding;

/// Identifies one token for life: in the `jti` claim (RFC 7519 section 4.1.7), in logs, in the store.
///
/// 128 random bits, shown as 22 characters of unpadded base64url (RFC 4648 section 5).
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct TokenId([u8; 16]);

impl TokenId {
    /// Makes an id of 16 random bytes; whoever calls vouches for the randomness.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The 16 bytes.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl FromStr for TokenId {
    type Err = InvalidTokenId;

    fn from_str(text: &str) -> Result<Self, InvalidTokenId> {
        encoding::decode_array(text).map(Self).ok_or(InvalidTokenId)
    }
}

impl fmt::Display for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&encoding::encode(&self.0))
    }
}

impl fmt::Debug for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Not 22 characters of canonical unpadded base64url.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("must be 22 characters of unpadded base64url")]
pub struct InvalidTokenId;
