//! From what the use cases answer to the wire. Never fails.

use common::{
    convert::{project as convert_project, values},
    project::Project,
    proto::v1 as pb,
    revocation::{
        entry::Reason,
        rule::{Rule, Scope},
    },
};

use crate::{
    application::{
        revoke::Revoked,
        tokens::{Known, State},
    },
    domain::ledger::TokenRecord,
};

/// A project, with its etag.
pub fn project(project: &Project) -> pb::Project {
    convert_project::project(project, etag(project.version))
}

/// The etag of a version.
pub fn etag(version: u64) -> String {
    version.to_string()
}

/// A durable revocation.
pub fn revoked(revoked: &Revoked) -> pb::RevokeResponse {
    pb::RevokeResponse {
        cursor: Some(values::cursor(revoked.cursor)),
        durable_copies: revoked.copies,
        visible_to: count(revoked.visible_to),
        followers: count(revoked.followers),
        effective_by: Some(values::timestamp(revoked.effective_by)),
    }
}

/// A record with its state.
pub fn known(known: &Known) -> pb::TokenRecord {
    let (state, revocation) = match &known.state {
        State::Live => (pb::TokenState::Live, None),
        State::Expired => (pb::TokenState::Expired, None),
        State::Revoked(cut) => {
            let entry = cut.entry.as_ref();
            let revocation = pb::TokenRevocation {
                cursor: Some(values::cursor(cut.cursor)),
                rule: entry.map(|(rule, _, _)| words(rule)).unwrap_or_default(),
                reason: entry.map_or(0, |(_, reason, _)| i32::from(reason.code())),
                record_time: entry.map(|(_, _, at)| values::timestamp(*at)),
            };
            (pb::TokenState::Revoked, Some(revocation))
        }
    };
    pb::TokenRecord { state: state.into(), revocation, ..record(&known.record) }
}

/// A record of a token that is live now.
pub fn record(record: &TokenRecord) -> pb::TokenRecord {
    pb::TokenRecord {
        token_id: record.id.to_string(),
        token_type: values::token_type(record.token_type()).into(),
        project_id: record.project.to_string(),
        organisation_id: record.organisation.to_string(),
        source: record.operation.source().map(|source| values::source(&source.project, source.organisation)),
        approval_request_id: record.approval_request.as_str().to_owned(),
        issue_time: Some(values::timestamp(record.issued_at)),
        expire_time: Some(values::timestamp(record.expires_at)),
        key_id: record.key.to_string(),
        recorded: Some(values::cursor(record.recorded)),
        state: pb::TokenState::Live.into(),
        revocation: None,
    }
}

/// A count on the wire.
pub fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// From the wire: one of the closed list.
pub fn read_reason(given: i32) -> Option<Reason> {
    u8::try_from(given).ok().and_then(Reason::from_code)
}

/// `token`, `key`, or the scope's fields.
fn words(rule: &Rule) -> String {
    let Scope { token_type, project, organisation, source_project, source_organisation } = match rule {
        Rule::Token(_) => return "token".to_owned(),
        Rule::Key(_) => return "key".to_owned(),
        Rule::Scope(scope) => scope,
    };
    let parts = [
        project.as_ref().map(|id| format!("project={id}")),
        organisation.map(|id| format!("organisation={id}")),
        source_project.as_ref().map(|id| format!("source_project={id}")),
        source_organisation.map(|id| format!("source_organisation={id}")),
        token_type.map(|kind| format!("token_type={kind}")),
    ];
    let words: Vec<_> = parts.into_iter().flatten().collect();
    if words.is_empty() { "everything".to_owned() } else { words.join(" ") }
}

#[cfg(test)]
mod tests {
    use common::{organisation_id::OrganisationId, token::kind::TokenType};

    use super::*;

    #[test]
    fn a_rule_is_told_in_words() {
        let scope = Scope {
            project: Some("p1".parse().unwrap()),
            token_type: Some(TokenType::Reverse),
            ..Scope::default()
        };
        assert_eq!(words(&Rule::Scope(scope)), "project=p1 token_type=REVERSE");
        assert_eq!(words(&Rule::Scope(Scope::default())), "everything");
        let organisation = OrganisationId::from_bytes([1; 16]);
        let scope = Scope { organisation: Some(organisation), ..Scope::default() };
        assert_eq!(words(&Rule::Scope(scope)), format!("organisation={organisation}"));
    }

    #[test]
    fn the_reasons_of_log_and_wire_have_the_same_numbers() {
        for reason in Reason::ALL {
            assert_eq!(read_reason(i32::from(reason.code())), Some(reason));
            assert!(pb::RevocationReason::try_from(i32::from(reason.code())).is_ok());
        }
        assert_eq!(pb::RevocationReason::TokenLeaked as i32, i32::from(Reason::TokenLeaked.code()));
        assert_eq!(pb::RevocationReason::DataLost as i32, i32::from(Reason::DataLost.code()));
        assert_eq!([read_reason(0), read_reason(10), read_reason(-1)], [None, None, None]);
    }
}
