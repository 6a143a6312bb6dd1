//! `issuer audit verify`: reads any run of a trail's files, and tells the first damage or how far they are whole and
//! signed for. Changes nothing.

use std::{
    collections::BTreeMap,
    fmt,
    fs::File,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
};

use common::{encoding, keys::PublicKey, timestamp::Timestamp};
use serde::Deserialize;

use super::{
    ChainEnd, Damage, DamageKind, OpenError,
    files::{Followed, Reading},
    writer::UNSIGNED_MOST,
};
use crate::domain::audit_head::AuditHead;

/// What is known besides the files.
#[derive(Debug, Default)]
pub struct Known {
    /// The public log keys, whoever of them signed. None: heads are compared with the lines, and nothing is proven.
    pub log_keys: Vec<PublicKey>,
    /// A line that must be there.
    pub line: Option<ChainEnd>,
}

/// What whole files hold.
#[derive(Debug, Default)]
pub struct Report {
    /// Each with its first and last line; the last may be empty.
    files: Vec<Part>,
    /// The last signed head, and when it was signed.
    signed: Option<(ChainEnd, Timestamp)>,
    /// Lines behind it.
    unsigned: u64,
    proven: bool,
    /// The highest epoch of which entries expired and were forgotten, and up to which.
    trimmed: (u64, u64),
}

#[derive(Debug)]
struct Part {
    path: PathBuf,
    lines: Option<(u64, u64)>,
    /// The highest entry of each epoch in it.
    entries: BTreeMap<u64, u64>,
}

/// Checks the files, which may be given in any order.
///
/// Finds any line that was changed, taken out, put in or moved, and any file that is missing between two others. What
/// nobody can see in the files alone: lines and whole files taken from the old end, which an operator may do; lines taken
/// from the new end, unless `known` has a line of it; and lines behind the last signed head that were made anew.
///
/// # Errors
/// [`OpenError::Damaged`], naming the file and its line; [`OpenError::Io`].
pub fn inspect(files: &[PathBuf], known: &Known) -> Result<Report, OpenError> {
    let mut order = Vec::new();
    for path in files {
        order.push((begin(path)?, path));
    }
    order.sort();
    let mut reading = Reading::default();
    let mut report = Report { proven: !known.log_keys.is_empty(), ..Report::default() };
    for (_, path) in order {
        let mut part = Part { path: path.clone(), lines: None, entries: BTreeMap::new() };
        reading.finished(path, |line| {
            let number = line.end.number();
            part.lines = Some((part.lines.map_or(number, |(first, _)| first), number));
            if known.line.is_some_and(|known| known.number() == number && known != line.end) {
                return Err(DamageKind::NotTheKnownEnd);
            }
            report.take(line, &mut part, known)
        })?;
        report.files.push(part);
    }
    let end = reading.end().number();
    match (known.line, report.files.last()) {
        (Some(known), Some(last)) if known.number() > end => {
            let line = last.lines.map_or(1, |(first, _)| end + 2 - first);
            Err(Damage { file: last.path.clone(), line, kind: DamageKind::Missing }.into())
        }
        _ => Ok(report),
    }
}

/// The number before a file's first line; an empty file is the newest.
fn begin(path: &Path) -> Result<u64, OpenError> {
    let mut line = Vec::new();
    BufReader::new(File::open(path)?).read_until(b'\n', &mut line)?;
    if line.is_empty() {
        return Ok(u64::MAX);
    }
    let text = line.strip_suffix(b"\n").unwrap_or(&line);
    let damage = || Damage { file: path.to_owned(), line: 1, kind: DamageKind::Form };
    Ok(ChainEnd::before(text).ok_or_else(damage)?.number())
}

impl Report {
    fn take(&mut self, line: &Followed<'_>, part: &mut Part, known: &Known) -> Result<(), DamageKind> {
        let event = serde_json::from_slice::<Line>(line.text).map_err(|_reason| DamageKind::Form)?.event;
        match event.what.as_str() {
            "head" => {
                let head = head(&event, &known.log_keys)?;
                if (head.line.checked_add(1), head.hash) != (Some(line.end.number()), line.previous) {
                    return Err(DamageKind::HeadElsewhere);
                }
                self.signed = Some((line.end, head.time));
                self.unsigned = 0;
                return Ok(());
            }
            "append" => {
                let entries = event.epoch.zip(event.last).ok_or(DamageKind::Form)?;
                let last = part.entries.entry(entries.0).or_default();
                *last = entries.1.max(*last);
            }
            "trim" => self.trimmed = self.trimmed.max(event.epoch.zip(event.base).ok_or(DamageKind::Form)?),
            _ => {}
        }
        self.unsigned += 1;
        if self.proven && self.unsigned > UNSIGNED_MOST { Err(DamageKind::Unsigned) } else { Ok(()) }
    }

    /// The oldest files, as long as every entry of the log in them has expired: mending needs them no more.
    fn spare(&self) -> Vec<&Path> {
        let (epoch, base) = self.trimmed;
        let gone = |(of, last): (&u64, &u64)| *of < epoch || (*of == epoch && *last <= base);
        let spare =
            self.files.iter().take_while(|part| part.lines.is_some() && part.entries.iter().all(gone));
        // The line that says so must stay.
        let most = self.files.len().saturating_sub(1);
        spare.take(most).map(|part| part.path.as_path()).collect()
    }
}

/// A head whose signature matches, if there are keys to check it with.
fn head(event: &Event, keys: &[PublicKey]) -> Result<AuditHead, DamageKind> {
    let Event { issuer: Some(issuer), realm: Some(realm), line: Some(line), hash: Some(hash), .. } = event
    else {
        return Err(DamageKind::Form);
    };
    let hash = encoding::decode_array(hash).ok_or(DamageKind::Form)?;
    let time = Timestamp::from_seconds(event.time).ok_or(DamageKind::Form)?;
    let head = AuditHead { issuer: issuer.clone(), realm: realm.clone(), line: *line, hash, time };
    if keys.is_empty() {
        return Ok(head);
    }
    let signature = event.signature.as_ref().and_then(encoding::decode).ok_or(DamageKind::Form)?;
    let named = |key: &&PublicKey| event.key.as_ref().is_some_and(|named| *named == key.id().to_string());
    let mut named = keys.iter().filter(named).peekable();
    named.peek().ok_or(DamageKind::UnknownLogKey)?;
    if named.any(|key| head.check(key, &signature).is_ok()) {
        Ok(head)
    } else {
        Err(DamageKind::BadSignature)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut all: Option<(u64, u64)> = None;
        for part in &self.files {
            match part.lines {
                Some((first, last)) => {
                    writeln!(f, "{}: lines {first} to {last}", part.path.display())?;
                    all = Some((all.map_or(first, |(first, _)| first), last));
                }
                None => writeln!(f, "{}: empty", part.path.display())?,
            }
        }
        let (first, last) = all.unwrap_or((1, 0));
        writeln!(f, "{} lines, the chain is whole", (last + 1).saturating_sub(first))?;
        if first > 1 {
            writeln!(f, "lines 1 to {} are not in these files", first - 1)?;
        }
        match &self.signed {
            Some((end, time)) => {
                let by = if self.proven {
                    "signed by the log key"
                } else {
                    "signed, and not checked: no --log-key"
                };
                let (line, hash) = (end.number(), encoding::encode(end.hash()));
                writeln!(
                    f,
                    "{by} up to line {line} at {} s; keep it for --known {line}:{hash}",
                    time.seconds()
                )?;
            }
            None => writeln!(f, "no signed head")?,
        }
        if self.unsigned > 0 {
            writeln!(f, "{} lines behind that are chained and not signed yet", self.unsigned)?;
        }
        for path in self.spare() {
            writeln!(f, "{}: no entry of the log in it is needed any more", path.display())?;
        }
        Ok(())
    }
}

#[derive(Deserialize)]
struct Line {
    event: Event,
}

/// The members that matter here.
#[derive(Deserialize)]
struct Event {
    time: u64,
    what: String,
    epoch: Option<u64>,
    last: Option<u64>,
    base: Option<u64>,
    issuer: Option<String>,
    realm: Option<String>,
    line: Option<u64>,
    hash: Option<String>,
    key: Option<String>,
    signature: Option<String>,
}

#[cfg(test)]
mod tests;
