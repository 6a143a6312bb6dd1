//! The journal over real files: what is read back of the log, when files are finished, taken away, or written twice.

use std::{fs, path::PathBuf, time::Duration};

use aws_lc_rs::{
    encoding::AsDer as _,
    rsa::{KeyPair, KeySize},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use common::{
    clock::{BootInstant, ManualClock, Now},
    jws::Algorithm,
    revocation::{
        cursor::Cursor,
        entry::{Body, Entry, Reason, pack},
        rule::Rule,
    },
    timestamp::Timestamp,
    token_id::TokenId,
};
use tempfile::TempDir;

use super::*;
use crate::domain::event;

/// A key of 2048 bits: tests need one, not a strong one.
pub(in crate::adapters) fn signing_key() -> SigningKey {
    let der = KeyPair::generate(KeySize::Rsa2048).unwrap().as_der().unwrap();
    let text = STANDARD.encode(der.as_ref());
    let lines: Vec<_> = text.as_bytes().chunks(64).map(|line| str::from_utf8(line).unwrap()).collect();
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", lines.join("\n"));
    SigningKey::from_pem(&pem, Algorithm::Ps256).unwrap()
}

struct Stand {
    folder: TempDir,
    sealing: Sealing,
    /// The log as it was appended.
    chain: Chain,
}

impl Stand {
    fn new() -> Self {
        let wall = Timestamp::from_seconds(7).unwrap();
        let boot = BootInstant::from_duration(Duration::ZERO);
        let sealing = Sealing {
            issuer: "ipms".to_owned(),
            realm: "default".to_owned(),
            key: Arc::new(signing_key()),
            clock: Arc::new(ManualClock::new(Now { wall, boot })),
        };
        let chain = Chain::new(1, Link { sequence: 0, hash: [0; 32] });
        Self { folder: tempfile::tempdir().unwrap(), sealing, chain }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("audit")
    }

    async fn open(&self) -> (FileJournal, Recovered) {
        for _ in 0..1_000 {
            match FileJournal::open(&self.path(), 2_000, self.sealing.clone(), None).await {
                // The writer thread gives the lock up a moment after the last handle is gone.
                Err(OpenError::InUse) => tokio::time::sleep(Duration::from_millis(5)).await,
                other => return other.unwrap(),
            }
        }
        panic!("it stays in use")
    }

    /// The next entry of the log, and the event of its line.
    fn append(&mut self) -> What<'static> {
        let before = self.chain.end();
        let cursor = Cursor::new(1, before.sequence + 1);
        let rule = Rule::Token(TokenId::from_bytes([7; 16]));
        let body = Body::Rule { rule, reason: Reason::Operator, cut: cursor, project: None };
        let entry = Entry { cursor, recorded_at: Timestamp::EPOCH, expires_at: Timestamp::MAX, body };
        self.chain.push(entry.clone()).unwrap();
        What::Append(event::Append {
            epoch: 1,
            first: cursor.sequence,
            last: cursor.sequence,
            previous: encoding::encode(&before.hash),
            entries: encoding::encode(&pack(&[entry])),
            reason: "revoke",
            comment: String::new(),
            project_id: None,
        })
    }

    fn trim(&self, base: u64) -> What<'static> {
        What::Trim { epoch: 1, base, hash: encoding::encode(&self.chain.hash_at(base).unwrap()) }
    }

    fn finished(&self) -> Vec<PathBuf> {
        let mut found: Vec<_> =
            fs::read_dir(self.folder.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
        found.retain(|path| path.to_str().unwrap().contains("audit.0"));
        found.sort();
        found
    }
}

async fn write(journal: &FileJournal, what: &What<'_>) {
    journal.write(&[Event { time: 1, actor: "test", late: false, what }]).await.unwrap();
}

/// Found by the simulation: an issuer opened an epoch, and adopted it a moment later with what another one had appended
/// meanwhile. The second line was passed over as a repetition, so the trail had a gap from there on, and could mend nothing.
#[test]
fn a_line_that_begins_as_one_before_and_goes_further_is_read_to_its_end() {
    let mut stand = Stand::new();
    let first = stand.append();
    let second = stand.append();
    let third = stand.append();
    let (What::Append(first), What::Append(second)) = (first, second) else { unreachable!() };
    let both = [&first.entries, &second.entries].map(|entries| encoding::decode(entries).unwrap()).concat();
    let again = event::Append { last: 2, entries: encoding::encode(&both), ..first.clone() };
    let mut recovered = Recovered::default();
    for what in [What::Append(first), What::Append(again.clone()), What::Append(again), third] {
        let event = Event { time: 1, actor: "test", late: false, what: &what };
        recovered.take(format!(r#"{{"event":{}}}"#, serde_json::to_string(&event).unwrap()).as_bytes());
    }
    assert!(!recovered.gaps);
    assert_eq!(recovered.chain.as_ref(), Some(&stand.chain));
}

#[tokio::test]
async fn the_log_is_read_back_across_finished_files() {
    let mut stand = Stand::new();
    let (journal, recovered) = stand.open().await;
    assert!(recovered.mark.is_none() && recovered.chain.is_none());
    for _ in 0..40 {
        let what = stand.append();
        write(&journal, &what).await;
    }
    assert!(stand.finished().len() > 2);
    drop(journal);
    let (_, recovered) = stand.open().await;
    let chain = recovered.chain.unwrap();
    assert_eq!((chain.end(), chain.is_whole(), recovered.gaps), (stand.chain.end(), true, false));
}

/// Failure: a journal that claims to hold everything although lines with live entries were taken away.
#[tokio::test]
async fn old_files_may_be_taken_away_once_their_entries_have_expired_and_not_before() {
    let mut stand = Stand::new();
    let (journal, _) = stand.open().await;
    for _ in 0..40 {
        let what = stand.append();
        write(&journal, &what).await;
    }
    drop(journal);
    let oldest = stand.finished().remove(0);
    let kept = fs::read(&oldest).unwrap();
    fs::remove_file(&oldest).unwrap();
    let (journal, recovered) = stand.open().await;
    let chain = recovered.chain.unwrap();
    assert_eq!((chain.end(), chain.is_whole()), (stand.chain.end(), false), "live entries are missing");
    let base = chain.base().sequence;
    write(&journal, &stand.trim(base - 1)).await;
    drop(journal);
    let (journal, recovered) = stand.open().await;
    assert!(!recovered.chain.unwrap().is_whole(), "one that is missing has not expired");
    write(&journal, &stand.trim(base)).await;
    drop(journal);
    let (journal, recovered) = stand.open().await;
    let chain = recovered.chain.unwrap();
    assert_eq!((chain.end(), chain.is_whole()), (stand.chain.end(), true));
    // What nothing but the trim speaks of any more is an empty log that ends there, not a new one.
    write(&journal, &stand.trim(40)).await;
    drop(journal);
    fs::write(&oldest, kept).unwrap();
    let told = inspect_text(&stand);
    for file in stand.finished() {
        assert!(told.contains(&format!("{}: no entry", file.display())), "{told}");
        fs::remove_file(file).unwrap();
    }
    let (_, recovered) = stand.open().await;
    let chain = recovered.chain.unwrap();
    assert_eq!((chain.end().sequence, chain.is_whole()), (40, true));
}

fn inspect_text(stand: &Stand) -> String {
    use crate::adapters::audit_file::inspect::{Known, inspect};
    let mut files = stand.finished();
    files.push(stand.path());
    let known = Known { log_keys: vec![stand.sealing.key.public().clone()], line: None };
    inspect(&files, &known).unwrap().to_string()
}

#[tokio::test]
async fn a_line_that_was_written_twice_is_no_gap_and_a_missing_one_is() {
    let mut stand = Stand::new();
    let (journal, _) = stand.open().await;
    // The last of them is never written.
    let lines: Vec<_> = (0..4).map(|_| stand.append()).collect();
    for what in [&lines[0], &lines[1], &lines[0], &lines[1], &lines[2]] {
        write(&journal, what).await;
    }
    drop(journal);
    let (journal, recovered) = stand.open().await;
    let chain = recovered.chain.unwrap();
    assert_eq!((chain.end().sequence, chain.is_whole(), recovered.gaps), (3, true, false));
    let next = stand.append();
    write(&journal, &next).await;
    drop(journal);
    let (_, recovered) = stand.open().await;
    let chain = recovered.chain.unwrap();
    assert_eq!((chain.end(), chain.is_whole(), recovered.gaps), (stand.chain.end(), false, true));
}

#[tokio::test]
async fn a_start_signs_for_what_a_crash_left() {
    let mut stand = Stand::new();
    let (journal, _) = stand.open().await;
    let what = stand.append();
    write(&journal, &what).await;
    drop(journal);
    assert!(!inspect_text(&stand).contains("signed by the log key"));
    let (_journal, recovered) = stand.open().await;
    assert_eq!(recovered.mark.unwrap().number, 2);
    let told = inspect_text(&stand);
    assert!(told.contains("signed by the log key up to line 2"), "{told}");
}
