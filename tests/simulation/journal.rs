//! An issuer's audit trail on a disk that survives its process, and can be full. Read back as the real one is.

use std::{
    collections::BTreeSet,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use aws_lc_rs::digest::{SHA256, digest};
use common::revocation::cursor::Cursor;
use issuer::{
    adapters::journal::Recovered,
    domain::{
        event::{Event, What},
        ports::{AuditMark, Journal, NotWritten, Written},
    },
};

/// The lines, and what they say of issued tokens and of the log.
#[derive(Debug, Default)]
pub(crate) struct Trail {
    lines: Mutex<Vec<String>>,
    issued: Mutex<BTreeSet<String>>,
    appended: Mutex<BTreeSet<Cursor>>,
    pub(crate) full: AtomicBool,
}

impl Trail {
    /// Whether there is a line for this token.
    pub(crate) fn has_issued(&self, id: &str) -> bool {
        self.issued.lock().unwrap().contains(id)
    }

    /// Whether there is a line that holds this entry.
    pub(crate) fn has_appended(&self, cursor: Cursor) -> bool {
        self.appended.lock().unwrap().contains(&cursor)
    }

    /// What a start reads; `known` is the line that the store last heard of.
    pub(crate) fn recovered(&self, known: Option<AuditMark>) -> Recovered {
        let mut recovered = Recovered { cut: known.is_some(), ..Recovered::default() };
        for (index, line) in self.lines.lock().unwrap().iter().enumerate() {
            let mark = mark(index, line);
            if known == Some(mark) {
                recovered.cut = false;
            }
            recovered.mark = Some(mark);
            recovered.take(line.as_bytes());
        }
        recovered
    }

    fn note(&self, what: &What<'_>) {
        match what {
            What::Issue { token_id, .. } => drop(self.issued.lock().unwrap().insert(token_id.clone())),
            What::Append(append) => {
                let all = (append.first..=append.last).map(|sequence| Cursor::new(append.epoch, sequence));
                self.appended.lock().unwrap().extend(all);
            }
            _ => {}
        }
    }
}

impl Journal for Trail {
    fn write<'a>(&'a self, events: &'a [Event<'a>]) -> Written<'a> {
        Box::pin(async move {
            if self.full.load(Ordering::Relaxed) {
                return Err(NotWritten::Full);
            }
            let mut lines = self.lines.lock().unwrap();
            for event in events {
                lines.push(format!(r#"{{"event":{}}}"#, serde_json::to_string(event).unwrap()));
                self.note(event.what);
            }
            let last = lines.len().saturating_sub(1);
            Ok(lines.last().map_or(AuditMark { number: 0, hash: [0; 32] }, |line| mark(last, line)))
        })
    }

    fn seal(&self) -> Written<'_> {
        self.write(&[])
    }

    fn idle(&self) -> bool {
        true
    }
}

fn mark(index: usize, line: &str) -> AuditMark {
    let hash = digest(&SHA256, line.as_bytes()).as_ref().try_into().unwrap();
    AuditMark { number: index as u64 + 1, hash }
}
