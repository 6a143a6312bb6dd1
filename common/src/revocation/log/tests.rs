//! The log by example, and against hostile schedules: lost, late, doubled, reordered, changed runs, and clocks that step.

use proptest::prelude::*;

use super::*;
use crate::{
    key_id::KeyId,
    organisation_id::OrganisationId,
    project_id::ProjectId,
    revocation::{
        entry::{Reason, pack},
        rule::{Rule, Scope, Subject},
    },
    token::kind::TokenType,
    token_id::TokenId,
};

/// A log as its issuer holds it: all entries of one epoch, and the hash before each.
struct Written {
    epoch: u64,
    entries: Vec<Entry>,
    hashes: Vec<Hash>,
}

impl Written {
    fn new(epoch: u64, carried: Vec<Cursor>) -> Self {
        let mut log = Self { epoch, entries: Vec::new(), hashes: vec![[0; 32]] };
        log.write(Body::Genesis(carried), 0);
        log
    }

    fn write(&mut self, body: Body, expires_at: u64) {
        let cursor = Cursor::new(self.epoch, self.entries.len() as u64 + 1);
        let entry = Entry { cursor, recorded_at: at(1), expires_at: at(expires_at), body };
        self.hashes.push(entry.link(self.hashes.last().unwrap()));
        self.entries.push(entry);
    }

    fn revoke(&mut self, rule: Rule, expires_at: u64) {
        let cut = Cursor::new(self.epoch, self.entries.len() as u64 + 1);
        self.write(Body::Rule { rule, reason: Reason::Operator, cut, project: None }, expires_at);
    }

    fn link(&self, sequence: usize) -> Link {
        Link { sequence: sequence as u64, hash: self.hashes[sequence] }
    }

    fn head(&self, base: usize, end: usize, log_time: u64) -> Head {
        Head {
            issuer: "i".into(),
            realm: "r".into(),
            epoch: self.epoch,
            base: self.link(base),
            end: self.link(end),
            log_time: at(log_time),
        }
    }

    /// Entries `first..=last` as a run.
    fn run(&self, first: usize, last: usize) -> (u64, u64, Hash, Vec<u8>) {
        (self.epoch, first as u64, self.hashes[first - 1], pack(&self.entries[first - 1..last]))
    }
}

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_seconds(seconds).unwrap()
}

fn id(n: u8) -> Rule {
    Rule::Token(TokenId::from_bytes([n; 16]))
}

fn follow(log: &Log, written: &Written, base: usize, end: usize, now: u64) -> Result<Log, Refused> {
    let mut candidate = log.towards(&written.head(base, end, now), at(now))?;
    if let Some(first) = candidate.next() {
        let (epoch, first, previous, run) = written.run(usize::try_from(first).unwrap(), end);
        candidate.take(epoch, first, &previous, &run)?;
    }
    candidate.finish(at(now))
}

fn revoked(log: &Log, n: u8) -> bool {
    let project: ProjectId = "p".parse().unwrap();
    let subject = Subject {
        id: TokenId::from_bytes([n; 16]),
        key: KeyId::from_bytes([0; 32]),
        token_type: TokenType::Pseudonymisation,
        project: &project,
        organisation: OrganisationId::from_bytes([0; 16]),
        source: None,
        recorded: Cursor::new(1, 1),
    };
    log.set().standing(&subject).is_some()
}

fn written(ids: u8) -> Written {
    let mut written = Written::new(1, Vec::new());
    (1..=ids).for_each(|n| written.revoke(id(n), 100));
    written
}

#[test]
fn section_5_a_gap_is_fetched_never_skipped() {
    let written = written(5);
    let log = follow(&Log::empty(), &written, 0, 2, 10).unwrap();
    let mut candidate = log.towards(&written.head(0, 6, 10), at(10)).unwrap();
    let (epoch, first, previous, run) = written.run(4, 6);
    assert_eq!(candidate.take(epoch, first, &previous, &run), Err(Refused::Gap));
    assert_eq!(
        log.towards(&written.head(0, 6, 10), at(10)).unwrap().finish(at(10)).unwrap_err(),
        Refused::Gap
    );
}

#[test]
fn section_5_nothing_is_believed_before_the_chain_meets_the_signed_head() {
    let (ours, mut theirs) = (written(3), written(2));
    theirs.revoke(id(9), 100);
    let mut candidate = Log::empty().towards(&ours.head(0, 4, 10), at(10)).unwrap();
    let (epoch, first, previous, run) = theirs.run(1, 4);
    candidate.take(epoch, first, &previous, &run).unwrap();
    assert_eq!(candidate.finish(at(10)).unwrap_err(), Refused::Fork);
}

#[test]
fn section_5_a_verifier_takes_no_head_over_60_s_ahead_of_its_own_clock() {
    let written = written(1);
    assert!(Log::empty().towards(&written.head(0, 2, 160), at(100)).is_ok());
    assert_eq!(Log::empty().towards(&written.head(0, 2, 161), at(100)).unwrap_err(), Refused::Future);
}

#[test]
fn section_5_a_head_behind_or_beside_what_is_held_is_refused_by_name() {
    let written = written(3);
    let log = follow(&Log::empty(), &written, 0, 4, 10).unwrap();
    assert_eq!(log.towards(&written.head(0, 3, 10), at(10)).unwrap_err(), Refused::RolledBack);
    let mut beside = written.head(0, 4, 10);
    beside.end.hash = [7; 32];
    assert_eq!(log.towards(&beside, at(10)).unwrap_err(), Refused::Fork);
    let mut earlier = written.head(0, 4, 10);
    earlier.epoch = 0;
    assert_eq!(log.towards(&earlier, at(10)).unwrap_err(), Refused::RolledBack);
}

#[test]
fn section_5_an_entry_kind_that_is_not_known_stops_the_cursor() {
    let written = written(1);
    let mut run = written.run(1, 2).3;
    // The kind of the last entry: behind the first entry's length and bytes, its own length and the version.
    let last = 2 + written.entries[0].canonical().len() + 2 + 1;
    run[last] = 9;
    let mut candidate = Log::empty().towards(&written.head(0, 2, 10), at(10)).unwrap();
    assert_eq!(candidate.take(1, 1, &[0; 32], &run), Err(Refused::UnknownKind));
}

#[test]
fn section_5_the_log_is_trimmed_at_its_old_end_when_expired_by_both_clocks() {
    let mut written = Written::new(1, Vec::new());
    for n in 0..3_000_u64 {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&n.to_be_bytes());
        written.revoke(Rule::Token(TokenId::from_bytes(bytes)), 100 + n);
    }
    let log = follow_in_small_runs(&written, 2_000);
    assert_eq!(log.expired(at(99)), None, "the own clock says that nothing has expired");
    let last = log.expired(at(9_999)).expect("log time 2,000 has passed the first entries").sequence;
    assert!(log.expired(at(1_000)).is_none());
    let trimmed = log.trimmed(u64::MAX, at(9_999));
    assert_eq!((trimmed.base().sequence, trimmed.end()), (last, log.end()));
    assert_eq!(trimmed.entries(), 3_001 - last);
    assert!(
        written.entries[usize::try_from(last).unwrap()..].iter().all(|entry| entry.cursor.sequence > last)
    );
    assert!(
        written.entries[..usize::try_from(last).unwrap()].iter().all(|entry| entry.expires_at <= at(2_000))
    );
}

fn follow_in_small_runs(written: &Written, log_time: u64) -> Log {
    let end = written.entries.len();
    let mut candidate = Log::empty().towards(&written.head(0, end, log_time), at(log_time)).unwrap();
    while let Some(first) = candidate.next() {
        let first = usize::try_from(first).unwrap();
        let (epoch, number, previous, run) = written.run(first, (first + 9).min(end));
        candidate.take(epoch, number, &previous, &run).unwrap();
    }
    candidate.finish(at(log_time)).unwrap()
}

#[test]
fn section_5_a_gap_too_old_to_fetch_is_jumped_and_what_is_held_stays_until_it_expires_here() {
    let mut written = written(3);
    let log = follow(&Log::empty(), &written, 0, 4, 10).unwrap();
    (4..=9).for_each(|n| written.revoke(id(n), 1_000));
    let log = follow(&log, &written, 7, 10, 20).unwrap();
    assert!(revoked(&log, 2), "held, and not expired by the own clock");
    assert!(revoked(&log, 9) && !revoked(&log, 4));
    assert_eq!(log.base().sequence, 7);
    let later = follow(&log, &written, 7, 10, 200).unwrap().trimmed(7, at(200));
    assert!(!revoked(&later, 2) && revoked(&later, 9));
    assert_eq!(later.base().sequence, 7);
}

#[test]
fn section_5_a_verifier_enters_an_epoch_only_when_it_holds_every_live_entry_the_verifier_has() {
    let log = follow(&Log::empty(), &written(2), 0, 3, 10).unwrap();
    let mut short = Written::new(2, vec![Cursor::new(1, 2)]);
    short.write(
        Body::Rule { rule: id(1), reason: Reason::Operator, cut: Cursor::new(1, 2), project: None },
        100,
    );
    assert_eq!(follow(&log, &short, 0, 2, 10).unwrap_err(), Refused::EpochLacksEntries);
    short.write(
        Body::Rule { rule: id(2), reason: Reason::Operator, cut: Cursor::new(1, 3), project: None },
        100,
    );
    let entered = follow(&log, &short, 0, 3, 10).unwrap();
    assert!(revoked(&entered, 1) && revoked(&entered, 2));
    assert_eq!(entered.reaches(Cursor::new(1, 2)), Reach::Reached);
    assert_eq!(entered.reaches(Cursor::new(1, 3)), Reach::Lost);
    assert_eq!(entered.reaches(Cursor::new(2, 4)), Reach::NotYet);
    assert_eq!(entered.reaches(Cursor::new(3, 1)), Reach::NotYet);
}

/// Found by the simulation: entries are trimmed in blocks, so what has expired is held for as long as anything younger beside
/// it, and an epoch that rightly lacked it was never entered.
#[test]
fn section_5_a_verifier_enters_an_epoch_that_lacks_only_what_has_expired_by_its_clock_and_the_logs() {
    let mut written = written(1);
    written.revoke(id(2), 1_000);
    let log = follow(&Log::empty(), &written, 0, 3, 10).unwrap();
    let mut later = Written::new(2, vec![Cursor::new(1, 3)]);
    later.revoke(id(2), 1_000);
    let enter = |log_time, own| {
        let mut candidate = log.towards(&later.head(0, 2, log_time), at(own)).unwrap();
        let (epoch, first, previous, run) = later.run(1, 2);
        candidate.take(epoch, first, &previous, &run).unwrap();
        candidate.finish(at(own))
    };
    assert_eq!(enter(99, 100).unwrap_err(), Refused::EpochLacksEntries, "not by the log's time");
    assert_eq!(enter(100, 99).unwrap_err(), Refused::EpochLacksEntries, "not by its own clock");
    let entered = enter(100, 100).unwrap();
    assert!(revoked(&entered, 2) && !revoked(&entered, 1));
    assert_eq!(entered.log_time(), at(100), "the token of what it lacks has expired here");
}

#[test]
fn a_rule_over_everything_covers_ids_and_scopes_but_no_key() {
    let everything = |epoch| {
        let mut written = Written::new(epoch, Vec::new());
        written.revoke(Rule::Scope(Scope::default()), 1_000);
        written
    };
    let log = follow(&Log::empty(), &written(2), 0, 3, 10).unwrap();
    assert!(follow(&log, &everything(2), 0, 2, 10).is_ok());
    let mut keyed = written(1);
    keyed.revoke(Rule::Key(KeyId::from_bytes([5; 32])), 1_000);
    let log = follow(&Log::empty(), &keyed, 0, 3, 10).unwrap();
    assert_eq!(follow(&log, &everything(2), 0, 2, 10).unwrap_err(), Refused::EpochLacksEntries);
}

/// What a hostile network does with the next run.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Arrives,
    IsLost,
    ComesTwice,
    ComesLate,
    IsChanged(u8),
    IsCut,
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        6 => Just(Fate::Arrives),
        1 => Just(Fate::IsLost),
        1 => Just(Fate::ComesTwice),
        1 => Just(Fate::ComesLate),
        1 => any::<u8>().prop_map(Fate::IsChanged),
        1 => Just(Fate::IsCut),
    ]
}

proptest! {
    /// Failure: a copy that calls itself whole and lacks, or has made up, an entry. No failure: refusing to grow.
    #[test]
    fn section_5_no_schedule_makes_a_copy_that_is_not_the_issuers_log(
        steps in prop::collection::vec((1_usize..4, fate()), 1..20),
    ) {
        let written = written(60);
        let mut log = Log::empty();
        let mut late: Vec<(u64, u64, Hash, Vec<u8>)> = Vec::new();
        for (count, fate) in steps {
            let held = usize::try_from(log.end().sequence).unwrap();
            let end = (held + count).min(written.entries.len());
            let head = written.head(0, end, 10);
            let Ok(mut candidate) = log.towards(&head, at(10)) else { panic!("an honest head was refused") };
            let mut runs = std::mem::take(&mut late);
            if end > held {
                let run = written.run(held + 1, end);
                match fate {
                    Fate::Arrives => runs.push(run),
                    Fate::IsLost => {}
                    Fate::ComesTwice => runs.extend([run.clone(), run]),
                    Fate::ComesLate => late.push(run),
                    Fate::IsChanged(place) => {
                        let mut run = run;
                        let at = usize::from(place) % run.3.len();
                        run.3[at] ^= 1;
                        runs.push(run);
                    }
                    Fate::IsCut => {
                        let mut run = run;
                        run.3.pop();
                        runs.push(run);
                    }
                }
            }
            let taken = runs.iter().try_for_each(|(epoch, first, previous, run)| {
                candidate.take(*epoch, *first, previous, run)
            });
            if taken.is_ok() && let Ok(grown) = candidate.finish(at(10)) {
                log = grown;
            }
            let held = usize::try_from(log.end().sequence).unwrap();
            prop_assert_eq!(log.end().hash, written.hashes[held]);
            for n in 1..=60_u8 {
                prop_assert_eq!(revoked(&log, n), usize::from(n) < held, "id {} of {}", n, held);
            }
        }
    }
}
