//! What an issuer tells verifiers, as bytes, and what these bytes mean: for a reader that knows docs/TOKEN.md only.

use std::{fs, path::Path};

use common::{
    encoding::encode,
    key_id::KeyId,
    keys::PublicKey,
    revocation::{
        entry::{Body, Entry, Reason, unpack},
        rule::{Rule, Scope},
    },
    token::kind::TokenType,
    token_id::TokenId,
};
use issuer::application::{
    projects,
    realm::Realm,
    revoke::{Selector, project_scope, revoke},
};
use serde_json::{Value, json};

/// Revokes by every kind of rule, and writes `<algorithm>.log.json`.
pub(crate) async fn write(folder: &Path, algorithm: &str, realm: &Realm) {
    let everything = Scope { token_type: Some(TokenType::Secondary), ..Scope::default() };
    let layer = project_scope("project-b".parse().unwrap(), None, Some(TokenType::Reverse));
    for selector in [
        Selector::Tokens(vec![TokenId::from_bytes([5; 16]), TokenId::from_bytes([6; 16])]),
        Selector::Key(KeyId::from_bytes([7; 32])),
        Selector::Scope(everything),
        Selector::Scope(layer),
    ] {
        revoke(realm, selector, Reason::Operator, String::new(), "interop").await.unwrap();
    }
    projects::close_project(realm, &"project-a".parse().unwrap(), 1, "interop").await.unwrap();

    let published = realm.log.published();
    let (head, trust) = (published.head.statement(), published.trust.statement());
    let runs = published.chunks.after(0).unwrap();
    let entries: Vec<Entry> = runs.iter().flat_map(|run| unpack(&run.bytes).unwrap()).collect();
    let limits = TokenType::ALL.map(|kind| {
        let limit = trust.limits.get(kind);
        json!([limit.lifetime.as_secs(), u64::try_from(limit.staleness.as_millis()).unwrap()])
    });
    let signed = |signed: &common::trust::Signed| json!({ "bytes": encode(&signed.bytes), "signature": encode(&signed.signature), "key": signed.key.to_string() });
    let told = json!({
        "alg": algorithm,
        "head": signed(published.head.signed()),
        "trust": signed(published.trust.signed()),
        "runs": runs.iter().map(|run| encode(&run.bytes)).collect::<Vec<_>>(),
        "means": {
            "issuer": head.issuer,
            "realm": head.realm,
            "epoch": head.epoch,
            "sequence": head.end.sequence,
            "log_time": head.log_time.seconds(),
            "keys": trust.keys.iter().map(|key: &PublicKey| key.id().to_string()).collect::<Vec<_>>(),
            "limits": limits,
            "entries": entries.iter().map(meaning).collect::<Vec<_>>(),
        },
    });
    fs::write(folder.join(format!("{algorithm}.log.json")), told.to_string()).unwrap();
}

fn meaning(entry: &Entry) -> Value {
    let times = json!([entry.recorded_at.seconds(), entry.expires_at.seconds()]);
    match &entry.body {
        Body::Genesis(carried) => json!({ "times": times, "genesis": carried.len() }),
        Body::Rule { rule, reason, cut, project } => json!({
            "times": times,
            "reason": reason.code(),
            "cut": [cut.epoch, cut.sequence],
            "rule": match rule {
                Rule::Token(id) => json!({ "token": id.to_string() }),
                Rule::Key(id) => json!({ "key": id.to_string() }),
                Rule::Scope(scope) => json!({ "scope": {
                    "type": scope.token_type.map(TokenType::code),
                    "project": scope.project.as_ref().map(ToString::to_string),
                    "organisation": scope.organisation.map(|id| id.to_string()),
                    "source_project": scope.source_project.as_ref().map(ToString::to_string),
                    "source_organisation": scope.source_organisation.map(|id| id.to_string()),
                }}),
            },
            "project": project.as_ref().map(|(id, version)| json!([id.to_string(), version])),
        }),
    }
}
