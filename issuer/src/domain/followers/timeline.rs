//! When which part of the log was appended, as coarse as it may be. Errs to the later side, never to the earlier.

use std::{collections::VecDeque, time::Duration};

use common::{clock::BootInstant, revocation::cursor::Cursor};

/// Marks of (end of the log, instant), in order; several appends within [`GRAIN`] share the last one's instant.
#[derive(Debug)]
pub(super) struct Timeline {
    marks: VecDeque<Mark>,
    /// Nothing before the first mark was appended later than this.
    before: BootInstant,
}

#[derive(Debug)]
struct Mark {
    cursor: Cursor,
    first: BootInstant,
    last: BootInstant,
}

impl Timeline {
    /// Everything that stands was appended before `start`.
    pub(super) const fn new(start: BootInstant) -> Self {
        Self { marks: VecDeque::new(), before: start }
    }

    /// Notes that the log reached `cursor` at `now`, and forgets what is older than `keep`.
    pub(super) fn appended(&mut self, cursor: Cursor, now: BootInstant, keep: Duration) {
        match self.marks.back_mut() {
            Some(mark) if mark.cursor >= cursor => return,
            Some(mark) if now.since(mark.first) <= GRAIN => (mark.cursor, mark.last) = (cursor, now),
            _ => self.marks.push_back(Mark { cursor, first: now, last: now }),
        }
        while let Some(mark) = self.marks.pop_front_if(|mark| now.since(mark.last) > keep) {
            self.before = mark.last;
        }
    }

    /// No later than this the entry at `cursor` stood in the log.
    pub(super) fn at(&self, cursor: Cursor) -> BootInstant {
        match self.marks.back() {
            Some(mark) if mark.cursor >= cursor => {
                let after = self.marks.partition_point(|mark| mark.cursor < cursor);
                let is_first = after == 0;
                let found = self.marks.get(after).map_or(self.before, |mark| mark.last);
                // Before the first mark nothing tells the two sides apart: an old entry only seems younger.
                if is_first { found.max(self.before) } else { found }
            }
            _ => self.before,
        }
    }

    /// When the first entry after `cursor` was appended. `None` when there is none that this process saw.
    pub(super) fn first_after(&self, cursor: Cursor) -> Option<BootInstant> {
        let next = self.marks.partition_point(|mark| mark.cursor <= cursor);
        self.marks.get(next).map(|mark| mark.first)
    }
}

/// How finely appends are told apart.
const GRAIN: Duration = Duration::from_millis(50);
