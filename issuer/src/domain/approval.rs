//! Who asked for a token, who approved it, and what for. For the audit trail; none of it may enter a token (rule 9).

use std::fmt;

/// The approval that an order names. What it must be for which token type is the policy's to judge.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Approval {
    /// The approved request's id (rule 2). Recorded in the ledger.
    pub request: Reference,
    /// Who asked.
    pub requested_by: Reference,
    /// How it was approved.
    pub decision: Decision,
    /// What for. `None` when nothing was written, or only white space.
    pub purpose: Option<Purpose>,
}

/// How a request was approved.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Decision {
    /// By this person.
    Person(Reference),
    /// By a rule of the Portal. Refused for reverse tokens (rule 2).
    Automatic,
}

/// An opaque name of the Portal's: a request, or a person. 1 to 128 printable ASCII characters.
///
/// It may stand for a person, so `Debug` keeps it back; the audit trail asks for it by [`Reference::as_str`].
#[derive(Clone, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Reference(Box<str>);

impl Reference {
    /// The most characters of a reference.
    pub const MAX_LEN: usize = 128;

    /// Reads a reference.
    ///
    /// # Errors
    /// [`InvalidReference`] when it is not 1 to 128 printable ASCII characters.
    pub fn new(text: &str) -> Result<Self, InvalidReference> {
        let fits = (1..=Self::MAX_LEN).contains(&text.len());
        let printable = text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
        if fits && printable { Ok(Self(text.into())) } else { Err(InvalidReference) }
    }

    /// The characters.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether both name the same person. The Portal may spell one name in two cases or pad it; that must not pass one
    /// person off as two (rule 12).
    pub fn same_person(&self, other: &Self) -> bool {
        self.0.trim().eq_ignore_ascii_case(other.0.trim())
    }
}

impl fmt::Debug for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reference(..)")
    }
}

/// Not 1 to 128 printable ASCII characters.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("must be 1 to 128 printable ASCII characters")]
pub struct InvalidReference;

/// What a token is wanted for: 1 to 1,000 characters, not all white space. Free text, so `Debug` keeps it back.
#[derive(Clone, Eq, PartialEq)]
pub struct Purpose(Box<str>);

impl Purpose {
    /// The most characters of a purpose (Unicode scalar values, not bytes).
    pub const MAX_CHARS: usize = 1_000;

    /// Reads a purpose; `None` when there is nothing to read in it.
    ///
    /// # Errors
    /// [`PurposeTooLong`] when it has more than 1,000 characters.
    pub fn new(text: &str) -> Result<Option<Self>, PurposeTooLong> {
        // Counting stops one past the bound: the text is as long as the caller likes.
        if text.chars().take(Self::MAX_CHARS + 1).count() > Self::MAX_CHARS {
            return Err(PurposeTooLong);
        }
        Ok(if text.trim().is_empty() { None } else { Some(Self(text.into())) })
    }

    /// The characters.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Purpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Purpose(..)")
    }
}

/// More than 1,000 characters.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("must be at most 1,000 characters")]
pub struct PurposeTooLong;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_is_1_to_128_printable_ascii_characters() {
        for good in ["a", "a b", "~", &"x".repeat(128)] {
            assert_eq!(Reference::new(good).unwrap().as_str(), good);
        }
        for bad in ["", "é", "a\n", "\u{7f}", &"x".repeat(129)] {
            assert_eq!(Reference::new(bad), Err(InvalidReference), "{bad:?}");
        }
    }

    #[test]
    fn one_person_in_two_spellings_is_one_person() {
        let name = |text| Reference::new(text).unwrap();
        assert!(name("Anna@Portal").same_person(&name(" anna@portal")));
        assert!(!name("anna").same_person(&name("anne")));
    }

    #[test]
    fn a_blank_purpose_is_none() {
        assert_eq!(Purpose::new(""), Ok(None));
        assert_eq!(Purpose::new(" \n\u{a0}"), Ok(None));
        assert!(Purpose::new("follow-up").unwrap().is_some());
    }

    #[test]
    fn a_purpose_is_measured_in_characters() {
        assert!(Purpose::new(&"é".repeat(1_000)).unwrap().is_some());
        assert_eq!(Purpose::new(&"é".repeat(1_001)), Err(PurposeTooLong));
    }

    #[test]
    fn debug_tells_neither_people_nor_purpose() {
        let approval = Approval {
            request: Reference::new("req-4711").unwrap(),
            requested_by: Reference::new("anna").unwrap(),
            decision: Decision::Person(Reference::new("bert").unwrap()),
            purpose: Purpose::new("rare disease").unwrap(),
        };
        let shown = format!("{approval:?}");
        for secret in ["4711", "anna", "bert", "disease"] {
            assert!(!shown.contains(secret), "{shown}");
        }
    }
}
