//! A trail over a journal that fails as it is told.

use common::{
    clock::{BootInstant, ManualClock, Now},
    timestamp::Timestamp,
};

use super::*;
use crate::domain::{event::Append, ports::Written};

#[derive(Debug, Default)]
struct Lines {
    written: Mutex<Vec<String>>,
    failing: Mutex<Option<NotWritten>>,
    busy: Mutex<bool>,
}

impl Journal for Lines {
    fn write<'a>(&'a self, events: &'a [Event<'a>]) -> Written<'a> {
        let failing = *self.failing.lock().unwrap();
        let mut written = self.written.lock().unwrap();
        if failing.is_none() {
            written.extend(events.iter().map(|event| serde_json::to_string(event).unwrap()));
        }
        let mark = AuditMark { number: written.len() as u64, hash: [0; 32] };
        Box::pin(std::future::ready(failing.map_or(Ok(mark), Err)))
    }

    fn seal(&self) -> Written<'_> {
        self.write(&[])
    }

    fn idle(&self) -> bool {
        !*self.busy.lock().unwrap()
    }
}

struct Stand {
    lines: Arc<Lines>,
    conditions: Arc<Conditions>,
    trail: Trail,
}

impl Stand {
    fn new() -> Self {
        let now = Now { wall: Timestamp::from_seconds(9).unwrap(), boot: BootInstant::default() };
        let (lines, conditions) = (Arc::<Lines>::default(), Arc::<Conditions>::default());
        let clock = Arc::new(ManualClock::new(now));
        let journal = Arc::clone(&lines) as Arc<dyn Journal>;
        let trail = Trail::new(journal, clock, Arc::clone(&conditions), None);
        Self { lines, conditions, trail }
    }

    fn fail(&self, why: Option<NotWritten>) {
        *self.lines.failing.lock().unwrap() = why;
    }

    async fn revoke(&self, first: u64) -> Result<(), NotWritten> {
        let append = Append {
            epoch: 1,
            first,
            last: first,
            previous: String::new(),
            entries: "e".repeat(1 << 20),
            reason: "revoke",
            comment: "why".to_owned(),
            project_id: None,
        };
        self.trail.write_or_owe(vec![(Arc::from("anna"), What::Append(append))]).await
    }

    /// `what`, `first` and `late` of each line.
    fn told(&self) -> Vec<(String, Option<u64>, bool)> {
        let read = |line: &String| {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            (line["what"].as_str().unwrap().to_owned(), line["first"].as_u64(), line["late"] == true)
        };
        self.lines.written.lock().unwrap().iter().map(read).collect()
    }
}

fn policy() -> What<'static> {
    What::Policy { version: 1, action: "test" }
}

#[tokio::test]
async fn what_was_revoked_while_the_trail_was_down_is_written_late_with_who_did_it_and_then_all_goes_on() {
    for why in [NotWritten::Full, NotWritten::Blocked] {
        let stand = Stand::new();
        stand.fail(Some(why));
        assert_eq!(stand.revoke(1).await, Err(why));
        assert!(stand.conditions.audit_broken());
        stand.trail.heal().await;
        assert!(stand.conditions.audit_broken(), "there is no room yet");
        stand.fail(None);
        assert_eq!(stand.revoke(2).await, Err(why), "no line before those that are owed");
        assert_eq!(stand.trail.write("bert", policy()).await, Err(why));
        *stand.lines.busy.lock().unwrap() = true;
        stand.trail.heal().await;
        assert!(stand.told().is_empty(), "what hangs may be written yet");
        *stand.lines.busy.lock().unwrap() = false;
        stand.trail.heal().await;
        assert!(!stand.conditions.audit_broken() && stand.trail.down().is_none());
        stand.revoke(3).await.unwrap();
        let line = |what: &str, first, late| (what.to_owned(), first, late);
        let expected = [
            line("resume", None, false),
            line("append", Some(1), true),
            line("append", Some(2), true),
            line("append", Some(3), false),
        ];
        assert_eq!(stand.told(), expected);
        let late = stand.lines.written.lock().unwrap()[1].clone();
        assert!(
            late.contains(r#""actor":"anna""#) && late.contains(r#""comment":"why""#),
            "{}",
            &late[..200]
        );
    }
}

#[tokio::test]
async fn what_is_broken_stays_down_until_a_start() {
    let stand = Stand::new();
    stand.fail(Some(NotWritten::Broken));
    assert_eq!(stand.trail.write("anna", policy()).await, Err(NotWritten::Broken));
    stand.fail(None);
    stand.trail.heal().await;
    assert_eq!(stand.trail.write("anna", policy()).await, Err(NotWritten::Broken));
    assert_eq!(stand.trail.seal().await, Err(NotWritten::Broken));
    assert!(stand.conditions.audit_broken() && stand.told().is_empty());
}

/// Failure: memory that grows with every revocation while the disk is full.
#[tokio::test]
async fn what_is_owed_is_bounded_and_then_left_to_the_next_start() {
    let stand = Stand::new();
    stand.fail(Some(NotWritten::Full));
    for n in 1..=17 {
        stand.revoke(n).await.unwrap_err();
    }
    assert_eq!(stand.trail.down(), Some(NotWritten::Broken));
    assert!(stand.trail.state().down.as_ref().unwrap().owed.is_empty());
    stand.fail(None);
    stand.trail.heal().await;
    assert!(stand.conditions.audit_broken());
}
