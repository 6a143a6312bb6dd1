//! The good path: two projects, a token of each type, what the verifier reads in each. Nothing is refused here.

use common::proto::v1::{
    Alphabet, Approval, Collaborator, CreateProjectRequest, IssueTokenRequest, IssueTokenResponse,
    NotReversible, OutputFormat, Project, ProjectConfiguration, Retention, Reversible, Source, TokenRecord,
    TokenType, Treatment, approval, project_configuration::Method,
};

use crate::{
    clients::Clients,
    show,
    unmet::{Outcome, Unmet, call},
};

/// Owns the study, whose pseudonyms can be turned back.
pub(crate) const HOSPITAL: &str = "0b9cd5e4-3c1f-4a57-9d0e-6f2a8b1c7d30";
/// Owns the register, and works on the study without *Can reverse*.
pub(crate) const REGISTRY: &str = "5e1f7a92-84bd-4c6e-b3a1-2d9f0c8e6b47";

/// The project and its source project.
#[derive(Debug)]
pub(crate) struct Projects {
    /// Reversible, owned by the hospital.
    pub(crate) study: String,
    /// Not reversible, owned by the registry.
    pub(crate) register: String,
}

/// One token of each type.
#[derive(Debug)]
pub(crate) struct Tokens {
    /// Of the study.
    pub(crate) pseudonymisation: IssueTokenResponse,
    /// Of the study.
    pub(crate) reverse: IssueTokenResponse,
    /// Of the register, from the study.
    pub(crate) secondary: IssueTokenResponse,
}

/// Creates the two projects, under names of their own for every walk.
pub(crate) async fn projects(clients: &mut Clients) -> Outcome<Projects> {
    show::heading("A project and its source project");
    let walk = suffix()?;
    let projects = Projects { study: format!("study-{walk}"), register: format!("register-{walk}") };
    let retention = Retention { years: 10, months: 0, days: 0 };
    let study = CreateProjectRequest {
        project_id: projects.study.clone(),
        owner_organisation_id: HOSPITAL.to_owned(),
        collaborators: vec![Collaborator { organisation_id: REGISTRY.to_owned(), can_reverse: false }],
        configuration: Some(ProjectConfiguration {
            method: Some(Method::Reversible(Reversible { retention: Some(retention), retention_end: None })),
            treatment: Treatment::AlwaysSame.into(),
            output_format: Some(OutputFormat { alphabet: Alphabet::Alphanumeric.into(), length: 24 }),
        }),
    };
    let register = CreateProjectRequest {
        project_id: projects.register.clone(),
        owner_organisation_id: REGISTRY.to_owned(),
        collaborators: Vec::new(),
        configuration: Some(ProjectConfiguration {
            method: Some(Method::NotReversible(NotReversible {})),
            treatment: Treatment::AlwaysDifferent.into(),
            output_format: Some(OutputFormat { alphabet: Alphabet::Uuid.into(), length: 36 }),
        }),
    };
    show::project("source project", &create(clients, study).await?);
    show::project("project", &create(clients, register).await?);
    Ok(projects)
}

/// Makes the names of a walk's projects its own.
pub(crate) fn suffix() -> Outcome<String> {
    let mut bytes = [0_u8; 4];
    aws_lc_rs::rand::fill(&mut bytes)
        .map_err(|_unspecified| Unmet::answer("random bytes", "some", &"none"))?;
    Ok(format!("{:08x}", u32::from_be_bytes(bytes)))
}

/// Creates a project.
pub(crate) async fn create(clients: &mut Clients, request: CreateProjectRequest) -> Outcome<Project> {
    let asked = request.project_id.clone();
    let created = clients.projects.create_project(request).await.map_err(call("CreateProject"))?;
    let project = created.into_inner().project.filter(|project| project.project_id == asked);
    project.ok_or_else(|| Unmet::answer("CreateProject", asked, &"no such project"))
}

/// Issues one token of each type.
pub(crate) async fn tokens(clients: &mut Clients, projects: &Projects) -> Outcome<Tokens> {
    show::heading("One token of each type");
    let tokens = Tokens {
        pseudonymisation: issue(clients, pseudonymisation(projects)).await?,
        reverse: issue(clients, reverse(projects)).await?,
        secondary: issue(clients, secondary(projects)).await?,
    };
    Ok(tokens)
}

async fn issue(clients: &mut Clients, request: IssueTokenRequest) -> Outcome<IssueTokenResponse> {
    let asked = request.token_type();
    let issued = clients.issue(request).await.map_err(call("IssueToken"))?;
    let kind = issued.record.as_ref().map(TokenRecord::token_type);
    if kind != Some(asked) {
        return Err(Unmet::answer("IssueToken", asked.as_str_name(), &kind));
    }
    show::token(&issued);
    Ok(issued)
}

/// Asks for the study's pseudonymisation token.
pub(crate) fn pseudonymisation(projects: &Projects) -> IssueTokenRequest {
    request(&projects.study, HOSPITAL, TokenType::Pseudonymisation)
}

/// Asks for the study's reverse token.
pub(crate) fn reverse(projects: &Projects) -> IssueTokenRequest {
    request(&projects.study, HOSPITAL, TokenType::Reverse)
}

/// Asks for a reverse token of the study for an organisation that may not reverse.
pub(crate) fn reverse_by_collaborator(projects: &Projects) -> IssueTokenRequest {
    request(&projects.study, REGISTRY, TokenType::Reverse)
}

/// Asks for a reverse token of a project that is not reversible.
pub(crate) fn reverse_of_not_reversible(projects: &Projects) -> IssueTokenRequest {
    request(&projects.register, REGISTRY, TokenType::Reverse)
}

/// Asks for the register's secondary token, whose source is the study.
pub(crate) fn secondary(projects: &Projects) -> IssueTokenRequest {
    let source = Source { project_id: projects.study.clone(), organisation_id: HOSPITAL.to_owned() };
    IssueTokenRequest { source: Some(source), ..secondary_without_source(projects) }
}

/// Asks for a secondary token and forgets the source.
pub(crate) fn secondary_without_source(projects: &Projects) -> IssueTokenRequest {
    request(&projects.register, REGISTRY, TokenType::Secondary)
}

/// Asks for a token of a kind.
pub(crate) fn request(project: &str, organisation: &str, kind: TokenType) -> IssueTokenRequest {
    IssueTokenRequest {
        project_id: project.to_owned(),
        organisation_id: organisation.to_owned(),
        token_type: kind.into(),
        approval: Some(Approval {
            request_id: format!("tour-{project}"),
            requested_by: "researcher-17".to_owned(),
            approval: Some(approval::Approval::ApprovedBy("board-3".to_owned())),
            purpose: "Tour".to_owned(),
        }),
        ..Default::default()
    }
}

/// Verifies each token and shows what it carries.
pub(crate) async fn verdicts(clients: &mut Clients, tokens: &Tokens) -> Outcome {
    show::heading("What the verifier reads in them");
    for (issued, kind) in [
        (&tokens.pseudonymisation, TokenType::Pseudonymisation),
        (&tokens.reverse, TokenType::Reverse),
        (&tokens.secondary, TokenType::Secondary),
    ] {
        let accepted = clients.accepted(&issued.token, kind).await?;
        show::accepted(&accepted);
        let record = issued.record.as_ref();
        let same = record.is_some_and(|record| record.token_id == accepted.token_id)
            && accepted.token_type() == kind
            && accepted.source.is_some() == (kind == TokenType::Secondary);
        if !same {
            return Err(Unmet::answer("VerifyToken", "what was issued", &accepted));
        }
    }
    Ok(())
}
