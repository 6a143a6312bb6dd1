//! Which files make a trail: the one that is written, and the finished ones before it, named by their first line. Reads
//! them line by line; writes no line.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, BufRead, BufReader, Read as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use super::{ChainEnd, Damage, DamageKind, OpenError};

/// The finished files before `path`, the oldest first.
pub(super) fn finished(path: &Path) -> io::Result<Vec<PathBuf>> {
    let Some(name) = path.file_name().and_then(|name| name.to_str()) else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    for entry in fs::read_dir(folder(path))? {
        let entry = entry?;
        let ours = entry
            .file_name()
            .to_str()
            .and_then(|other| other.strip_prefix(name)?.strip_prefix('.'))
            .is_some_and(|number| {
                number.len() == DIGITS && number.bytes().all(|digit| digit.is_ascii_digit())
            });
        if ours {
            found.push(entry.path());
        }
    }
    found.sort_unstable();
    Ok(found)
}

/// What the file that begins with the line numbered `first` is called once it is finished.
pub(super) fn finished_name(path: &Path, first: u64) -> PathBuf {
    with(path, &format!("{first:0DIGITS$}"))
}

/// The number of the first line, as a finished file's name tells it.
fn named_first(path: &Path) -> Option<u64> {
    let number = path.extension()?.to_str()?;
    (number.len() == DIGITS).then(|| number.parse().ok())?
}

/// The next file before it has its name.
pub(super) fn begun_name(path: &Path) -> PathBuf {
    with(path, "new")
}

/// Makes this process the only writer of the trail, as long as the file is held.
pub(super) fn lock(path: &Path) -> Result<File, OpenError> {
    let file =
        OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(with(path, "lock"))?;
    file.try_lock().map_err(|error| match error {
        TryLockError::WouldBlock => OpenError::InUse,
        TryLockError::Error(error) => OpenError::Io(error),
    })?;
    Ok(file)
}

/// Names in the folder survive a power cut from here on.
pub(super) fn sync_names(path: &Path) -> io::Result<()> {
    File::open(folder(path))?.sync_all()
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn with(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(end);
    name.into()
}

/// Reads a trail from file to file, and checks that each line follows the one before, across files too.
#[derive(Debug, Default)]
pub(super) struct Reading {
    begin: Option<u64>,
    end: Option<ChainEnd>,
}

/// A line that follows.
pub(super) struct Followed<'a> {
    pub(super) end: ChainEnd,
    /// The hash of the line before.
    pub(super) previous: [u8; 32],
    /// Its place in the file, from 1.
    pub(super) place: u64,
    pub(super) text: &'a [u8],
}

impl Reading {
    /// The number of the first line; 1 when there is none.
    pub(super) fn begin(&self) -> u64 {
        self.begin.unwrap_or(1)
    }

    /// The end of the chain that was read.
    pub(super) fn end(&self) -> ChainEnd {
        self.end.unwrap_or(ChainEnd::START)
    }

    /// Reads the whole lines of `file`, whose name is `name`; answers their length, and that of a torn last one.
    ///
    /// # Errors
    /// [`OpenError::Damaged`], [`OpenError::Io`]; or what `each` says is wrong.
    pub(super) fn file(
        &mut self,
        name: &Path,
        file: &File,
        mut each: impl FnMut(&Followed<'_>) -> Result<(), DamageKind>,
    ) -> Result<(u64, u64), OpenError> {
        let mut file = BufReader::with_capacity(1 << 16, file);
        let (mut whole, mut place, mut line) = (0, 0, Vec::new());
        loop {
            line.clear();
            place += 1;
            let damage = |kind| Damage { file: name.to_owned(), line: place, kind };
            let read = file.by_ref().take(MAX_LINE).read_until(b'\n', &mut line)? as u64;
            match line.strip_suffix(b"\n") {
                Some(text) => {
                    let begin = self.end.or_else(|| ChainEnd::before(text));
                    let mut end = begin.ok_or_else(|| damage(DamageKind::Form))?;
                    let previous = *end.hash();
                    end.follow(text).map_err(damage)?;
                    self.begin = self.begin.or(Some(end.number()));
                    self.end = Some(end);
                    each(&Followed { end, previous, place, text }).map_err(damage)?;
                }
                None if read == MAX_LINE => return Err(damage(DamageKind::TooLong).into()),
                None => return Ok((whole, read)),
            }
            whole += read;
        }
    }

    /// As [`Reading::file`], of a file that was finished: nothing of it can be torn.
    pub(super) fn finished(
        &mut self,
        name: &Path,
        each: impl FnMut(&Followed<'_>) -> Result<(), DamageKind>,
    ) -> Result<(), OpenError> {
        let mut lines = 0;
        let mut each = each;
        let named = named_first(name);
        let (_, torn) = self.file(name, &File::open(name)?, |line| {
            lines = line.place;
            if line.place == 1 && named.is_some_and(|first| first != line.end.number()) {
                return Err(DamageKind::Number);
            }
            each(line)
        })?;
        if torn > 0 {
            return Err(Damage { file: name.to_owned(), line: lines + 1, kind: DamageKind::Torn }.into());
        }
        Ok(())
    }
}

const DIGITS: usize = 12;
const MAX_LINE: u64 = (super::MAX_EVENT + 256) as u64;
