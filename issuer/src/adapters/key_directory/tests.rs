//! The folder of keys, claim by claim.

use std::{io::Write as _, os::unix::fs::PermissionsExt as _, time::Duration};

use common::clock::{Clock as _, SystemClock};

use super::*;
use crate::{adapters::system_entropy::SystemEntropy, domain::ports::KeySource as _};

fn later(seconds: u64) -> Now {
    let now = SystemClock.now();
    Now { wall: now.wall.plus(Duration::from_secs(seconds)), ..now }
}

#[test]
fn generated_keys_are_read_back_the_newest_first_and_the_log_key_stays() {
    let folder = tempfile::tempdir().unwrap();
    let keys = Place::plain(folder.path().join("keys"));
    let entropy = SystemEntropy::default();
    assert!(matches!(read(&keys), Err(KeysError::Folder { .. })));
    let made = add(&keys, &entropy, later(0)).unwrap();
    assert_eq!(made.len(), 4);
    for path in made.iter().filter(|path| !path.ends_with(PUBLIC_LOG_KEY)) {
        assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600, "{}", path.display());
    }
    let first = read(&keys).unwrap();
    assert_eq!(first.folder.look().len(), 1);
    assert_eq!(add(&keys, &entropy, later(1)).unwrap().len(), 1);
    assert_eq!(first.folder.look().len(), 2, "found without a restart");
    let both = read(&keys).unwrap();
    assert_eq!(both.token.len(), 2);
    assert_eq!(both.token[1].public().id(), first.token[0].public().id());
    assert_eq!(both.log.public().id(), first.log.public().id());
    // What was read once stays held; a file that may not be read is left out.
    fs::remove_file(made.last().unwrap()).unwrap();
    assert_eq!(first.folder.look().len(), 2);
    fs::write(keys.file("token-9.pem"), "no key").unwrap();
    assert_eq!(first.folder.look().len(), 2);
    assert!(read(&keys).is_err(), "at the start none may be left out");
}

#[test]
fn with_a_passphrase_keys_are_kept_encrypted_and_read_with_it_only() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str, mode: u32| {
        let path = folder.path().join(name);
        let mut file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(&path).unwrap();
        file.write_all(text.as_bytes()).unwrap();
        path
    };
    let place = |passphrase_file| Place { passphrase_file, ..Place::plain(folder.path().join("keys")) };
    let right = place(Some(file("right", "correct horse\n", 0o600)));
    let made = add(&right, &SystemEntropy::default(), later(0)).unwrap();
    for path in made.iter().filter(|path| path.extension().is_some_and(|end| end == "pem")) {
        let text = fs::read_to_string(path).unwrap();
        let private = !path.ends_with(PUBLIC_LOG_KEY);
        assert_eq!(text.contains("BEGIN ENCRYPTED PRIVATE KEY"), private, "{}", path.display());
    }
    assert_eq!(read(&right).unwrap().token.len(), 1);
    assert!(matches!(read(&place(None)), Err(KeysError::NoPassphrase { .. })));
    let refused = |name: &str, text: &str, mode| read(&place(Some(file(name, text, mode)))).unwrap_err();
    assert!(matches!(refused("wrong", "correct horse ", 0o600), KeysError::Decrypt { .. }));
    assert!(matches!(refused("open", "correct horse", 0o644), KeysError::PassphraseFile { .. }));
    assert!(matches!(refused("empty", "\n", 0o600), KeysError::EmptyPassphrase { .. }));
    for error in [refused("wrong", "wrong secret", 0o600), refused("open2", "open secret", 0o644)] {
        assert!(!format!("{error} {error:?}").contains("secret\""), "{error:?}");
    }
}

#[test]
fn the_log_key_is_exchanged_in_two_steps_and_the_other_one_is_known_all_the_while() {
    let folder = tempfile::tempdir().unwrap();
    let place = Place::plain(folder.path());
    let entropy = SystemEntropy::default();
    add(&place, &entropy, later(0)).unwrap();
    let old = read(&place).unwrap();
    assert_eq!(old.other_log, None);
    assert!(matches!(switch_log_key(&place), Err(KeysError::NoNextLogKey { .. })));
    add_log_key(&place, &entropy).unwrap();
    assert!(matches!(add_log_key(&place, &entropy), Err(KeysError::LogKeyExchange { .. })));
    let during = read(&place).unwrap();
    assert_eq!(during.log.public(), old.log.public());
    let next = during.other_log.unwrap();
    // A crash at any step: it is done again.
    fs::hard_link(place.file("log.pem"), place.file("log.previous.pem")).unwrap();
    fs::rename(place.file("log.next.pem"), place.file("log.pem")).unwrap();
    assert_eq!(read(&place).unwrap().log.public(), &next);
    switch_log_key(&place).unwrap();
    let after = read(&place).unwrap();
    assert_eq!((after.log.public(), after.other_log.as_ref()), (&next, Some(old.log.public())));
    let pinned =
        PublicKey::from_pem(&fs::read_to_string(place.file(PUBLIC_LOG_KEY)).unwrap(), Algorithm::Ps256);
    assert_eq!(pinned.unwrap(), next);
    assert!(matches!(add_log_key(&place, &entropy), Err(KeysError::LogKeyExchange { .. })));
    fs::remove_file(place.file("log.previous.pem")).unwrap();
    fs::remove_file(place.file("log.previous.public.pem")).unwrap();
    assert_eq!(read(&place).unwrap().other_log, None);
}
