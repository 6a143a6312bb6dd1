//! The chain of a trail, checked line by line. Pure: no file, no clock; never repairs anything.

use std::{borrow::Cow, path::PathBuf};

use aws_lc_rs::digest;
use common::encoding;
use serde::{Deserialize, de::IgnoredAny};

/// How far a chain of lines reaches: the last line's number and its SHA-256.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ChainEnd {
    number: u64,
    hash: [u8; 32],
}

impl ChainEnd {
    /// Before the first line: number 0 and 32 zero bytes.
    pub const START: Self = Self { number: 0, hash: [0; 32] };

    /// At a line that is known from elsewhere.
    pub const fn at(number: u64, hash: [u8; 32]) -> Self {
        Self { number, hash }
    }

    /// Where `line` says that it was written; `None` when it is no line. A trail whose oldest files were taken away begins
    /// there.
    pub fn before(line: &[u8]) -> Option<Self> {
        let read: Line<'_> = serde_json::from_slice(line).ok()?;
        let hash = encoding::decode_array(read.previous.as_bytes())?;
        let end = Self { number: read.number.checked_sub(1)?, hash };
        (end.number > 0 || end == Self::START).then_some(end)
    }

    /// The number of the last line; 0 when there is none.
    pub const fn number(&self) -> u64 {
        self.number
    }

    /// The SHA-256 of the last line, without its line feed.
    pub const fn hash(&self) -> &[u8; 32] {
        &self.hash
    }

    /// Checks that `line`, without its line feed, follows here, and moves behind it.
    ///
    /// Checks: the line's form, its number, the hash of the line before. Does not check what the event says. An
    /// edit of a line is seen at the line after it, so one of the very last line needs a known or a signed end.
    ///
    /// # Errors
    ///
    /// What is wrong; the end then stays where it was.
    pub fn follow(&mut self, line: &[u8]) -> Result<(), DamageKind> {
        let read: Line<'_> = serde_json::from_slice(line).map_err(|_reason| DamageKind::Form)?;
        if read.number != self.number.saturating_add(1) {
            return Err(DamageKind::Number);
        }
        if encoding::decode_array(read.previous.as_bytes()) != Some(self.hash) {
            return Err(DamageKind::Previous);
        }
        *self = self.after(line);
        Ok(())
    }

    /// The line that follows here and says `event`, which is one JSON value, without a line feed.
    pub(super) fn line(&self, event: &[u8]) -> Vec<u8> {
        let number = self.number.saturating_add(1);
        let mut line =
            format!(r#"{{"number":{number},"previous":"{}","event":"#, encoding::encode(&self.hash))
                .into_bytes();
        line.extend_from_slice(event);
        line.push(b'}');
        line
    }

    /// The end once `line` was written here.
    pub(super) fn after(self, line: &[u8]) -> Self {
        let mut hash = [0; 32];
        for (to, from) in hash.iter_mut().zip(digest::digest(&digest::SHA256, line).as_ref()) {
            *to = *from;
        }
        Self { number: self.number.saturating_add(1), hash }
    }
}

/// Where a trail is broken, and how.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{}, line {line}: {kind}", file.display())]
pub struct Damage {
    /// The file at fault.
    pub file: PathBuf,
    /// The line at fault, from 1 in that file.
    pub line: u64,
    /// What is wrong there.
    pub kind: DamageKind,
}

/// What can be wrong with a line.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum DamageKind {
    /// Not one JSON object of exactly number, previous and event.
    #[error("not an audit line")]
    Form,
    /// Another number than its place: a line or a file is missing, repeated or moved.
    #[error("its number is not the one after the line before")]
    Number,
    /// The line before is not the one that this line was written after: one of the two was changed.
    #[error("the line before is not the one that it was written after")]
    Previous,
    /// The chain is whole, but another one than was known.
    #[error("not the line that is known to be there")]
    NotTheKnownEnd,
    /// The chain ends before a line that is known to have been there.
    #[error("the trail ends here, and more is known to have been there")]
    Missing,
    /// Longer than any line that is ever written.
    #[error("too long")]
    TooLong,
    /// A last line without its end, in a file that was finished or is being checked.
    #[error("torn: the line has no end")]
    Torn,
    /// A signed head that speaks of another line than the one before it.
    #[error("the signed head is of another line than the one before it: what stands before was rewritten")]
    HeadElsewhere,
    /// A head that none of the given log keys signed.
    #[error("the head is signed by none of the given log keys")]
    UnknownLogKey,
    /// A head whose signature does not match.
    #[error("the signature of the head does not match: what stands before may have been rewritten")]
    BadSignature,
    /// More lines without a signed head than are ever written.
    #[error("no signed head for more lines than are ever written without one")]
    Unsigned,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line<'a> {
    number: u64,
    #[serde(borrow)]
    previous: Cow<'a, str>,
    #[serde(rename = "event")]
    _event: IgnoredAny,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain(length: u32) -> (Vec<Vec<u8>>, ChainEnd) {
        let mut end = ChainEnd::START;
        let lines = (0..length)
            .map(|n| {
                let line = end.line(format!(r#"{{"n":{n}}}"#).as_bytes());
                end = end.after(&line);
                line
            })
            .collect();
        (lines, end)
    }

    /// The end, or the line of the first damage.
    fn follow(lines: &[Vec<u8>]) -> Result<ChainEnd, (usize, DamageKind)> {
        let mut end = ChainEnd::START;
        for (line, number) in lines.iter().zip(1..) {
            end.follow(line).map_err(|kind| (number, kind))?;
        }
        Ok(end)
    }

    #[test]
    fn a_whole_chain_is_whole() {
        let (lines, end) = chain(5);
        assert_eq!(follow(&lines), Ok(end));
        assert_eq!(ChainEnd::before(&lines[0]), Some(ChainEnd::START));
        assert_eq!(ChainEnd::before(&lines[3]).unwrap().number(), 3);
    }

    #[test]
    fn an_edit_is_found_at_the_line_after_it() {
        let (mut lines, _) = chain(5);
        lines[2] = String::from_utf8(lines[2].clone()).unwrap().replace(r#""n":2"#, r#""n":9"#).into_bytes();
        assert_eq!(follow(&lines), Err((4, DamageKind::Previous)));
    }

    #[test]
    fn a_gap_and_a_swap_are_found_where_they_begin() {
        let (mut lines, _) = chain(5);
        lines.swap(1, 2);
        assert_eq!(follow(&lines), Err((2, DamageKind::Number)));
        lines.swap(1, 2);
        lines.remove(3);
        assert_eq!(follow(&lines), Err((4, DamageKind::Number)));
    }

    #[test]
    fn a_line_with_another_member_is_not_an_audit_line() {
        let line = String::from_utf8(ChainEnd::START.line(b"{}")).unwrap().replace("{}}", r#"{},"x":1}"#);
        assert_eq!(ChainEnd::START.clone().follow(line.as_bytes()), Err(DamageKind::Form));
        assert_eq!(ChainEnd::before(line.as_bytes()), None);
    }
}
