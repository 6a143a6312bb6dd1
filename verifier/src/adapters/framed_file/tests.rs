//! What a crash or a bad disk may leave behind, and what is made of it.

use super::*;

const FRAMES: [Frame<'static>; 3] = [
    Frame { kind: 1, payload: b"one" },
    Frame { kind: 2, payload: b"" },
    Frame { kind: 3, payload: &[0; 300] },
];

type Seen = Vec<(u8, Vec<u8>)>;

fn opened(path: &Path) -> Result<(FramedFile, Seen), OpenError> {
    let mut seen = Vec::new();
    let file = FramedFile::open(path, |frame| {
        seen.push((frame.kind, frame.payload.to_vec()));
        Ok::<_, OpenError>(())
    })?;
    Ok((file, seen))
}

fn expected(count: usize) -> Seen {
    FRAMES.iter().take(count).map(|frame| (frame.kind, frame.payload.to_vec())).collect()
}

/// A folder, the path in it, and the bytes of a file that holds [`FRAMES`].
fn written() -> (tempfile::TempDir, PathBuf, Vec<u8>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("snapshot");
    let (mut file, seen) = opened(&path).unwrap();
    assert_eq!(seen, []);
    file.append(&FRAMES).unwrap();
    drop(file);
    let bytes = std::fs::read(&path).unwrap();
    (folder, path, bytes)
}

#[test]
fn what_was_appended_is_read_back_in_order() {
    let (_folder, path, _) = written();
    assert_eq!(opened(&path).unwrap().1, expected(3));
}

#[test]
fn a_file_cut_anywhere_holds_the_whole_frames_before_the_cut() {
    let (_folder, path, bytes) = written();
    let ends: Vec<usize> = FRAMES
        .iter()
        .scan(MAGIC.len(), |end, frame| {
            *end += HEAD_LEN + frame.payload.len() + DIGEST_LEN;
            Some(*end)
        })
        .collect();
    for cut in MAGIC.len()..=bytes.len() {
        std::fs::write(&path, &bytes[..cut]).unwrap();
        let whole = ends.iter().filter(|end| **end <= cut).count();
        let (mut file, seen) = opened(&path).unwrap();
        assert_eq!(seen, expected(whole), "cut at {cut}");
        file.append(&FRAMES[..1]).unwrap();
        drop(file);
        let again = opened(&path).unwrap().1;
        assert_eq!(again.len(), whole + 1, "what follows a dropped tail is readable, cut at {cut}");
    }
}

#[test]
fn every_flipped_bit_is_noticed() {
    let (_folder, path, bytes) = written();
    for position in 0..bytes.len() {
        for bit in 0..8 {
            let mut bad = bytes.clone();
            bad[position] ^= 1 << bit;
            std::fs::write(&path, &bad).unwrap();
            match opened(&path) {
                Err(OpenError::Foreign) => assert!(position < MAGIC.len()),
                Err(OpenError::Damaged { .. }) => assert!(position >= MAGIC.len()),
                other => panic!("byte {position} bit {bit}: {:?}", other.map(|(_, seen)| seen)),
            }
        }
    }
}

#[test]
fn zeros_after_the_last_frame_are_a_torn_tail() {
    let (_folder, path, mut bytes) = written();
    bytes.extend([0; 5000]);
    std::fs::write(&path, &bytes).unwrap();
    assert_eq!(opened(&path).unwrap().1, expected(3));
    bytes.push(7);
    std::fs::write(&path, &bytes).unwrap();
    assert!(matches!(opened(&path), Err(OpenError::Damaged { .. })));
}

#[test]
fn a_second_process_is_refused() {
    let (_folder, path, _) = written();
    let first = opened(&path).unwrap();
    assert!(matches!(opened(&path), Err(OpenError::InUse)));
    drop(first);
    assert!(opened(&path).is_ok());
}

#[test]
fn a_replaced_file_holds_the_new_content_and_stays_open_and_locked() {
    let (_folder, path, _) = written();
    let (mut file, _) = opened(&path).unwrap();
    file.replace(|filler| filler.add(FRAMES[0])).unwrap();
    assert!(matches!(opened(&path), Err(OpenError::InUse)));
    file.append(&FRAMES[1..2]).unwrap();
    drop(file);
    assert_eq!(opened(&path).unwrap().1, expected(2));
}

#[test]
fn a_failed_replacement_leaves_the_old_content() {
    let (_folder, path, bytes) = written();
    let (mut file, _) = opened(&path).unwrap();
    assert!(file.replace(|_| Err(io::Error::other("full"))).is_err());
    file.append(&FRAMES[..1]).unwrap();
    drop(file);
    assert!(std::fs::read(&path).unwrap().starts_with(&bytes));
    assert_eq!(opened(&path).unwrap().1.len(), 4);
}

#[test]
fn a_frame_above_the_bound_is_refused_and_harms_nothing() {
    let (_folder, path, _) = written();
    let (mut file, _) = opened(&path).unwrap();
    let long = vec![0; Frame::MAX_LEN + 1];
    assert!(file.append(&[Frame { kind: 1, payload: &long }]).is_err());
    file.append(&FRAMES[..1]).unwrap();
    drop(file);
    assert_eq!(opened(&path).unwrap().1.len(), 4);
}
