//! Questions from the wire, every bad field at once, and answers to it. No token text ever leaves here.

use common::{
    convert::{Violations, project, values},
    proto::v1::{self as pb, project_configuration::Method, verify_token_response::Verdict as Wire},
    token::{
        claims::{TokenConfiguration, TokenMethod},
        kind::TokenType,
    },
    verification::{Live, Refusal},
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

/// A question as it came, whatever it was read into.
#[derive(Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) token: &'a str,
    pub(super) accepted_types: &'a [i32],
    pub(super) at_least: Option<pb::Cursor>,
    pub(super) max_staleness: Option<prost_types::Duration>,
    pub(super) holder: Option<&'a [u8]>,
}

impl<'a> From<&'a pb::VerifyTokenRequest> for Asked<'a> {
    fn from(given: &'a pb::VerifyTokenRequest) -> Self {
        Self {
            token: &given.token,
            accepted_types: &given.accepted_types,
            at_least: given.at_least,
            max_staleness: given.max_staleness,
            holder: given.holder_certificate_sha256.as_deref(),
        }
    }
}

/// From the wire.
pub(super) fn question(asked: Asked<'_>) -> Result<Question<'_>, Violations> {
    let mut violations = Violations::default();
    let read = read_question(None, asked, &mut violations);
    violations.finish(read)
}

/// From the wire: fields are named as `requests[3].accepted_types`.
pub(super) fn questions<'a>(
    given: impl ExactSizeIterator<Item = Asked<'a>>,
) -> Result<Vec<Question<'a>>, Violations> {
    let mut violations = Violations::default();
    if !(1..=MOST_QUESTIONS).contains(&given.len()) {
        violations.add("requests", format_args!("must be 1 to {MOST_QUESTIONS}"));
        return violations.finish(None);
    }
    let read: Vec<_> =
        given.enumerate().map(|(index, asked)| read_question(Some(index), asked, &mut violations)).collect();
    violations.finish(read.into_iter().collect())
}

/// To the wire.
pub(super) fn verdict(verdict: &Verdict, view: Position) -> pb::VerifyTokenResponse {
    pb::VerifyTokenResponse { view: Some(position(view)), ..response(decided(verdict)) }
}

/// To the wire: what cannot be decided is told in its place.
pub(super) fn verdicts(answers: &[Result<Verdict, Undecided>], view: Position) -> pb::VerifyTokensResponse {
    let one = |answer: &Result<Verdict, Undecided>| pb::VerifyTokenResponse {
        view: Some(position(view)),
        ..response(answer.as_ref().map_or_else(|why| undecided(*why), decided))
    };
    pb::VerifyTokensResponse { responses: answers.iter().map(one).collect() }
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
    place: Option<usize>,
    asked: Asked<'a>,
    violations: &mut Violations,
) -> Option<Question<'a>> {
    // Made only for what is given: on the way of an ordinary question nothing is named.
    let field = |name: &str| match place {
        None => name.to_owned(),
        Some(index) => format!("requests[{index}].{name}"),
    };
    let accepted_types = read_types(|| field("accepted_types"), asked.accepted_types, violations);
    let max_staleness = match asked.max_staleness {
        None => Some(None),
        Some(given) => {
            let staleness = field("max_staleness");
            values::read_duration(&staleness, given, violations).and_then(|span| {
                let positive = if span.is_zero() { Err("must be more than zero") } else { Ok(Some(span)) };
                violations.check(&staleness, positive)
            })
        }
    };
    let holder = match asked.holder {
        None => Some(None),
        Some(bytes) => violations.check(
            &field("holder_certificate_sha256"),
            <[u8; 32]>::try_from(bytes).ok().map(Some).ok_or("must be 32 bytes"),
        ),
    };
    Some(Question {
        token: asked.token,
        accepted_types: accepted_types?,
        at_least: asked.at_least.map(values::read_cursor),
        max_staleness: max_staleness?,
        holder: holder?,
        audience: None,
    })
}

fn read_types(
    field: impl Fn() -> String,
    given: &[i32],
    violations: &mut Violations,
) -> Option<Vec<TokenType>> {
    if given.is_empty() {
        violations.add(field(), "must name at least one type");
        return None;
    }
    let mut kinds = Vec::with_capacity(TokenType::ALL.len());
    for (index, number) in given.iter().enumerate() {
        let kind = match u8::try_from(*number).ok().and_then(TokenType::from_code) {
            Some(kind) => Some(kind),
            None => values::read_token_type(&format!("{}[{index}]", field()), *number, violations),
        };
        // A type named again says nothing new.
        kinds.extend(kind.filter(|kind| !kinds.contains(kind)));
    }
    (!kinds.is_empty()).then_some(kinds)
}

/// Without the view that it was judged on.
pub(super) fn response(verdict: Wire) -> pb::VerifyTokenResponse {
    pb::VerifyTokenResponse { verdict: Some(verdict), view: None }
}

/// To the wire.
pub(super) fn decided(verdict: &Verdict) -> Wire {
    match verdict {
        Verdict::Accepted(accepted) => Wire::Accepted(pb::AcceptedToken {
            usable_until: usable_until(accepted).usable_until,
            ..token(&accepted.token)
        }),
        Verdict::Refused(refusal) => Wire::Refused(refused(*refusal)),
    }
}

/// To the wire.
pub(super) fn undecided(why: Undecided) -> Wire {
    Wire::Undecided(pb::UndecidedToken { reason: why.reason().to_owned(), detail: why.to_string() })
}

/// What differs from call to call.
pub(super) fn usable_until(accepted: &Accepted) -> pb::AcceptedToken {
    let usable_until = Some(values::timestamp(accepted.usable_until));
    pb::AcceptedToken { usable_until, ..pb::AcceptedToken::default() }
}

/// What is the same at every call.
pub(super) fn token(token: &Live) -> pb::AcceptedToken {
    let claims = token.claims();
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
        key_id: token.key_id().to_string(),
        usable_until: None,
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

pub(super) fn position(position: Position) -> pb::TrustPosition {
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
        let found = question((&bad()).into()).err().unwrap();
        assert_eq!(
            fields(&found),
            ["accepted_types[1]", "accepted_types[2]", "max_staleness", "holder_certificate_sha256"]
        );
        assert!(!format!("{found:?}").contains("secret"));
        let good =
            pb::VerifyTokenRequest { accepted_types: vec![3, 2, 3], ..pb::VerifyTokenRequest::default() };
        let read = question((&good).into()).ok().unwrap();
        assert_eq!(read.accepted_types, [TokenType::Secondary, TokenType::Reverse]);
        let given = pb::VerifyTokensRequest { requests: vec![good, pb::VerifyTokenRequest::default()] };
        assert_eq!(
            fields(&questions(given.requests.iter().map(Asked::from)).err().unwrap()),
            ["requests[1].accepted_types"]
        );
    }

    #[test]
    fn a_batch_has_1_to_64_questions() {
        let good = pb::VerifyTokenRequest { accepted_types: vec![1], ..pb::VerifyTokenRequest::default() };
        for (count, taken) in [(0, false), (1, true), (64, true), (65, false)] {
            let given = pb::VerifyTokensRequest { requests: vec![good.clone(); count] };
            assert_eq!(questions(given.requests.iter().map(Asked::from)).is_ok(), taken, "{count}");
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
