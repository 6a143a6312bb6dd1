//! What was answered, and when it was asked, by one clock; and whether that keeps the promises. Knows no process.

mod tests;

use std::{collections::BTreeMap, time::Duration};

use common::clock::BootInstant;

/// From the call to its answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Span {
    pub(crate) called: BootInstant,
    pub(crate) answered: BootInstant,
}

/// A verifier, from one start to its end.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Process {
    pub(crate) verifier: usize,
    pub(crate) start: u32,
}

/// What was said of a token.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Verdict {
    Accepted,
    /// Refused as revoked.
    Revoked,
}

/// One call that was answered. Calls without an answer promise nothing.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Event {
    /// `Revoke` of this token answered OK.
    Revoked { token: usize, span: Span },
    /// `AwaitVisibility` of that revocation said that it is reached.
    Visible { token: usize, span: Span },
    /// `VerifyToken` came to a verdict, on a view that reached to this epoch and sequence. Which process answered is not
    /// known when the verifier was started again meanwhile.
    Verified { token: usize, span: Span, verdict: Verdict, process: Option<Process>, cursor: (u64, u64) },
}

/// All of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Record {
    pub(crate) events: Vec<Event>,
    /// Calls of `VerifyToken` that came to no verdict.
    pub(crate) undecided: usize,
}

/// How often what happened.
#[derive(Clone, Copy, Debug, Default)]
#[expect(dead_code, reason = "it is printed")]
pub(crate) struct Tally {
    pub(crate) revoked: usize,
    pub(crate) visible: usize,
    pub(crate) accepted: usize,
    pub(crate) refused: usize,
    pub(crate) undecided: usize,
}

impl Record {
    pub(crate) fn tally(&self) -> Tally {
        let mut tally = Tally { undecided: self.undecided, ..Tally::default() };
        for event in &self.events {
            match event {
                Event::Revoked { .. } => tally.revoked += 1,
                Event::Visible { .. } => tally.visible += 1,
                Event::Verified { verdict: Verdict::Accepted, .. } => tally.accepted += 1,
                Event::Verified { verdict: Verdict::Revoked, .. } => tally.refused += 1,
            }
        }
        tally
    }
}

/// Which promise is broken, and the events that show it, the earlier first.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Broken {
    /// I1: accepted by a call that began after `AwaitVisibility` had said that nobody would.
    AcceptedAfterVisible(Event, Event),
    /// I2: accepted by a call that began later than the type's limit after `Revoke` had answered.
    AcceptedAfterLimit(Event, Event),
    /// I3: accepted by a verifier that had refused the token as revoked.
    AcceptedAfterRefused(Event, Event),
    /// I4: a verifier answered on an earlier view than before.
    WentBack(Event, Event),
}

/// Every place where a promise is broken. `limit` is the staleness limit of all tokens here.
pub(crate) fn check(events: &[Event], limit: Duration) -> Vec<Broken> {
    let (mut visible, mut revoked, mut refused) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
    for event in events {
        match *event {
            Event::Revoked { token, span } => earliest(&mut revoked, token, span, event),
            Event::Visible { token, span } => earliest(&mut visible, token, span, event),
            Event::Verified { token, span, verdict: Verdict::Revoked, process: Some(process), .. } => {
                earliest(&mut refused, (process, token), span, event);
            }
            Event::Verified { .. } => {}
        }
    }
    let mut broken = Vec::new();
    for event in events {
        let Event::Verified { token, span, verdict: Verdict::Accepted, process, .. } = *event else {
            continue;
        };
        let before = |found: Option<&(BootInstant, Event)>, later: Duration| {
            found.filter(|(answered, _)| answered.plus(later) < span.called).map(|(_, event)| *event)
        };
        if let Some(shown) = before(visible.get(&token), Duration::ZERO) {
            broken.push(Broken::AcceptedAfterVisible(shown, *event));
        }
        if let Some(shown) = before(revoked.get(&token), limit) {
            broken.push(Broken::AcceptedAfterLimit(shown, *event));
        }
        let by_it = process.and_then(|process| refused.get(&(process, token)));
        if let Some(shown) = before(by_it, Duration::ZERO) {
            broken.push(Broken::AcceptedAfterRefused(shown, *event));
        }
    }
    broken.extend(went_back(events));
    broken
}

/// The event of a key that was answered first.
fn earliest<K: Ord>(all: &mut BTreeMap<K, (BootInstant, Event)>, key: K, span: Span, event: &Event) {
    let entry = all.entry(key).or_insert((span.answered, *event));
    if span.answered < entry.0 {
        *entry = (span.answered, *event);
    }
}

/// A verdict of a known process.
#[derive(Clone, Copy)]
struct Answer {
    span: Span,
    cursor: (u64, u64),
    event: Event,
}

/// Answers on an earlier view than one that the same process had answered on before the call.
fn went_back(events: &[Event]) -> Vec<Broken> {
    let mut processes: BTreeMap<Process, Vec<Answer>> = BTreeMap::new();
    for event in events {
        if let Event::Verified { span, process: Some(process), cursor, .. } = *event {
            processes.entry(process).or_default().push(Answer { span, cursor, event: *event });
        }
    }
    let mut broken = Vec::new();
    for answers in processes.values_mut() {
        let mut by_call = answers.clone();
        by_call.sort_by_key(|answer| answer.span.called);
        answers.sort_by_key(|answer| answer.span.answered);
        let (mut before, mut furthest) = (answers.iter().peekable(), None::<&Answer>);
        for answer in by_call {
            while let Some(earlier) = before.next_if(|earlier| earlier.span.answered < answer.span.called) {
                if furthest.is_none_or(|furthest| furthest.cursor < earlier.cursor) {
                    furthest = Some(earlier);
                }
            }
            broken.extend(
                furthest
                    .filter(|furthest| answer.cursor < furthest.cursor)
                    .map(|furthest| Broken::WentBack(furthest.event, answer.event)),
            );
        }
    }
    broken
}
