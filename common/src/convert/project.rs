//! Projects on the wire. What is output only is never read.

use crate::{
    convert::{Violations, values},
    organisation_id::OrganisationId,
    project::{
        Alphabet, Collaborator, Method, OutputFormat, Project, ProjectConfiguration, Retention, Treatment,
    },
    proto::v1::{self as pb, project_configuration::Method as Wire},
    timestamp::Timestamp,
};

/// The most collaborators of a project.
pub const MOST_COLLABORATORS: usize = 1_000;

/// To the wire. `etag` is the caller's to make: it is opaque here.
pub fn project(project: &Project, etag: String) -> pb::Project {
    pb::Project {
        project_id: project.id.to_string(),
        owner_organisation_id: project.owner.to_string(),
        collaborators: project.collaborators.iter().map(collaborator).collect(),
        configuration: Some(configuration(&project.configuration)),
        create_time: Some(values::timestamp(project.created)),
        close_time: project.closed.map(values::timestamp),
        etag,
    }
}

/// To the wire, with the retention end.
pub fn configuration(configuration: &ProjectConfiguration) -> pb::ProjectConfiguration {
    let method = match configuration.method {
        Method::Reversible { retention, retention_end } => Wire::Reversible(pb::Reversible {
            retention: Some(pb::Retention {
                years: retention.years(),
                months: retention.months(),
                days: retention.days(),
            }),
            retention_end: Some(values::timestamp(retention_end)),
        }),
        Method::NotReversible => Wire::NotReversible(pb::NotReversible {}),
    };
    pb::ProjectConfiguration {
        method: Some(method),
        treatment: treatment(configuration.treatment).into(),
        output_format: Some(output_format(configuration.output_format)),
    }
}

/// To the wire.
pub const fn treatment(treatment: Treatment) -> pb::Treatment {
    match treatment {
        Treatment::AlwaysDifferent => pb::Treatment::AlwaysDifferent,
        Treatment::AlwaysSame => pb::Treatment::AlwaysSame,
    }
}

/// To the wire.
pub fn output_format(format: OutputFormat) -> pb::OutputFormat {
    let alphabet = match format.alphabet() {
        Alphabet::Alphanumeric => pb::Alphabet::Alphanumeric,
        Alphabet::Numeric => pb::Alphabet::Numeric,
        Alphabet::Hexadecimal => pb::Alphabet::Hexadecimal,
        Alphabet::Uuid => pb::Alphabet::Uuid,
    };
    pb::OutputFormat { alphabet: alphabet.into(), length: format.length() }
}

/// From the wire, for a project that is created now: `created` fixes the retention end for good (rule 6).
pub fn read_configuration(
    given: Option<&pb::ProjectConfiguration>,
    created: Timestamp,
    violations: &mut Violations,
) -> Option<ProjectConfiguration> {
    let given = violations.required("configuration", given)?;
    let method = match violations.required("configuration.method", given.method.as_ref()) {
        Some(Wire::Reversible(reversible)) => read_retention(reversible.retention, created, violations),
        Some(Wire::NotReversible(_)) => Some(Method::NotReversible),
        None => None,
    };
    let treatment = read_treatment(given.treatment(), violations);
    let output_format = read_output_format(given.output_format, violations);
    Some(ProjectConfiguration { method: method?, treatment: treatment?, output_format: output_format? })
}

/// From the wire: zero and what this version does not know are refused.
pub fn read_treatment(given: pb::Treatment, violations: &mut Violations) -> Option<Treatment> {
    match given {
        pb::Treatment::AlwaysDifferent => Some(Treatment::AlwaysDifferent),
        pb::Treatment::AlwaysSame => Some(Treatment::AlwaysSame),
        pb::Treatment::Unspecified => {
            violations.add("configuration.treatment", "must be ALWAYS_DIFFERENT or ALWAYS_SAME");
            None
        }
    }
}

/// From the wire: each organisation once, never the owner; in the order of their ids.
pub fn read_collaborators(
    owner: Option<OrganisationId>,
    given: &[pb::Collaborator],
    violations: &mut Violations,
) -> Option<Vec<Collaborator>> {
    if given.len() > MOST_COLLABORATORS {
        violations.add("collaborators", "must be at most 1,000");
        return None;
    }
    let mut seen = std::collections::BTreeMap::new();
    let mut good = true;
    for (index, one) in given.iter().enumerate() {
        let field = format!("collaborators[{index}].organisation_id");
        let Some(organisation) = values::read_id(&field, &one.organisation_id, violations) else {
            good = false;
            continue;
        };
        if owner == Some(organisation) {
            violations.add(&field, "must not be the owner");
            good = false;
        }
        if seen.insert(organisation, one.can_reverse).is_some() {
            violations.add(&field, "must be named once only");
            good = false;
        }
    }
    let sorted =
        seen.into_iter().map(|(organisation, can_reverse)| Collaborator { organisation, can_reverse });
    good.then(|| sorted.collect())
}

fn collaborator(one: &Collaborator) -> pb::Collaborator {
    pb::Collaborator { organisation_id: one.organisation.to_string(), can_reverse: one.can_reverse }
}

fn read_retention(
    given: Option<pb::Retention>,
    created: Timestamp,
    violations: &mut Violations,
) -> Option<Method> {
    let field = "configuration.reversible.retention";
    let given = violations.required(field, given)?;
    let retention = violations.check(field, Retention::new(given.years, given.months, given.days))?;
    let retention_end = violations.check(field, retention.end(created))?;
    Some(Method::Reversible { retention, retention_end })
}

/// From the wire: an alphabet, and a length that fits it.
pub fn read_output_format(
    given: Option<pb::OutputFormat>,
    violations: &mut Violations,
) -> Option<OutputFormat> {
    let given = violations.required("configuration.output_format", given)?;
    let alphabet = match given.alphabet() {
        pb::Alphabet::Alphanumeric => Alphabet::Alphanumeric,
        pb::Alphabet::Numeric => Alphabet::Numeric,
        pb::Alphabet::Hexadecimal => Alphabet::Hexadecimal,
        pb::Alphabet::Uuid => Alphabet::Uuid,
        pb::Alphabet::Unspecified => {
            let names = "must be ALPHANUMERIC, NUMERIC, HEXADECIMAL or UUID";
            violations.add("configuration.output_format.alphabet", names);
            return None;
        }
    };
    violations.check("configuration.output_format.length", OutputFormat::new(alphabet, given.length))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CREATED: Timestamp = Timestamp::EPOCH;

    fn id(n: u8) -> OrganisationId {
        OrganisationId::from_bytes([n; 16])
    }

    fn fields(violations: &Violations) -> Vec<&str> {
        violations.found().iter().map(|one| one.field.as_str()).collect()
    }

    #[test]
    fn a_configuration_comes_back_as_it_went() {
        let retention = Retention::new(1, 2, 3).unwrap();
        let retention_end = retention.end(CREATED).unwrap();
        for method in [Method::Reversible { retention, retention_end }, Method::NotReversible] {
            for alphabet in Alphabet::ALL {
                let output_format = OutputFormat::new(alphabet, alphabet.lengths().1).unwrap();
                let sent = ProjectConfiguration { method, treatment: Treatment::AlwaysSame, output_format };
                let violations = &mut Violations::default();
                let read = read_configuration(Some(&configuration(&sent)), CREATED, violations);
                assert_eq!((read, violations.found()), (Some(sent), &[][..]));
            }
        }
    }

    #[test]
    fn every_bad_field_of_a_configuration_is_named_at_once() {
        let violations = &mut Violations::default();
        let given = pb::ProjectConfiguration {
            method: Some(Wire::Reversible(pb::Reversible {
                retention: Some(pb::Retention::default()),
                retention_end: None,
            })),
            treatment: 99,
            output_format: Some(pb::OutputFormat { alphabet: pb::Alphabet::Uuid.into(), length: 35 }),
        };
        assert_eq!(read_configuration(Some(&given), CREATED, violations), None);
        assert_eq!(
            fields(violations),
            [
                "configuration.reversible.retention",
                "configuration.treatment",
                "configuration.output_format.length"
            ]
        );
    }

    #[test]
    fn collaborators_are_sorted_once_each_and_never_the_owner() {
        let wire = |n: u8| pb::Collaborator { organisation_id: id(n).to_string(), can_reverse: n == 2 };
        let violations = &mut Violations::default();
        let read = read_collaborators(Some(id(1)), &[wire(3), wire(2)], violations).unwrap();
        assert_eq!(
            read,
            [(2, true), (3, false)].map(|(n, can_reverse)| Collaborator { organisation: id(n), can_reverse })
        );
        let bad = [wire(1), wire(3), wire(3), pb::Collaborator::default()];
        assert_eq!(read_collaborators(Some(id(1)), &bad, violations), None);
        assert_eq!(fields(violations), [0, 2, 3].map(|n| format!("collaborators[{n}].organisation_id")));
    }
}
