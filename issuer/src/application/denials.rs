//! How many denied calls of each caller get a line in the trail. Whoever keeps asking fills no disk, and hides nothing: what
//! got no line is counted in the next one. Writes nothing itself.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use common::clock::BootInstant;

/// Lines for each caller in each [`SPAN`].
const LINES: u32 = 60;
const SPAN: Duration = Duration::from_mins(1);

/// By caller. Only callers that the settings narrow are ever denied, so there are no more of them than the settings name.
#[derive(Debug, Default)]
pub(super) struct Denials(Mutex<BTreeMap<String, Denied>>);

#[derive(Debug)]
struct Denied {
    since: BootInstant,
    lines: u32,
    unwritten: u64,
}

impl Denials {
    /// Whether this one gets a line: then how many before it got none.
    pub(super) fn note(&self, actor: &str, now: BootInstant) -> Option<u64> {
        let mut callers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let denied = callers.entry(actor.to_owned()).or_insert(Denied { since: now, lines: 0, unwritten: 0 });
        if now.since(denied.since) >= SPAN {
            (denied.since, denied.lines) = (now, 0);
        }
        if denied.lines < LINES {
            denied.lines += 1;
            return Some(std::mem::take(&mut denied.unwritten));
        }
        denied.unwritten += 1;
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_caller_gets_its_lines_and_the_rest_is_counted() {
        let denials = Denials::default();
        let at = |seconds| BootInstant::from_duration(Duration::from_secs(seconds));
        for _ in 0..LINES {
            assert_eq!(denials.note("a", at(5)), Some(0));
        }
        assert_eq!((denials.note("a", at(6)), denials.note("a", at(64))), (None, None));
        assert_eq!(denials.note("b", at(6)), Some(0));
        assert_eq!((denials.note("a", at(65)), denials.note("a", at(65))), (Some(2), Some(0)));
    }
}
