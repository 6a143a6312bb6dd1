//! Each rule of DESIGN section 2 that issuing enforces, and properties over random orders.

use common::{
    organisation_id::OrganisationId,
    project::{Alphabet, Collaborator, OutputFormat, ProjectConfiguration, Retention, Treatment},
};
use proptest::prelude::*;

use super::*;
use crate::domain::approval::{Purpose, Reference};

const NOW: u64 = 1_800_000_000;
const DAY: u64 = 86_400;
const OWNER: u8 = 1;
const PLAIN: u8 = 2;
const REVERSER: u8 = 3;
const STRANGER: u8 = 4;

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_seconds(seconds).unwrap()
}

fn organisation(n: u8) -> OrganisationId {
    OrganisationId::from_bytes([n; 16])
}

fn project(id: &str, retention_end: Option<u64>) -> Project {
    let method = retention_end.map_or(Method::NotReversible, |end| Method::Reversible {
        retention: Retention::new(1, 0, 0).unwrap(),
        retention_end: at(end),
    });
    Project {
        id: id.parse().unwrap(),
        owner: organisation(OWNER),
        collaborators: vec![
            Collaborator { organisation: organisation(PLAIN), can_reverse: false },
            Collaborator { organisation: organisation(REVERSER), can_reverse: true },
        ],
        configuration: ProjectConfiguration {
            method,
            treatment: Treatment::AlwaysSame,
            output_format: OutputFormat::new(Alphabet::Uuid, 36).unwrap(),
        },
        created: at(NOW - DAY),
        closed: None,
        version: 3,
    }
}

/// Everything that [`decide`] looks at; a test spoils one thing.
#[derive(Clone, Debug)]
struct Case {
    order: Order,
    project: Project,
    source: Option<Project>,
    logged: (u64, u64),
    limits: Limits,
    now: u64,
}

impl Case {
    fn new(organisation_number: u8, operation: Operation) -> Self {
        let name = |text| Reference::new(text).unwrap();
        let approval = Approval {
            request: name("request"),
            requested_by: name("anna"),
            decision: Decision::Person(name("bert")),
            purpose: Purpose::new("clinical follow-up").unwrap(),
        };
        Self {
            order: Order {
                project: "ours".parse().unwrap(),
                organisation: organisation(organisation_number),
                operation,
                lifetime: None,
                approval: Some(approval),
                holder: None,
                idempotency_key: None,
            },
            project: project("ours", Some(NOW + 300 * DAY)),
            source: Some(project("theirs", Some(NOW + 300 * DAY))),
            logged: (3, 3),
            limits: Limits::default(),
            now: NOW,
        }
    }

    fn secondary() -> Self {
        Self::new(PLAIN, from("theirs", OWNER))
    }

    fn but(mut self, spoil: impl FnOnce(&mut Self)) -> Self {
        spoil(&mut self);
        self
    }

    fn decide(&self) -> Result<Draft, PolicyError> {
        let ours = Registered { project: &self.project, logged_version: self.logged.0 };
        let source =
            self.source.as_ref().map(|project| Registered { project, logged_version: self.logged.1 });
        decide(&self.order, ours, source, &self.limits, at(self.now))
    }

    fn refusal(&self) -> PolicyError {
        self.decide().expect_err("must be refused")
    }

    fn approval(&mut self) -> &mut Approval {
        self.order.approval.as_mut().unwrap()
    }
}

fn from(project: &str, number: u8) -> Operation {
    Operation::Secondary(SourceLayer {
        project: project.parse().unwrap(),
        organisation: organisation(number),
    })
}

fn every_operation() -> [Case; 3] {
    [Case::new(REVERSER, Operation::Pseudonymise), Case::new(REVERSER, Operation::Reverse), Case::secondary()]
}

#[test]
fn rule_01_a_draft_authorises_what_was_ordered_and_nothing_else() {
    let types = every_operation().map(|case| case.decide().unwrap().token_type());
    assert_eq!(types, TokenType::ALL);
}

#[test]
fn rule_01_every_type_needs_an_open_project_of_ones_own() {
    for case in every_operation() {
        let stranger = case.clone().but(|c| c.order.organisation = organisation(STRANGER));
        assert_eq!(stranger.refusal(), PolicyError::NotACollaborator);
        let other = case.clone().but(|c| c.project.id = "other".parse().unwrap());
        assert_eq!(other.refusal(), PolicyError::NotACollaborator);
        let closed = case.clone().but(|c| c.project.closed = Some(at(NOW)));
        assert_eq!(closed.refusal(), PolicyError::ProjectClosed { subject: Subject::Project });
        let over = case.but(|c| c.project = project("ours", Some(NOW)));
        assert_eq!(over.refusal(), PolicyError::RetentionEnded { subject: Subject::Project });
    }
}

#[test]
fn rule_02_every_type_needs_an_approval_and_only_reverse_needs_a_person() {
    for case in every_operation() {
        let none = case.clone().but(|c| c.order.approval = None);
        assert_eq!(none.refusal(), PolicyError::ApprovalMissing);
        let automatic = case.but(|c| c.approval().decision = Decision::Automatic);
        let reverse = automatic.order.operation == Operation::Reverse;
        let refused = reverse.then_some(PolicyError::AutomaticApprovalRefused);
        assert_eq!(automatic.decide().err(), refused);
    }
}

#[test]
fn rule_03_reverse_needs_a_reversible_project_and_can_reverse() {
    for (number, refused) in [(OWNER, None), (REVERSER, None), (PLAIN, Some(PolicyError::ReverseNotGranted))]
    {
        assert_eq!(Case::new(number, Operation::Reverse).decide().err(), refused);
        let fixed = Case::new(number, Operation::Reverse).but(|c| c.project = project("ours", None));
        assert_eq!(fixed.refusal(), PolicyError::ProjectNotReversible);
    }
}

#[test]
fn rule_04_source_organisation_and_requester_both_need_access_to_the_source_project() {
    let spoiled: [fn(&mut Case); 4] = [
        |c| c.source = None,
        |c| c.source = Some(project("another", None)),
        |c| c.order.operation = from("theirs", STRANGER),
        |c| c.source.as_mut().unwrap().collaborators.retain(|one| one.organisation != organisation(PLAIN)),
    ];
    for spoil in spoiled {
        assert_eq!(Case::secondary().but(spoil).refusal(), PolicyError::SourceNotAccessible);
    }
}

#[test]
fn rule_04_the_source_project_must_be_open_and_inside_its_retention() {
    let closed = Case::secondary().but(|c| c.source.as_mut().unwrap().closed = Some(at(NOW)));
    assert_eq!(closed.refusal(), PolicyError::ProjectClosed { subject: Subject::Source });
    let over = Case::secondary().but(|c| c.source = Some(project("theirs", Some(NOW))));
    assert_eq!(over.refusal(), PolicyError::RetentionEnded { subject: Subject::Source });
}

#[test]
fn rule_04_a_layer_is_not_its_own_source_but_another_of_its_project_may_be() {
    let own = |number| Case::new(PLAIN, from("ours", number)).but(|c| c.source = Some(c.project.clone()));
    assert_eq!(own(PLAIN).refusal(), PolicyError::SourceIsSelf);
    assert!(own(OWNER).decide().is_ok());
}

#[test]
fn rule_05_a_source_is_a_first_layer_so_it_names_project_and_organisation_only() {
    let draft = Case::secondary().decide().unwrap();
    let source = draft.source().unwrap();
    assert_eq!((source.project.as_str(), source.organisation), ("theirs", organisation(OWNER)));
}

#[test]
fn rule_06_the_retention_end_is_exclusive() {
    for (end, granted) in [(NOW, false), (NOW + 1, true)] {
        let case = Case::new(OWNER, Operation::Pseudonymise).but(|c| c.project = project("ours", Some(end)));
        assert_eq!(case.decide().is_ok(), granted);
    }
}

#[test]
fn rule_07_without_a_lifetime_a_token_lives_to_the_ceiling_or_the_earlier_retention_end() {
    let ends = |ours, theirs| {
        let case = Case::secondary().but(|c| {
            c.project = project("ours", ours);
            c.source = Some(project("theirs", theirs));
        });
        case.decide().unwrap().expires_at().seconds() - NOW
    };
    assert_eq!(ends(None, None), 30 * DAY);
    assert_eq!(ends(Some(NOW + 5), None), 5);
    assert_eq!(ends(None, Some(NOW + 7)), 7);
    assert_eq!(ends(Some(NOW + 9), Some(NOW + 8)), 8);
    let reverse = Case::new(OWNER, Operation::Reverse).decide().unwrap();
    assert_eq!(reverse.expires_at().since(reverse.issued_at()), Duration::from_hours(1));
}

#[test]
fn rule_07_a_longer_lifetime_is_refused_and_not_cut() {
    let ask = |end, seconds| {
        Case::new(OWNER, Operation::Reverse).but(|c| {
            c.project = project("ours", Some(NOW + end));
            c.order.lifetime = Some(Lifetime::new(Duration::from_secs(seconds)).unwrap());
        })
    };
    let too_long = |most| PolicyError::LifetimeTooLong { most: Duration::from_secs(most) };
    assert!(ask(DAY, 3_600).decide().is_ok());
    assert_eq!(ask(DAY, 3_601).refusal(), too_long(3_600));
    assert!(ask(60, 60).decide().is_ok());
    assert_eq!(ask(60, 61).refusal(), too_long(60));
    assert_eq!(too_long(60).reason(), None);
}

#[test]
fn rule_08_the_draft_carries_the_projects_own_configuration() {
    for case in every_operation() {
        assert_eq!(*case.decide().unwrap().configuration(), case.project.configuration);
    }
}

#[test]
fn rule_11_a_draft_names_the_versions_it_was_checked_against() {
    let case = Case::secondary().but(|c| c.source.as_mut().unwrap().version = 9);
    let draft = case.decide().unwrap();
    let versions: Vec<_> = draft.checked_against().map(|one| (one.project.as_str(), one.version)).collect();
    assert_eq!(versions, [("ours", 3), ("theirs", 9)]);
}

#[test]
fn rule_12_reverse_needs_a_purpose_and_a_second_person() {
    let spoil =
        |change: fn(&mut Approval)| Case::new(OWNER, Operation::Reverse).but(|c| change(c.approval()));
    let same = spoil(|approval| approval.requested_by = Reference::new("Bert ").unwrap());
    assert_eq!(same.refusal(), PolicyError::ApproverIsRequester);
    assert_eq!(spoil(|approval| approval.purpose = None).refusal(), PolicyError::PurposeMissing);
}

#[test]
fn rule_15_a_project_older_than_the_log_knows_it_grants_nothing() {
    for case in every_operation() {
        let rolled_back = |subject| PolicyError::ProjectRolledBack { subject, stored: 3, logged: 4 };
        let ours = case.clone().but(|c| c.logged.0 = 4);
        assert_eq!(ours.refusal(), rolled_back(Subject::Project));
        let secondary = case.order.operation.source().is_some();
        let source = case.but(|c| c.logged.1 = 4);
        assert_eq!(source.decide().err(), secondary.then_some(rolled_back(Subject::Source)));
    }
}

fn any_case() -> impl Strategy<Value = Case> {
    let operation = prop_oneof![
        Just(Operation::Pseudonymise),
        Just(Operation::Reverse),
        (1_u8..=4).prop_map(|number| from("theirs", number)),
    ];
    let end = || prop::option::of(NOW - 10..NOW + 60 * DAY);
    let parts = (1_u8..=4, operation, end(), end(), prop::option::of(1..40 * DAY), any::<(bool, bool)>());
    parts.prop_map(|(number, operation, ours, theirs, lifetime, (purpose, closed))| {
        Case::new(number, operation).but(|c| {
            c.project = project("ours", ours);
            c.source = Some(project("theirs", theirs));
            c.source.as_mut().unwrap().closed = closed.then_some(at(NOW));
            c.order.lifetime = lifetime.map(|s| Lifetime::new(Duration::from_secs(s)).unwrap());
            if !purpose {
                c.approval().purpose = None;
            }
        })
    })
}

proptest! {
    #[test]
    fn rule_07_no_draft_outlives_ceiling_or_retention(case in any_case()) {
        if let Ok(draft) = case.decide() {
            prop_assert!(draft.expires_at() > draft.issued_at());
            let ceiling = case.limits.get(draft.token_type()).lifetime;
            prop_assert!(draft.expires_at().since(draft.issued_at()) <= ceiling);
            let source = case.source.as_ref().filter(|_| draft.source().is_some());
            for project in [Some(&case.project), source].into_iter().flatten() {
                let end = project.configuration.method.retention_end();
                prop_assert!(end.is_none_or(|end| draft.expires_at() <= end));
            }
        }
    }

    #[test]
    fn rule_03_nobody_but_owner_and_granted_collaborator_gets_reverse(case in any_case()) {
        if let Ok(draft) = case.decide() && draft.token_type() == TokenType::Reverse {
            prop_assert!([OWNER, REVERSER].map(organisation).contains(&draft.organisation()));
            prop_assert!(case.project.configuration.method.retention_end().is_some());
        }
    }

    #[test]
    fn any_single_forbidden_input_refuses(case in any_case(), which in 0_usize..6) {
        let spoils: [fn(&mut Case); 6] = [
            |c| c.project.closed = Some(at(NOW - 1)),
            |c| c.project = project("ours", Some(NOW)),
            |c| c.order.organisation = organisation(STRANGER),
            |c| c.order.approval = None,
            |c| c.logged.0 = 4,
            |c| c.order.lifetime = Some(Lifetime::new(Duration::from_secs(31 * DAY)).unwrap()),
        ];
        prop_assert!(case.but(spoils[which]).decide().is_err());
    }
}
