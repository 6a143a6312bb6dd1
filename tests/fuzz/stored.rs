//! Bytes of strangers in the log, under a signature, and in a verifier's own file.

use std::{fs, sync::LazyLock, time::Duration};

use common::{
    clock::{BootInstant, Now},
    revocation::{
        entry::{Entry, pack, unpack},
        head::Head,
        lease::BootId,
    },
    timestamp::Timestamp,
    trust::{LogKeys, Statement as _, Trust},
};
use forge::tokens::{ISSUED, ISSUER, RS256};
use tempfile::TempDir;
use verifier::adapters::{
    framed_file::{Frame, FramedFile, OpenError},
    snapshot::{Identity, Snapshot},
};

/// An entry has one spelling, and so has a run of them.
pub(crate) fn entry(bytes: &[u8]) {
    if let Ok(entry) = Entry::decode(bytes) {
        assert_eq!(entry.canonical(), bytes);
        assert_eq!(unpack(&pack(std::slice::from_ref(&entry))).unwrap(), [entry]);
    }
    if let Ok(entries) = unpack(bytes) {
        assert_eq!(pack(&entries), bytes);
    }
}

/// A head has one spelling, and so has the other statement of the log key.
pub(crate) fn head(bytes: &[u8]) {
    if let Ok(head) = Head::decode(bytes) {
        assert_eq!(head.canonical().unwrap(), bytes);
    }
    if let Some(trust) = Trust::decode(bytes) {
        assert_eq!(trust.canonical().unwrap(), bytes);
    }
}

/// A file is opened or set aside, never a panic; nothing unsigned is believed of it; opened again it says the same.
///
/// The first byte tells how the others are written: as they are, or as frames with good checks, of a kind, a length and so
/// many bytes each.
pub(crate) fn snapshot(bytes: &[u8]) {
    static FOLDER: LazyLock<TempDir> = LazyLock::new(|| tempfile::tempdir().unwrap());
    let Some((how, content)) = bytes.split_first() else { return };
    let folder = tempfile::tempdir_in(FOLDER.path()).unwrap();
    let path = folder.path().join("view");
    if how % 2 == 0 {
        fs::write(&path, content).unwrap();
    } else {
        let mut file = FramedFile::open::<OpenError>(&path, |_| Ok(())).unwrap();
        let mut rest = content;
        while let [kind, length, more @ ..] = rest {
            let (payload, behind) = more.split_at(usize::from(*length).min(more.len()));
            file.append_unsynced(&[Frame { kind: *kind, payload }]).unwrap();
            rest = behind;
        }
    }
    let open = || {
        let keys = LogKeys::new(vec![RS256.public().clone()]).unwrap();
        let identity = Identity { issuer: ISSUER.into(), realm: "default".into(), log_keys: keys.ids() };
        let boot = BootInstant::from_duration(Duration::from_secs(20));
        let now = Now { wall: Timestamp::from_seconds(ISSUED).unwrap(), boot };
        Snapshot::open(&path, &identity, &keys, BootId([1; 16]), now)
            .map(|opened| (opened.view.log.cursor(), opened.view.trust.is_some()))
    };
    let Ok(first) = open() else { return };
    // Nothing in the bytes is signed by the log key.
    assert_eq!((first.0.sequence, first.1), (0, false));
    assert_eq!(open().unwrap(), first);
}
