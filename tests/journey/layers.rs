//! Rule 5: who gets where from what, and nobody any further.

use std::sync::Arc;

use common::{
    clock::ManualClock,
    revocation::lease::BootId,
    runtime::{settings_file::SettingsFile, shutdown::Shutdown},
};
use harness::{
    orders::{self, OTHER, OWNER, PARTNER},
    pair::Pair,
    until,
};
use http::StatusCode;
use verifier::{application::verify::Verifier, wiring};

use crate::rig::{End, NAMES, Rig};

const NO: StatusCode = StatusCode::UNPROCESSABLE_ENTITY;

/// `clinic` makes the first level, `study` the second one of it.
async fn two_projects(rig: &Rig) {
    rig.create(orders::reversible("clinic")).await.unwrap();
    rig.create(orders::reversible("study")).await.unwrap();
}

#[tokio::test]
async fn values_go_two_levels_up_and_come_back_a_level_at_a_time() {
    let rig = Rig::start().await;
    two_projects(&rig).await;
    let clinic = rig.token(orders::pseudonymise("clinic", OWNER)).await;
    let first = rig.forward(&clinic, &NAMES).await;
    let secondary = orders::secondary("study", PARTNER, orders::source("clinic", OWNER));
    let secondary = rig.token(secondary).await;
    let second = rig.forward(&secondary, &first).await;
    assert!(first.iter().chain(&second).all(|pseudonym| pseudonym.len() == 40));
    assert!(first.iter().all(|pseudonym| !second.contains(pseudonym)));

    let study_back = rig.token(orders::reverse("study", PARTNER)).await;
    assert_eq!(rig.backward(&study_back, &second).await, first, "one step, to the first level");
    assert_eq!(rig.fails(End::Backward, &study_back, &first).await, NO, "and no step further");

    let clinic_back = rig.token(orders::reverse("clinic", OWNER)).await;
    assert_eq!(rig.backward(&clinic_back, &first).await, NAMES);
    assert_eq!(rig.fails(End::Backward, &clinic_back, &second).await, NO, "no step is left out");
}

#[tokio::test]
async fn a_pseudonym_of_another_layer_or_domain_fails_and_yields_nothing() {
    let rig = Rig::start().await;
    two_projects(&rig).await;
    let clinic = rig.token(orders::pseudonymise("clinic", OWNER)).await;
    let partners = rig.token(orders::pseudonymise("clinic", PARTNER)).await;
    let first = rig.forward(&clinic, &NAMES).await;
    let other = rig.forward(&partners, &NAMES).await;
    assert!(first.iter().all(|one| !other.contains(one)), "each (project, organisation) has its own");
    let of_owner = rig.token(orders::secondary("study", PARTNER, orders::source("clinic", OWNER))).await;
    let of_partner = rig.token(orders::secondary("study", PARTNER, orders::source("clinic", PARTNER))).await;
    let second = rig.forward(&of_owner, &first).await;

    for (token, values, why) in [
        (&of_owner, &other, "another organisation's first level"),
        (&of_partner, &first, "the source is the partner's, not the owner's"),
        (&of_owner, &second, "there is no third level"),
    ] {
        assert_eq!(rig.fails(End::Forward, token, values).await, NO, "{why}");
    }
    let mixed = [&first[..1], &other[..1]].concat();
    assert_eq!(rig.fails(End::Forward, &of_owner, &mixed).await, NO, "all or none");
    assert_eq!(rig.fails(End::Forward, &of_owner, &NAMES).await, NO, "originals are no pseudonyms");
    let upper: Vec<_> = first.iter().map(|one| one.to_uppercase()).collect();
    assert_eq!(rig.fails(End::Forward, &of_owner, &upper).await, NO, "as it was written, or not at all");

    for (organisation, values) in [(PARTNER, &first), (OWNER, &other)] {
        let back = rig.token(orders::reverse("clinic", organisation)).await;
        assert_eq!(rig.fails(End::Backward, &back, values).await, NO);
        let back = rig.token(orders::reverse("study", organisation)).await;
        assert_eq!(rig.fails(End::Backward, &back, values).await, NO);
    }
}

#[tokio::test]
async fn a_reverse_token_takes_every_layer_of_its_domain_at_once() {
    let rig = Rig::start().await;
    two_projects(&rig).await;
    rig.create(orders::reversible("clinic-0")).await.unwrap();
    let mut seconds = Vec::new();
    let mut firsts = Vec::new();
    for clinic in ["clinic", "clinic-0"] {
        let token = rig.token(orders::pseudonymise(clinic, OWNER)).await;
        let first = rig.forward(&token, &NAMES[..1]).await;
        let secondary = orders::secondary("study", OTHER, orders::source(clinic, OWNER));
        seconds.extend(rig.forward(&rig.token(secondary).await, &first).await);
        firsts.extend(first);
    }
    let own = rig.token(orders::pseudonymise("study", OTHER)).await;
    seconds.extend(rig.forward(&own, &NAMES[1..2]).await);
    firsts.push(NAMES[1].to_owned());
    rig.collaborate("study", vec![orders::collaborator(OTHER, true)]).await.unwrap();
    let back = rig.token(orders::reverse("study", OTHER)).await;
    assert_eq!(rig.backward(&back, &seconds).await, firsts);
}

#[tokio::test]
async fn each_endpoint_takes_its_own_types_only() {
    let rig = Rig::start().await;
    two_projects(&rig).await;
    let forward = [
        orders::pseudonymise("clinic", OWNER),
        orders::secondary("study", PARTNER, orders::source("clinic", OWNER)),
    ];
    for order in forward {
        let token = rig.token(order).await;
        assert_eq!(rig.fails(End::Backward, &token, &NAMES).await, StatusCode::UNAUTHORIZED);
    }
    let back = rig.token(orders::reverse("clinic", OWNER)).await;
    assert_eq!(rig.fails(End::Forward, &back, &NAMES).await, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_verifier_in_the_components_own_process_judges_alike() {
    let pair = Pair::start().await;
    let variables = [
        ("ISSUER__ENDPOINTS", format!("http://{}", pair.issuer_address())),
        ("ISSUER__LOG_KEYS", pair.path("keys/log.public.pem").display().to_string()),
    ];
    let variables = variables.into_iter().map(|(name, value)| (format!("VERIFIER_{name}"), value));
    let file = SettingsFile::new(toml::Table::new(), variables, "VERIFIER_");
    let settings = verifier::settings::Settings::read(file, "component-a").unwrap();
    let shutdown = Shutdown::manual();
    let clock = Arc::<ManualClock>::clone(&pair.verifier_clock);
    let embedded = wiring::embed(&settings, clock, BootId([2; 16]), shutdown.clone()).unwrap();
    let judge: Arc<Verifier> = embedded.verifier;
    until("the embedded verifier has heard everything", async || {
        let types = judge.trust_view().types;
        [types.reverse, types.secondary, types.pseudonymisation]
            .iter()
            .all(|one| one.decidable.is_ok())
            .then_some(())
    })
    .await;
    let rig = Rig::judged_by(pair, judge).await;
    two_projects(&rig).await;
    let token = rig.token(orders::pseudonymise("clinic", OWNER)).await;
    let first = rig.forward(&token, &NAMES).await;
    let back = rig.issue(orders::reverse("clinic", OWNER)).await.unwrap();
    assert_eq!(rig.backward(&back.token, &first).await, NAMES);
    let id = back.record.unwrap().token_id;
    let revoked = rig.revoke(harness::calls::tokens([&id])).await.unwrap();
    rig.seen(&revoked).await;
    assert_eq!(rig.fails(End::Backward, &back.token, &first).await, StatusCode::UNAUTHORIZED);
    shutdown.begin();
    embedded.following.await.unwrap();
}
