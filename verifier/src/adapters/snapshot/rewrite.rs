//! Writing the file anew: without its useless end, without what was trimmed, or with another epoch. Judges nothing.

use std::{io, path::Path};

use super::{
    Damage, Snapshot,
    damage::Stop,
    frames::{self, RunFrame, run_payload, signed_payload},
};
use crate::{
    adapters::framed_file::{Filler, Frame, FramedFile, OpenError},
    domain::feed::{Batch, Run},
};

impl Snapshot {
    /// The file anew, with nothing but this batch and what is known besides entries.
    pub(super) fn begin_again(&mut self, batch: &Batch) -> io::Result<()> {
        let (identity, trust) = (self.identity.to_bytes(), self.trust.as_ref().map(signed_payload));
        self.file.replace(|filler| {
            filler.add(Frame { kind: frames::IDENTITY, payload: &identity })?;
            add_if(filler, frames::TRUST, trust.as_deref())?;
            for run in &batch.runs {
                filler.add(Frame { kind: frames::ENTRIES, payload: &run_payload(run) })?;
            }
            filler.add(Frame { kind: frames::HEAD, payload: &signed_payload(&batch.head) })
        })?;
        (self.entries, self.entry_bytes) = measure(&batch.runs);
        (self.head, self.lease, self.torn) = (Some(batch.head.clone()), None, false);
        (self.named, self.identified) = (false, true);
        self.rewritten = self.file.size()?;
        Ok(())
    }

    /// Takes a useless end out of the file.
    pub(super) fn mend(&mut self) -> io::Result<()> {
        if self.torn { self.rewrite(|_| false) } else { Ok(()) }
    }

    /// The same again, without the runs that are `gone`. The last run stays in any case: it shows where the log goes on.
    pub(super) fn rewrite(&mut self, gone: impl Fn(&RunFrame<'_>) -> bool) -> io::Result<()> {
        let (identity, trust) = (self.identity.to_bytes(), self.trust.as_ref().map(signed_payload));
        let (head, lease) =
            (self.head.as_ref().map(signed_payload), self.lease.map(|lease| lease.to_bytes()));
        let end = self.head.as_ref().map_or(0, |head| head.statement().end.sequence);
        let old = Covered { path: &self.path, end };
        let mut total = (0, 0);
        self.file.replace(|filler| {
            filler.add(Frame { kind: frames::IDENTITY, payload: &identity })?;
            add_if(filler, frames::TRUST, trust.as_deref())?;
            let mut joined: Option<Run> = None;
            old.covered(|run| {
                if gone(&run) && run.last() < end {
                    return Ok(());
                }
                total = (total.0 + run.count, total.1 + run.entries.len() as u64);
                match &mut joined {
                    Some(joined) if joined.entries.len() + run.entries.len() <= JOINED => {
                        joined.entries.extend(run.entries);
                    }
                    _ => {
                        let full = joined.replace(run.to_run());
                        add_if(filler, frames::ENTRIES, full.as_ref().map(run_payload).as_deref())?;
                    }
                }
                Ok(())
            })?;
            add_if(filler, frames::ENTRIES, joined.as_ref().map(run_payload).as_deref())?;
            add_if(filler, frames::HEAD, head.as_deref())?;
            add_if(filler, frames::LEASE, lease.as_ref().map(<[u8; _]>::as_slice))
        })?;
        (self.entries, self.entry_bytes) = total;
        (self.torn, self.named, self.identified) = (false, false, true);
        self.rewritten = self.file.size()?;
        Ok(())
    }

    /// Hands each run that the head covers to `each`, in order.
    pub(super) fn covered(&self, each: impl FnMut(RunFrame<'_>) -> io::Result<()>) -> io::Result<()> {
        let end = self.head.as_ref().map_or(0, |head| head.statement().end.sequence);
        Covered { path: &self.path, end }.covered(each)
    }
}

/// What lies in the file, as far as a head covers it.
struct Covered<'a> {
    path: &'a Path,
    end: u64,
}

impl Covered<'_> {
    fn covered(&self, mut each: impl FnMut(RunFrame<'_>) -> io::Result<()>) -> io::Result<()> {
        let mut next = None;
        let read = FramedFile::read(self.path, |frame| {
            if frame.kind != frames::ENTRIES {
                return Ok(());
            }
            let run = RunFrame::read(frame.payload)?;
            if run.last() > self.end {
                return Ok(());
            }
            if next.is_some_and(|next| next != run.first) {
                return Err(Stop::Damage(Damage::BrokenChain));
            }
            next = Some(run.last() + 1);
            each(run).map_err(|error| Stop::Open(OpenError::Io(error)))
        });
        read.map_err(io::Error::other)
    }
}

fn add_if(filler: &mut Filler<'_>, kind: u8, payload: Option<&[u8]>) -> io::Result<()> {
    payload.map_or(Ok(()), |payload| filler.add(Frame { kind, payload }))
}

/// How many entries there are, and how many bytes.
pub(super) fn measure(runs: &[Run]) -> (u64, u64) {
    let count = |run: &Run| frames::count(&run.entries).unwrap_or(0);
    (runs.iter().map(count).sum(), runs.iter().map(|run| run.entries.len() as u64).sum())
}

/// Short runs become one of at most this size when the file is rewritten.
const JOINED: usize = 256 << 10;
