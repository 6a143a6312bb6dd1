//! What is told of an accepted token to whatever stands behind a proxy: headers, and the same as a struct. Never the token.

use common::{
    timestamp::Timestamp,
    token::claims::{Claims, TokenMethod},
};
use prost_types::{Struct, Value, value::Kind};

use crate::application::verify::Accepted;

/// The headers, all of them; `docs/PROXIES.md` has the same list, and a test compares the two. What a token does not say is
/// taken out of the request: it could only be the client's word.
pub const HEADERS: [&str; 13] = [
    "x-ipms-token-id",
    "x-ipms-token-type",
    "x-ipms-organisation-id",
    "x-ipms-project-id",
    "x-ipms-method",
    "x-ipms-retention-end",
    "x-ipms-treatment",
    "x-ipms-output-alphabet",
    "x-ipms-output-length",
    "x-ipms-source-project-id",
    "x-ipms-source-organisation-id",
    "x-ipms-expire-time",
    "x-ipms-usable-until",
];

/// Each header with its value, if the token says it.
pub(super) fn headers(accepted: &Accepted) -> impl Iterator<Item = (&'static str, Option<String>)> {
    let claims = accepted.token.claims();
    let configuration = &claims.configuration;
    let source = claims.source.as_ref();
    let values = [
        Some(claims.id.to_string()),
        Some(claims.kind.to_string()),
        Some(claims.organisation.to_string()),
        Some(claims.project.to_string()),
        Some(method(claims).to_owned()),
        configuration.method.retention_end().map(|end| end.to_string()),
        Some(configuration.treatment.as_str().to_owned()),
        Some(configuration.output_format.alphabet().as_str().to_owned()),
        Some(configuration.output_format.length().to_string()),
        source.map(|source| source.project.to_string()),
        source.map(|source| source.organisation.to_string()),
        Some(claims.expires_at.to_string()),
        Some(accepted.usable_until.to_string()),
    ];
    HEADERS.into_iter().zip(values)
}

/// The same, shaped as `ipms.token.v1.AcceptedToken` is in JSON.
pub(super) fn metadata(accepted: &Accepted) -> Struct {
    let claims = accepted.token.claims();
    let configuration = &claims.configuration;
    let format = configuration.output_format;
    let retention_end = configuration.method.retention_end().map(instant);
    let source = claims.source.as_ref().map(|source| {
        nested([
            ("project_id", Some(text(&source.project))),
            ("organisation_id", Some(text(&source.organisation))),
        ])
    });
    let output_format = nested([
        ("alphabet", Some(text(format.alphabet().as_str()))),
        ("length", Some(Kind::NumberValue(f64::from(format.length())))),
    ]);
    let project = nested([
        ("project_id", Some(text(&claims.project))),
        ("method", Some(text(method(claims)))),
        ("retention_end", retention_end),
        ("treatment", Some(text(configuration.treatment.as_str()))),
        ("output_format", Some(output_format)),
    ]);
    fields([
        ("token_id", Some(text(&claims.id))),
        ("token_type", Some(text(&claims.kind))),
        ("organisation_id", Some(text(&claims.organisation))),
        ("project", Some(project)),
        ("source", source),
        ("expire_time", Some(instant(claims.expires_at))),
        ("usable_until", Some(instant(accepted.usable_until))),
    ])
}

const fn method(claims: &Claims) -> &'static str {
    match claims.configuration.method {
        TokenMethod::Reversible { .. } => "REVERSIBLE",
        TokenMethod::NotReversible => "NOT_REVERSIBLE",
    }
}

fn text(value: &(impl ToString + ?Sized)) -> Kind {
    Kind::StringValue(value.to_string())
}

fn instant(at: Timestamp) -> Kind {
    text(&at)
}

fn nested<const N: usize>(given: [(&str, Option<Kind>); N]) -> Kind {
    Kind::StructValue(fields(given))
}

fn fields<const N: usize>(given: [(&str, Option<Kind>); N]) -> Struct {
    let present =
        given.into_iter().filter_map(|(name, kind)| Some((name.to_owned(), Value { kind: Some(kind?) })));
    Struct { fields: present.collect() }
}
