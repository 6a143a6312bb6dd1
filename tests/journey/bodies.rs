//! Bodies, content types and credentials: what is taken, what is answered, and in which shape.

use harness::orders::{self, OWNER};
use http::{
    StatusCode,
    header::{AUTHORIZATION, CONTENT_TYPE},
};

use crate::rig::{End, NAMES, Rig};

async fn rig() -> (Rig, String, String) {
    let rig = Rig::start().await;
    rig.create(orders::reversible("study")).await.unwrap();
    let token = rig.token(orders::pseudonymise("study", OWNER)).await;
    let back = rig.token(orders::reverse("study", OWNER)).await;
    (rig, format!("Bearer {token}"), format!("Bearer {back}"))
}

#[tokio::test]
async fn an_answer_has_the_shape_of_its_question() {
    let (rig, token, back) = rig().await;
    let csv = |token| [(AUTHORIZATION, token), (CONTENT_TYPE, "text/csv; charset=UTF-8")];
    let line = "\"Zoë Mystery, the first\",\"Quentin \"\"Q\"\" Quux\",Yvonne von Yonder";
    let told = rig.send(End::Forward, &csv(&token), format!("{line}\r\n").as_bytes()).await;
    assert_eq!((told.status, &*told.kind), (StatusCode::OK, "text/csv; charset=utf-8"));
    let as_json = rig.forward(token.strip_prefix("Bearer ").unwrap(), &NAMES).await;
    assert_eq!(told.text.split(',').collect::<Vec<_>>(), as_json, "the same values, another shape");
    let told = rig.send(End::Backward, &csv(&back), told.text.as_bytes()).await;
    assert_eq!((told.status, &*told.text), (StatusCode::OK, line));
    let json = rig.tell(End::Backward, back.strip_prefix("Bearer ").unwrap(), &as_json).await;
    assert_eq!((json.status, &*json.kind), (StatusCode::OK, "application/json"));
}

#[tokio::test]
async fn a_bad_body_is_413_415_or_422() {
    let (rig, token, _) = rig().await;
    let json = "application/json";
    let large = format!("{{\"data\": [\"{}\"]}}", "x".repeat(1 << 20));
    let many = format!("{{\"data\": [{}\"x\"]}}", "\"x\",".repeat(10_000));
    let long = format!("{{\"data\": [\"{}\"]}}", "x".repeat(1_025));
    let (data, csv) = (&br#"{"data": ["x"]}"#[..], "text/csv");
    for (kind, body, status) in [
        (json, data, 200),
        ("Application/JSON; Charset=utf-8", data, 200),
        (csv, b"x", 200),
        (csv, b"x\n", 200),
        (json, large.as_bytes(), 413),
        ("", data, 415),
        ("text/plain", data, 415),
        ("application/json; charset=latin1", data, 415),
        ("application/jsonl", data, 415),
        (json, b"", 422),
        (json, b"[\"x\"]", 422),
        (json, br#"{"data": "x"}"#, 422),
        (json, br#"{"data": [1]}"#, 422),
        (json, br#"{"data": []}"#, 422),
        (json, br#"{"data": [""]}"#, 422),
        (json, br#"{"data": ["x"], "project": "other"}"#, 422),
        (json, br#"{"data": ["x"]} x"#, 422),
        (json, b"{\"data\": [\"\xff\"]}", 422),
        (json, many.as_bytes(), 422),
        (json, long.as_bytes(), 422),
        (csv, b"", 422),
        (csv, b"x,,y", 422),
        (csv, b"x\ny", 422),
        (csv, b"x\"y\"", 422),
        (csv, b"\"x", 422),
        (csv, b"\"x\"y", 422),
        (csv, b"\xff", 422),
    ] {
        let headers = [(AUTHORIZATION, &*token), (CONTENT_TYPE, kind)];
        let headers = if kind.is_empty() { &headers[..1] } else { &headers };
        let told = rig.send(End::Forward, headers, body).await;
        let shown = String::from_utf8_lossy(body.get(..60).unwrap_or(body)).into_owned();
        assert_eq!(told.status.as_u16(), status, "{kind}: {shown}");
    }
}

#[tokio::test]
async fn no_credentials_get_a_bare_challenge_and_every_refusal_the_same() {
    let (rig, token, back) = rig().await;
    let tampered = format!("{}A", &token[..token.len() - 1]);
    let (json, body) = ("application/json", br#"{"data": ["x"]}"#);
    for (given, challenge) in [
        (None, "Bearer"),
        (Some("Basic YTpi"), "Bearer"),
        (Some("Bearer nonsense"), r#"Bearer error="invalid_token""#),
        (Some("Bearer"), r#"Bearer error="invalid_token""#),
        (Some(&*tampered), r#"Bearer error="invalid_token""#),
        (Some(&*back), r#"Bearer error="invalid_token""#),
    ] {
        let headers = [(CONTENT_TYPE, json), (AUTHORIZATION, given.unwrap_or_default())];
        let headers = if given.is_some() { &headers[..] } else { &headers[..1] };
        let told = rig.send(End::Forward, headers, body).await;
        assert_eq!((told.status, &*told.challenge), (StatusCode::UNAUTHORIZED, challenge));
        assert_eq!((&*told.text, &*told.kind), ("", ""));
    }
}
