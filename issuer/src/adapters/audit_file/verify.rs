//! The chain of an audit file, checked line by line. Pure: no file, no clock; never repairs anything.

use std::borrow::Cow;

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
    /// edit of a line is seen at the line after it, so one of the very last line needs a known end ([`verify`]).
    ///
    /// # Errors
    ///
    /// What is wrong, naming this line; the end then stays where it was.
    pub fn follow(&mut self, line: &[u8]) -> Result<(), Damage> {
        let number = self.number.saturating_add(1);
        let damage = |kind| Damage { line: number, kind };
        let read: Line<'_> = serde_json::from_slice(line).map_err(|_reason| damage(DamageKind::Form))?;
        if read.number != number {
            return Err(damage(DamageKind::Number));
        }
        if encoding::decode_array(read.previous.as_bytes()) != Some(self.hash) {
            return Err(damage(DamageKind::Previous));
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

/// Checks a whole chain, of lines without their line feeds; `known` is an end it must pass through, if one is known.
///
/// Lines cut off the end leave a whole chain behind: only a known end shows that.
///
/// # Errors
///
/// The first damage, naming its line, counted from 1.
pub fn verify<L: AsRef<[u8]>>(
    lines: impl IntoIterator<Item = L>,
    known: Option<ChainEnd>,
) -> Result<ChainEnd, Damage> {
    let mut end = ChainEnd::START;
    for line in lines {
        end.follow(line.as_ref())?;
        if let Some(known) = known.filter(|known| known.number == end.number && known.hash != end.hash) {
            return Err(Damage { line: known.number, kind: DamageKind::NotTheKnownEnd });
        }
    }
    match known {
        Some(known) if known.number > end.number => {
            Err(Damage { line: end.number.saturating_add(1), kind: DamageKind::Missing })
        }
        _ => Ok(end),
    }
}

/// Where a chain is broken, and how.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("line {line}: {kind}")]
pub struct Damage {
    /// The line at fault, from 1.
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
    /// Another number than its place: a line is missing, repeated or moved.
    #[error("its number is not the one after the line before")]
    Number,
    /// The line before is not the one that this line was written after: one of the two was changed.
    #[error("the line before is not the one that it was written after")]
    Previous,
    /// The chain is whole, but another one than was known.
    #[error("not the line that is known to be there")]
    NotTheKnownEnd,
    /// The chain ends before a line that is known to have been there.
    #[error("missing, and known to have been there")]
    Missing,
    /// Longer than any line that is ever written.
    #[error("too long")]
    TooLong,
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

    fn damage(line: u64, kind: DamageKind) -> Result<ChainEnd, Damage> {
        Err(Damage { line, kind })
    }

    #[test]
    fn a_whole_chain_is_whole() {
        let (lines, end) = chain(5);
        assert_eq!(verify(&lines, None), Ok(end));
        assert_eq!(verify(&lines, Some(end)), Ok(end));
    }

    #[test]
    fn an_edit_is_found_at_the_line_after_it() {
        let (mut lines, _) = chain(5);
        lines[2] = String::from_utf8(lines[2].clone()).unwrap().replace(r#""n":2"#, r#""n":9"#).into_bytes();
        assert_eq!(verify(&lines, None), damage(4, DamageKind::Previous));
    }

    #[test]
    fn an_edit_of_the_last_line_is_found_by_a_known_end() {
        let (mut lines, end) = chain(5);
        lines[4] = String::from_utf8(lines[4].clone()).unwrap().replace(r#""n":4"#, r#""n":9"#).into_bytes();
        assert_eq!(verify(&lines, Some(end)), damage(5, DamageKind::NotTheKnownEnd));
    }

    #[test]
    fn a_gap_and_a_swap_are_found_where_they_begin() {
        let (mut lines, _) = chain(5);
        lines.swap(1, 2);
        assert_eq!(verify(&lines, None), damage(2, DamageKind::Number));
        lines.swap(1, 2);
        lines.remove(3);
        assert_eq!(verify(&lines, None), damage(4, DamageKind::Number));
    }

    #[test]
    fn lines_cut_off_the_end_are_found_by_a_known_end() {
        let (mut lines, end) = chain(5);
        lines.truncate(3);
        assert_eq!(verify(&lines, Some(end)), damage(4, DamageKind::Missing));
    }

    #[test]
    fn a_line_with_another_member_is_not_an_audit_line() {
        let line = String::from_utf8(ChainEnd::START.line(b"{}")).unwrap().replace("{}}", r#"{},"x":1}"#);
        assert_eq!(verify([line], None), damage(1, DamageKind::Form));
    }
}
