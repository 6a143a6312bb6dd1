//! How the tour writes what it saw, for people. Calls nobody.

use common::proto::v1::{
    AcceptedToken, Collaborator, Cursor, IssueTokenResponse, Project, ProjectConfiguration, RefusedToken,
    project_configuration::Method,
};
use prost_types::Timestamp;

/// A heading.
pub(crate) fn heading(text: &str) {
    println!("\n== {text}");
}

/// A project as created.
pub(crate) fn project(role: &str, project: &Project) {
    println!("{role}: {} of {}", project.project_id, project.owner_organisation_id);
    for Collaborator { organisation_id, can_reverse } in &project.collaborators {
        let may = if *can_reverse { "can reverse" } else { "cannot reverse" };
        println!("  collaborator   {organisation_id}, {may}");
    }
    configuration(project.configuration.as_ref());
    println!("  created        {}", time(project.create_time.as_ref()));
}

/// A token as issued: its beginning only.
pub(crate) fn token(issued: &IssueTokenResponse) {
    let Some(record) = &issued.record else { return };
    let start: String = issued.token.chars().take(24).collect();
    println!("{}", short(record.token_type().as_str_name()));
    println!("  id             {}", record.token_id);
    println!("  expires        {}", time(record.expire_time.as_ref()));
    println!("  token          {start}… ({} characters)", issued.token.len());
}

/// An accepted token, decoded.
pub(crate) fn accepted(accepted: &AcceptedToken) {
    println!("{} accepted", short(accepted.token_type().as_str_name()));
    println!("  id             {}", accepted.token_id);
    println!("  organisation   {}", accepted.organisation_id);
    if let Some(project) = &accepted.project {
        println!("  project        {}", project.project_id);
        configuration(project.configuration.as_ref());
    }
    if let Some(source) = &accepted.source {
        println!("  source         {} of {}", source.project_id, source.organisation_id);
    }
    println!("  expires        {}", time(accepted.expire_time.as_ref()));
    println!("  usable until   {}", time(accepted.usable_until.as_ref()));
}

/// A list, under what it is.
pub(crate) fn values(what: &str, values: &[String]) {
    println!("{what}");
    for value in values {
        println!("  {value}");
    }
}

/// One refusal.
pub(crate) fn refusal(what: &str, told: &str) {
    println!("{what}\n  {told}");
}

/// A verifier's refusal, as one line.
pub(crate) fn verdict(refused: &RefusedToken) -> String {
    format!("refused {} – {}", short(refused.reason().as_str_name()), refused.detail)
}

/// A log position.
pub(crate) fn cursor(cursor: Option<&Cursor>) -> String {
    cursor.map_or_else(|| "none".to_owned(), |it| format!("epoch {} sequence {}", it.epoch, it.sequence))
}

/// An instant, or `none`.
pub(crate) fn time(at: Option<&Timestamp>) -> String {
    at.map_or_else(|| "none".to_owned(), ToString::to_string)
}

fn configuration(configuration: Option<&ProjectConfiguration>) {
    let Some(configuration) = configuration else { return };
    let method = match &configuration.method {
        Some(Method::Reversible(reversible)) => {
            format!("reversible until {}", time(reversible.retention_end.as_ref()))
        }
        Some(Method::NotReversible(_)) => "not reversible".to_owned(),
        None => "none".to_owned(),
    };
    println!("  method         {method}");
    println!("  treatment      {}", short(configuration.treatment().as_str_name()));
    if let Some(format) = &configuration.output_format {
        println!("  output format  {}, {} characters", short(format.alphabet().as_str_name()), format.length);
    }
}

/// A name of an enum without the name of its type.
pub(crate) fn short(name: &str) -> &str {
    ["TOKEN_TYPE_", "TREATMENT_", "ALPHABET_", "REFUSAL_REASON_"]
        .into_iter()
        .find_map(|prefix| name.strip_prefix(prefix))
        .unwrap_or(name)
}
