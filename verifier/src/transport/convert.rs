//! Questions from the wire, every bad field at once, and answers to it. No token text ever leaves here.

use common::{
    convert::{Violations, project, values},
    proto::v1::{self as pb, project_configuration::Method, verify_token_response::Verdict as Wire},
    token::{
        claims::{Claims, TokenConfiguration, TokenMethod},
        kind::TokenType,
    },
    verification::Refusal,
};

use crate::{
    application::verify::{Accepted, Question, Undecided, Verdict},
    domain::{
        alarm::Alarm,
        trust_view::{Position, TrustView, TypeTrust},
    },
};

/// The most questions of a batch.
const MOST_QUESTIONS: usize = 64;

/// From the wire.
pub(super) fn question(given: &pb::VerifyTokenRequest) -> Result<Question<'_>, Violations> {
    let mut violations = Violations::default();
    let read = read_question("", given, &mut violations);
    violations.finish(read)
}

/// From the wire: fields are named as `requests[3].accepted_types`.
pub(super) fn questions(given: &pb::VerifyTokensRequest) -> Result<Vec<Question<'_>>, Violations> {
    let mut violations = Violations::default();
    if !(1..=MOST_QUESTIONS).contains(&given.requests.len()) {
        violations.add("requests", format_args!("must be 1 to {MOST_QUESTIONS}"));
        return violations.finish(None);
    }
    let indexed = given.requests.iter().enumerate();
    let read: Vec<_> = indexed
        .map(|(index, one)| read_question(&format!("requests[{index}]."), one, &mut violations))
        .collect();
    violations.finish(read.into_iter().collect())
}

/// To the wire.
pub(super) fn verdict(verdict: &Verdict, view: Position) -> pb::VerifyTokenResponse {
    response(decided(verdict), view)
}

/// To the wire: what cannot be decided is told in its place.
pub(super) fn verdicts(answers: &[Result<Verdict, Undecided>], view: Position) -> pb::VerifyTokensResponse {
    let one = |answer: &Result<Verdict, Undecided>| match answer {
        Ok(verdict) => decided(verdict),
        Err(why) => {
            Wire::Undecided(pb::UndecidedToken { reason: why.reason().to_owned(), detail: why.to_string() })
        }
    };
    pb::VerifyTokensResponse { responses: answers.iter().map(|answer| response(one(answer), view)).collect() }
}

/// To the wire.
pub(super) fn trust_view(view: &TrustView, alarms: &[Alarm], follower_id: &str) -> pb::GetTrustViewResponse {
    let undecidable = view.undecidable().map(|(kind, why)| format!("{kind} cannot be decided: {why}"));
    pb::GetTrustViewResponse {
        view: Some(position(view.position)),
        key_ids: view.keys.iter().map(ToString::to_string).collect(),
        entries: view.entries,
        types: TokenType::ALL.into_iter().map(|kind| type_trust(kind, view.types.get(kind))).collect(),
        follower_id: follower_id.to_owned(),
        log_time: Some(values::timestamp(view.log_time)),
        alarms: undecidable.chain(alarms.iter().map(ToString::to_string)).collect(),
    }
}

fn read_question<'a>(
    above: &str,
    given: &'a pb::VerifyTokenRequest,
    violations: &mut Violations,
) -> Option<Question<'a>> {
    let field = |name: &str| format!("{above}{name}");
    let accepted_types = read_types(&field("accepted_types"), &given.accepted_types, violations);
    let staleness = field("max_staleness");
    let max_staleness = match given.max_staleness {
        None => Some(None),
        Some(given) => values::read_duration(&staleness, given, violations).and_then(|span| {
            let positive = if span.is_zero() { Err("must be more than zero") } else { Ok(Some(span)) };
            violations.check(&staleness, positive)
        }),
    };
    let holder = match given.holder_certificate_sha256.as_deref() {
        None => Some(None),
        Some(bytes) => violations.check(
            &field("holder_certificate_sha256"),
            <[u8; 32]>::try_from(bytes).ok().map(Some).ok_or("must be 32 bytes"),
        ),
    };
    Some(Question {
        token: &given.token,
        accepted_types: accepted_types?,
        at_least: given.at_least.map(values::read_cursor),
        max_staleness: max_staleness?,
        holder: holder?,
    })
}

fn read_types(field: &str, given: &[i32], violations: &mut Violations) -> Option<Vec<TokenType>> {
    if given.is_empty() {
        violations.add(field, "must name at least one type");
        return None;
    }
    let mut kinds = Vec::new();
    for (index, kind) in given.iter().enumerate() {
        let kind = values::read_token_type(&format!("{field}[{index}]"), *kind, violations);
        // A type named again says nothing new.
        kinds.extend(kind.filter(|kind| !kinds.contains(kind)));
    }
    (!kinds.is_empty()).then_some(kinds)
}

fn response(verdict: Wire, view: Position) -> pb::VerifyTokenResponse {
    pb::VerifyTokenResponse { verdict: Some(verdict), view: Some(position(view)) }
}

fn decided(verdict: &Verdict) -> Wire {
    match verdict {
        Verdict::Accepted(token) => Wire::Accepted(accepted(token)),
        Verdict::Refused(refusal) => Wire::Refused(refused(*refusal)),
    }
}

fn accepted(accepted: &Accepted) -> pb::AcceptedToken {
    let claims: &Claims = accepted.token.claims();
    pb::AcceptedToken {
        token_id: claims.id.to_string(),
        token_type: values::token_type(claims.kind).into(),
        organisation_id: claims.organisation.to_string(),
        project: Some(pb::AcceptedProject {
            project_id: claims.project.to_string(),
            configuration: Some(configuration(claims.configuration)),
        }),
        source: claims.source.as_ref().map(|source| values::source(&source.project, source.organisation)),
        issue_time: Some(values::timestamp(claims.issued_at)),
        expire_time: Some(values::timestamp(claims.expires_at)),
        key_id: accepted.token.key_id().to_string(),
        usable_until: Some(values::timestamp(accepted.usable_until)),
    }
}

/// A token tells the end of the retention, not the years, months and days that it was made of.
fn configuration(configuration: TokenConfiguration) -> pb::ProjectConfiguration {
    let method = match configuration.method {
        TokenMethod::Reversible { retention_end } => Method::Reversible(pb::Reversible {
            retention: None,
            retention_end: Some(values::timestamp(retention_end)),
        }),
        TokenMethod::NotReversible => Method::NotReversible(pb::NotReversible {}),
    };
    pb::ProjectConfiguration {
        method: Some(method),
        treatment: project::treatment(configuration.treatment).into(),
        output_format: Some(project::output_format(configuration.output_format)),
    }
}

fn refused(refusal: Refusal) -> pb::RefusedToken {
    pb::RefusedToken { reason: refusal.number().into(), detail: refusal.to_string() }
}

fn position(position: Position) -> pb::TrustPosition {
    pb::TrustPosition {
        cursor: Some(values::cursor(position.cursor)),
        age: position.age.map(values::duration),
    }
}

fn type_trust(kind: TokenType, trust: &TypeTrust) -> pb::TypeTrust {
    pb::TypeTrust {
        token_type: values::token_type(kind).into(),
        staleness: trust.limit.map(|limit| values::duration(limit.staleness)),
        lifetime: trust.limit.map(|limit| values::duration(limit.lifetime)),
        decidable: trust.decidable.is_ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(violations: &Violations) -> Vec<&str> {
        violations.found().iter().map(|one| one.field.as_str()).collect()
    }

    fn bad() -> pb::VerifyTokenRequest {
        pb::VerifyTokenRequest {
            token: "secret".to_owned(),
            accepted_types: vec![2, 0, 9],
            at_least: None,
            max_staleness: Some(prost_types::Duration::default()),
            holder_certificate_sha256: Some(vec![1; 31].into()),
        }
    }

    #[test]
    fn every_bad_field_is_named_at_once_and_no_token_is_quoted() {
        let found = question(&bad()).err().unwrap();
        assert_eq!(
            fields(&found),
            ["accepted_types[1]", "accepted_types[2]", "max_staleness", "holder_certificate_sha256"]
        );
        assert!(!format!("{found:?}").contains("secret"));
        let good =
            pb::VerifyTokenRequest { accepted_types: vec![3, 2, 3], ..pb::VerifyTokenRequest::default() };
        let read = question(&good).ok().unwrap();
        assert_eq!(read.accepted_types, [TokenType::Secondary, TokenType::Reverse]);
        let given = pb::VerifyTokensRequest { requests: vec![good, pb::VerifyTokenRequest::default()] };
        assert_eq!(fields(&questions(&given).err().unwrap()), ["requests[1].accepted_types"]);
    }

    #[test]
    fn a_batch_has_1_to_64_questions() {
        let good = pb::VerifyTokenRequest { accepted_types: vec![1], ..pb::VerifyTokenRequest::default() };
        for (count, taken) in [(0, false), (1, true), (64, true), (65, false)] {
            let given = pb::VerifyTokensRequest { requests: vec![good.clone(); count] };
            assert_eq!(questions(&given).is_ok(), taken, "{count}");
        }
    }

    #[test]
    fn refusals_have_the_numbers_and_names_of_the_wire() {
        let all = [
            Refusal::Malformed,
            Refusal::UnsupportedAlgorithm,
            Refusal::UnknownKey,
            Refusal::BadSignature,
            Refusal::WrongIssuer,
            Refusal::WrongAudience,
            Refusal::Expired,
            Refusal::NotYetValid,
            Refusal::LifetimeTooLong,
            Refusal::RetentionEnded,
            Refusal::WrongType,
            Refusal::Contradictory,
            Refusal::UnsupportedSchema(7),
            Refusal::Revoked,
            Refusal::WrongHolder,
        ];
        for (refusal, code) in all.into_iter().zip(Refusal::CODES) {
            assert_eq!(refused(refusal).reason().as_str_name(), format!("REFUSAL_REASON_{code}"));
        }
        assert!(refused(Refusal::UnsupportedSchema(7)).detail.contains("schema 7"));
    }
}
