//! A project's name between Portal and INCERT. Means nothing to those who check tokens.

use std::{fmt, str::FromStr};

/// 1 to 64 characters of `[a-z0-9-]`, chosen by the Portal (rule 14).
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ProjectId(Box<str>);

impl ProjectId {
    /// The most characters a project id may have.
    pub const MAX_LEN: usize = 64;

    /// The characters.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ProjectId {
    type Err = InvalidProjectId;

    fn from_str(text: &str) -> Result<Self, InvalidProjectId> {
        let fits = (1..=Self::MAX_LEN).contains(&text.len());
        let clean = text.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'));
        if fits && clean { Ok(Self(text.into())) } else { Err(InvalidProjectId) }
    }
}

impl fmt::Display for ProjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Not 1 to 64 characters of `[a-z0-9-]`.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("must be 1 to 64 characters of [a-z0-9-]")]
pub struct InvalidProjectId;
