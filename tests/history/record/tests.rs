//! Histories made by hand: one that keeps every promise, and for each promise one that breaks it.

use std::time::Duration;

use common::clock::BootInstant;

use super::{Broken, Event, Process, Span, Verdict, check};

const LIMIT: Duration = Duration::from_millis(100);
const FIRST: Process = Process { verifier: 0, start: 0 };

fn span(called: u64, answered: u64) -> Span {
    let at = |milliseconds| BootInstant::from_duration(Duration::from_millis(milliseconds));
    Span { called: at(called), answered: at(answered) }
}

fn verified(verdict: Verdict, process: Process, sequence: u64, (called, answered): (u64, u64)) -> Event {
    let (process, cursor) = (Some(process), (1, sequence));
    Event::Verified { token: 0, span: span(called, answered), verdict, process, cursor }
}

fn accepted(process: Process, sequence: u64, times: (u64, u64)) -> Event {
    verified(Verdict::Accepted, process, sequence, times)
}

fn refused(process: Process, sequence: u64, times: (u64, u64)) -> Event {
    verified(Verdict::Revoked, process, sequence, times)
}

#[test]
fn a_history_that_keeps_every_promise_is_good() {
    let restarted = Process { start: 1, ..FIRST };
    let events = [
        accepted(FIRST, 1, (0, 1)),
        Event::Revoked { token: 0, span: span(10, 20) },
        // Under way when it was answered, and on another verifier that does not see it yet.
        accepted(FIRST, 1, (15, 22)),
        refused(FIRST, 2, (21, 23)),
        accepted(Process { verifier: 1, start: 0 }, 1, (119, 121)),
        // Another process of it, within the limit, on what its file held.
        accepted(restarted, 1, (50, 51)),
        Event::Visible { token: 0, span: span(30, 130) },
        // Began before it was called visible.
        refused(restarted, 2, (129, 140)),
        // Two at once, on either view.
        refused(FIRST, 3, (150, 160)),
        refused(FIRST, 2, (151, 155)),
    ];
    assert_eq!(check(&events, LIMIT), []);
}

#[test]
fn i1_a_token_that_is_accepted_after_its_revocation_was_called_visible_is_found() {
    let shown = Event::Visible { token: 0, span: span(21, 30) };
    let late = accepted(FIRST, 1, (31, 32));
    let revoked = Event::Revoked { token: 0, span: span(10, 20) };
    assert_eq!(check(&[late, revoked, shown], LIMIT), [Broken::AcceptedAfterVisible(shown, late)]);
    assert_eq!(check(&[accepted(FIRST, 1, (29, 32)), revoked, shown], LIMIT), []);
}

#[test]
fn i2_a_token_that_is_accepted_later_than_the_limit_after_its_revocation_is_found() {
    let revoked = Event::Revoked { token: 0, span: span(10, 20) };
    let again = Event::Revoked { token: 0, span: span(100, 110) };
    let late = accepted(FIRST, 1, (121, 122));
    assert_eq!(check(&[again, revoked, late], LIMIT), [Broken::AcceptedAfterLimit(revoked, late)]);
    assert_eq!(check(&[revoked, accepted(FIRST, 1, (120, 122))], LIMIT), []);
}

#[test]
fn i3_a_verifier_that_accepts_what_it_refused_as_revoked_is_found() {
    let (no, yes) = (refused(FIRST, 2, (10, 20)), accepted(FIRST, 2, (21, 22)));
    assert_eq!(check(&[no, yes], LIMIT), [Broken::AcceptedAfterRefused(no, yes)]);
}

#[test]
fn i4_a_verifier_that_answers_on_an_earlier_view_than_before_is_found() {
    let (far, back) = (refused(FIRST, 3, (10, 20)), refused(FIRST, 2, (21, 22)));
    assert_eq!(check(&[back, far], LIMIT), [Broken::WentBack(far, back)]);
}
