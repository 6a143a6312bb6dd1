//! A project as the Portal registered it, and the configuration that its tokens carry. Never a user, never data.

pub mod retention;

use crate::{organisation_id::OrganisationId, project_id::ProjectId, timestamp::Timestamp};

pub use retention::{InvalidRetention, Retention};

/// How values of a project are pseudonymised. Never changes after creation (rule 6).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ProjectConfiguration {
    /// Whether pseudonyms can be turned back.
    pub method: Method,
    /// What becomes of a value that comes again.
    pub treatment: Treatment,
    /// What a pseudonym looks like.
    pub output_format: OutputFormat,
}

/// Whether pseudonyms can be turned back.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Method {
    /// They can, until the retention ends.
    Reversible {
        /// As the Portal gave it.
        retention: Retention,
        /// The first instant at which nothing can be reversed any more (exclusive end).
        retention_end: Timestamp,
    },
    /// They never can; there is no retention.
    NotReversible,
}

impl Method {
    /// The exclusive end of the retention; `None` when the project is not reversible.
    pub const fn retention_end(&self) -> Option<Timestamp> {
        match self {
            Self::Reversible { retention_end, .. } => Some(*retention_end),
            Self::NotReversible => None,
        }
    }
}

/// What becomes of a value that comes again.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Treatment {
    /// Another pseudonym each time.
    AlwaysDifferent,
    /// The same pseudonym each time.
    AlwaysSame,
}

impl Treatment {
    /// The name in tokens and audit lines.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AlwaysDifferent => "ALWAYS_DIFFERENT",
            Self::AlwaysSame => "ALWAYS_SAME",
        }
    }

    /// The inverse of [`Treatment::as_str`].
    pub fn parse(text: &str) -> Option<Self> {
        [Self::AlwaysDifferent, Self::AlwaysSame].into_iter().find(|treatment| treatment.as_str() == text)
    }
}

/// The characters of a pseudonym.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Alphabet {
    /// 0-9, A-Z, a-z.
    Alphanumeric,
    /// 0-9.
    Numeric,
    /// 0-9, a-f.
    Hexadecimal,
    /// A UUID in its canonical form.
    Uuid,
}

impl Alphabet {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Alphanumeric, Self::Numeric, Self::Hexadecimal, Self::Uuid];

    /// The name in tokens and audit lines.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Alphanumeric => "ALPHANUMERIC",
            Self::Numeric => "NUMERIC",
            Self::Hexadecimal => "HEXADECIMAL",
            Self::Uuid => "UUID",
        }
    }

    /// The inverse of [`Alphabet::as_str`].
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|alphabet| alphabet.as_str() == text)
    }

    /// The shortest and the longest pseudonym, both inclusive. The shortest holds at least 122 random bits.
    pub const fn lengths(self) -> (u32, u32) {
        match self {
            Self::Alphanumeric => (22, 64),
            Self::Numeric => (39, 64),
            Self::Hexadecimal => (32, 64),
            Self::Uuid => (36, 36),
        }
    }
}

/// What a pseudonym looks like: an alphabet and a length that fits it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct OutputFormat {
    alphabet: Alphabet,
    length: u32,
}

impl OutputFormat {
    /// Checks `length`, in characters, against [`Alphabet::lengths`].
    ///
    /// # Errors
    /// When it is outside.
    pub const fn new(alphabet: Alphabet, length: u32) -> Result<Self, InvalidOutputFormat> {
        let (shortest, longest) = alphabet.lengths();
        if length < shortest || length > longest {
            return Err(InvalidOutputFormat { shortest, longest });
        }
        Ok(Self { alphabet, length })
    }

    /// The characters used.
    pub const fn alphabet(self) -> Alphabet {
        self.alphabet
    }

    /// How many of them a pseudonym has.
    pub const fn length(self) -> u32 {
        self.length
    }
}

/// A length that the alphabet does not allow.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("length must be {shortest} to {longest} for this alphabet")]
pub struct InvalidOutputFormat {
    /// Inclusive.
    pub shortest: u32,
    /// Inclusive.
    pub longest: u32,
}

/// An organisation that works on somebody else's project.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Collaborator {
    /// Never the owner.
    pub organisation: OrganisationId,
    /// Whether it may ask for reverse tokens (rule 3).
    pub can_reverse: bool,
}

/// A project as stored.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Project {
    /// Chosen by the Portal.
    pub id: ProjectId,
    /// Has every permission.
    pub owner: OrganisationId,
    /// Sorted by organisation, each once.
    pub collaborators: Vec<Collaborator>,
    /// Fixed at creation.
    pub configuration: ProjectConfiguration,
    /// When it was created; the retention counts from here.
    pub created: Timestamp,
    /// When it was closed; `None` while it is open.
    pub closed: Option<Timestamp>,
    /// 1 at creation, one more with each change.
    pub version: u64,
}

impl Project {
    /// Whether `organisation` is the owner or a collaborator.
    pub fn has_access(&self, organisation: OrganisationId) -> bool {
        self.owner == organisation || self.collaborator(organisation).is_some()
    }

    /// Whether `organisation` may ask for reverse tokens, the method aside: the owner, or whom *Can reverse* was given.
    pub fn may_reverse(&self, organisation: OrganisationId) -> bool {
        self.owner == organisation || self.collaborator(organisation).is_some_and(|found| found.can_reverse)
    }

    fn collaborator(&self, organisation: OrganisationId) -> Option<&Collaborator> {
        self.collaborators.iter().find(|collaborator| collaborator.organisation == organisation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_outside_the_alphabets_bounds_is_refused() {
        for alphabet in Alphabet::ALL {
            let (shortest, longest) = alphabet.lengths();
            for length in 0..=100 {
                let fits = (shortest..=longest).contains(&length);
                assert_eq!(OutputFormat::new(alphabet, length).is_ok(), fits, "{alphabet:?} {length}");
            }
            assert_eq!(Alphabet::parse(alphabet.as_str()), Some(alphabet));
        }
    }

    #[test]
    fn only_the_owner_and_those_granted_may_reverse() {
        let organisation = |n| OrganisationId::from_bytes([n; 16]);
        let project = Project {
            id: "p".parse().unwrap(),
            owner: organisation(1),
            collaborators: vec![
                Collaborator { organisation: organisation(2), can_reverse: false },
                Collaborator { organisation: organisation(3), can_reverse: true },
            ],
            configuration: ProjectConfiguration {
                method: Method::NotReversible,
                treatment: Treatment::AlwaysSame,
                output_format: OutputFormat::new(Alphabet::Uuid, 36).unwrap(),
            },
            created: Timestamp::EPOCH,
            closed: None,
            version: 1,
        };
        let rights = |n| (project.has_access(organisation(n)), project.may_reverse(organisation(n)));
        assert_eq!([1, 2, 3, 4].map(rights), [(true, true), (true, false), (true, true), (false, false)]);
    }
}
