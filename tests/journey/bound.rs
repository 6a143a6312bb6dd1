//! Tokens that are bound to a holder's certificate (RFC 8705): of use to nobody who does not show it.

use common::proto::v1::IssueTokenRequest;
use harness::orders::{self, OWNER, PARTNER};
use http::{
    StatusCode,
    header::{AUTHORIZATION, CONTENT_TYPE, HeaderName},
};

use crate::rig::{End, NAMES, Rig, SHOWN, Told};

/// The certificate's number, in the rig's own way of showing one.
const HOLDERS: &str = "3";

fn bound(order: IssueTokenRequest) -> IssueTokenRequest {
    IssueTokenRequest { holder_certificate_sha256: Some(vec![3; 32].into()), ..order }
}

async fn ask(rig: &Rig, end: End, token: &str, shown: Option<&str>, values: &[String]) -> Told {
    let bearer = format!("Bearer {token}");
    let headers: [(HeaderName, &str); 3] =
        [(AUTHORIZATION, &bearer), (CONTENT_TYPE, "application/json"), (SHOWN, shown.unwrap_or_default())];
    let headers = if shown.is_some() { &headers[..] } else { &headers[..2] };
    let body = serde_json::json!({ "data": values }).to_string();
    rig.send(end, headers, body.as_bytes()).await
}

#[tokio::test]
async fn a_bound_token_makes_the_whole_journey_with_its_certificate_and_no_step_without() {
    let rig = Rig::start().await;
    for name in ["clinic", "study"] {
        rig.create(orders::reversible(name)).await.unwrap();
    }
    let names: Vec<_> = NAMES.map(str::to_owned).to_vec();
    let mut values = names.clone();
    let mut stages = Vec::new();
    for (order, end) in [
        (orders::pseudonymise("clinic", OWNER), End::Forward),
        (orders::secondary("study", PARTNER, orders::source("clinic", OWNER)), End::Forward),
        (orders::reverse("study", PARTNER), End::Backward),
        (orders::reverse("clinic", OWNER), End::Backward),
    ] {
        let token = rig.token(bound(order)).await;
        for shown in [None, Some("4")] {
            let told = ask(&rig, end, &token, shown, &values).await;
            let refused = (StatusCode::UNAUTHORIZED, r#"Bearer error="invalid_token""#, "");
            assert_eq!((told.status, &*told.challenge, &*told.text), refused, "{shown:?}");
        }
        let told = ask(&rig, end, &token, Some(HOLDERS), &values).await;
        assert_eq!(told.status, StatusCode::OK, "{told:?}");
        let answer: serde_json::Value = serde_json::from_str(&told.text).unwrap();
        values = serde_json::from_value(answer["data"].clone()).unwrap();
        stages.push(values.clone());
    }
    assert_eq!((&stages[2], &stages[3]), (&stages[0], &names));
    assert!(stages[1] != stages[0] && stages[0] != names);
}

#[tokio::test]
async fn a_token_that_is_not_bound_may_be_held_by_anybody() {
    let rig = Rig::start().await;
    rig.create(orders::reversible("clinic")).await.unwrap();
    let token = rig.token(orders::pseudonymise("clinic", OWNER)).await;
    for shown in [None, Some(HOLDERS)] {
        let told = ask(&rig, End::Forward, &token, shown, &[NAMES[0].to_owned()]).await;
        assert_eq!(told.status, StatusCode::OK);
    }
}
