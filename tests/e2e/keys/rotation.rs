//! A token key takes over from another one.

use std::time::Duration;

use common::proto::v1::{self as pb, KeyRole, RefusalReason};
use harness::{
    expect, keys,
    orders::{self, OWNER},
    pair::{Pair, Setup},
    programs::Programs,
    until,
};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

/// No token lives longer than a minute.
const SHORT: [(&str, &str); 3] = [
    ("LIMITS__PSEUDONYMISATION__LIFETIME", "1m"),
    ("LIMITS__REVERSE__LIFETIME", "1m"),
    ("LIMITS__SECONDARY__LIFETIME", "1m"),
];

fn missing(status: &Status, what: &str) -> Option<String> {
    status.get_details_error_info().unwrap().metadata.get(what).cloned()
}

async fn rotated(pair: &Pair, id: &str) -> pb::ActivateKeyResponse {
    pair.prepare(id).await.unwrap();
    until("the verifier holds it", async || {
        pair.key(id).await.filter(|key| key.followers_with == 1).map(drop)
    })
    .await;
    for _ in 0..3 {
        pair.advance(Duration::from_secs(20));
        pair.beat().await;
    }
    pair.activate(id, false).await.unwrap()
}

#[tokio::test]
async fn section_6_a_rotation_by_hand_refuses_no_good_token() {
    let pair = Pair::with(Setup { issuer: SHORT.to_vec(), ..Setup::default() }).await;
    pair.create(orders::reversible("study")).await.unwrap();
    let old = pair.view().await.unwrap().key_ids[0].clone();
    let listed = pair.key(&old).await.unwrap();
    assert_eq!((listed.role(), listed.bits, &*listed.algorithm), (KeyRole::Active, 3072, "PS256"));
    assert!(listed.signs_here && listed.held_by == ["1"] && listed.followers_with == 1, "{listed:?}");

    let new = keys::put_new(&pair.path("keys"), 1);
    let listed = pair.key(&new).await.unwrap();
    assert_eq!((listed.role(), listed.bits, listed.since), (KeyRole::Unused, 2048, None));
    assert_eq!(expect::reason(&pair.activate(&new, true).await.unwrap_err()), "KEY_NOT_PREPARED");
    assert_eq!(pair.prepare(&new).await.unwrap().role(), KeyRole::Prepared);
    let early = pair.activate(&new, false).await.unwrap_err();
    assert_eq!((early.code(), &*expect::reason(&early)), (Code::FailedPrecondition, "KEY_NOT_EVERYWHERE"));
    assert!(missing(&early, "published_until").is_some());

    let before = pair.token(orders::pseudonymise("study", OWNER)).await;
    let activated = rotated(&pair, &new).await;
    let retired = activated.retired.unwrap();
    assert_eq!((&*retired.key_id, retired.role()), (&*old, KeyRole::Retired));
    assert!(activated.risks.is_empty() && activated.key.unwrap().signs_here);
    let again = pair.activate(&new, false).await.unwrap();
    assert!(again.retired.is_none(), "activated once");
    for (answer, reason) in [
        (pair.retire(&new).await.err(), "KEY_ACTIVE"),
        (pair.activate(&old, true).await.err(), "KEY_RETIRED"),
        (pair.prepare(&old).await.err(), "KEY_RETIRED"),
        (pair.retire("NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs").await.err(), "NO_SUCH_KEY"),
    ] {
        assert_eq!(expect::reason(&answer.unwrap()), reason);
    }
    // Tokens of both are good, each for as long as it lives.
    let after = pair.token(orders::pseudonymise("study", OWNER)).await;
    assert_eq!(pair.accepted(&after).await.key_id, new);
    let late = pair.refused(&before).await;
    assert_eq!(late, RefusalReason::Expired, "it lived for a minute");
    let until_end = retired.until.unwrap().seconds - retired.since.unwrap().seconds;
    assert_eq!(until_end, 60 + 30, "the longest lifetime, and half a minute for stragglers");
    for _ in 0..9 {
        assert_eq!(pair.view().await.unwrap().key_ids.len(), 2, "until its last token has expired");
        pair.advance(Duration::from_secs(9));
        pair.beat().await;
    }
    until("the old key has left the key set", async || {
        (pair.view().await.unwrap().key_ids == [new.clone()]).then_some(())
    })
    .await;
    assert!(pair.key(&old).await.is_none());
}

#[tokio::test]
async fn section_6_who_lacks_a_key_is_named_and_force_says_what_it_risks() {
    let mut pair = Pair::with(Setup { issuer: SHORT.to_vec(), ..Setup::default() }).await;
    let new = keys::put_new(&pair.path("keys"), 1);
    pair.kill_verifier();
    pair.prepare(&new).await.unwrap();
    pair.issuer_clock.advance(Duration::from_secs(62));
    let refused = pair.activate(&new, false).await.unwrap_err();
    assert_eq!(missing(&refused, "followers").as_deref(), Some("follower-a"));
    assert_eq!(missing(&refused, "published_until"), None);
    let forced = pair.activate(&new, true).await.unwrap();
    assert!(forced.risks.len() == 1 && forced.risks[0].contains("follower-a"), "{:?}", forced.risks);
    // What is dead for longer than its longest lease holds nobody up.
    let next = keys::put_new(&pair.path("keys"), 2);
    pair.prepare(&next).await.unwrap();
    pair.issuer_clock.advance(Duration::from_secs(15 * 60 + 1));
    until("its row is gone", async || pair.activate(&next, false).await.ok()).await;
}

#[tokio::test]
async fn a_key_that_is_revoked_or_does_not_exist_gets_no_role_and_bad_fields_are_named() {
    let pair = Pair::with(Setup { token_keys: 2, ..Setup::default() }).await;
    let ids = pair.view().await.unwrap().key_ids;
    let revoked = pair.revoke(harness::calls::Selector::KeyId(ids[0].clone())).await.unwrap();
    pair.seen(&revoked).await;
    until("its role is known", async || {
        pair.key(&ids[0]).await.filter(|key| key.role() == KeyRole::Revoked).map(drop)
    })
    .await;
    for answer in [
        pair.prepare(&ids[0]).await.err(),
        pair.activate(&ids[0], true).await.map(drop).err(),
        pair.retire(&ids[0]).await.err(),
    ] {
        assert_eq!(expect::reason(&answer.unwrap()), "KEY_REVOKED");
    }
    let page = |page_size: i32, page_token: String| {
        let mut keys = pair.keys();
        async move { keys.list_keys(pb::ListKeysRequest { page_size, page_token }).await }
    };
    let first = page(1, String::new()).await.unwrap().into_inner();
    let second = page(1, first.next_page_token).await.unwrap().into_inner();
    let listed = [&first.keys[0].key_id, &second.keys[0].key_id];
    assert_eq!((listed, &*second.next_page_token), ([&ids[0], &ids[1]], ""));
    for (answer, field) in [
        (page(1_001, String::new()).await.map(drop), "page_size"),
        (page(0, "x".to_owned()).await.map(drop), "page_token"),
        (pair.prepare("short").await.map(drop), "key_id"),
    ] {
        let bad = answer.unwrap_err().get_details_bad_request().unwrap();
        assert_eq!(bad.field_violations[0].field, field);
    }
}

#[tokio::test]
async fn by_schedule_the_newest_key_of_the_folder_takes_over_when_it_is_time() {
    let mut issuer = SHORT.to_vec();
    issuer.push(("KEYS__ROTATE_EVERY", "1h"));
    let pair = Pair::with(Setup { issuer, ..Setup::default() }).await;
    pair.create(orders::reversible("study")).await.unwrap();
    let old = pair.view().await.unwrap().key_ids[0].clone();
    let new = keys::put_new(&pair.path("keys"), 1);
    until("it is published, so that it can take over at any time", async || {
        pair.key(&new).await.filter(|key| key.followers_with == 1).map(drop)
    })
    .await;
    for _ in 0..11 {
        pair.advance(Duration::from_mins(5));
        pair.beat().await;
    }
    assert_eq!(pair.key(&old).await.unwrap().role(), KeyRole::Active);
    let before = pair.token(orders::pseudonymise("study", OWNER)).await;
    pair.advance(Duration::from_mins(5));
    pair.beat().await;
    until("it signs", async || pair.key(&new).await.filter(|key| key.signs_here)).await;
    let after = pair.token(orders::pseudonymise("study", OWNER)).await;
    assert_eq!(pair.accepted(&after).await.key_id, new);
    assert_eq!(pair.refused(&before).await, RefusalReason::Expired);
    let trail = std::fs::read_to_string(pair.path("audit.jsonl")).unwrap();
    assert_eq!(trail.lines().filter(|line| line.contains("\"actor\":\"schedule\"")).count(), 2, "{trail}");
}

#[tokio::test]
async fn the_key_set_has_a_tag_and_an_age_and_keys_are_measured() {
    let programs = Programs::start().await;
    let page = programs.issuer.page("/.well-known/jwks.json").await;
    let header = |name: &str| {
        let found = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        found.unwrap_or_else(|| panic!("{name} in {page}")).to_owned()
    };
    assert_eq!(header("cache-control"), "public, max-age=60, must-revalidate");
    let tag = header("etag");
    let again =
        programs.issuer.page_with("/.well-known/jwks.json", &format!("if-none-match: {tag}\r\n")).await;
    assert!(again.starts_with("HTTP/1.1 304"), "{again}");
    assert!(again.ends_with("\r\n\r\n"), "no body: {again}");
    let metrics = programs.issuer.page("/metrics").await;
    for line in ["ipms_keys{role=\"active\"} 1", "ipms_keys{role=\"prepared\"} 0", "ipms_key_age_seconds "] {
        assert!(metrics.contains(line), "{line} in {metrics}");
    }
}
