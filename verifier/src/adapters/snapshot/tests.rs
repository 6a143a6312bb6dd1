//! What a restart, a crash, a bad disk and a foreign hand leave behind, and what is made of it.

mod mutations;

use common::{
    clock::{BootInstant, Clock as _, SystemClock},
    keys::PublicKey,
    revocation::{
        cursor::Cursor,
        lease::{Lease, Probes},
    },
    token::Limits,
    trust::NotTrusted,
};

use super::*;
use crate::domain::written::{ISSUER, REALM, Written, at, new_key};

const BOOT: BootId = BootId([1; 16]);

fn now(seconds: u64) -> Now {
    Now { wall: at(500 + seconds), boot: BootInstant::from_duration(Duration::from_secs(seconds)) }
}

fn identity(written: &Written) -> Identity {
    Identity { issuer: ISSUER.into(), realm: REALM.into(), log_keys: vec![written.key.public().id()] }
}

fn open(path: &Path, written: &Written) -> Result<Opened, SnapshotError> {
    Snapshot::open(path, &identity(written), &written.log_keys(), BOOT, now(20))
}

fn batch(written: &Written, base: u64, first: u64, last: u64) -> Batch {
    let runs = (first..=last).map(|n| run(written, n, n)).collect();
    Batch { runs, head: written.head(base, last, 400) }
}

fn run(written: &Written, first: u64, last: u64) -> Run {
    let (epoch, first, previous, entries) = written.run(first, last);
    Run { epoch, first, previous, entries }
}

fn lease(sent: u64) -> Lease {
    let mut probes = Probes::default();
    let number = probes.send(now(sent));
    probes.answered(number, Cursor::ZERO, Duration::ZERO).unwrap().once_applied(Cursor::ZERO).unwrap()
}

fn folder() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("snapshot");
    (folder, path)
}

/// Two batches up to sequences 3 and 6, a statement between them, and a lease at the end.
fn filled(written: &Written) -> (tempfile::TempDir, PathBuf, Vec<u8>) {
    let (folder, path) = folder();
    let mut snapshot = open(&path, written).unwrap().snapshot;
    snapshot.append(&batch(written, 0, 1, 3)).unwrap();
    snapshot.trust(&written.trust(5, Limits::default())).unwrap();
    snapshot.append(&batch(written, 0, 4, 6)).unwrap();
    snapshot.lease(lease(10).record(BOOT)).unwrap();
    drop(snapshot);
    let bytes = fs::read(&path).unwrap();
    (folder, path, bytes)
}

#[test]
fn a_restart_goes_on_from_what_was_appended() {
    let written = Written::new(5);
    let (_folder, path, _) = filled(&written);
    let Opened { snapshot, view, refused, .. } = open(&path, &written).unwrap();
    assert!(refused.is_none());
    assert_eq!((view.log.cursor(), view.log.entries()), (Cursor::new(1, 6), 6));
    assert_eq!(view.log.log_time(), at(400));
    assert_eq!(view.trust.unwrap().statement().stated_at, at(5));
    assert_eq!(snapshot.head().unwrap().statement().end, written.link(6));
    assert_eq!(view.lease.unwrap().age(now(20).boot), Duration::from_secs(10), "in the same boot it runs on");
}

#[test]
fn section_5_another_boot_or_a_wall_clock_that_went_back_leaves_no_lease() {
    let written = Written::new(5);
    let (_folder, path, bytes) = filled(&written);
    let back = Now { wall: at(505), ..now(20) };
    for (boot, now) in [(BootId([2; 16]), now(20)), (BOOT, back)] {
        fs::write(&path, &bytes).unwrap();
        let opened = Snapshot::open(&path, &identity(&written), &written.log_keys(), boot, now).unwrap();
        assert!(opened.refused.is_none());
        assert_eq!(opened.view.lease, None);
        assert_eq!(opened.view.log.end().sequence, 6);
    }
}

/// Failure: an older copy, put back within its lease, goes on as if nothing had been revoked since.
#[test]
fn a_file_that_was_put_back_has_its_entries_and_no_lease() {
    let written = Written::new(5);
    let (folder, path) = folder();
    let real = SystemClock.now();
    let opened =
        |path: &Path, now| Snapshot::open(path, &identity(&written), &written.log_keys(), BOOT, now).unwrap();
    let mut snapshot = opened(&path, real).snapshot;
    snapshot.append(&batch(&written, 0, 1, 6)).unwrap();
    snapshot.trust(&written.trust(5, Limits::default())).unwrap();
    // As if it had been written a minute ago, and copied back just now.
    let earlier = Timestamp::from_seconds(real.wall.seconds() - 60).unwrap();
    let mut probes = Probes::default();
    let number = probes.send(Now { wall: earlier, boot: real.boot });
    let renewal = probes.answered(number, Cursor::ZERO, Duration::ZERO).unwrap();
    snapshot.lease(renewal.once_applied(Cursor::ZERO).unwrap().record(BOOT)).unwrap();
    drop(snapshot);
    let again = opened(&path, real);
    assert!(again.rolled_back && again.view.lease.is_none());
    assert_eq!(again.view.log.end().sequence, 6);
    drop(again);
    let fresh = folder.path().join("fresh");
    let mut snapshot = opened(&fresh, real).snapshot;
    snapshot.append(&batch(&written, 0, 1, 6)).unwrap();
    snapshot.trust(&written.trust(5, Limits::default())).unwrap();
    let number = probes.send(real);
    let renewal = probes.answered(number, Cursor::ZERO, Duration::ZERO).unwrap();
    snapshot.lease(renewal.once_applied(Cursor::ZERO).unwrap().record(BOOT)).unwrap();
    drop(snapshot);
    let again = opened(&fresh, SystemClock.now());
    assert!(
        !again.rolled_back && again.view.lease.is_some(),
        "one's own writes are no change by somebody else"
    );
}

#[test]
fn a_file_cut_anywhere_holds_what_the_last_whole_head_covers_and_goes_on() {
    let written = Written::new(6);
    let (_folder, path, bytes) = filled(&written);
    for cut in b"ipms-frames1".len()..bytes.len() {
        fs::write(&path, &bytes[..cut]).unwrap();
        let Opened { mut snapshot, view, refused, .. } = open(&path, &written).unwrap();
        assert!(refused.is_none(), "cut at {cut}");
        let held = view.log.end().sequence;
        assert!([0, 3, 6].contains(&held), "cut at {cut}: {held}");
        snapshot.append(&batch(&written, 0, held + 1, 7)).unwrap();
        drop(snapshot);
        let again = open(&path, &written).unwrap();
        assert!(again.refused.is_none());
        assert_eq!((again.view.log.end(), again.view.log.entries()), (written.link(7), 7), "cut at {cut}");
    }
}

#[test]
fn every_flipped_byte_is_refused_by_name_and_the_file_set_aside() {
    let written = Written::new(5);
    let (folder, path, bytes) = filled(&written);
    for (n, position) in (b"ipms-frames1".len()..bytes.len()).step_by(7).enumerate() {
        let mut bad = bytes.clone();
        bad[position] ^= 1;
        fs::write(&path, &bad).unwrap();
        let opened = open(&path, &written).unwrap();
        let aside = opened.refused.unwrap();
        assert!(matches!(aside.why, Damage::Frame { .. }), "byte {position}: {:?}", aside.why);
        assert_eq!(aside.path, folder.path().join(format!("snapshot.refused-{}", n + 1)));
        assert_eq!(fs::read(&aside.path).unwrap(), bad);
        assert_eq!(opened.view.log.cursor(), Cursor::ZERO);
        assert_eq!(opened.view.lease, None);
        drop(opened.snapshot);
        assert!(open(&path, &written).unwrap().refused.is_none());
    }
}

/// Writes whole frames that lie.
fn forged(path: &Path, written: &Written, frames: &[(u8, Vec<u8>)]) -> Damage {
    let _ = fs::remove_file(path);
    let mut file = FramedFile::open(path, |_| Ok::<_, OpenError>(())).unwrap();
    file.append(&[Frame { kind: frames::IDENTITY, payload: &identity(written).to_bytes() }]).unwrap();
    for (kind, payload) in frames {
        file.append(&[Frame { kind: *kind, payload }]).unwrap();
    }
    drop(file);
    open(path, written).unwrap().refused.unwrap().why
}

#[test]
fn a_file_that_contradicts_itself_is_refused_by_name() {
    let (written, mut other) = (Written::new(5), Written::new(2));
    other.revoke(9);
    let (_folder, path) = folder();
    let run = |log: &Written, first, last| (frames::ENTRIES, run_payload(&run(log, first, last)));
    let head = |log: &Written, end| (frames::HEAD, signed_payload(&log.head(0, end, 400)));
    let trust = |stated| (frames::TRUST, signed_payload(&written.trust(stated, Limits::default())));
    let cases = [
        (vec![run(&written, 1, 4), head(&written, 4), head(&written, 3)], Damage::RolledBack),
        (vec![trust(6), trust(5)], Damage::RolledBack),
        (vec![run(&written, 1, 3), head(&written, 4)], Damage::BrokenChain),
        (vec![run(&written, 1, 2), run(&written, 4, 5), head(&written, 5)], Damage::BrokenChain),
        (vec![run(&other, 1, 4), head(&written, 4)], Damage::BrokenChain),
        (vec![run(&other, 1, 4), head(&other, 4)], NotTrusted::UnknownLogKey.into()),
        (vec![(9, Vec::new())], Damage::Malformed),
    ];
    for (frames, why) in cases {
        assert_eq!(forged(&path, &written, &frames), why);
    }
}

/// Found by the simulation: the file of a verifier whose wall clock had gone back by more than a minute was set aside at the
/// next start, and with it all that it held.
#[test]
fn a_wall_clock_that_went_back_far_costs_the_lease_and_no_entry() {
    let written = Written::new(5);
    let (_folder, path) = folder();
    let mut snapshot = Snapshot::open(&path, &identity(&written), &written.log_keys(), BOOT, now(2_000));
    let snapshot = &mut snapshot.as_mut().unwrap().snapshot;
    let head = written.head(0, 3, 2_500);
    snapshot.append(&Batch { runs: vec![run(&written, 1, 3)], head }).unwrap();
    snapshot.lease(lease(2_000).record(BOOT)).unwrap();
    let copy = path.with_extension("copy");
    fs::copy(&path, &copy).unwrap();
    let opened = open(&copy, &written).unwrap();
    assert!(opened.refused.is_none());
    assert_eq!((opened.view.log.cursor(), opened.view.lease), (Cursor::new(1, 3), None));
    assert_eq!(opened.view.judged_at(at(520)), at(2_500), "what has expired stays so");
}

#[test]
fn a_foreign_file_stops_the_start_and_is_left_alone() {
    let written = Written::new(1);
    let (_folder, path, bytes) = filled(&Written::new(5));
    assert!(matches!(open(&path, &written), Err(SnapshotError::Foreign)));
    fs::write(&path, b"something else entirely").unwrap();
    assert!(matches!(open(&path, &written), Err(SnapshotError::Foreign)));
    fs::write(&path, &bytes).unwrap();
    let other = Identity { realm: "other".into(), ..identity(&written) };
    assert!(matches!(
        Snapshot::open(&path, &other, &written.log_keys(), BOOT, now(20)),
        Err(SnapshotError::Foreign)
    ));
    assert_eq!(fs::read(&path).unwrap(), bytes);
}

/// Failure: a step of the exchange after which the file is refused, or its lease lost, though no issuer was there.
#[test]
fn log_keys_are_exchanged_one_by_one() {
    let mut written = Written::new(6);
    let (_folder, path, _) = filled(&written);
    let old = written.key.public().clone();
    let next = new_key();
    let new = next.public().clone();
    let pinned = |keys: &[&PublicKey], at| {
        let log_keys = LogKeys::new(keys.iter().map(|key| (*key).clone()).collect()).unwrap();
        let identity = Identity { issuer: ISSUER.into(), realm: REALM.into(), log_keys: log_keys.ids() };
        Snapshot::open(&path, &identity, &log_keys, BOOT, at)
    };
    let goes_on = |opened: Result<Opened, SnapshotError>, age| {
        let opened = opened.unwrap();
        assert!(opened.refused.is_none(), "{:?}", opened.refused);
        assert_eq!(opened.view.log.end().sequence, 6);
        assert_eq!(opened.view.lease.map(|lease| lease.age(now(20).boot).as_secs()), Some(age));
        opened.snapshot
    };
    // Pinned beside the old one; a start of which no issuer heard leaves the file as it was.
    let bytes = fs::read(&path).unwrap();
    drop(goes_on(pinned(&[&old, &new], now(20)), 10));
    assert_eq!(fs::read(&path).unwrap(), bytes);
    assert!(matches!(pinned(&[&new], now(20)), Err(SnapshotError::Foreign)), "not pinned beside the old one");
    let mut snapshot = goes_on(pinned(&[&old, &new], now(20)), 10);
    snapshot.lease(lease(12).record(BOOT)).unwrap();
    drop(snapshot);
    // The issuer changes to it, and says the same again.
    let mut snapshot = goes_on(pinned(&[&old, &new], now(20)), 8);
    written.key = next;
    snapshot.trust(&written.trust(6, Limits::default())).unwrap();
    snapshot.append(&Batch { runs: Vec::new(), head: written.head(0, 6, 401) }).unwrap();
    snapshot.lease(lease(14).record(BOOT)).unwrap();
    drop(snapshot);
    // Pinned alone, with a start that nobody answers, and then with one that is answered.
    drop(goes_on(pinned(&[&new], now(20)), 6));
    let mut snapshot = goes_on(pinned(&[&new], now(20)), 6);
    snapshot.lease(lease(16).record(BOOT)).unwrap();
    drop(snapshot);
    goes_on(pinned(&[&new], now(20)), 4);
    assert!(matches!(pinned(&[&old], now(20)), Err(SnapshotError::Foreign)), "the old one is behind us");
}

#[test]
fn what_does_not_follow_replaces_what_the_file_held() {
    let written = Written::new(9);
    let (_folder, path, _) = filled(&written);
    let mut snapshot = open(&path, &written).unwrap().snapshot;
    snapshot.append(&batch(&written, 8, 9, 10)).unwrap();
    drop(snapshot);
    let Opened { view, mut snapshot, .. } = open(&path, &written).unwrap();
    assert_eq!((view.log.base(), view.log.end()), (written.link(8), written.link(10)));
    assert!(view.trust.is_some());
    let mended = Written::of_epoch(2, vec![Cursor::new(1, 10)], 9, written.key);
    snapshot.append(&batch(&mended, 0, 1, 10)).unwrap();
    drop(snapshot);
    let view = open(&path, &mended).unwrap().view;
    assert_eq!((view.log.cursor(), view.log.entries()), (Cursor::new(2, 10), 10));
}

#[test]
fn a_rewritten_file_holds_the_live_runs_and_a_run_that_spans_the_base_whole() {
    let written = Written::new(9);
    // What has expired here only, the head still covers: a file shows that it is whole.
    for (base, kept) in [(5, 3), (2, 0)] {
        let (_folder, path) = folder();
        let mut snapshot = open(&path, &written).unwrap().snapshot;
        snapshot.append(&Batch { runs: vec![run(&written, 1, 3)], head: written.head(0, 3, 400) }).unwrap();
        let runs = vec![run(&written, 4, 6), run(&written, 7, 10)];
        snapshot.append(&Batch { runs, head: written.head(base, 10, 400) }).unwrap();
        let log = Log::from_base(1, written.link(5));
        assert!(!snapshot.compact(&log).unwrap(), "a small file is not worth it");
        while snapshot.file.size().unwrap() < SMALLEST {
            snapshot.append(&Batch { runs: Vec::new(), head: written.head(base, 10, 400) }).unwrap();
        }
        assert!(snapshot.compact(&log).unwrap());
        assert!(!snapshot.compact(&log).unwrap(), "not twice");
        snapshot.lease(lease(10).record(BOOT)).unwrap();
        drop(snapshot);
        assert!(fs::metadata(&path).unwrap().len() < 4096);
        let view = open(&path, &written).unwrap().view;
        assert_eq!((view.log.base(), view.log.end()), (written.link(kept), written.link(10)));
        assert!(view.lease.is_some());
    }
}

/// As one could be made by taking frames out: whole frames, a true chain, and a head that the log key signed.
#[test]
fn a_file_that_lacks_its_beginning_is_refused_by_name() {
    let written = Written::new(5);
    let (_folder, path) = folder();
    let frames = [
        (frames::ENTRIES, run_payload(&run(&written, 4, 6))),
        (frames::HEAD, signed_payload(&written.head(0, 6, 400))),
    ];
    assert_eq!(forged(&path, &written, &frames), Damage::BrokenChain);
}

/// A run that was there before, behind the last head.
#[test]
fn a_file_that_goes_on_from_elsewhere_behind_its_head_is_refused_by_name() {
    let written = Written::new(5);
    let (_folder, path) = folder();
    let frames = [
        (frames::ENTRIES, run_payload(&run(&written, 1, 6))),
        (frames::HEAD, signed_payload(&written.head(0, 6, 400))),
        (frames::ENTRIES, run_payload(&run(&written, 1, 3))),
    ];
    assert_eq!(forged(&path, &written, &frames), Damage::BrokenChain);
}

#[test]
fn an_offer_is_what_lies_behind_a_position() {
    let written = Written::new(5);
    let (_folder, path, _) = filled(&written);
    let snapshot = open(&path, &written).unwrap().snapshot;
    let mut offered = Vec::new();
    snapshot
        .runs_after(4, &mut |run| {
            offered.push(run.first);
            Ok(())
        })
        .unwrap();
    assert_eq!(offered, [5, 6]);
}
