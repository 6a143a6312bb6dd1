//! Rules 7 to 10, 13 and 14: what a token says, for how long, and where it is not to be found.

use std::{fs, path::Path, time::Duration};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use common::proto::v1::{self as pb, IssueTokenRequest, RefusalReason, TokenType};
use harness::{
    expect,
    orders::{self, APPROVER, ASKER, OWNER, PARTNER, PURPOSE, seconds, source},
    pair::{BEGIN, Pair},
};
use serde_json::{Value, json};

use super::pair_with_study;

const DAY: u64 = 86_400;

/// A part of the token as JSON: 0 is the header, 1 the claims.
fn part(token: &str, index: usize) -> Value {
    let text = token.split('.').nth(index).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).unwrap()).unwrap()
}

fn lifetime(token: &str) -> u64 {
    let claims = part(token, 1);
    let said = |name: &str| claims.get(name).and_then(Value::as_u64).unwrap();
    said("exp") - said("iat")
}

#[tokio::test]
async fn rule_07_a_lifetime_above_the_ceiling_is_refused_and_an_absent_one_is_the_ceiling() {
    let pair = pair_with_study().await;
    let orders = || {
        [
            (orders::pseudonymise("study", OWNER), 30 * DAY),
            (orders::secondary("study", OWNER, source("study", PARTNER)), 30 * DAY),
            (orders::reverse("study", OWNER), 3_600),
        ]
    };
    for (order, ceiling) in orders() {
        assert_eq!(lifetime(&pair.token(order.clone()).await), ceiling);
        let most = i64::try_from(ceiling).unwrap();
        let asked = |span| IssueTokenRequest { lifetime: Some(seconds(span)), ..order.clone() };
        assert_eq!(lifetime(&pair.token(asked(most)).await), ceiling);
        assert_eq!(lifetime(&pair.token(asked(1)).await), 1);
        for bad in [most + 1, 0, -1] {
            assert_eq!(expect::fields(&pair.issue(asked(bad)).await.unwrap_err()), ["lifetime"], "{bad}");
        }
    }
}

#[tokio::test]
async fn rule_07_a_token_ends_with_its_projects_retention() {
    let pair = Pair::start().await;
    pair.create(orders::retained("short", 0, 0, 2)).await.unwrap();
    assert_eq!(lifetime(&pair.token(orders::pseudonymise("short", OWNER)).await), 2 * DAY);
    let span = i64::try_from(2 * DAY).unwrap() + 1;
    let longer = IssueTokenRequest { lifetime: Some(seconds(span)), ..orders::pseudonymise("short", OWNER) };
    assert_eq!(expect::fields(&pair.issue(longer).await.unwrap_err()), ["lifetime"]);
    pair.advance(Duration::from_secs(2 * DAY - 60));
    assert_eq!(lifetime(&pair.token(orders::reverse("short", OWNER)).await), 60);
}

#[tokio::test]
async fn rule_07_a_secondary_token_ends_with_the_earlier_of_both_retentions() {
    let pair = Pair::start().await;
    for (id, days) in [("one-day", 1), ("two-days", 2)] {
        pair.create(orders::retained(id, 0, 0, days)).await.unwrap();
    }
    for (project, from) in [("one-day", "two-days"), ("two-days", "one-day")] {
        let token = pair.token(orders::secondary(project, OWNER, source(from, OWNER))).await;
        assert_eq!(lifetime(&token), DAY, "{project} from {from}");
    }
}

#[tokio::test]
async fn rule_08_the_token_carries_the_projects_configuration() {
    let pair = Pair::start().await;
    let created = pair.create(orders::reversible("study")).await.unwrap().configuration.unwrap();
    let token = pair.token(orders::pseudonymise("study", OWNER)).await;
    let accepted = pair.accepted(&token).await.project.unwrap();
    let decoded = accepted.configuration.unwrap();
    assert_eq!((decoded.treatment, decoded.output_format), (created.treatment, created.output_format));
    let end = |configuration: Option<pb::project_configuration::Method>| match configuration.unwrap() {
        pb::project_configuration::Method::Reversible(reversible) => reversible.retention_end,
        pb::project_configuration::Method::NotReversible(_) => None,
    };
    assert_eq!(end(decoded.method), end(created.method));
    assert!(end(decoded.method).is_some());
}

#[tokio::test]
async fn rule_09_the_token_says_exactly_what_it_must() {
    let pair = pair_with_study().await;
    let kid =
        pair.trust().get_key_set(pb::GetKeySetRequest {}).await.unwrap().into_inner().keys[0].kid.clone();
    let issued = pair.issue(orders::reverse("study", PARTNER)).await.unwrap();
    assert_eq!(part(&issued.token, 0), json!({ "alg": "PS256", "typ": "ipms-token+jwt", "kid": kid }));
    let project = json!({
        "method": "REVERSIBLE",
        "retention_end": BEGIN + 366 * DAY,
        "treatment": "ALWAYS_SAME",
        "output_format": { "alphabet": "HEXADECIMAL", "length": 40 },
    });
    let claims = json!({
        "iss": "ipms",
        "aud": "incert",
        "jti": issued.record.unwrap().token_id,
        "iat": BEGIN,
        "nbf": BEGIN,
        "exp": BEGIN + 3_600,
        "sub": "study",
        "token_type": "REVERSE",
        "organisation": PARTNER,
        "project": project,
        "recorded": { "epoch": 1, "sequence": 1 },
        "schema": 1,
    });
    assert_eq!(part(&issued.token, 1), claims);
    for told in [ASKER, APPROVER, PURPOSE, "request-1"] {
        assert!(!claims.to_string().contains(told));
    }
}

#[tokio::test]
async fn rule_09_source_and_holder_are_said_where_there_are_some() {
    let pair = pair_with_study().await;
    let order = IssueTokenRequest {
        holder_certificate_sha256: Some(vec![7; 32].into()),
        ..orders::secondary("study", OWNER, source("study", PARTNER))
    };
    let token = pair.token(order).await;
    let claims = part(&token, 1);
    assert_eq!(claims["source"], json!({ "project": "study", "organisation": PARTNER }));
    assert_eq!(claims["cnf"], json!({ "x5t#S256": URL_SAFE_NO_PAD.encode([7; 32]) }));
    assert_eq!(pair.refused(&token).await, RefusalReason::WrongHolder);
    let shown = |holder: [u8; 32]| pb::VerifyTokenRequest {
        holder_certificate_sha256: Some(holder.to_vec().into()),
        ..harness::calls::question(&token)
    };
    let ask = async |question| pair.verifying().verify_token(question).await.unwrap().into_inner();
    let accepted = ask(shown([7; 32])).await.verdict.unwrap();
    assert!(matches!(accepted, pb::verify_token_response::Verdict::Accepted(_)));
    let refused = ask(shown([8; 32])).await.verdict.unwrap();
    assert!(matches!(refused, pb::verify_token_response::Verdict::Refused(_)));
}

/// Whether a file below the folder holds the bytes.
fn found_below(folder: &Path, needle: &[u8]) -> bool {
    fs::read_dir(folder).unwrap().any(|entry| {
        let path = entry.unwrap().path();
        if path.is_dir() {
            return found_below(&path, needle);
        }
        fs::read(&path).unwrap().windows(needle.len()).any(|window| window == needle)
    })
}

#[tokio::test]
async fn rule_10_the_token_is_in_no_file() {
    let mut pair = pair_with_study().await;
    let issued = pair.issue(orders::reverse("study", OWNER)).await.unwrap();
    pair.accepted(&issued.token).await;
    pair.end_verifier().await;
    pair.end_issuer().await;
    let folder = pair.path("");
    let id = issued.record.unwrap().token_id;
    assert!(found_below(&folder, id.as_bytes()), "the audit trail names the id");
    for part in issued.token.split('.').skip(1) {
        assert!(!found_below(&folder, part.as_bytes()));
        assert!(!found_below(&folder, &URL_SAFE_NO_PAD.decode(part).unwrap()));
    }
}

#[tokio::test]
async fn rule_13_a_token_of_another_issuer_or_for_another_audience_is_refused() {
    let pair = Pair::with(harness::pair::Setup {
        issuer: vec![("TOKEN__AUDIENCE", "elsewhere")],
        ..harness::pair::Setup::default()
    })
    .await;
    pair.create(orders::reversible("study")).await.unwrap();
    let token = pair.token(orders::pseudonymise("study", OWNER)).await;
    assert_eq!(pair.refused(&token).await, RefusalReason::WrongAudience);
}

#[tokio::test]
async fn rule_13_the_verifier_judges_retention_by_its_own_clock() {
    let pair = Pair::start().await;
    pair.create(orders::retained("short", 0, 0, 1)).await.unwrap();
    let token = pair.token(orders::pseudonymise("short", OWNER)).await;
    pair.verifier_clock.advance(Duration::from_secs(DAY - 1));
    pair.fresh().await;
    pair.accepted(&token).await;
    pair.verifier_clock.advance(Duration::from_secs(1));
    let ended = pair.refused(&token).await;
    assert!(matches!(ended, RefusalReason::Expired | RefusalReason::RetentionEnded), "{ended:?}");
}

#[tokio::test]
async fn rule_14_ids_are_canonical() {
    let pair = Pair::start().await;
    for bad in ["", "Study", "study_1", "a b", &"a".repeat(65)] {
        let refused = pair.create(orders::reversible(bad)).await.unwrap_err();
        assert_eq!(expect::fields(&refused), ["project_id"], "{bad:?}");
    }
    for bad in ["", "owner", &OWNER.to_uppercase(), &OWNER.replace('-', "")] {
        let mut request = orders::reversible("study");
        request.owner_organisation_id = bad.to_owned();
        assert_eq!(expect::fields(&pair.create(request).await.unwrap_err()), ["owner_organisation_id"]);
    }
    pair.create(orders::reversible(&"a-0".repeat(21))).await.unwrap();
    let kinds = [TokenType::Pseudonymisation, TokenType::Reverse];
    for kind in kinds {
        let order = orders::order(kind, "study", &OWNER.to_uppercase());
        assert_eq!(expect::fields(&pair.issue(order).await.unwrap_err()), ["organisation_id"]);
    }
}
