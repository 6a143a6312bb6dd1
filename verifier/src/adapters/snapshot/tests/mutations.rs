//! Files as no program of ours writes them: changed bytes, and changed frames whose checksums are right. Failure is a panic, or
//! a view that is none of those that the log has had. `SNAPSHOT_MUTATIONS` asks for more of each, `SNAPSHOT_SEED` for others.

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

use super::*;

/// Where the log stood after each batch.
const STOOD: [u64; 3] = [0, 3, 6];

fn variable(name: &str, otherwise: u64) -> u64 {
    std::env::var_os(name).map_or(otherwise, |text| text.to_str().unwrap().parse().unwrap())
}

/// What became of the files.
#[derive(Debug, Default)]
struct Tally {
    stopped: u64,
    refused: u64,
    earlier: u64,
    whole: u64,
}

impl Tally {
    /// Opens the file, and judges what is held then.
    fn judge(&mut self, path: &Path, written: &Written, what: &str) {
        let opened = match open(path, written) {
            Ok(opened) => opened,
            Err(SnapshotError::Foreign) => {
                self.stopped += 1;
                return;
            }
            Err(other) => panic!("{what}: {other:?}"),
        };
        let end = opened.view.log.end();
        assert!(STOOD.contains(&end.sequence), "{what}: {end:?}");
        let lease = opened.view.lease;
        assert!(lease.is_none() || end.sequence == STOOD[2], "{what}: {lease:?} was not on {end:?}");
        match end.sequence {
            0 if opened.refused.is_some() => self.refused += 1,
            // It was cut off before the first batch was whole.
            0 => self.earlier += 1,
            sequence => {
                assert_eq!(end, written.link(sequence), "{what}: another log");
                assert_eq!(opened.view.log.entries(), sequence, "{what}: an entry is missing");
                let count = if sequence == STOOD[2] { &mut self.whole } else { &mut self.earlier };
                *count += 1;
            }
        }
        if let Some(aside) = opened.refused {
            fs::remove_file(aside.path).unwrap();
        }
    }
}

fn changed(bytes: &[u8], other: &[u8], random: &mut StdRng) -> Vec<u8> {
    let mut bad = bytes.to_vec();
    for _ in 0..random.random_range(1..4) {
        if bad.is_empty() {
            break;
        }
        let place = random.random_range(0..bad.len());
        let length = random.random_range(1..=(bad.len() - place).min(200));
        match random.random_range(0..8) {
            0 => bad[place] ^= 1 << random.random_range(0..8),
            1 => bad[place] = random.random(),
            2 => bad.truncate(place),
            3 => drop(bad.drain(place..place + length)),
            4 => {
                let again = bad[place..place + length].to_vec();
                bad.splice(place..place, again);
            }
            5 => bad[place..place + length].fill(0),
            6 => {
                let stranger = &other[place.min(other.len())..(place + length).min(other.len())];
                bad.splice(place..place + length, stranger.iter().copied());
            }
            _ => bad.extend((0..length).map(|_| random.random::<u8>())),
        }
    }
    bad
}

/// At random: an earlier state, or a refusal by name, and never anything else.
#[test]
fn no_mutation_of_a_file_makes_a_view_that_the_log_never_had() {
    let (written, mut other) = (Written::new(5), Written::new(5));
    other.revoke(9);
    let (seed, count) = (variable("SNAPSHOT_SEED", 1), variable("SNAPSHOT_MUTATIONS", 1_000));
    let mut random = StdRng::seed_from_u64(seed);
    let (_folder, path, bytes) = filled(&written);
    let (_stranger, _, strange) = filled(&other);
    let mut tally = Tally::default();
    for number in 0..count {
        let bad = changed(&bytes, &strange, &mut random);
        fs::write(&path, &bad).unwrap();
        tally.judge(&path, &written, &format!("SNAPSHOT_SEED={seed}, mutation {number}"));
    }
    println!("{count} changed files: {tally:?}");
    assert!(tally.stopped > 0 && tally.refused > 0 && tally.earlier > 0, "{tally:?}");
}

/// Whole frames with checksums that are right: only the chain and the signatures can tell.
#[test]
fn no_arrangement_of_frames_makes_a_view_that_the_log_never_had() {
    let (written, mut other) = (Written::new(5), Written::new(5));
    other.revoke(9);
    let (seed, count) = (variable("SNAPSHOT_SEED", 1), variable("SNAPSHOT_MUTATIONS", 1_000));
    let mut random = StdRng::seed_from_u64(seed);
    let entries = |log: &Written, first, last| (frames::ENTRIES, run_payload(&run(log, first, last)));
    let head = |log: &Written, end| (frames::HEAD, signed_payload(&log.head(0, end, 400)));
    let of = |log: &Written| {
        let trust = (frames::TRUST, signed_payload(&log.trust(5, Limits::default())));
        let identity = (frames::IDENTITY, identity(log).to_bytes());
        [identity, entries(log, 1, 3), head(log, 3), trust, entries(log, 4, 6), head(log, 6)].to_vec()
    };
    let (good, strange) = (of(&written), of(&other));
    let (_folder, path) = folder();
    let mut tally = Tally::default();
    for number in 0..count {
        let mut frames = good.clone();
        for _ in 0..random.random_range(1..4) {
            let (place, from) = (random.random_range(0..frames.len()), random.random_range(0..good.len()));
            match random.random_range(0..6) {
                0 if frames.len() > 1 => drop(frames.remove(place)),
                1 => frames.insert(place, good[from].clone()),
                2 => frames[place] = strange[from].clone(),
                3 => frames[place].0 = random.random_range(0..9),
                4 => {
                    let payload = &mut frames[place].1;
                    let byte = random.random_range(0..payload.len());
                    payload[byte] ^= 1 << random.random_range(0..8);
                }
                _ => {
                    let payload = &mut frames[place].1;
                    payload.truncate(random.random_range(1..=payload.len()));
                }
            }
        }
        let _ = fs::remove_file(&path);
        let mut file = FramedFile::open(&path, |_| Ok::<_, OpenError>(())).unwrap();
        let frames: Vec<_> = frames.iter().map(|(kind, payload)| Frame { kind: *kind, payload }).collect();
        file.append(&frames).unwrap();
        drop(file);
        tally.judge(&path, &written, &format!("SNAPSHOT_SEED={seed}, arrangement {number}"));
    }
    println!("{count} arrangements: {tally:?}");
    assert!(tally.stopped > 0 && tally.refused > 0 && tally.earlier > 0 && tally.whole > 0, "{tally:?}");
}
