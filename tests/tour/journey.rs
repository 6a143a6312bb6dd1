//! The journey of one list of names through the component: two levels up, and back a level at a time. Draws nothing.

use std::{collections::BTreeSet, fs, io, path::Path};

use common::proto::v1::{
    Alphabet, Collaborator, CreateProjectRequest, IssueTokenRequest, OutputFormat, ProjectConfiguration,
    Retention, Reversible, Source, TokenType, Treatment, project_configuration::Method,
};
use serde_json::{Value, json};

use crate::{
    clients::Clients,
    component::{Component, End},
    kept::unkept,
    show,
    unmet::{Outcome, Unmet, call},
    walk::{self, HOSPITAL, REGISTRY},
};

/// The list.
const NAMES: [&str; 3] = ["Ada Lovelace", "Grace Hopper", "Rosalind Franklin"];
/// Characters of a pseudonym, on both levels.
const LENGTH: u32 = 32;

/// What was seen at each stage, in the order of the list.
#[derive(Debug)]
pub(crate) struct Journey {
    /// Of the hospital, where the first level is made.
    pub(crate) clinic: String,
    /// Of the registry, where the second level is made.
    pub(crate) research: String,
    /// What went in.
    pub(crate) values: Vec<String>,
    /// What the hospital got for them.
    pub(crate) first: Vec<String>,
    /// What the registry got for those.
    pub(crate) second: Vec<String>,
    /// What the registry got back for the second level.
    pub(crate) first_again: Vec<String>,
    /// What the hospital got back for the first.
    pub(crate) values_again: Vec<String>,
}

/// Walks it. Every stage must be what it has to be, and every short cut must be refused.
pub(crate) async fn walked(clients: &mut Clients, component: &Component) -> Outcome<Journey> {
    show::heading("The journey of one list of names");
    let suffix = walk::suffix()?;
    let (clinic, research) = (format!("clinic-{suffix}"), format!("research-{suffix}"));
    walk::create(clients, project(&clinic, HOSPITAL, &[REGISTRY], Alphabet::Hexadecimal)).await?;
    walk::create(clients, project(&research, REGISTRY, &[], Alphabet::Alphanumeric)).await?;
    let forward = token(clients, walk::request(&clinic, HOSPITAL, TokenType::Pseudonymisation)).await?;
    let source = Source { project_id: clinic.clone(), organisation_id: HOSPITAL.to_owned() };
    let secondary = walk::request(&research, REGISTRY, TokenType::Secondary);
    let secondary = token(clients, IssueTokenRequest { source: Some(source), ..secondary }).await?;
    let research_back = token(clients, walk::request(&research, REGISTRY, TokenType::Reverse)).await?;
    let clinic_back = token(clients, walk::request(&clinic, HOSPITAL, TokenType::Reverse)).await?;
    let bound = walk::request(&clinic, HOSPITAL, TokenType::Reverse);
    let certificate = Some(vec![7; 32].into());
    let bound = token(clients, IssueTokenRequest { holder_certificate_sha256: certificate, ..bound }).await?;

    let values = NAMES.map(str::to_owned).to_vec();
    show::values("values", &values);
    let first = turned(component, End::Forward, &forward, &values).await?;
    show::values(&format!("first level: the hospital's PSEUDONYMISATION token of {clinic}"), &first);
    pseudonyms("first level", &first, |c| matches!(c, '0'..='9' | 'a'..='f'), &[&values])?;
    let second = turned(component, End::Forward, &secondary, &first).await?;
    show::values(&format!("second level: the registry's SECONDARY token of {research}"), &second);
    pseudonyms("second level", &second, |c| c.is_ascii_alphanumeric(), &[&values, &first])?;
    let first_again = turned(component, End::Backward, &research_back, &second).await?;
    show::values(&format!("first level again: the registry's REVERSE token of {research}"), &first_again);
    equal("reverse of the second level", &first, &first_again)?;
    let values_again = turned(component, End::Backward, &clinic_back, &first_again).await?;
    show::values(&format!("values again: the hospital's REVERSE token of {clinic}"), &values_again);
    equal("reverse of the first level", &values, &values_again)?;

    show::heading("Ways that are none");
    let refused = r#"Bearer error="invalid_token""#;
    for (what, end, token, values, status, challenge) in [
        (
            "the registry's REVERSE token over the first level",
            End::Backward,
            &*research_back,
            &first,
            422,
            "",
        ),
        ("the hospital's REVERSE token over the second level", End::Backward, &clinic_back, &second, 422, ""),
        ("the SECONDARY token over the second level", End::Forward, &secondary, &second, 422, ""),
        ("the SECONDARY token over the values", End::Forward, &secondary, &values, 422, ""),
        ("a SECONDARY token to turn back", End::Backward, &secondary, &second, 401, refused),
        ("a REVERSE token bound to a certificate, without it", End::Backward, &bound, &first, 401, refused),
        ("no token", End::Backward, "", &first, 401, "Bearer"),
    ] {
        let told = component.ask(end, Some(token).filter(|token| !token.is_empty()), values).await?;
        if (told.status, &*told.challenge) != (status, challenge) || told.values().is_some() {
            return Err(Unmet::answer(what, format!("{status} {challenge}"), &told));
        }
        show::refusal(what, format!("{status} {challenge}").trim_end());
    }
    Ok(Journey { clinic, research, values, first, second, first_again, values_again })
}

fn project(id: &str, owner: &str, collaborators: &[&str], alphabet: Alphabet) -> CreateProjectRequest {
    let collaborator = |id: &&str| Collaborator { organisation_id: (*id).to_owned(), can_reverse: false };
    let retention = Some(Retention { years: 10, months: 0, days: 0 });
    CreateProjectRequest {
        project_id: id.to_owned(),
        owner_organisation_id: owner.to_owned(),
        collaborators: collaborators.iter().map(collaborator).collect(),
        configuration: Some(ProjectConfiguration {
            method: Some(Method::Reversible(Reversible { retention, retention_end: None })),
            treatment: Treatment::AlwaysSame.into(),
            output_format: Some(OutputFormat { alphabet: alphabet.into(), length: LENGTH }),
        }),
    }
}

async fn token(clients: &mut Clients, request: IssueTokenRequest) -> Outcome<String> {
    Ok(clients.issue(request).await.map_err(call("IssueToken"))?.token)
}

async fn turned(component: &Component, end: End, token: &str, values: &[String]) -> Outcome<Vec<String>> {
    let told = component.ask(end, Some(token), values).await?;
    told.values().ok_or_else(|| Unmet::answer(end.path(), "values", &told))
}

/// As many as names went in, all different, in the project's format, and nothing of `below` among them.
fn pseudonyms(
    step: &'static str,
    made: &[String],
    of_alphabet: fn(char) -> bool,
    below: &[&[String]],
) -> Outcome {
    let formed = |one: &String| one.chars().count() == LENGTH as usize && one.chars().all(of_alphabet);
    let distinct = made.iter().collect::<BTreeSet<_>>().len();
    let known = below.iter().any(|list| list.iter().any(|value| made.contains(value)));
    if made.len() == NAMES.len() && distinct == NAMES.len() && made.iter().all(formed) && !known {
        return Ok(());
    }
    Err(Unmet::answer(step, format!("{} new pseudonyms of {LENGTH} characters", NAMES.len()), &made))
}

fn equal(step: &'static str, expected: &[String], got: &[String]) -> Outcome {
    if expected == got { Ok(()) } else { Err(Unmet::answer(step, format!("{expected:?}"), &got)) }
}

impl Journey {
    /// Writes what was seen; no token is in it.
    pub(crate) fn write(&self, path: &Path) -> Outcome {
        let text = json!({
            "clinic": self.clinic,
            "research": self.research,
            "values": self.values,
            "first": self.first,
            "second": self.second,
            "first_again": self.first_again,
            "values_again": self.values_again,
        });
        fs::write(path, text.to_string()).map_err(unkept(path))
    }

    /// The inverse of [`Journey::write`].
    pub(crate) fn read(path: &Path) -> Outcome<Self> {
        let bytes = fs::read(path).map_err(unkept(path))?;
        let text: Value = serde_json::from_slice(&bytes).map_err(io::Error::from).map_err(unkept(path))?;
        let missing = |name: &str| unkept(path)(io::Error::other(format!("no {name}")));
        let name = |name: &str| {
            let found = text.get(name).and_then(Value::as_str);
            found.map(str::to_owned).ok_or_else(|| missing(name))
        };
        let list = |name: &str| {
            let found = text.get(name).and_then(Value::as_array);
            let strings = |list: &Vec<Value>| {
                list.iter().map(|value| value.as_str().map(str::to_owned)).collect::<Option<Vec<_>>>()
            };
            found.and_then(strings).ok_or_else(|| missing(name))
        };
        Ok(Self {
            clinic: name("clinic")?,
            research: name("research")?,
            values: list("values")?,
            first: list("first")?,
            second: list("second")?,
            first_again: list("first_again")?,
            values_again: list("values_again")?,
        })
    }
}
