//! What a revocation names, and which tokens it hits (DESIGN section 5). No log, no time.

use super::{
    cursor::Cursor,
    wire::{Reader, Short},
};
use crate::{
    key_id::KeyId, organisation_id::OrganisationId, project_id::ProjectId, token::kind::TokenType,
    token_id::TokenId,
};

const TYPE: u8 = 1;
const PROJECT: u8 = 2;
const ORGANISATION: u8 = 4;
const SOURCE_PROJECT: u8 = 8;
const SOURCE_ORGANISATION: u8 = 16;

/// Every combination of fields a scope may use; closed, so that a look-up costs the same whatever was revoked.
pub const MASKS: [u8; 11] = [
    0,
    TYPE,
    PROJECT,
    PROJECT | TYPE,
    PROJECT | ORGANISATION,
    PROJECT | ORGANISATION | TYPE,
    ORGANISATION,
    ORGANISATION | TYPE,
    SOURCE_PROJECT,
    SOURCE_PROJECT | SOURCE_ORGANISATION,
    SOURCE_PROJECT | ORGANISATION,
];

/// What a token offers for matching.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Subject<'a> {
    /// The token's id.
    pub id: TokenId,
    /// The key that signed it.
    pub key: KeyId,
    /// Its type.
    pub token_type: TokenType,
    /// Its project.
    pub project: &'a ProjectId,
    /// The organisation it was issued to.
    pub organisation: OrganisationId,
    /// The source project and organisation of a secondary token.
    pub source: Option<(&'a ProjectId, OrganisationId)>,
    /// The log position at which it was recorded.
    pub recorded: Cursor,
}

/// A pattern over tokens; a token matches if every given field equals. Nothing given matches everything.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub struct Scope {
    /// Only tokens of this type.
    pub token_type: Option<TokenType>,
    /// Only tokens of this project.
    pub project: Option<ProjectId>,
    /// Only tokens issued to this organisation.
    pub organisation: Option<OrganisationId>,
    /// Only secondary tokens with this source project.
    pub source_project: Option<ProjectId>,
    /// Only secondary tokens with this source organisation.
    pub source_organisation: Option<OrganisationId>,
}

impl Scope {
    /// Which fields are given, as one of [`MASKS`] if the combination is in use.
    pub fn mask(&self) -> u8 {
        let bit = |given: bool, bit: u8| if given { bit } else { 0 };
        bit(self.token_type.is_some(), TYPE)
            | bit(self.project.is_some(), PROJECT)
            | bit(self.organisation.is_some(), ORGANISATION)
            | bit(self.source_project.is_some(), SOURCE_PROJECT)
            | bit(self.source_organisation.is_some(), SOURCE_ORGANISATION)
    }

    /// Whether verifiers look this combination of fields up; any other could never take effect.
    pub fn is_in_use(&self) -> bool {
        MASKS.contains(&self.mask())
    }

    /// Whether every given field equals the token's.
    pub fn matches(&self, subject: &Subject<'_>) -> bool {
        fn fits<T: PartialEq>(wanted: Option<&T>, found: Option<&T>) -> bool {
            wanted.is_none() || wanted == found
        }
        let source = subject.source.as_ref();
        fits(self.token_type.as_ref(), Some(&subject.token_type))
            && fits(self.project.as_ref(), Some(subject.project))
            && fits(self.organisation.as_ref(), Some(&subject.organisation))
            && fits(self.source_project.as_ref(), source.map(|s| s.0))
            && fits(self.source_organisation.as_ref(), source.map(|s| &s.1))
    }

    /// The one byte form: the mask, then each given field; a project behind its length.
    pub fn canonical(&self) -> Vec<u8> {
        let mut out = Vec::new();
        project_fields(
            &mut out,
            self.mask(),
            self.token_type,
            self.project.as_ref(),
            self.organisation,
            self.source_project.as_ref(),
            self.source_organisation,
        );
        out
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, RuleError> {
        let mask = reader.byte()?;
        if !MASKS.contains(&mask) {
            return Err(RuleError::UnknownKind);
        }
        let mut scope = Self::default();
        if mask & TYPE != 0 {
            scope.token_type = Some(TokenType::from_code(reader.byte()?).ok_or(RuleError::UnknownKind)?);
        }
        if mask & PROJECT != 0 {
            scope.project = Some(read_project(reader)?);
        }
        if mask & ORGANISATION != 0 {
            scope.organisation = Some(OrganisationId::from_bytes(reader.array()?));
        }
        if mask & SOURCE_PROJECT != 0 {
            scope.source_project = Some(read_project(reader)?);
        }
        if mask & SOURCE_ORGANISATION != 0 {
            scope.source_organisation = Some(OrganisationId::from_bytes(reader.array()?));
        }
        Ok(scope)
    }
}

/// What one log entry revokes.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum Rule {
    /// One token, wherever it was recorded.
    Token(TokenId),
    /// Every token a key signed, wherever recorded.
    Key(KeyId),
    /// Every matching token recorded before the cut.
    Scope(Scope),
}

impl Rule {
    /// Whether the rule, first recorded at `cut`, hits the token. A scope hits what was recorded before `cut`
    /// (exclusive); token ids and keys are hit regardless of position.
    pub fn hits(&self, subject: &Subject<'_>, cut: Cursor) -> bool {
        match self {
            Self::Token(id) => *id == subject.id,
            Self::Key(key) => *key == subject.key,
            Self::Scope(scope) => subject.recorded < cut && scope.matches(subject),
        }
    }

    /// The one byte form.
    pub fn canonical(&self) -> Vec<u8> {
        match self {
            Self::Token(id) => [&[1][..], id.as_bytes()].concat(),
            Self::Key(key) => [&[2][..], key.as_bytes()].concat(),
            Self::Scope(scope) => [&[3][..], &scope.canonical()].concat(),
        }
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, RuleError> {
        match reader.byte()? {
            1 => Ok(Self::Token(TokenId::from_bytes(reader.array()?))),
            2 => Ok(Self::Key(KeyId::from_bytes(reader.array()?))),
            3 => Scope::read(reader).map(Self::Scope),
            _ => Err(RuleError::UnknownKind),
        }
    }
}

/// The canonical form of the scope made of the token's own fields that `mask` names; `None` if it lacks one of them.
/// Written over what `out` held, so that a look-up of many allocates once.
pub fn projected<'a>(subject: &Subject<'_>, mask: u8, out: &'a mut Vec<u8>) -> Option<&'a [u8]> {
    if mask & (SOURCE_PROJECT | SOURCE_ORGANISATION) != 0 && subject.source.is_none() {
        return None;
    }
    out.clear();
    project_fields(
        out,
        mask,
        Some(subject.token_type),
        Some(subject.project),
        Some(subject.organisation),
        subject.source.map(|s| s.0),
        subject.source.map(|s| s.1),
    );
    Some(out)
}

fn project_fields(
    out: &mut Vec<u8>,
    mask: u8,
    token_type: Option<TokenType>,
    project: Option<&ProjectId>,
    organisation: Option<OrganisationId>,
    source_project: Option<&ProjectId>,
    source_organisation: Option<OrganisationId>,
) {
    out.push(mask);
    if let Some(kind) = token_type.filter(|_| mask & TYPE != 0) {
        out.push(kind.code());
    }
    if let Some(project) = project.filter(|_| mask & PROJECT != 0) {
        write_project(out, project);
    }
    if let Some(organisation) = organisation.filter(|_| mask & ORGANISATION != 0) {
        out.extend_from_slice(organisation.as_bytes());
    }
    if let Some(project) = source_project.filter(|_| mask & SOURCE_PROJECT != 0) {
        write_project(out, project);
    }
    if let Some(organisation) = source_organisation.filter(|_| mask & SOURCE_ORGANISATION != 0) {
        out.extend_from_slice(organisation.as_bytes());
    }
}

pub(super) fn write_project(out: &mut Vec<u8>, project: &ProjectId) {
    // A project id has at most 64 characters.
    out.push(u8::try_from(project.as_str().len()).unwrap_or(u8::MAX));
    out.extend_from_slice(project.as_str().as_bytes());
}

pub(super) fn read_project(reader: &mut Reader<'_>) -> Result<ProjectId, RuleError> {
    let length = usize::from(reader.byte()?);
    let text = str::from_utf8(reader.take(length)?).ok().ok_or(RuleError::BadField)?;
    text.parse().ok().ok_or(RuleError::BadField)
}

/// Why bytes are no rule.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum RuleError {
    /// It ends early.
    #[error("a rule ends early")]
    Truncated,
    /// A rule, type or combination of fields this build does not know: a newer writer.
    #[error("a rule of an unknown kind")]
    UnknownKind,
    /// A field outside its form.
    #[error("a rule holds a malformed field")]
    BadField,
}

impl From<Short> for RuleError {
    fn from(_: Short) -> Self {
        Self::Truncated
    }
}
