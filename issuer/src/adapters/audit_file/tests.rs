//! The audit file on a real file system, and on a disk that fails.

use std::fs;

use serde_json::json;

use super::*;

#[tokio::test]
async fn lines_stand_after_reopening_and_the_chain_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit");
    let (file, opened) = AuditFile::open(&path, |_, _| ()).unwrap();
    assert_eq!(opened, Opened { end: ChainEnd::START, torn: 0 });
    let first = file.append(&[json!({"n": 1})]).await.unwrap();
    let second = file.append(&[json!({"n": "two\nlines"})]).await.unwrap();
    assert_eq!((first.number(), second.number()), (1, 2));
    assert_eq!(reopen(file, &path), Opened { end: second, torn: 0 });
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
}

#[tokio::test]
async fn many_at_once_are_one_chain() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit");
    let (file, _) = AuditFile::open(&path, |_, _| ()).unwrap();
    let tasks: Vec<_> = (0..500)
        .map(|n| {
            let file = file.clone();
            tokio::spawn(async move { file.append(&[json!({"n": n})]).await.unwrap().number() })
        })
        .collect();
    let mut numbers = Vec::new();
    for task in tasks {
        numbers.push(task.await.unwrap());
    }
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=500).collect::<Vec<_>>());
    assert_eq!(reopen(file, &path).end.number(), 500);
}

#[tokio::test]
async fn a_torn_last_line_is_cut_off_and_reported() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit");
    let (file, _) = AuditFile::open(&path, |_, _| ()).unwrap();
    let end = file.append(&[json!({})]).await.unwrap();
    let whole = fs::read(&path).unwrap();
    let torn = [whole.as_slice(), &end.line(b"{}")].concat();
    fs::write(&path, &torn).unwrap();
    let cut = (torn.len() - whole.len()) as u64;
    assert_eq!(reopen(file, &path), Opened { end, torn: cut });
    assert_eq!(fs::read(&path).unwrap(), whole);
}

#[tokio::test]
async fn damage_before_the_end_refuses_to_open_and_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit");
    let (file, _) = AuditFile::open(&path, |_, _| ()).unwrap();
    for n in 0..3 {
        file.append(&[json!({"n": n})]).await.unwrap();
    }
    drop(file);
    let damaged = fs::read_to_string(&path).unwrap().replace(r#""n":1"#, r#""n":7"#) + "torn";
    fs::write(&path, &damaged).unwrap();
    let error = until_unlocked(&path).unwrap_err();
    assert!(matches!(error, OpenError::Damaged(Damage { line: 3, kind: DamageKind::Previous })), "{error:?}");
    assert_eq!(fs::read_to_string(&path).unwrap(), damaged);
}

#[test]
fn a_second_writer_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit");
    let _first = AuditFile::open(&path, |_, _| ()).unwrap();
    assert!(matches!(AuditFile::open(&path, |_, _| ()), Err(OpenError::InUse)));
}

#[tokio::test]
async fn after_a_failed_fsync_nothing_is_acknowledged() {
    let file = AuditFile::start(FailsOnce(true), ChainEnd::START).unwrap();
    for _ in 0..3 {
        assert_eq!(file.append(&[json!({})]).await, Err(AppendError::Broken));
    }
}

/// As the kernel does it: the failure is reported once, and the next fsync succeeds without the lost pages.
struct FailsOnce(bool);

impl Write for FailsOnce {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Disk for FailsOnce {
    fn sync(&mut self) -> io::Result<()> {
        if std::mem::take(&mut self.0) { Err(io::ErrorKind::Other.into()) } else { Ok(()) }
    }
}

fn reopen(file: AuditFile, path: &Path) -> Opened {
    drop(file);
    until_unlocked(path).unwrap().1
}

/// The writer thread gives the lock up a moment after the last handle is gone.
fn until_unlocked(path: &Path) -> Result<(AuditFile, Opened), OpenError> {
    for _ in 0..1000 {
        match AuditFile::open(path, |_, _| ()) {
            Err(OpenError::InUse) => thread::sleep(std::time::Duration::from_millis(5)),
            other => return other,
        }
    }
    Err(OpenError::InUse)
}
