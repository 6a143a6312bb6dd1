//! What was allowed ends while callers are at work: nothing passes once the end is seen, and nobody else is disturbed.

use std::cell::Cell;

use common::proto::v1::{RevokeResponse, project_configuration::Method};
use harness::{
    calls::tokens,
    orders::{self, OTHER, OWNER, PARTNER},
    until,
};
use http::StatusCode;

use crate::{
    component::keep_severing,
    rig::{End, NAMES, Rig},
};

/// Somebody who asks again and again, and what the answer is while there is one.
struct Caller {
    end: End,
    token: String,
    values: Vec<String>,
    answer: Vec<String>,
    /// Whether what is done meanwhile is to end it.
    ends: bool,
}

/// How far all of them are.
#[derive(Default)]
struct Progress {
    answered: [Cell<u32>; 4],
    /// Every verifier has what ends the callers: a request that begins from now on is refused.
    seen: Cell<bool>,
}

/// So many answers before anything is done, and so many requests after it was seen.
const TIMES: u32 = 5;

impl Caller {
    fn forward(token: String, values: &[String], answer: &[String], ends: bool) -> Self {
        let (values, answer) = (values.to_vec(), answer.to_vec());
        Self { end: End::Forward, token, values, answer, ends }
    }

    fn backward(token: String, values: &[String], answer: &[String], ends: bool) -> Self {
        Self { end: End::Backward, ..Self::forward(token, values, answer, ends) }
    }

    async fn work(&self, rig: &Rig, progress: &Progress, number: usize) {
        let (answered, mut after) = (&progress.answered[number], 0);
        while after < TIMES {
            let begun_after = progress.seen.get();
            match rig.ask(self.end, &self.token, &self.values).await {
                Ok(values) => {
                    assert!(!(begun_after && self.ends), "answered though all verifiers know better");
                    assert_eq!(values, self.answer);
                    answered.set(answered.get() + 1);
                }
                Err(told) => {
                    assert!(self.ends, "disturbed: {told:?}");
                    let refused = (StatusCode::UNAUTHORIZED, r#"Bearer error="invalid_token""#);
                    assert_eq!((told.status, &*told.challenge), refused);
                }
            }
            after += u32::from(begun_after);
        }
    }
}

/// Lets all four work, does `act` in the middle, and lets them go on until each has asked some times after it was seen.
async fn in_the_middle(rig: &Rig, callers: &[Caller; 4], act: impl Future<Output = Option<RevokeResponse>>) {
    let progress = Progress::default();
    let acting = async {
        until("the load runs", async || {
            progress.answered.iter().all(|answered| answered.get() >= TIMES).then_some(())
        })
        .await;
        rig.seen(&act.await.unwrap()).await;
        progress.seen.set(true);
    };
    let work = |number: usize| callers[number].work(rig, &progress, number);
    tokio::join!(work(0), work(1), work(2), work(3), acting);
}

/// `clinic` of OWNER and `study` upon it; the first and the second level of the names.
async fn begun(rig: &Rig) -> (Vec<String>, Vec<String>, Vec<String>) {
    for name in ["clinic", "study"] {
        rig.create(orders::reversible(name)).await.unwrap();
    }
    let names = NAMES.map(str::to_owned).to_vec();
    let first = rig.forward(&rig.token(orders::pseudonymise("clinic", PARTNER)).await, &names).await;
    let secondary = orders::secondary("study", OWNER, orders::source("clinic", PARTNER));
    let second = rig.forward(&rig.token(secondary).await, &first).await;
    (names, first, second)
}

#[tokio::test]
async fn can_reverse_is_withdrawn_in_the_middle_of_a_load() {
    let rig = Rig::start().await;
    let (names, first, second) = begun(&rig).await;
    let back = || orders::reverse("clinic", PARTNER);
    let callers = [
        Caller::backward(rig.token(back()).await, &first, &names, true),
        Caller::backward(rig.token(back()).await, &first, &names, true),
        Caller::forward(rig.token(orders::pseudonymise("clinic", PARTNER)).await, &names, &first, false),
        Caller::backward(rig.token(orders::reverse("study", OWNER)).await, &second, &first, false),
    ];
    in_the_middle(&rig, &callers, async {
        let keep = vec![orders::collaborator(PARTNER, false), orders::collaborator(OTHER, false)];
        rig.collaborate("clinic", keep).await.unwrap().revocation
    })
    .await;
}

#[tokio::test]
async fn a_token_is_revoked_in_the_middle_of_a_load() {
    let rig = Rig::start().await;
    let (names, first, second) = begun(&rig).await;
    let revoked = rig.issue(orders::reverse("clinic", PARTNER)).await.unwrap();
    let id = revoked.record.unwrap().token_id;
    let callers = [
        Caller::backward(revoked.token.clone(), &first, &names, true),
        Caller::backward(revoked.token, &first[..1], &names[..1], true),
        Caller::backward(rig.token(orders::reverse("clinic", PARTNER)).await, &first, &names, false),
        Caller::backward(rig.token(orders::reverse("study", OWNER)).await, &second, &first, false),
    ];
    in_the_middle(&rig, &callers, async { Some(rig.revoke(tokens([&id])).await.unwrap()) }).await;
}

#[tokio::test]
async fn a_project_is_closed_in_the_middle_of_a_load() {
    let rig = Rig::start().await;
    let (names, first, second) = begun(&rig).await;
    let secondary = orders::secondary("study", OWNER, orders::source("clinic", PARTNER));
    let callers = [
        Caller::backward(rig.token(orders::reverse("clinic", PARTNER)).await, &first, &names, true),
        Caller::forward(rig.token(orders::pseudonymise("clinic", PARTNER)).await, &names, &first, true),
        Caller::forward(rig.token(secondary).await, &first, &second, true),
        // Of a project that stays open, though its source is closed.
        Caller::backward(rig.token(orders::reverse("study", OWNER)).await, &second, &first, false),
    ];
    in_the_middle(&rig, &callers, async { rig.close("clinic").await.unwrap().revocation }).await;
}

#[tokio::test]
async fn a_retention_ends_in_the_middle_of_a_load_and_what_was_kept_is_destroyed_under_it() {
    let rig = Rig::start().await;
    let project = rig.create(orders::retained("clinic", 0, 0, 1)).await.unwrap();
    rig.create(orders::reversible("kept")).await.unwrap();
    let names = NAMES.map(str::to_owned).to_vec();
    let first = rig.forward(&rig.token(orders::pseudonymise("clinic", OWNER)).await, &names).await;
    let kept = rig.forward(&rig.token(orders::pseudonymise("kept", OWNER)).await, &names).await;
    let Some(Method::Reversible(reversible)) = project.configuration.unwrap().method else { panic!() };
    let end = reversible.retention_end.unwrap().seconds.unsigned_abs();
    rig.advance(std::time::Duration::from_secs(end - 3 - rig.verifier_clock_now().seconds()));
    rig.fresh().await;
    let back = rig.token(orders::reverse("clinic", OWNER)).await;
    let kept_back = rig.token(orders::reverse("kept", OWNER)).await;

    let clock = std::sync::Arc::<common::clock::ManualClock>::clone(&rig.verifier_clock);
    let severing = tokio::spawn(keep_severing(std::sync::Arc::clone(&rig.vault), clock));
    let (answered, severed) = (Cell::new(0_u32), Cell::new(false));
    let load = async {
        while !severed.get() {
            let before = rig.verifier_clock_now().seconds();
            match rig.ask(End::Backward, &back, &first).await {
                Ok(values) => {
                    assert!(before < end, "a value passed after the end");
                    assert_eq!(values, names);
                    answered.set(answered.get() + 1);
                }
                Err(told) => {
                    // 503: the end came between the verifier's answer and the work.
                    assert!(matches!(told.status.as_u16(), 401 | 503), "{told:?}");
                    assert!(rig.verifier_clock_now().seconds() >= end);
                }
            }
        }
    };
    let others = async {
        while !severed.get() {
            assert_eq!(rig.backward(&kept_back, &kept).await, names, "nobody else is disturbed");
        }
    };
    let turning = async {
        for second in 1..=3 {
            let wanted = answered.get() + TIMES;
            until("the load runs", async || (answered.get() >= wanted).then_some(())).await;
            assert_eq!(rig.kept().1.len(), 2, "nothing is destroyed before its time: {second}");
            rig.beat().await;
        }
        until("key and mapping are destroyed", async || (rig.kept().1.len() == 1).then_some(())).await;
        severed.set(true);
    };
    tokio::join!(load, others, turning);
    severing.abort();
    assert!(rig.reverse_directly("clinic", OWNER, &first).is_err(), "even without a token");
}
