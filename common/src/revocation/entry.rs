//! One entry of the log: its one byte form, its hash, and packed runs of them. Never applied here.

use aws_lc_rs::digest;

use super::{
    cursor::Cursor,
    rule::{Rule, RuleError, read_project, write_project},
    wire::{Reader, Short},
};
use crate::{project_id::ProjectId, timestamp::Timestamp};

/// The version of the byte form.
const VERSION: u8 = 1;

/// A SHA-256 link of the chain. Zero before an epoch's first entry.
pub type Hash = [u8; 32];

/// Why something was revoked; the codes are those of the wire. Closed.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Reason {
    /// The token came into wrong hands.
    TokenLeaked,
    /// A signing key came into wrong hands.
    KeyCompromised,
    /// A permission was withdrawn.
    PermissionWithdrawn,
    /// A collaborator was removed from a project.
    CollaboratorRemoved,
    /// A project was closed.
    ProjectClosed,
    /// The approval behind the token was withdrawn.
    ApprovalWithdrawn,
    /// The token is not needed any more.
    NoLongerNeeded,
    /// An operator's decision.
    Operator,
    /// Entries were lost and could not all be mended.
    DataLost,
}

impl Reason {
    /// All of them, in the order of their codes.
    pub const ALL: [Self; 9] = [
        Self::TokenLeaked,
        Self::KeyCompromised,
        Self::PermissionWithdrawn,
        Self::CollaboratorRemoved,
        Self::ProjectClosed,
        Self::ApprovalWithdrawn,
        Self::NoLongerNeeded,
        Self::Operator,
        Self::DataLost,
    ];

    /// The number on disk and on the wire: 1 to 9.
    pub const fn code(self) -> u8 {
        self as u8 + 1
    }

    /// The inverse of [`Reason::code`].
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.code() == code)
    }
}

/// What an entry says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Body {
    /// Opens an epoch; names, per earlier epoch, the sequence carried in full.
    Genesis(Vec<Cursor>),
    /// Revokes.
    Rule {
        /// What is revoked.
        rule: Rule,
        /// Why.
        reason: Reason,
        /// The cursor at which the rule was first recorded.
        cut: Cursor,
        /// The project's new version, when the entry goes with a change of it.
        project: Option<(ProjectId, u64)>,
    },
}

/// One numbered entry.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Entry {
    /// Where it stands.
    pub cursor: Cursor,
    /// When it was recorded, by log time.
    pub recorded_at: Timestamp,
    /// From this instant on no token it hits is live (exclusive end of its use).
    pub expires_at: Timestamp,
    /// What it says.
    pub body: Body,
}

impl Entry {
    /// The one byte form. The previous hash is not part of it.
    pub fn canonical(&self) -> Vec<u8> {
        let kind = match self.body {
            Body::Genesis(_) => 0,
            Body::Rule { .. } => 1,
        };
        let mut out = vec![VERSION, kind];
        write_cursor(&mut out, self.cursor);
        out.extend_from_slice(&self.recorded_at.seconds().to_be_bytes());
        out.extend_from_slice(&self.expires_at.seconds().to_be_bytes());
        match &self.body {
            Body::Genesis(carried) => carried.iter().for_each(|c| write_cursor(&mut out, *c)),
            Body::Rule { rule, reason, cut, project } => {
                out.push(reason.code());
                write_cursor(&mut out, *cut);
                out.extend_from_slice(&rule.canonical());
                if let Some((id, version)) = project {
                    write_project(&mut out, id);
                    out.extend_from_slice(&version.to_be_bytes());
                }
            }
        }
        out
    }

    /// Reads exactly one entry.
    ///
    /// # Errors
    /// By name; [`EntryError::UnknownKind`] is a newer writer's entry and stops the reader's cursor.
    pub fn decode(bytes: &[u8]) -> Result<Self, EntryError> {
        let mut reader = Reader::new(bytes);
        if reader.byte()? != VERSION {
            return Err(EntryError::UnknownKind);
        }
        let kind = reader.byte()?;
        let cursor = read_cursor(&mut reader)?;
        let recorded_at = read_time(&mut reader)?;
        let expires_at = read_time(&mut reader)?;
        let body = match kind {
            0 => {
                let mut carried: Vec<Cursor> = Vec::new();
                while !reader.is_empty() {
                    let next = read_cursor(&mut reader)?;
                    if next.epoch >= cursor.epoch
                        || carried.last().is_some_and(|last| last.epoch >= next.epoch)
                    {
                        return Err(EntryError::BadField);
                    }
                    carried.push(next);
                }
                Body::Genesis(carried)
            }
            1 => {
                let reason = Reason::from_code(reader.byte()?).ok_or(EntryError::UnknownKind)?;
                let cut = read_cursor(&mut reader)?;
                if cut > cursor {
                    return Err(EntryError::BadField);
                }
                let rule = Rule::read(&mut reader)?;
                let project =
                    if reader.is_empty() { None } else { Some((read_project(&mut reader)?, reader.u64()?)) };
                Body::Rule { rule, reason, cut, project }
            }
            _ => return Err(EntryError::UnknownKind),
        };
        if reader.is_empty() {
            Ok(Self { cursor, recorded_at, expires_at, body })
        } else {
            Err(EntryError::Trailing)
        }
    }

    /// The chain's next link: SHA-256(`previous` ‖ canonical bytes).
    pub fn link(&self, previous: &Hash) -> Hash {
        link(previous, &self.canonical())
    }
}

/// [`Entry::link`] of the entry whose canonical bytes these are.
pub(super) fn link(previous: &Hash, canonical: &[u8]) -> Hash {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(previous);
    context.update(canonical);
    let mut hash = [0; 32];
    hash.copy_from_slice(context.finish().as_ref());
    hash
}

/// Packs a run: each entry behind its length in two bytes.
pub fn pack(entries: &[Entry]) -> Vec<u8> {
    let mut out = Vec::new();
    for bytes in entries.iter().map(Entry::canonical) {
        // A rule needs at most 270 bytes; a genesis past 4,000 epochs would be cut, and then its hash fails.
        out.extend_from_slice(&u16::try_from(bytes.len()).unwrap_or(u16::MAX).to_be_bytes());
        out.extend_from_slice(&bytes);
    }
    out
}

/// Unpacks a whole run, or nothing of it.
///
/// # Errors
/// Those of [`Entry::decode`], and [`EntryError::Truncated`] for a cut run.
pub fn unpack(bytes: &[u8]) -> Result<Vec<Entry>, EntryError> {
    packed(bytes).map(|bytes| Entry::decode(bytes?)).collect()
}

/// The canonical bytes of each entry of a packed run. Ends at the first error.
pub(super) fn packed(bytes: &[u8]) -> impl Iterator<Item = Result<&[u8], EntryError>> {
    let mut reader = Reader::new(bytes);
    std::iter::from_fn(move || {
        if reader.is_empty() {
            return None;
        }
        let next = reader.u16().and_then(|length| reader.take(usize::from(length)));
        if next.is_err() {
            reader = Reader::new(&[]);
        }
        Some(next.map_err(EntryError::from))
    })
}

pub(super) fn write_cursor(out: &mut Vec<u8>, cursor: Cursor) {
    out.extend_from_slice(&cursor.epoch.to_be_bytes());
    out.extend_from_slice(&cursor.sequence.to_be_bytes());
}

fn read_cursor(reader: &mut Reader<'_>) -> Result<Cursor, Short> {
    Ok(Cursor::new(reader.u64()?, reader.u64()?))
}

fn read_time(reader: &mut Reader<'_>) -> Result<Timestamp, EntryError> {
    Timestamp::from_seconds(reader.u64()?).ok_or(EntryError::BadField)
}

/// Why bytes are no entry.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum EntryError {
    /// It ends early.
    #[error("an entry ends early")]
    Truncated,
    /// Bytes after its end.
    #[error("bytes after the end of an entry")]
    Trailing,
    /// A version, kind, rule or reason this build does not know.
    #[error("an entry of an unknown kind")]
    UnknownKind,
    /// A field outside its form.
    #[error("an entry holds a malformed field")]
    BadField,
}

impl From<Short> for EntryError {
    fn from(_: Short) -> Self {
        Self::Truncated
    }
}

impl From<RuleError> for EntryError {
    fn from(error: RuleError) -> Self {
        match error {
            RuleError::Truncated => Self::Truncated,
            RuleError::UnknownKind => Self::UnknownKind,
            RuleError::BadField => Self::BadField,
        }
    }
}

#[cfg(test)]
mod tests;
