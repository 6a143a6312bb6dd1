//! Every relation that a store and a journal can stand in, and that no live rule is ever lost by mending.

use common::{
    revocation::{
        entry::{Reason, pack},
        log::Log,
        rule::{Rule, Scope},
    },
    token_id::TokenId,
};
use proptest::prelude::*;

use super::*;

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_seconds(seconds).unwrap()
}

/// A log with a genesis and one rule per number: below 100 a token's id, else a scope over everything.
fn chain(epoch: u64, numbers: &[u8]) -> Chain {
    let mut chain = Chain::new(epoch, Link { sequence: 0, hash: [0; 32] });
    let cursor = Cursor::new(epoch, 1);
    let body = Body::Genesis(Vec::new());
    chain.push(Entry { cursor, recorded_at: at(1), expires_at: at(1), body }).unwrap();
    for number in numbers {
        let cursor = Cursor::new(epoch, chain.end().sequence + 1);
        let rule = if *number < 100 {
            Rule::Token(TokenId::from_bytes([*number; 16]))
        } else {
            Rule::Scope(Scope::default())
        };
        let body = Body::Rule { rule, reason: Reason::Operator, cut: cursor, project: None };
        chain.push(Entry { cursor, recorded_at: at(2), expires_at: at(u64::from(*number)), body }).unwrap();
    }
    chain
}

fn log(chain: &Chain) -> Log {
    let mut log = Log::from_base(chain.epoch(), chain.base());
    log.extend(&pack(chain.entries())).unwrap();
    log
}

#[test]
fn a_new_realm_and_an_untouched_one_need_nothing() {
    assert_eq!(compare(None, false, None, at(0)), Finding::New);
    let both = chain(1, &[1, 2]);
    assert_eq!(compare(Some(&both), false, Some(&both), at(0)), Finding::Agree);
}

#[test]
fn section_7_steps_that_never_reached_the_journal_are_written_late() {
    let (store, journal) = (chain(1, &[1, 2, 3]), chain(1, &[1]));
    let late = store.entries()[2..].to_vec();
    assert_eq!(compare(Some(&store), false, Some(&journal), at(0)), Finding::JournalBehind(late));
    let all = store.entries().to_vec();
    assert_eq!(compare(Some(&store), false, None, at(0)), Finding::JournalBehind(all.clone()));
    let older = chain(1, &[2, 3]);
    let newer = chain(2, &[1, 2, 3]);
    let all = newer.entries().to_vec();
    assert_eq!(compare(Some(&newer), false, Some(&older), at(0)), Finding::JournalBehind(all));
}

/// Failure: a rule is lost for good, because another issuer opened an epoch that never heard of it.
#[test]
fn an_epoch_of_another_issuer_that_lacks_a_live_rule_of_the_journal_is_followed_by_one_that_has_it() {
    let (newer, journal) = (chain(2, &[60, 70]), chain(1, &[60, 9, 80]));
    let Finding::StoreLost(mended) = compare(Some(&newer), false, Some(&journal), at(10)) else { panic!() };
    assert_eq!(mended.epoch(), 3);
    let held = log(&mended);
    for (number, live) in [(60, true), (70, true), (80, true), (9, true)] {
        let rule = Rule::Token(TokenId::from_bytes([number; 16]));
        assert_eq!(held.set().recorded(&rule).is_some(), live, "{number}");
    }
    let Finding::JournalBehind(_) = compare(Some(&newer), false, Some(&journal), at(90)) else {
        panic!("what has expired is not missed")
    };
}

#[test]
fn section_5_a_store_restored_from_an_older_copy_is_refilled_from_the_journal_in_a_new_epoch() {
    let (store, journal) = (chain(1, &[50]), chain(1, &[50, 60, 3]));
    let Finding::StoreLost(mended) = compare(Some(&store), false, Some(&journal), at(10)) else { panic!() };
    assert_eq!((mended.epoch(), mended.carried()), (2, &[Cursor::new(1, 4)][..]));
    let bodies =
        |chain: &Chain| chain.entries()[1..].iter().map(|entry| entry.body.clone()).collect::<Vec<_>>();
    assert_eq!(bodies(&mended), bodies(&journal), "rules keep their cut");
    assert_eq!(compare(None, false, Some(&journal), at(10)), Finding::StoreLost(mended.clone()));
    assert_eq!(compare(Some(&chain(1, &[])), true, Some(&journal), at(10)), Finding::StoreLost(mended));
}

/// Failure: an issuer whose calendar is ahead mends the log, and what it thinks expired is accepted by verifiers whose calendar is
/// right. Found by the simulation.
#[test]
fn section_5_whoever_mends_by_a_calendar_that_is_ahead_drops_no_rule_that_is_live_for_others() {
    let (store, journal) = (chain(1, &[50]), chain(1, &[50, 60, 3]));
    let rules = |hours: u64| {
        let found = compare(Some(&store), false, Some(&journal), at(hours * 3_600 + 10));
        let Finding::StoreLost(mended) = found else { panic!("{found:?}") };
        mended.entries().len() - 1
    };
    assert_eq!((rules(0), rules(23)), (3, 3));
    // A day later than 3 s, but not than 50 s.
    assert_eq!((rules(24), rules(25)), (2, 0));
}

#[test]
fn a_rule_of_a_lost_branch_hits_what_was_recorded_on_the_branch_too() {
    let (store, journal) = (chain(1, &[50, 200]), chain(1, &[50, 60, 70, 80]));
    let Finding::StoreLost(mended) = compare(Some(&store), false, Some(&journal), at(10)) else { panic!() };
    let Body::Rule { cut, .. } = mended.entries().last().unwrap().body else { panic!() };
    assert_eq!(cut, Cursor::new(1, 6));
}

#[test]
fn what_does_not_reach_the_highest_known_entry_waits_for_an_operator() {
    let store = chain(1, &[50]);
    assert_eq!(compare(Some(&store), true, None, at(10)), Finding::Unmendable);
    let part = Chain::new(1, Link { sequence: 7, hash: [1; 32] });
    assert_eq!(compare(Some(&store), false, Some(&part), at(10)), Finding::Unmendable);
}

#[test]
fn section_5_what_a_verifier_offers_is_joined_with_what_was_appended_since_the_loss() {
    let (held, offered) = (chain(1, &[70]), chain(1, &[50, 60]));
    let joined = join(&[&held, &offered], at(10)).unwrap();
    assert_eq!((joined.epoch(), joined.carried()), (2, &[Cursor::new(1, 3)][..]));
    let cuts: Vec<_> = joined.entries()[1..].iter().map(cut).collect();
    assert_eq!(
        cuts,
        [Cursor::new(1, 2), Cursor::new(1, 3), Cursor::new(1, 4)],
        "70 hits the lost branch too"
    );
}

/// Found by the simulation: an offer that ended earlier than the memory of the issuer was carried in full, and the memory was
/// not. So cursors that callers had been told were lost by name, and a verifier that held them stopped the issuer for good.
#[test]
fn section_5_of_what_is_held_and_what_is_offered_the_one_that_goes_further_is_carried_in_full() {
    let (longer, shorter) = (chain(1, &[50, 60, 70]), chain(1, &[50]));
    for (held, offered) in [(&longer, &shorter), (&shorter, &longer)] {
        let joined = join(&[held, offered], at(10)).unwrap();
        assert_eq!(joined.carried(), &[Cursor::new(1, 4)][..]);
        let cuts: Vec<_> = joined.entries()[1..].iter().map(cut).collect();
        assert_eq!(cuts, [Cursor::new(1, 2), Cursor::new(1, 3), Cursor::new(1, 4)]);
    }
}

#[test]
fn a_loss_is_known_for_a_day_to_whoever_starts() {
    let Finding::StoreLost(mended) = compare(None, false, Some(&chain(1, &[50])), at(10)) else { panic!() };
    assert!(was_recent(&mended, at(10)) && was_recent(&mended, at(86_409)), "a step back changes nothing");
    assert!(was_recent(&mended, at(0)) && !was_recent(&mended, at(86_410)));
    assert!(mended.entries()[0].expires_at >= at(86_410), "it is not trimmed before");
    assert!(!was_recent(&chain(1, &[50]), at(10)), "nothing was lost");
}

#[test]
fn section_5_an_offer_of_an_earlier_epoch_adds_what_was_not_carried_over() {
    let store = chain(1, &[50]);
    let Finding::StoreLost(second) = compare(None, false, Some(&store), at(10)) else { panic!() };
    let offered = chain(1, &[50, 60]);
    let joined = join(&[&second, &offered], at(10)).unwrap();
    assert_eq!((joined.epoch(), joined.carried()), (3, &[Cursor::new(1, 3), Cursor::new(2, 2)][..]));
    let cuts: Vec<_> = joined.entries()[1..].iter().map(cut).collect();
    assert_eq!(cuts, [Cursor::new(1, 2), Cursor::new(2, 3)]);
}

/// A chain that has trimmed all up to and with `sequence`.
fn trimmed(chain: &Chain, sequence: u64) -> Chain {
    let hash = chain.hash_at(sequence).unwrap();
    let mut rest = Chain::new(chain.epoch(), Link { sequence, hash });
    chain.after(sequence).iter().for_each(|entry| rest.push(entry.clone()).unwrap());
    rest
}

/// Failure: an issuer that was away while its whole log expired stays without one, and stops those that are well. Found by
/// the simulation.
#[test]
fn section_5_a_log_that_was_trimmed_past_what_is_held_goes_on_from_it_unless_a_live_rule_is_missing() {
    let (held, stored) = (chain(1, &[50, 60]), trimmed(&chain(1, &[50, 60, 70, 80]), 4));
    for (now, goes) in [(59, false), (60, true)] {
        assert_eq!(goes_on(&stored, &held, at(now)), goes, "{now}");
        let found = compare(Some(&stored), false, Some(&held), at(now));
        let behind = Finding::JournalBehind(stored.entries().to_vec());
        assert_eq!(found == behind, goes, "{now}: {found:?}");
        if let Finding::StoreLost(mended) = found {
            assert_eq!(
                mended.carried(),
                &[Cursor::new(1, 5)][..],
                "what others acknowledged is reached still"
            );
        }
    }
    let joined = join(&[&held, &stored], at(55)).unwrap();
    let of = |entry: &Entry| entry.expires_at.seconds();
    assert_eq!(joined.carried(), &[Cursor::new(1, 5)][..]);
    assert_eq!(
        joined.entries()[1..].iter().map(of).collect::<Vec<_>>(),
        [80, 60],
        "what had expired is not put back"
    );
}

/// Failure: what only the store holds, or only memory, is dropped because a verifier offered something else.
#[test]
fn section_5_three_branches_are_joined_and_none_is_forgotten() {
    let (memory, stored, offered) = (chain(1, &[50, 61]), chain(1, &[50, 62, 72]), chain(1, &[50, 63]));
    for held in [[&memory, &stored, &offered], [&offered, &memory, &stored], [&stored, &offered, &memory]] {
        let joined = log(&join(&held, at(10)).unwrap());
        for number in [50, 61, 62, 63, 72] {
            let rule = Rule::Token(TokenId::from_bytes([number; 16]));
            assert!(joined.set().recorded(&rule).is_some(), "{number}");
        }
    }
    // Of an earlier epoch: at a position that the later one says to have carried over.
    let Finding::StoreLost(second) = compare(None, false, Some(&memory), at(10)) else { panic!() };
    let joined = log(&join(&[&second, &offered], at(10)).unwrap());
    assert!(joined.set().recorded(&Rule::Token(TokenId::from_bytes([63; 16]))).is_some());
}

/// Failure: the main branch's rule over a token goes, since it has expired for over a day, and takes a live one of the other branch
/// along.
#[test]
fn a_rule_that_is_not_carried_stands_for_none_that_is() {
    let (day, main) = (86_400, chain(1, &[50, 60, 70]));
    let mut other = chain(1, &[]);
    let Entry { body, .. } = main.entries()[1].clone();
    let (cursor, recorded_at, expires_at) = (Cursor::new(1, 2), at(2), at(2 * day));
    other.push(Entry { cursor, recorded_at, expires_at, body }).unwrap();
    let joined = log(&join(&[&main, &other], at(day + 55)).unwrap());
    let held = |number| joined.set().recorded(&Rule::Token(TokenId::from_bytes([number; 16]))).is_some();
    assert_eq!([50, 60, 70].map(held), [true; 3]);
    let alone = log(&renewed(&main, at(day + 55)).unwrap());
    assert!(
        alone.set().recorded(&Rule::Token(TokenId::from_bytes([50; 16]))).is_none(),
        "it would have gone"
    );
}

fn cut(entry: &Entry) -> Cursor {
    match entry.body {
        Body::Rule { cut, .. } => cut,
        Body::Genesis(_) => panic!("a genesis has no cut"),
    }
}

proptest! {
    #[test]
    fn section_5_mending_never_loses_a_live_rule_of_either(
        common in prop::collection::vec(0..=255_u8, 0..8),
        only_store in prop::collection::vec(0..=255_u8, 0..4),
        only_journal in prop::collection::vec(0..=255_u8, 1..8),
        now in 0_u64..200,
    ) {
        let store = chain(1, &[common.clone(), only_store].concat());
        let journal = chain(1, &[common, only_journal].concat());
        let finding = compare(Some(&store), false, Some(&journal), at(now));
        let Finding::StoreLost(mended) = finding else { return Ok(()) };
        let mended = log(&mended);
        for held in [&store, &journal] {
            // `expired` looks at whole blocks: compare with a log of the live entries alone.
            let mut live = Chain::new(1, Link { sequence: 0, hash: [0; 32] });
            for entry in held.entries().iter().filter(|entry| entry.expires_at > at(now) || entry.cursor.sequence == 1) {
                let mut entry = entry.clone();
                entry.cursor = Cursor::new(1, live.end().sequence + 1);
                if let Body::Rule { cut, .. } = &mut entry.body { *cut = (*cut).min(entry.cursor) }
                live.push(entry).unwrap();
            }
            prop_assert!(log(&live).set().is_covered_by(mended.set(), Timestamp::EPOCH));
        }
    }
}
