//! From a ledger record and its project to what the token says. Pure. Nothing of the approval gets here (rule 9).

use common::{
    project::{Method, ProjectConfiguration},
    token::claims::{Claims, Source, TokenConfiguration, TokenMethod},
};

use crate::domain::ledger::TokenRecord;

/// The claims of a recorded token; the configuration is the project's, which never changes (rules 6 and 8).
pub fn claims(
    record: &TokenRecord,
    configuration: &ProjectConfiguration,
    issuer: &str,
    audience: &str,
) -> Claims {
    let method = match configuration.method {
        Method::Reversible { retention_end, .. } => TokenMethod::Reversible { retention_end },
        Method::NotReversible => TokenMethod::NotReversible,
    };
    let source = record
        .operation
        .source()
        .map(|source| Source { project: source.project.clone(), organisation: source.organisation });
    Claims {
        issuer: issuer.to_owned(),
        audience: audience.to_owned(),
        id: record.id,
        issued_at: record.issued_at,
        not_before: record.issued_at,
        expires_at: record.expires_at,
        project: record.project.clone(),
        kind: record.token_type(),
        organisation: record.organisation,
        configuration: TokenConfiguration {
            method,
            treatment: configuration.treatment,
            output_format: configuration.output_format,
        },
        source,
        recorded: record.recorded,
        holder: record.holder,
    }
}
