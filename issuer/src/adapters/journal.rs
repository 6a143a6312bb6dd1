//! The journal over the audit file: writes events, and reads back what was appended to the log. Judges nothing.

use std::path::Path;

use common::{encoding, revocation::head::Link};
use serde::Deserialize;

use crate::{
    adapters::audit_file::{AuditFile, OpenError},
    domain::{
        chain::Chain,
        event::Event,
        ports::{AuditMark, Journal, JournalBroken, Written},
    },
};

/// A journal in a file.
#[derive(Debug)]
pub struct FileJournal(AuditFile);

/// What the file held when it was opened.
#[derive(Debug, Default)]
pub struct Recovered {
    /// The last line; `None` in a new file.
    pub mark: Option<AuditMark>,
    /// The entries of the highest epoch. `None` when there are none.
    pub chain: Option<Chain>,
    /// Entries that do not follow each other: they are in the file and could not be used.
    pub gaps: bool,
    /// The line that the store knows of is missing or another one: lines were cut off or changed.
    pub cut: bool,
}

impl FileJournal {
    /// Opens or creates the file; `known` is the line that the store last heard of.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(path: &Path, known: Option<AuditMark>) -> Result<(Self, Recovered), OpenError> {
        let mut recovered = Recovered { mark: None, chain: None, gaps: false, cut: known.is_some() };
        let (file, opened) = AuditFile::open(path, |end, line| {
            if known.is_some_and(|known| known.number == end.number() && known.hash == *end.hash()) {
                recovered.cut = false;
            }
            recovered.take(line);
        })?;
        if opened.torn > 0 {
            tracing::warn!(
                bytes = opened.torn,
                "the audit file's last line was torn by a crash and is dropped"
            );
        }
        if opened.end.number() > 0 {
            recovered.mark = Some(AuditMark { number: opened.end.number(), hash: *opened.end.hash() });
        }
        Ok((Self(file), recovered))
    }
}

impl Journal for FileJournal {
    fn write<'a>(&'a self, events: &'a [Event<'a>]) -> Written<'a> {
        Box::pin(async move {
            let end = self.0.append(events).await.map_err(|error| {
                tracing::error!(%error, "lines of the audit trail could not be written");
                JournalBroken
            })?;
            Ok(AuditMark { number: end.number(), hash: *end.hash() })
        })
    }
}

impl Recovered {
    fn take(&mut self, line: &[u8]) {
        let Ok(Line { event }) = serde_json::from_slice::<Line>(line) else { return };
        let Some(Appended { epoch, first, previous, entries }) = event.appended() else { return };
        let held = self.chain.as_ref().map_or(0, Chain::epoch);
        if epoch < held {
            return;
        }
        let read =
            encoding::decode_array(&previous).zip(encoding::decode(&entries)).zip(first.checked_sub(1));
        let Some(((hash, packed), sequence)) = read else {
            self.gaps = true;
            return;
        };
        if epoch > held {
            self.chain = Some(Chain::new(epoch, Link { sequence, hash }));
        }
        if let Some(chain) = &mut self.chain {
            // Lines of several orders may have been written in another order than their entries; late ones too.
            let follows = chain.end() == Link { sequence, hash };
            self.gaps |= !follows || chain.extend(&packed).is_err();
        }
    }
}

#[derive(Deserialize)]
struct Line {
    event: Recorded,
}

/// The members of an event that matter here; whatever else it says is not read.
#[derive(Deserialize)]
struct Recorded {
    what: String,
    epoch: Option<u64>,
    first: Option<u64>,
    previous: Option<String>,
    entries: Option<String>,
}

struct Appended {
    epoch: u64,
    first: u64,
    previous: String,
    entries: String,
}

impl Recorded {
    fn appended(self) -> Option<Appended> {
        if self.what != "append" {
            return None;
        }
        let Self { epoch, first, previous, entries, .. } = self;
        Some(Appended { epoch: epoch?, first: first?, previous: previous?, entries: entries? })
    }
}
