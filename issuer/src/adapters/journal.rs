//! The journal over the audit trail: writes events, and reads back what was appended to the log. Judges nothing.

use std::{path::Path, sync::Arc};

use common::{clock::Clock, encoding, keys::SigningKey, revocation::head::Link};
use serde::Deserialize;

use crate::{
    adapters::audit_file::{AppendError, AuditFile, ChainEnd, OpenError, Sealer},
    domain::{
        audit_head::AuditHead,
        chain::Chain,
        event::{Event, What},
        ports::{AuditMark, Journal, NotWritten, Written},
    },
};

/// A journal in files.
#[derive(Debug)]
pub struct FileJournal(AuditFile);

/// Who signs heads, and for whom.
#[derive(Clone, Debug)]
pub struct Sealing {
    /// The `iss` of the realm's tokens.
    pub issuer: String,
    /// The realm.
    pub realm: String,
    /// The log key.
    pub key: Arc<SigningKey>,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

/// What the files held when they were opened.
#[derive(Debug, Default)]
pub struct Recovered {
    /// The last line; `None` in a new trail.
    pub mark: Option<AuditMark>,
    /// The entries of the highest epoch. `None` when there are none.
    pub chain: Option<Chain>,
    /// Entries that do not follow each other: they are in the trail and could not be used.
    pub gaps: bool,
    /// The line that the store knows of is missing or another one: lines were cut off or changed.
    pub cut: bool,
}

impl FileJournal {
    /// Opens or creates the trail, and signs for what an earlier process left; `known` is the line that the store last
    /// heard of.
    ///
    /// # Errors
    /// [`OpenError`].
    pub async fn open(
        path: &Path,
        rotate_at: u64,
        sealing: Sealing,
        known: Option<AuditMark>,
    ) -> Result<(Self, Recovered), OpenError> {
        let mut recovered = Recovered { mark: None, chain: None, gaps: false, cut: known.is_some() };
        let (file, opened) = AuditFile::open(path, rotate_at, sealing.sealer(), |end, line| {
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
        // What stands in the way of this one is told by the next line that is asked for.
        let end = file.seal().await.unwrap_or(opened.end);
        recovered.mark = (end.number() > 0).then(|| mark(end));
        Ok((Self(file), recovered))
    }
}

impl Journal for FileJournal {
    fn write<'a>(&'a self, events: &'a [Event<'a>]) -> Written<'a> {
        Box::pin(async move { self.0.append(events).await.map(mark).map_err(not_written) })
    }

    fn seal(&self) -> Written<'_> {
        Box::pin(async move { self.0.seal().await.map(mark).map_err(not_written) })
    }

    fn idle(&self) -> bool {
        self.0.idle()
    }
}

const fn mark(end: ChainEnd) -> AuditMark {
    AuditMark { number: end.number(), hash: *end.hash() }
}

fn not_written(error: AppendError) -> NotWritten {
    match error {
        AppendError::Full => NotWritten::Full,
        AppendError::Blocked => NotWritten::Blocked,
        AppendError::Broken | AppendError::NotJson | AppendError::TooLong => NotWritten::Broken,
    }
}

impl Sealing {
    fn sealer(self) -> Sealer {
        Box::new(move |end| {
            let time = self.clock.now().wall;
            let (issuer, realm) = (self.issuer.clone(), self.realm.clone());
            let head = AuditHead { issuer, realm, line: end.number(), hash: *end.hash(), time };
            let what = What::Head(head.sign(&self.key).ok()?);
            let event = Event { time: time.seconds(), actor: "issuer", late: false, what: &what };
            serde_json::to_vec(&event).ok()
        })
    }
}

impl Recovered {
    /// Takes the next line of the trail, which was checked. Lines that say nothing of the log change nothing.
    pub fn take(&mut self, line: &[u8]) {
        let Ok(Line { event }) = serde_json::from_slice::<Line>(line) else { return };
        match event.what.as_str() {
            "append" => self.appended(&event),
            "trim" => self.trimmed(&event),
            _ => {}
        }
    }

    fn appended(&mut self, event: &Recorded) {
        let Recorded { epoch: Some(epoch), first: Some(first), previous: Some(previous), .. } = event else {
            return;
        };
        let Some(entries) = &event.entries else { return };
        let held = self.chain.as_ref().map_or(0, Chain::epoch);
        if *epoch < held {
            return;
        }
        let read = encoding::decode_array(previous).zip(encoding::decode(entries)).zip(first.checked_sub(1));
        let Some(((hash, packed), sequence)) = read else {
            self.gaps = true;
            return;
        };
        let before = Link { sequence, hash };
        let chain = match &mut self.chain {
            Some(chain) if chain.epoch() == *epoch => chain,
            other => other.insert(Chain::new(*epoch, before)),
        };
        if chain.end() == before {
            self.gaps |= chain.extend(&packed).is_err();
        } else if chain.hash_at(sequence) == Some(hash) {
            // Its beginning is held already: a line whose disk answered too late was written once more; or an epoch was
            // opened, and adopted a moment later with what another issuer had appended to it.
            let mut again = Chain::new(*epoch, before);
            self.gaps |= again.extend(&packed).is_err();
            let held = chain.end();
            if chain.hash_at(again.end().sequence) == Some(again.end().hash) {
                // All of it.
            } else if again.hash_at(held.sequence) == Some(held.hash) {
                self.gaps |=
                    again.after(held.sequence).iter().any(|entry| chain.push(entry.clone()).is_err());
            } else {
                self.gaps = true;
                *chain = again;
            }
        } else {
            // What stood between is missing, so nobody knows what else was revoked.
            self.gaps = true;
            if sequence > chain.end().sequence {
                *chain = Chain::new(*epoch, before);
                self.gaps |= chain.extend(&packed).is_err();
            }
        }
    }

    /// What expired before it was forgotten is not missed.
    fn trimmed(&mut self, event: &Recorded) {
        let (Some(epoch), Some(base)) = (event.epoch, event.base) else { return };
        let Some(hash) = event.hash.as_ref().and_then(encoding::decode_array) else { return };
        match &mut self.chain {
            Some(chain) if chain.epoch() > epoch => {}
            Some(chain) if chain.epoch() == epoch && base <= chain.end().sequence => {
                chain.expired_up_to(base);
            }
            other => other.insert(Chain::new(epoch, Link { sequence: base, hash })).expired_up_to(base),
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
    base: Option<u64>,
    hash: Option<String>,
}

#[cfg(test)]
pub(super) mod tests;
