//! Requests that are good as they stand; a test changes the one thing it is about.

use common::proto::v1::{
    self as pb, Approval, AutomaticApproval, Collaborator, CreateProjectRequest, IssueTokenRequest,
    ProjectConfiguration, Retention, TokenType, approval, project_configuration::Method,
};

/// Owns the projects.
pub const OWNER: &str = "0a0a0a0a-0000-4000-8000-00000000000a";
/// Works on them.
pub const PARTNER: &str = "0b0b0b0b-0000-4000-8000-00000000000b";
/// Works on them too.
pub const OTHER: &str = "0c0c0c0c-0000-4000-8000-00000000000c";
/// Has nothing to do with them.
pub const STRANGER: &str = "0d0d0d0d-0000-4000-8000-00000000000d";
/// The person who asks.
pub const ASKER: &str = "asker-3141";
/// The person who approves.
pub const APPROVER: &str = "approver-2718";
/// What reverse tokens are wanted for.
pub const PURPOSE: &str = "contact the patients of arm seven";

/// Whose collaborators are PARTNER, who can reverse, and OTHER, who cannot; reversible for a year.
pub fn reversible(id: &str) -> CreateProjectRequest {
    retained(id, 1, 0, 0)
}

/// As [`reversible`], for as long as is said.
pub fn retained(id: &str, years: u32, months: u32, days: u32) -> CreateProjectRequest {
    let retention = Some(Retention { years, months, days });
    project(id, Method::Reversible(pb::Reversible { retention, retention_end: None }))
}

/// As [`reversible`], but not.
pub fn not_reversible(id: &str) -> CreateProjectRequest {
    project(id, Method::NotReversible(pb::NotReversible {}))
}

fn project(id: &str, method: Method) -> CreateProjectRequest {
    CreateProjectRequest {
        project_id: id.to_owned(),
        owner_organisation_id: OWNER.to_owned(),
        collaborators: vec![collaborator(PARTNER, true), collaborator(OTHER, false)],
        configuration: Some(ProjectConfiguration {
            method: Some(method),
            treatment: pb::Treatment::AlwaysSame.into(),
            output_format: Some(pb::OutputFormat { alphabet: pb::Alphabet::Hexadecimal.into(), length: 40 }),
        }),
    }
}

/// One of a project.
pub fn collaborator(organisation: &str, can_reverse: bool) -> Collaborator {
    Collaborator { organisation_id: organisation.to_owned(), can_reverse }
}

/// A layer to start from.
pub fn source(project: &str, organisation: &str) -> pb::Source {
    pb::Source { project_id: project.to_owned(), organisation_id: organisation.to_owned() }
}

/// Approved by a person for a purpose: enough for every type.
pub fn approval() -> Approval {
    Approval {
        request_id: "request-1".to_owned(),
        requested_by: ASKER.to_owned(),
        approval: Some(approval::Approval::ApprovedBy(APPROVER.to_owned())),
        purpose: PURPOSE.to_owned(),
    }
}

/// Approved by a rule of the Portal.
pub fn automatic() -> Approval {
    Approval {
        approval: Some(approval::Approval::Automatic(AutomaticApproval {})),
        purpose: String::new(),
        ..approval()
    }
}

/// Asks for a token of a type.
pub fn order(kind: TokenType, project: &str, organisation: &str) -> IssueTokenRequest {
    IssueTokenRequest {
        project_id: project.to_owned(),
        organisation_id: organisation.to_owned(),
        token_type: kind.into(),
        approval: Some(approval()),
        ..IssueTokenRequest::default()
    }
}

/// Asks for a pseudonymisation token.
pub fn pseudonymise(project: &str, organisation: &str) -> IssueTokenRequest {
    order(TokenType::Pseudonymisation, project, organisation)
}

/// Asks for a reverse token.
pub fn reverse(project: &str, organisation: &str) -> IssueTokenRequest {
    order(TokenType::Reverse, project, organisation)
}

/// Asks for a secondary token.
pub fn secondary(project: &str, organisation: &str, from: pb::Source) -> IssueTokenRequest {
    IssueTokenRequest { source: Some(from), ..order(TokenType::Secondary, project, organisation) }
}

/// So many seconds.
pub const fn seconds(seconds: i64) -> prost_types::Duration {
    prost_types::Duration { seconds, nanos: 0 }
}
