//! What the check of a trail's files finds, and where. The files are made as the issuer makes them.

use std::{fs, sync::Arc, time::Duration};

use common::{
    clock::{BootInstant, ManualClock, Now},
    keys::SigningKey,
};
use serde_json::Value;
use tempfile::TempDir;

use super::*;
use crate::{
    adapters::journal::{FileJournal, Sealing, tests::signing_key},
    domain::{
        event::{Event, What},
        ports::Journal as _,
    },
};

struct Trail {
    folder: TempDir,
    key: Arc<SigningKey>,
}

impl Trail {
    /// Some 40 lines in several files, every tenth a signed head.
    async fn new() -> Self {
        let trail = Self { folder: tempfile::tempdir().unwrap(), key: Arc::new(signing_key()) };
        let journal = trail.open(2_000).await;
        for version in 1..=36 {
            let what = What::Policy { version, action: "test" };
            journal.write(&[Event { time: version, actor: "test", late: false, what: &what }]).await.unwrap();
            if version % 9 == 0 {
                journal.seal().await.unwrap();
            }
        }
        trail
    }

    async fn open(&self, rotate_at: u64) -> FileJournal {
        let wall = Timestamp::from_seconds(7).unwrap();
        let clock =
            Arc::new(ManualClock::new(Now { wall, boot: BootInstant::from_duration(Duration::ZERO) }));
        let sealing =
            Sealing { issuer: "ipms".into(), realm: "default".into(), key: Arc::clone(&self.key), clock };
        FileJournal::open(&self.folder.path().join("audit"), rotate_at, sealing, None).await.unwrap().0
    }

    /// The oldest first.
    fn files(&self) -> Vec<PathBuf> {
        let mut files = super::super::files::finished(&self.folder.path().join("audit")).unwrap();
        files.push(self.folder.path().join("audit"));
        files
    }

    fn known(&self) -> Known {
        Known { log_keys: vec![self.key.public().clone()], line: None }
    }

    fn check(&self) -> Result<String, Damage> {
        told(inspect(&self.files(), &self.known()))
    }

    /// Changes the lines of a file.
    fn edit(&self, file: usize, change: impl FnOnce(&mut Vec<String>)) {
        let path = &self.files()[file];
        let mut lines: Vec<_> = fs::read_to_string(path).unwrap().lines().map(str::to_owned).collect();
        change(&mut lines);
        fs::write(path, lines.join("\n") + "\n").unwrap();
    }

    /// Makes every hash anew from the oldest line on, as somebody who has everything but the log key can; in the heads too
    /// if `heads`.
    fn rechain(&self, heads: bool, change: impl Fn(&str) -> String) {
        let mut end = ChainEnd::START;
        for file in 0..self.files().len() {
            self.edit(file, |lines| {
                for line in lines {
                    let read: Value = serde_json::from_str(line).unwrap();
                    let event = line.split_once(r#""event":"#).unwrap().1.strip_suffix('}').unwrap();
                    let mut event = change(event);
                    if heads && read["event"]["what"] == "head" {
                        let before = read["event"]["hash"].as_str().unwrap();
                        event = event.replace(before, &encoding::encode(end.hash()));
                    }
                    let made = end.line(event.as_bytes());
                    end = end.after(&made);
                    *line = String::from_utf8(made).unwrap();
                }
            });
        }
    }
}

type Change<'a> = &'a dyn Fn(&mut Vec<String>);

fn told(checked: Result<Report, OpenError>) -> Result<String, Damage> {
    match checked {
        Ok(report) => Ok(report.to_string()),
        Err(OpenError::Damaged(damage)) => Err(damage),
        Err(other) => panic!("{other}"),
    }
}

#[tokio::test]
async fn a_whole_trail_is_told_with_how_far_it_is_signed() {
    let trail = Trail::new().await;
    assert!(trail.files().len() > 3, "{:?}", trail.files());
    let text = trail.check().unwrap();
    assert!(
        text.contains("lines, the chain is whole") && text.contains("signed by the log key up to line"),
        "{text}"
    );
    let mut backwards = trail.files();
    backwards.reverse();
    assert_eq!(told(inspect(&backwards, &trail.known())).unwrap(), text, "in any order");
    let unchecked = told(inspect(&trail.files(), &Known::default())).unwrap();
    assert!(unchecked.contains("not checked: no --log-key"), "{unchecked}");
    let later = told(inspect(&trail.files()[1..], &trail.known())).unwrap();
    assert!(later.contains("are not in these files"), "{later}");
}

/// Every single line, in turn: changed, taken out, doubled, swapped with the next.
#[tokio::test]
async fn every_edit_gap_and_swap_is_found_at_its_line() {
    let trail = Trail::new().await;
    let whole: Vec<_> = trail.files().iter().map(|path| fs::read_to_string(path).unwrap()).collect();
    let count = whole.iter().map(|text| text.lines().count()).sum::<usize>();
    let mut tried = 0;
    for (file, text) in whole.iter().enumerate() {
        for place in 0..text.lines().count() {
            tried += 1;
            let last = tried == count;
            let changes: [(&str, Change<'_>); 4] = [
                ("changed", &|lines| lines[place] = lines[place].replace(r#""time":"#, r#""time":1"#)),
                ("taken out", &|lines| drop(lines.remove(place))),
                ("doubled", &|lines| lines.insert(place, lines[place].clone())),
                ("swapped", &|lines| {
                    let next = (place + 1) % lines.len();
                    lines.swap(place, next);
                }),
            ];
            for (name, change) in changes {
                if text.lines().count() == 1 && name == "swapped" {
                    continue;
                }
                trail.edit(file, change);
                match trail.check() {
                    // It was the newest line, of which nothing in the files speaks.
                    Ok(_) => assert!(last && name == "taken out", "{name} {file}:{place}"),
                    Err(damage) => {
                        let files = trail.files();
                        let at = files.iter().position(|path| *path == damage.file).unwrap();
                        let near = at == file && damage.line.abs_diff(place as u64 + 1) <= 1
                            || at == file + 1 && damage.line == 1
                            || name == "swapped" && at == file;
                        assert!(near, "{name} {file}:{place} is told as {damage}");
                    }
                }
                fs::write(&trail.files()[file], text).unwrap();
            }
        }
    }
    assert_eq!(tried, count);
    trail.check().unwrap();
}

#[tokio::test]
async fn a_file_that_is_missing_between_two_others_is_found() {
    let trail = Trail::new().await;
    let files = trail.files();
    let without: Vec<_> = files.iter().filter(|path| **path != files[1]).cloned().collect();
    let expected = Damage { file: files[2].clone(), line: 1, kind: DamageKind::Number };
    assert_eq!(told(inspect(&without, &trail.known())), Err(expected));
}

/// Whoever writes the whole trail anew needs the log key.
#[tokio::test]
async fn a_trail_that_was_written_anew_is_found_by_its_heads() {
    let trail = Trail::new().await;
    trail.rechain(true, str::to_owned);
    trail.check().unwrap();
    trail.rechain(true, |event| {
        event.replace(r#""version":3,"action":"test""#, r#""version":3,"action":"none""#)
    });
    let Damage { file, line, kind } = trail.check().unwrap_err();
    assert_eq!((file, kind), (trail.files()[0].clone(), DamageKind::BadSignature));
    assert!(line > 3, "{line}");
    assert!(told(inspect(&trail.files(), &Known::default())).is_ok(), "only the key shows it");
}

#[tokio::test]
async fn a_head_of_another_key_or_of_another_line_is_found() {
    let trail = Trail::new().await;
    let other = Known { log_keys: vec![signing_key().public().clone()], line: None };
    let damage = told(inspect(&trail.files(), &other)).unwrap_err();
    assert_eq!(damage.kind, DamageKind::UnknownLogKey);
    trail.rechain(false, |event| {
        event.replace(r#""version":2,"action":"test""#, r#""version":2,"action":"none""#)
    });
    assert_eq!(trail.check().unwrap_err().kind, DamageKind::HeadElsewhere);
}

#[tokio::test]
async fn lines_cut_off_the_end_are_found_by_a_line_that_is_known() {
    let trail = Trail::new().await;
    let report = inspect(&trail.files(), &trail.known()).unwrap();
    let known = Known { line: report.signed.map(|(end, _)| end), ..trail.known() };
    inspect(&trail.files(), &known).unwrap();
    let newest = trail.files().len() - 1;
    let kept = fs::read_to_string(&trail.files()[newest]).unwrap().lines().count() - 2;
    trail.edit(newest, |lines| lines.truncate(kept));
    let damage = told(inspect(&trail.files(), &known)).unwrap_err();
    assert_eq!((damage.kind, damage.line), (DamageKind::Missing, kept as u64 + 1));
    let other = Known { line: Some(ChainEnd::at(5, [5; 32])), ..Known::default() };
    let damage = told(inspect(&trail.files(), &other)).unwrap_err();
    assert_eq!((damage.kind, damage.line), (DamageKind::NotTheKnownEnd, 5));
}

/// Failure: thousands of lines that somebody made, without any head that could be checked.
#[tokio::test]
async fn more_lines_without_a_head_than_are_ever_written_are_found() {
    let trail = Trail::new().await;
    trail.edit(0, |lines| {
        lines.truncate(1);
        let mut end = ChainEnd::START.after(lines[0].as_bytes());
        for n in 0..1_000 {
            let line = end.line(format!(r#"{{"time":{n},"what":"policy"}}"#).as_bytes());
            end = end.after(&line);
            lines.push(String::from_utf8(line).unwrap());
        }
    });
    let damage = told(inspect(&trail.files()[..1], &trail.known())).unwrap_err();
    assert_eq!((damage.kind, damage.line), (DamageKind::Unsigned, 1_001));
}

#[tokio::test]
async fn a_torn_line_and_a_file_that_is_no_trail_are_found() {
    let trail = Trail::new().await;
    let path = &trail.files()[1];
    let text = fs::read_to_string(path).unwrap();
    fs::write(path, text.trim_end()).unwrap();
    let damage = trail.check().unwrap_err();
    assert_eq!((damage.kind, damage.line), (DamageKind::Torn, text.lines().count() as u64));
    fs::write(path, "anything\n").unwrap();
    assert_eq!(trail.check().unwrap_err(), Damage { file: path.clone(), line: 1, kind: DamageKind::Form });
}
