//! The three token types, and a value for each of them.

use std::fmt;

/// What a token authorises. One token authorises exactly one operation type (rule 1).
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum TokenType {
    /// Original values to first-level pseudonyms.
    Pseudonymisation,
    /// Pseudonyms to the values one layer down.
    Reverse,
    /// First-level pseudonyms of a source layer to second-level pseudonyms.
    Secondary,
}

impl TokenType {
    /// All of them, in the order of their codes.
    pub const ALL: [Self; 3] = [Self::Pseudonymisation, Self::Reverse, Self::Secondary];

    /// The `token_type` claim, and the name in audit lines and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pseudonymisation => "PSEUDONYMISATION",
            Self::Reverse => "REVERSE",
            Self::Secondary => "SECONDARY",
        }
    }

    /// The inverse of [`TokenType::as_str`].
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }

    /// The number on disk and on the wire: 1 to 3.
    pub const fn code(self) -> u8 {
        match self {
            Self::Pseudonymisation => 1,
            Self::Reverse => 2,
            Self::Secondary => 3,
        }
    }

    /// The inverse of [`TokenType::code`].
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.code() == code)
    }
}

impl fmt::Display for TokenType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One value for each token type.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct PerType<T> {
    /// For [`TokenType::Pseudonymisation`].
    pub pseudonymisation: T,
    /// For [`TokenType::Reverse`].
    pub reverse: T,
    /// For [`TokenType::Secondary`].
    pub secondary: T,
}

impl<T> PerType<T> {
    /// Makes the value of each type.
    pub fn from_fn(mut make: impl FnMut(TokenType) -> T) -> Self {
        Self {
            pseudonymisation: make(TokenType::Pseudonymisation),
            reverse: make(TokenType::Reverse),
            secondary: make(TokenType::Secondary),
        }
    }

    /// The value for `kind`.
    pub const fn get(&self, kind: TokenType) -> &T {
        match kind {
            TokenType::Pseudonymisation => &self.pseudonymisation,
            TokenType::Reverse => &self.reverse,
            TokenType::Secondary => &self.secondary,
        }
    }

    /// The value for `kind`, to change.
    pub const fn get_mut(&mut self, kind: TokenType) -> &mut T {
        match kind {
            TokenType::Pseudonymisation => &mut self.pseudonymisation,
            TokenType::Reverse => &mut self.reverse,
            TokenType::Secondary => &mut self.secondary,
        }
    }
}
