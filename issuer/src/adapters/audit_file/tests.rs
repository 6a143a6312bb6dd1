//! The audit trail on a real file system, and on disks that fail.

use std::{
    fs,
    sync::{Mutex, mpsc as gate},
};

use serde_json::json;

use super::*;

#[tokio::test]
async fn lines_stand_after_reopening_and_the_chain_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit");
    let (file, opened) = open(&path, LARGE).unwrap();
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
    let (file, _) = open(&path, LARGE).unwrap();
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
    let (file, _) = open(&path, LARGE).unwrap();
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
    let (file, _) = open(&path, LARGE).unwrap();
    for n in 0..3 {
        file.append(&[json!({"n": n})]).await.unwrap();
    }
    drop(file);
    let damaged = fs::read_to_string(&path).unwrap().replace(r#""n":1"#, r#""n":7"#) + "torn";
    fs::write(&path, &damaged).unwrap();
    let error = until_unlocked(&path).unwrap_err();
    let expected = Damage { file: path.clone(), line: 3, kind: DamageKind::Previous };
    assert!(matches!(&error, OpenError::Damaged(damage) if *damage == expected), "{error:?}");
    assert_eq!(fs::read_to_string(&path).unwrap(), damaged);
}

#[test]
fn a_second_writer_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit");
    let _first = open(&path, LARGE).unwrap();
    assert!(matches!(open(&path, LARGE), Err(OpenError::InUse)));
}

#[test]
fn a_pipe_that_nobody_reads_is_no_audit_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit");
    rustix::fs::mkfifoat(rustix::fs::CWD, &path, 0o600.into()).unwrap();
    assert!(matches!(open(&path, LARGE), Err(OpenError::NotAFile)));
}

#[tokio::test]
async fn a_full_file_is_finished_and_the_chain_goes_on_in_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit");
    let (file, _) = open(&path, 1_000).unwrap();
    let mut end = ChainEnd::START;
    for n in 0..50 {
        end = file.append(&[json!({"n": n})]).await.unwrap();
    }
    let finished = files::finished(&path).unwrap();
    assert!(finished.len() > 3, "{finished:?}");
    for file in &finished {
        let text = fs::read_to_string(file).unwrap();
        // The head that finishes it may make it longer than that.
        assert!(text.len() < 1_300, "{} bytes", text.len());
        let name = file.file_name().unwrap().to_str().unwrap();
        let first: u64 = name.strip_prefix("audit.").unwrap().parse().unwrap();
        assert!(text.starts_with(&format!(r#"{{"number":{first},"#)), "{text}");
        assert!(text.lines().last().unwrap().contains(r#""what":"head""#), "{text}");
    }
    assert_eq!(reopen(file, &path).end, end);
    // Without its oldest file it still opens: an operator may take that away.
    fs::remove_file(&finished[0]).unwrap();
    assert_eq!(until_unlocked(&path).unwrap().1.end, end);
    // Without one in the middle it does not.
    fs::remove_file(&finished[2]).unwrap();
    let error = until_unlocked(&path).unwrap_err();
    let expected = Damage { file: finished[3].clone(), line: 1, kind: DamageKind::Number };
    assert!(matches!(&error, OpenError::Damaged(damage) if *damage == expected), "{error:?}");
}

/// A crash may come between any two steps of beginning a file.
#[tokio::test]
async fn a_crash_while_the_next_file_is_begun_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit");
    let (file, _) = open(&path, LARGE).unwrap();
    let end = file.append(&[json!({"n": 1})]).await.unwrap();
    let next = file.append(&[json!({"n": 2})]).await.unwrap();
    assert_eq!(reopen(file, &path).end, next);
    fs::write(files::begun_name(&path), "").unwrap();
    assert_eq!(until_unlocked(&path).unwrap().1.end, next);
    assert!(!files::begun_name(&path).exists());
    fs::rename(&path, files::finished_name(&path, 1)).unwrap();
    fs::write(files::begun_name(&path), "").unwrap();
    let (file, opened) = until_unlocked(&path).unwrap();
    assert_eq!(opened.end, next);
    assert_eq!(file.append(&[json!({"n": 3})]).await.unwrap().number(), end.number() + 2);
    assert_eq!(reopen(file, &path).end.number(), 3);
}

#[tokio::test]
async fn a_head_is_signed_when_asked_for_and_behind_a_thousand_lines_in_any_case() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit");
    let (file, _) = open(&path, LARGE).unwrap();
    assert_eq!(file.seal().await.unwrap(), ChainEnd::START, "there is nothing to sign for");
    file.append(&[json!({"n": 1})]).await.unwrap();
    let sealed = file.seal().await.unwrap();
    assert_eq!(sealed.number(), 2);
    assert_eq!(file.seal().await.unwrap(), sealed, "once");
    let events: Vec<_> = (0..2_500).map(|n| json!({"n": n})).collect();
    assert_eq!(file.append(&events).await.unwrap().number(), 2 + 2_500 + 2);
    let mut unsigned = 0;
    for line in fs::read_to_string(&path).unwrap().lines() {
        unsigned = if line.contains(r#""what":"head""#) { 0 } else { unsigned + 1 };
        assert!(unsigned <= writer::UNSIGNED_MOST);
    }
}

#[tokio::test]
async fn after_a_failed_fsync_nothing_is_acknowledged() {
    let file = AuditFile::start(Fails::with(AppendError::Broken).once(), ChainEnd::START, sealer()).unwrap();
    for _ in 0..3 {
        assert_eq!(file.append(&[json!({})]).await, Err(AppendError::Broken));
    }
}

#[tokio::test]
async fn a_full_disk_takes_nothing_and_may_have_room_again() {
    let disk = Fails::with(AppendError::Full);
    let (failing, bytes) = (Arc::clone(&disk.failing), Arc::clone(&disk.bytes));
    let file = AuditFile::start(disk, ChainEnd::START, sealer()).unwrap();
    let before = file.append(&[json!({"n": 1})]).await.unwrap_err();
    assert_eq!(before, AppendError::Full);
    *failing.lock().unwrap() = None;
    assert_eq!(file.append(&[json!({"n": 2})]).await.unwrap().number(), 1);
    let text = String::from_utf8(bytes.lock().unwrap().clone()).unwrap();
    assert_eq!(text.lines().count(), 1);
    assert!(text.contains(r#"{"n":2}"#), "{text}");
}

/// On a real disk, which has room for some of it.
#[tokio::test]
async fn what_did_not_fit_is_taken_back_from_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit");
    let mut file = OpenOptions::new().append(true).create(true).open(&path).unwrap();
    io::Write::write_all(&mut file, b"promised\nand a part").unwrap();
    // Read-only from here on: as little can be written as to a disk without room, with another reason.
    let lock = files::lock(&path).unwrap();
    let mut disk = Files {
        file: fs::File::open(&path).unwrap(),
        path: path.clone(),
        length: 9,
        first: 1,
        rotate_at: LARGE,
        _lock: lock,
    };
    assert_eq!(disk.append(b"more\n"), Err(AppendError::Broken));
    assert_eq!(fs::read(&path).unwrap(), b"promised\nand a part", "what is not understood is left alone");
}

#[tokio::test]
async fn a_disk_that_does_not_answer_keeps_nobody_waiting_and_its_queue_is_bounded() {
    let (open_gate, closed) = gate::channel::<()>();
    let file = AuditFile::start(Blocks(closed), ChainEnd::START, sealer()).unwrap();
    let file = AuditFile { deadline: Duration::from_millis(100), ..file };
    assert!(file.idle());
    let asked: Vec<_> = (0..QUEUE + 500)
        .map(|n| {
            let file = file.clone();
            tokio::spawn(async move { file.append(&[json!({"n": n})]).await })
        })
        .collect();
    for one in asked {
        assert_eq!(one.await.unwrap(), Err(AppendError::Blocked));
    }
    assert!(!file.idle());
    let waiting = file.waiting.load(Ordering::Relaxed);
    // The queue, and the batch that is being written.
    assert!(waiting <= QUEUE + 256, "{waiting}");
    drop(open_gate);
    while !file.idle() {
        thread::yield_now();
    }
    // And the head behind a thousand lines.
    assert_eq!(file.append(&[json!({})]).await.unwrap().number(), waiting as u64 + 1 + 1);
}

/// Fails until it is told otherwise, or once: as the kernel does it with an fsync, which succeeds the next time.
struct Fails {
    failing: Arc<Mutex<Option<AppendError>>>,
    once: bool,
    bytes: Arc<Mutex<Vec<u8>>>,
}

impl Fails {
    fn with(error: AppendError) -> Self {
        Self { failing: Arc::new(Mutex::new(Some(error))), once: false, bytes: Arc::default() }
    }

    fn once(self) -> Self {
        Self { once: true, ..self }
    }
}

impl Disk for Fails {
    fn append(&mut self, bytes: &[u8]) -> Result<(), AppendError> {
        let mut failing = self.failing.lock().unwrap();
        let error = if self.once { failing.take() } else { *failing };
        if let Some(error) = error {
            return Err(error);
        }
        self.bytes.lock().unwrap().extend_from_slice(bytes);
        Ok(())
    }

    fn is_full(&self, _more: usize) -> bool {
        false
    }

    fn next_file(&mut self, _first: u64) -> Result<(), AppendError> {
        Ok(())
    }
}

/// Answers nothing until the gate is dropped.
struct Blocks(gate::Receiver<()>);

impl Disk for Blocks {
    fn append(&mut self, _bytes: &[u8]) -> Result<(), AppendError> {
        self.0.recv().ok();
        Ok(())
    }

    fn is_full(&self, _more: usize) -> bool {
        false
    }

    fn next_file(&mut self, _first: u64) -> Result<(), AppendError> {
        Ok(())
    }
}

fn sealer() -> Sealer {
    Box::new(|end| Some(format!(r#"{{"what":"head","line":{}}}"#, end.number()).into_bytes()))
}

fn open(path: &Path, rotate_at: u64) -> Result<(AuditFile, Opened), OpenError> {
    AuditFile::open(path, rotate_at, sealer(), |_, _| ())
}

fn reopen(file: AuditFile, path: &Path) -> Opened {
    drop(file);
    until_unlocked(path).unwrap().1
}

/// The writer thread gives the lock up a moment after the last handle is gone.
fn until_unlocked(path: &Path) -> Result<(AuditFile, Opened), OpenError> {
    for _ in 0..1000 {
        match open(path, LARGE) {
            Err(OpenError::InUse) => thread::sleep(Duration::from_millis(5)),
            other => return other,
        }
    }
    Err(OpenError::InUse)
}

const LARGE: u64 = 1 << 30;
