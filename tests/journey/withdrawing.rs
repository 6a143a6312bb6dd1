//! What was allowed ends: permissions withdrawn, tokens revoked, projects closed, retention over. Under a load: load.rs.

use std::{sync::Arc, time::Duration};

use common::{
    clock::ManualClock,
    proto::v1::{Project, project_configuration::Method},
};
use harness::{
    calls::tokens,
    orders::{self, OWNER, PARTNER},
    pair::BEGIN,
    until,
};
use http::StatusCode;

use crate::{
    component::keep_severing,
    rig::{End, NAMES, Rig},
};

const REFUSED: &str = r#"Bearer error="invalid_token""#;

/// The first level of `clinic`, and a token of PARTNER's that turns it back.
async fn begun(rig: &Rig, retention_days: u32) -> (Project, Vec<String>, String) {
    let project = rig.create(orders::retained("clinic", 0, 0, retention_days)).await.unwrap();
    let token = rig.token(orders::pseudonymise("clinic", PARTNER)).await;
    let first = rig.forward(&token, &NAMES).await;
    let back = rig.token(orders::reverse("clinic", PARTNER)).await;
    assert_eq!(rig.backward(&back, &first).await, NAMES);
    (project, first, back)
}

async fn refused(rig: &Rig, end: End, token: &str, values: &[String]) {
    let told = rig.ask(end, token, values).await.unwrap_err();
    assert_eq!((told.status, &*told.challenge), (StatusCode::UNAUTHORIZED, REFUSED));
}

#[tokio::test]
async fn who_can_reverse_no_more_does_not() {
    let rig = Rig::start().await;
    let (_, first, back) = begun(&rig, 365).await;
    let keep = vec![orders::collaborator(PARTNER, false)];
    let withdrawn = rig.collaborate("clinic", keep).await.unwrap();
    rig.seen(&withdrawn.revocation.unwrap()).await;
    refused(&rig, End::Backward, &back, &first).await;
    let still = rig.token(orders::pseudonymise("clinic", PARTNER)).await;
    assert_eq!(rig.forward(&still, &NAMES).await, first, "protecting data goes on");
}

#[tokio::test]
async fn a_revoked_token_and_a_closed_project_are_refused_alike() {
    let rig = Rig::start().await;
    let (_, first, back) = begun(&rig, 365).await;
    let forward = rig.issue(orders::pseudonymise("clinic", PARTNER)).await.unwrap();
    let revoked = rig.revoke(tokens([&forward.record.unwrap().token_id])).await.unwrap();
    rig.seen(&revoked).await;
    refused(&rig, End::Forward, &forward.token, &first).await;
    assert_eq!(rig.backward(&back, &first).await, NAMES, "only the one");

    rig.create(orders::reversible("study")).await.unwrap();
    let secondary = orders::secondary("study", OWNER, orders::source("clinic", PARTNER));
    let secondary = rig.token(secondary).await;
    let second = rig.forward(&secondary, &first).await;
    let study_back = rig.token(orders::reverse("study", OWNER)).await;
    let closed = rig.close("clinic").await.unwrap();
    rig.seen(&closed.revocation.unwrap()).await;
    refused(&rig, End::Backward, &back, &first).await;
    refused(&rig, End::Forward, &secondary, &first).await;
    assert_eq!(rig.backward(&study_back, &second).await, first, "the other project is open");
}

#[tokio::test]
async fn at_the_retention_end_key_and_mapping_are_destroyed_for_good() {
    let rig = Rig::start().await;
    let (project, first, _) = begun(&rig, 1).await;
    let kept = rig.create(orders::reversible("kept")).await.unwrap();
    let kept_token = rig.token(orders::pseudonymise(&kept.project_id, OWNER)).await;
    let kept_values = rig.forward(&kept_token, &NAMES).await;
    let Some(Method::Reversible(reversible)) = project.configuration.unwrap().method else { panic!() };
    let end = reversible.retention_end.unwrap().seconds.unsigned_abs();
    let (_, keys) = rig.kept();
    let (_, secret) = keys.iter().find(|(path, _)| path.to_string_lossy().contains("clinic_")).unwrap();
    assert_eq!((keys.len(), secret.len()), (2, 32));

    rig.advance(Duration::from_secs(end - BEGIN - 1));
    rig.fresh().await;
    let back = rig.token(orders::reverse("clinic", PARTNER)).await;
    let forward = rig.token(orders::pseudonymise("clinic", PARTNER)).await;
    assert_eq!(rig.backward(&back, &first).await, NAMES, "to the last second");
    rig.advance(Duration::from_secs(1));
    refused(&rig, End::Backward, &back, &first).await;
    refused(&rig, End::Forward, &forward, &first).await;

    let clock = Arc::<ManualClock>::clone(&rig.verifier_clock);
    let severing = tokio::spawn(keep_severing(Arc::clone(&rig.vault), clock));
    until("it is severed, though nobody asks", async || (rig.kept().1.len() == 1).then_some(())).await;
    // A clock that is set back revives nothing: the layer ended for good. The mapping goes right after the key.
    rig.verifier_clock.set_wall(common::timestamp::Timestamp::from_seconds(BEGIN).unwrap());
    until("the mapping is gone too", async || {
        let told = rig.reverse_directly("clinic", PARTNER, &first).unwrap_err();
        (told == "not a pseudonym of this layer").then_some(())
    })
    .await;
    severing.abort();
    let (mappings, keys) = rig.kept();
    let holds = |bytes: &[u8], what: &[u8]| bytes.windows(what.len()).any(|window| window == what);
    assert!(keys.len() == 1 && keys.iter().all(|(_, bytes)| !holds(bytes, secret)));
    assert!(!holds(&mappings, secret), "no key was ever in the file");
    assert!(NAMES.iter().all(|name| !holds(&mappings, name.as_bytes())), "nor a value");
    assert_eq!(rig.reverse_directly("kept", OWNER, &kept_values).unwrap(), NAMES);
}

#[tokio::test]
async fn any_access_after_the_retention_end_severs() {
    let rig = Rig::start().await;
    begun(&rig, 1).await;
    rig.create(orders::reversible("kept")).await.unwrap();
    rig.advance(Duration::from_hours(24));
    rig.fresh().await;
    assert_eq!(rig.kept().1.len(), 1);
    let token = rig.token(orders::pseudonymise("kept", OWNER)).await;
    rig.forward(&token, &NAMES).await;
    let names: Vec<_> = rig.kept().1.into_iter().map(|(path, _)| path).collect();
    assert!(names.len() == 1 && names[0].to_string_lossy().contains("kept_"), "{names:?}");
    assert_eq!(rig.vault.sever(rig.verifier_clock_now()).unwrap(), 0, "once and for all");
}

#[tokio::test]
async fn a_verifier_that_cannot_know_or_is_gone_is_503_and_never_a_way_in() {
    let mut rig = Rig::start().await;
    let (_, first, back) = begun(&rig, 365).await;
    rig.pair.kill_issuer();
    rig.advance(Duration::from_secs(11));
    let told = rig.ask(End::Backward, &back, &first).await.unwrap_err();
    assert_eq!((told.status, &*told.retry_after), (StatusCode::SERVICE_UNAVAILABLE, "1"));
    rig.pair.kill_verifier();
    let told = rig.ask(End::Backward, &back, &first).await.unwrap_err();
    assert_eq!((told.status, &*told.retry_after), (StatusCode::SERVICE_UNAVAILABLE, "1"));
    assert_eq!(told.challenge, "");
}
