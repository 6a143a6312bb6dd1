//! What the contract says of the log.

use common::revocation::{entry::unpack, head::Link};
use issuer::domain::ports::{Append, Appended, AuditMark, Loaded, LogEnd, Recording, Store};

use crate::samples::{Log, START, change, keep, project, ready, record, recording, time};

pub(crate) async fn a_new_store_holds_nothing(store: &dyn Store) {
    assert_eq!(store.load().await, Ok(Loaded::default()));
}

pub(crate) async fn an_append_stands_where_the_log_ended(store: &dyn Store) {
    let mut log = Log::new();
    for count in [1, 3, 2] {
        log.append(store, count).await;
        holds(store, &log).await;
    }
    let runs: Vec<_> =
        store.load().await.unwrap().runs.iter().map(|run| unpack(run).unwrap().len()).collect();
    assert_eq!(runs, [1, 3, 2], "as they were appended");
}

pub(crate) async fn the_runs_behind_a_sequence_lead_to_the_end(store: &dyn Store) {
    assert_eq!(store.confirmed_end().await, Ok(None));
    let mut log = Log::new();
    for count in [1, 3, 2] {
        log.append(store, count).await;
        assert_eq!(store.confirmed_end().await, Ok(log.end));
    }
    let end = log.end.unwrap();
    let numbers = async |end: LogEnd, behind| {
        let runs = store.runs(end, behind).await.unwrap();
        let number = |run: &Vec<u8>| unpack(run).unwrap().iter().map(|one| one.cursor.sequence).collect();
        runs.map(|runs| runs.iter().map(number).collect::<Vec<Vec<u64>>>())
    };
    assert_eq!(numbers(end, 0).await, Some(vec![vec![1], vec![2, 3, 4], vec![5, 6]]));
    assert_eq!(numbers(end, 1).await, Some(vec![vec![2, 3, 4], vec![5, 6]]));
    assert_eq!(numbers(end, 6).await, Some(Vec::new()));
    let before = LogEnd { end: log.link(4), ..end };
    assert_eq!(numbers(before, 1).await, Some(vec![vec![2, 3, 4]]), "what was appended later is left out");
    assert_eq!(numbers(LogEnd { epoch: 2, ..end }, 1).await, None);
    store.trim(1, log.link(1)).await.unwrap();
    assert_eq!(numbers(end, 1).await, None, "trimmed meanwhile");
    assert_eq!(numbers(store.confirmed_end().await.unwrap().unwrap(), 4).await, Some(vec![vec![5, 6]]));
}

pub(crate) async fn an_append_elsewhere_is_told_where_the_log_ends(store: &dyn Store) {
    let mut log = Log::new();
    let (first, _) = log.step(1);
    log.append(store, 2).await;
    let (good, _) = log.step(1);
    let (epoch, link) = good.after.unwrap();
    let elsewhere = [
        None,
        Some((epoch + 1, link)),
        Some((epoch, Link { sequence: link.sequence - 1, ..link })),
        Some((epoch, Link { hash: [7; 32], ..link })),
    ];
    for after in elsewhere {
        let answer = store.append(Append { after, ..good.clone() }).await;
        assert_eq!(answer, Ok(Appended::EndedElsewhere(log.end)), "{after:?}");
    }
    assert_eq!(store.append(first).await, Ok(Appended::EndedElsewhere(log.end)));
    holds(store, &log).await;
}

pub(crate) async fn an_append_that_would_take_the_log_back_changes_nothing(store: &dyn Store) {
    let mut log = Log::new();
    log.append(store, 2).await;
    let (good, _) = log.step(1);
    for (epoch, sequence) in [(1, 1), (0, 9)] {
        let end = LogEnd { epoch, end: Link { sequence, ..good.end.end }, ..good.end };
        let answer = store.append(Append { end, ..good.clone() }).await;
        assert_eq!(answer, Ok(Appended::EndedElsewhere(log.end)));
    }
    holds(store, &log).await;
}

pub(crate) async fn a_project_changes_in_the_step_that_appends(store: &dyn Store) {
    let log = ready(store).await;
    let (append, after) = log.step(1);
    let change = change(&project("p", 1, &[]), &[2]);
    let answer = store.append(Append { change: Some(change.clone()), ..append }).await;
    assert_eq!(answer, Ok(Appended::Done));
    assert_eq!(store.project(change.project.id.clone()).await, Ok(Some(change.project)));
    holds(store, &after).await;
}

pub(crate) async fn a_project_of_another_version_stops_the_append(store: &dyn Store) {
    let log = ready(store).await;
    let stands = project("p", 1, &[]);
    let (append, _) = log.step(1);
    let mut old = change(&stands, &[2]);
    old.expected = 2;
    for change in [old, change(&project("unknown", 1, &[]), &[2])] {
        let audit = Some(AuditMark { number: 1, hash: [1; 32] });
        let answer = store.append(Append { change: Some(change), audit, ..append.clone() }).await;
        assert_eq!(answer, Ok(Appended::ProjectChanged));
    }
    assert_eq!(store.project(stands.id.clone()).await, Ok(Some(stands)));
    assert_eq!(store.load().await.unwrap().audit, None);
    holds(store, &log).await;
}

pub(crate) async fn of_steps_that_wait_together_only_those_that_conflict_fail(store: &dyn Store) {
    let log = ready(store).await;
    let (one, _) = log.step(1);
    let (two, _) = log.step(2);
    let (one, two, created, recorded) = tokio::join!(
        store.append(one),
        store.append(two),
        store.create_project(project("q", 2, &[])),
        store.record(recording(record(1, "p"))),
    );
    assert!(created.is_ok() && recorded.is_ok());
    let done = [&one, &two].into_iter().filter(|answer| **answer == Ok(Appended::Done)).count();
    assert_eq!(done, 1, "{one:?} {two:?}");
    let (_, after) = log.step(if one == Ok(Appended::Done) { 1 } else { 2 });
    holds(store, &after).await;
    assert!(store.project(project("q", 2, &[]).id).await.unwrap().is_some());
}

pub(crate) async fn the_base_of_an_append_counts_in_a_new_epoch_only(store: &dyn Store) {
    let mut log = Log::new();
    log.append(store, 1).await;
    let (mut append, after) = log.step(1);
    append.end.base = Link { sequence: 1, hash: [9; 32] };
    assert_eq!(store.append(append).await, Ok(Appended::Done));
    holds(store, &after).await;
}

pub(crate) async fn a_new_epoch_replaces_the_one_before(store: &dyn Store) {
    let mut log = Log::new();
    log.append(store, 3).await;
    let (append, mut log) = log.next_epoch(2);
    assert_eq!(store.append(append).await, Ok(Appended::Done));
    holds(store, &log).await;
    log.append(store, 1).await;
    holds(store, &log).await;
}

pub(crate) async fn a_long_new_epoch_stands_as_a_whole(store: &dyn Store) {
    let mut log = Log::new();
    log.append(store, 3).await;
    let (append, mut log) = log.next_epoch(20_000);
    assert!(append.entries.len() > 1 << 20, "longer than one call to a server takes");
    let elsewhere = Append { after: Some((9, log.link(3))), ..append.clone() };
    assert!(matches!(store.append(elsewhere).await, Ok(Appended::EndedElsewhere(Some(_)))));
    assert_eq!(store.append(append).await, Ok(Appended::Done));
    holds(store, &log).await;
    log.append(store, 1).await;
    holds(store, &log).await;
}

pub(crate) async fn an_append_of_no_entries_moves_the_log_time(store: &dyn Store) {
    let mut log = ready(store).await;
    let before = log.end.unwrap().log_time;
    log.append(store, 0).await;
    assert!(log.end.unwrap().log_time > before);
    holds(store, &log).await;
    assert_eq!(store.load().await.unwrap().runs.len(), 1);
}

pub(crate) async fn the_log_time_never_goes_back(store: &dyn Store) {
    let mut log = ready(store).await;
    log.append(store, 1).await;
    let late = log.end.unwrap().log_time;
    for (mut append, _) in [log.step(1), log.next_epoch(1)] {
        append.after = store.load().await.unwrap().end.map(|end| (end.epoch, end.end));
        append.end.log_time = time(1);
        assert_eq!(store.append(append).await, Ok(Appended::Done));
        assert_eq!(store.load().await.unwrap().end.unwrap().log_time, late);
    }
}

pub(crate) async fn a_trim_forgets_every_entry_up_to_its_base(store: &dyn Store) {
    let mut log = Log::new();
    for count in [2, 4, 1, 2] {
        log.append(store, count).await;
    }
    for sequence in [1, 2, 4, 7, 8] {
        let base = log.link(sequence);
        assert_eq!(store.trim(1, base).await, Ok(()));
        let loaded = store.load().await.unwrap();
        assert_eq!(loaded.end, Some(LogEnd { base, ..log.end.unwrap() }));
        let (_, behind) = log.entries.split_at(usize::try_from(sequence).unwrap());
        assert_eq!(unpack(&loaded.runs.concat()).unwrap(), behind, "behind {sequence}");
    }
}

pub(crate) async fn a_trim_at_or_before_the_base_or_of_another_epoch_changes_nothing(store: &dyn Store) {
    assert_eq!(store.trim(1, START).await, Ok(()));
    let mut log = Log::new();
    log.append(store, 5).await;
    store.trim(1, log.link(2)).await.unwrap();
    let before = store.load().await;
    for (epoch, base) in
        [(1, log.link(2)), (1, log.link(1)), (1, START), (2, log.link(3)), (0, log.link(3)), (1, log.link(6))]
    {
        assert_eq!(store.trim(epoch, base).await, Ok(()));
        assert_eq!(store.load().await, before, "{epoch} {}", base.sequence);
    }
}

pub(crate) async fn a_log_goes_on_after_everything_was_trimmed(store: &dyn Store) {
    let mut log = Log::new();
    log.append(store, 2).await;
    let base = log.link(2);
    store.trim(1, base).await.unwrap();
    assert!(store.load().await.unwrap().runs.is_empty());
    log.append(store, 2).await;
    let loaded = store.load().await.unwrap();
    assert_eq!(loaded.end, Some(LogEnd { base, ..log.end.unwrap() }));
    assert_eq!(unpack(&loaded.runs.concat()).unwrap(), log.entries[2..]);
}

pub(crate) async fn the_audit_mark_is_the_one_heard_last(store: &dyn Store) {
    let log = ready(store).await;
    let mark = |number| Some(AuditMark { number, hash: [7; 32] });
    let (append, after) = log.step(1);
    store.append(Append { audit: mark(1), ..append }).await.unwrap();
    assert_eq!(store.load().await.unwrap().audit, mark(1));
    keep(store, Recording { audit: mark(2), ..recording(record(1, "p")) }).await;
    assert_eq!(store.load().await.unwrap().audit, mark(2));
    store.append(after.step(1).0).await.unwrap();
    keep(store, recording(record(2, "p"))).await;
    assert_eq!(store.load().await.unwrap().audit, mark(2), "a step that tells none leaves it");
}

async fn holds(store: &dyn Store, log: &Log) {
    let loaded = store.load().await.unwrap();
    assert_eq!(loaded.end, log.end);
    assert!(loaded.end.is_some_and(|end| end.log_time >= time(1)));
    assert_eq!(unpack(&loaded.runs.concat()).unwrap(), log.entries);
}
