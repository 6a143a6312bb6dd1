//! The session by example. Hostile schedules are in `schedules`.

mod schedules;

use common::{
    revocation::lease::BootId,
    token::kind::PerType,
    trust::{Signed, Trust},
};

use super::*;
use crate::domain::{
    feed::Run,
    written::{ISSUER, REALM, Written, at, new_key},
};

fn now(ms: u64) -> Now {
    let since = Duration::from_millis(ms);
    Now { wall: at(500).plus(since), boot: BootInstant::from_duration(since) }
}

fn expected(written: &Written) -> Expected {
    Expected {
        issuer: ISSUER.into(),
        realm: REALM.into(),
        log_keys: written.log_keys(),
        own_staleness: PerType::from_fn(|_| None),
        boot: BootId([1; 16]),
        keeps_file: true,
    }
}

fn session(written: &Written) -> Session {
    Session::new(expected(written), View::empty(), None, now(0))
}

fn run(written: &Written, first: u64, last: u64) -> Input {
    let (epoch, first, previous, entries) = written.run(first, last);
    Input::Entries(Run { epoch, first, previous, entries })
}

fn trust(written: &Written) -> Input {
    Input::Trust(written.trust(10, Limits::default()).signed().clone())
}

fn head(written: &Written, end: u64) -> Input {
    Input::Head(written.head(0, end, 400).signed().clone())
}

fn answer(number: u64, sequence: u64) -> Input {
    Input::Answer { number, cursor: Cursor::new(1, sequence), head_age: Duration::ZERO }
}

/// Feeds all of it at `ms`; returns the actions of the last.
fn feed(session: &mut Session, ms: u64, inputs: impl IntoIterator<Item = Input>) -> Vec<Action> {
    inputs.into_iter().map(|input| session.handle(input, now(ms))).last().unwrap_or_default()
}

/// Connected, and everything up to `end` applied and kept.
fn following(written: &Written, end: u64) -> Session {
    let mut session = session(written);
    let all = [Input::Connected, trust(written), head(written, end), run(written, 1, end)];
    feed(&mut session, 0, all);
    feed(&mut session, 0, [Input::Kept(Cursor::new(1, end))]);
    session
}

fn reason(actions: &[Action]) -> Option<Reason> {
    actions
        .iter()
        .find_map(|action| if let Action::Disconnect(reason) = action { Some(*reason) } else { None })
}

fn alarm(actions: &[Action]) -> Option<Alarm> {
    actions.iter().find_map(|action| if let Action::Raise(alarm) = action { Some(*alarm) } else { None })
}

#[test]
fn a_batch_is_published_first_then_kept_then_acknowledged() {
    let written = Written::new(3);
    let mut session = session(&written);
    let hello = feed(&mut session, 0, [Input::Connected]);
    assert!(matches!(hello[..], [Action::Hello { head: None, .. }, Action::Probe(1)]), "{hello:?}");
    let part = feed(&mut session, 0, [trust(&written), head(&written, 4), run(&written, 1, 2)]);
    assert!(part.is_empty(), "nothing is published before the chain meets the head: {part:?}");
    let whole = feed(&mut session, 0, [run(&written, 3, 4)]);
    assert!(matches!(whole[..], [Action::Publish(_), Action::Keep(Keep::Batch(_))]), "{whole:?}");
    let kept = feed(&mut session, 0, [Input::Kept(Cursor::new(1, 4))]);
    assert!(matches!(kept[..], [Action::Acknowledge(cursor, _)] if cursor == Cursor::new(1, 4)), "{kept:?}");
    feed(&mut session, 0, [Input::Disconnected]);
    let again = feed(&mut session, 0, [Input::Connected]);
    assert!(
        matches!(again[..], [Action::Hello { head: Some(_), .. }, Action::Acknowledge(..), Action::Probe(1)]),
        "a new stream hears it again: {again:?}"
    );
}

#[test]
fn token_keys_are_acknowledged_once_every_reader_sees_them_and_the_file_holds_them() {
    let written = Written::new(1);
    let with_key = Trust {
        keys: vec![written.key.public().clone()],
        ..written.trust(10, Limits::default()).statement().clone()
    };
    let signed = Signed::sign(with_key, &written.key).unwrap().signed().clone();
    let statement = |keeps_file| {
        let mut session = session(&written);
        (session.view.trust, session.kept_keys) = (None, Vec::new());
        session.expected.keeps_file = keeps_file;
        let hello = feed(&mut session, 0, [Input::Connected]);
        assert!(
            !hello.iter().any(|action| matches!(action, Action::Acknowledge(..))),
            "nothing is held: {hello:?}"
        );
        session.limits = session.applied(&Limits::default());
        (feed(&mut session, 0, [Input::Trust(signed.clone())]), session)
    };
    let (told, mut session) = statement(true);
    assert!(matches!(told[..], [Action::Publish(_), Action::Keep(Keep::Trust(_))]), "{told:?}");
    let keys = session.view.trust.as_deref().unwrap().statement().key_ids();
    let kept = feed(&mut session, 0, [Input::KeysKept(keys.clone())]);
    assert!(matches!(&kept[..], [Action::Acknowledge(Cursor::ZERO, told)] if *told == keys), "{kept:?}");
    assert!(feed(&mut session, 0, [Input::KeysKept(keys.clone())]).is_empty(), "said once");
    let (told, _) = statement(false);
    assert!(
        matches!(&told[..], [Action::Publish(_), Action::Acknowledge(_, told)] if *told == keys),
        "{told:?}"
    );
}

#[test]
fn an_answer_that_comes_before_its_head_is_applied_waits() {
    let written = Written::new(3);
    let mut session = following(&written, 2);
    feed(&mut session, 1_000, [Input::Tick]);
    assert!(feed(&mut session, 1_000, [answer(2, 3)]).is_empty());
    assert_eq!(session.view.lease, None);
    let applied = feed(&mut session, 1_500, [head(&written, 3), run(&written, 3, 3)]);
    assert!(matches!(applied[..], [Action::Publish(_), Action::Keep(Keep::Batch(_))]), "{applied:?}");
    assert_eq!(session.view.lease.unwrap().age(now(1_500).boot), Duration::from_millis(500));
}

#[test]
fn a_lease_is_written_only_when_the_file_holds_what_it_covers() {
    let written = Written::new(3);
    let mut session = following(&written, 2);
    let held = feed(&mut session, 0, [answer(1, 2)]);
    assert!(matches!(held[..], [Action::Publish(_), Action::Keep(Keep::Lease(_))]), "{held:?}");
    feed(&mut session, 1_000, [Input::Tick, head(&written, 3), run(&written, 3, 3)]);
    let renewed = feed(&mut session, 1_000, [answer(2, 3)]);
    assert!(matches!(renewed[..], [Action::Publish(_)]), "{renewed:?}");
}

#[test]
fn probes_leave_each_second_and_a_silent_stream_is_left() {
    let written = Written::new(1);
    let mut session = following(&written, 2);
    let at = |session: &mut Session, ms| session.handle(Input::Tick, now(ms));
    assert!(at(&mut session, 999).is_empty());
    assert!(matches!(at(&mut session, 1_000)[..], [Action::Probe(2)]));
    assert!(at(&mut session, 1_500).is_empty());
    at(&mut session, 5_000);
    assert_eq!(reason(&at(&mut session, 5_001)), Some(Reason::Silent));
}

#[test]
fn messages_out_of_order_end_the_stream() {
    let written = Written::new(3);
    for input in [head(&written, 2), run(&written, 1, 2)] {
        let mut session = session(&written);
        let left = feed(&mut session, 0, [Input::Connected, input]);
        assert_eq!(reason(&left), Some(Reason::OutOfOrder));
    }
    let mut session = following(&written, 2);
    let left = feed(&mut session, 0, [head(&written, 4), head(&written, 4)]);
    assert_eq!(reason(&left), Some(Reason::OutOfOrder));
    assert_eq!(session.view.log.end().sequence, 2);
}

#[test]
fn what_no_pinned_key_signed_or_another_issuer_said_ends_the_stream_with_an_alarm() {
    let (written, stranger) = (Written::new(2), Written::new(2));
    let mut first = session(&written);
    let left = feed(&mut first, 0, [Input::Connected, trust(&stranger)]);
    assert_eq!(alarm(&left), Some(Alarm::NotTrusted));
    assert!(matches!(reason(&left), Some(Reason::NotTrusted(_))));
    let elsewhere = Expected { realm: "elsewhere".into(), ..expected(&written) };
    let mut second = Session::new(elsewhere, View::empty(), None, now(0));
    let left = feed(&mut second, 0, [Input::Connected, trust(&written)]);
    assert_eq!((alarm(&left), reason(&left)), (Some(Alarm::OtherIssuer), Some(Reason::OtherIssuer)));
}

#[test]
fn an_older_statement_is_refused_unless_it_says_the_same() {
    let written = Written::new(2);
    let mut session = following(&written, 2);
    let same = written.trust(5, Limits::default()).signed().clone();
    assert!(feed(&mut session, 0, [Input::Trust(same)]).is_empty());
    let mut tighter = Limits::default();
    tighter.0.reverse.staleness = Duration::from_secs(1);
    let older = written.trust(5, tighter).signed().clone();
    let left = feed(&mut session, 0, [Input::Trust(older)]);
    assert_eq!((alarm(&left), reason(&left)), (Some(Alarm::TrustRolledBack), Some(Reason::TrustRolledBack)));
}

#[test]
fn a_statement_or_a_head_from_the_future_ends_the_stream_with_an_alarm() {
    let written = Written::new(2);
    let ahead = Input::Trust(written.trust(561, Limits::default()).signed().clone());
    let mut first = session(&written);
    let left = feed(&mut first, 0, [Input::Connected, ahead]);
    assert_eq!(
        (alarm(&left), reason(&left)),
        (Some(Alarm::FutureHead), Some(Reason::Refused(Refused::Future)))
    );
    let ahead = Input::Head(written.head(0, 3, 561).signed().clone());
    let left = feed(&mut following(&written, 2), 0, [ahead]);
    assert_eq!(
        (alarm(&left), reason(&left)),
        (Some(Alarm::FutureHead), Some(Reason::Refused(Refused::Future)))
    );
}

#[test]
fn longer_limits_are_told_first_and_revive_no_old_lease() {
    let written = Written::new(2);
    let mut session = following(&written, 2);
    feed(&mut session, 0, [answer(1, 2)]);
    assert!(session.view.lease.is_some());
    let mut longer = Limits::default();
    longer.0.reverse.staleness = Duration::from_secs(30);
    let announced = Input::Trust(written.trust(20, longer).signed().clone());
    let left = feed(&mut session, 0, [announced.clone()]);
    assert_eq!(reason(&left), Some(Reason::LimitsRaised));
    assert_eq!(session.view.limits(), Some(&Limits::default()));
    let hello = feed(&mut session, 0, [Input::Connected]);
    assert!(
        matches!(&hello[0], Action::Hello { limits, .. } if limits.reverse == Duration::from_secs(30)),
        "{hello:?}"
    );
    feed(&mut session, 0, [announced]);
    assert_eq!((session.view.limits(), session.view.lease), (Some(&longer), None));
}

#[test]
fn an_issuer_that_lost_entries_renews_nothing_and_gets_an_offer_when_it_asks() {
    let written = Written::new(3);
    let mut session = following(&written, 4);
    let refused = feed(&mut session, 0, [head(&written, 3)]);
    assert_eq!((alarm(&refused), reason(&refused)), (Some(Alarm::IssuerLostEntries), None));
    assert!(feed(&mut session, 0, [answer(1, 3)]).is_empty());
    assert_eq!(session.view.lease, None);
    let wanted = feed(&mut session, 0, [Input::Wanted { epoch: 1, after: 3 }]);
    assert!(matches!(wanted[..], [Action::Offer { after: 3 }]));
    let Written { key, .. } = written;
    let mended = Written::of_epoch(2, vec![Cursor::new(1, 4)], 3, key);
    let believed = feed(&mut session, 0, [head(&mended, 4), run(&mended, 1, 4)]);
    assert!(matches!(believed[0], Action::IssuerBelieved), "{believed:?}");
    assert_eq!(session.view.log.cursor(), Cursor::new(2, 4));
    assert_eq!(session.view.lease, None, "what was answered meanwhile renews nothing");
}

#[test]
fn an_answer_renews_nothing_before_this_issuers_head_was_agreed_with() {
    let written = Written::new(3);
    let mut session = following(&written, 4);
    feed(&mut session, 0, [Input::Disconnected, Input::Connected, trust(&written)]);
    assert!(feed(&mut session, 100, [answer(1, 2)]).is_empty());
    assert_eq!(session.view.lease, None);
    feed(&mut session, 200, [head(&written, 4)]);
    assert_eq!(session.view.lease.unwrap().age(now(200).boot), Duration::from_millis(200));
}

#[test]
fn a_new_epoch_that_lacks_entries_and_another_branch_are_refused_with_an_alarm() {
    let Written { key, .. } = Written::new(0);
    let written = Written::of_epoch(1, Vec::new(), 3, key);
    let mut session = following(&written, 4);
    let mut fork = Written::of_epoch(1, Vec::new(), 2, new_key());
    fork.revoke(9);
    fork.revoke(10);
    fork.key = written.key;
    let refused = feed(&mut session, 0, [head(&fork, 5), run(&fork, 5, 5)]);
    assert_eq!((alarm(&refused), reason(&refused)), (Some(Alarm::IssuerForked), None));
    let lacking = Written::of_epoch(2, vec![Cursor::new(1, 4)], 2, fork.key);
    let refused = feed(&mut session, 0, [head(&lacking, 3), run(&lacking, 1, 3)]);
    assert_eq!(alarm(&refused), Some(Alarm::EpochLacksEntries));
    assert_eq!(session.view.log.cursor(), Cursor::new(1, 4));
}

#[test]
fn an_entry_of_a_newer_build_stops_the_cursor_with_an_alarm() {
    let written = Written::new(3);
    let mut session = following(&written, 2);
    let newer =
        Input::Entries(Run { epoch: 1, first: 3, previous: written.link(2).hash, entries: vec![0, 1, 9] });
    let refused = feed(&mut session, 0, [head(&written, 3), newer]);
    assert_eq!((alarm(&refused), reason(&refused)), (Some(Alarm::UnknownEntryKind), None));
    assert!(feed(&mut session, 0, [head(&written, 4), run(&written, 4, 4)]).is_empty());
    assert_eq!(session.view.log.end().sequence, 2);
}

#[test]
fn what_has_expired_is_trimmed_and_the_file_may_shrink() {
    let written = Written::new(3);
    let mut session = following(&written, 3);
    let late = now(600_000);
    let expired = Input::Head(written.head(3, 3, 1_100).signed().clone());
    let trimmed = session.handle(expired, late);
    assert!(matches!(trimmed[..], [.., Action::Publish(_), Action::Keep(Keep::Compact(_))]), "{trimmed:?}");
    assert_eq!((session.view.log.entries(), session.view.log.base()), (0, written.link(3)));
}
