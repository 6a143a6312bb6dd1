//! Claims about callers: what each holds, what bounds it, how the settings say it.

use tonic_types::StatusExt as _;

use super::*;
use crate::runtime::settings_file::SettingsFile;

const ALL: [Role; 5] = [Role::Portal, Role::Verifier, Role::Component, Role::Operator, Role::Anyone];

fn read(text: &str) -> Result<Callers, String> {
    let mut file = SettingsFile::new(text.parse().unwrap(), [], "ISSUER_");
    let callers = Callers::read(&mut file);
    file.finish().map(|()| callers).map_err(|mistakes| mistakes.to_string())
}

#[test]
fn each_caller_holds_its_roles_and_no_other() {
    let held = |caller: Caller| ALL.map(|role| caller.holds(role));
    assert_eq!(held(Caller::Loopback), [true; 5]);
    assert_eq!(held(Caller::UnixSocket), [false, false, true, false, true]);
    assert_eq!(held(Caller::Nobody), [false, false, false, false, true]);
    let callers = read(
        "[callers.'spiffe://a/b']\nroles = ['portal', 'operator']\n[callers.'c.test']\nroles = ['verifier']",
    );
    let callers = callers.unwrap();
    assert_eq!(held(callers.of(&"spiffe://a/b".into())), [true, false, false, true, true]);
    assert_eq!(held(callers.of(&"c.test".into())), [false, true, false, false, true]);
    for stranger in ["d.test", "spiffe://a/b/c", "spiffe://a", "test"] {
        assert_eq!(held(callers.of(&stranger.into())), [false, false, false, false, true], "{stranger}");
    }
}

#[test]
fn a_request_without_a_connection_comes_from_nobody() {
    assert_eq!(Caller::of(&http::Extensions::new()), Caller::Nobody);
}

#[test]
fn what_is_wider_than_the_bounds_is_outside_of_them() {
    let ours = OrganisationId::from_bytes([7; 16]);
    let text = format!(
        "[callers.'p.test']\nroles = ['portal']\norganisations = ['{ours}']\nprojects = ['p1']\n\
         token_types = ['REVERSE']\n[callers.'q.test']\nroles = ['portal']"
    );
    let callers = read(&text).unwrap();
    let (narrow, wide) = (callers.of(&"p.test".into()), callers.of(&"q.test".into()));
    let (p1, p2): (ProjectId, ProjectId) = ("p1".parse().unwrap(), "p2".parse().unwrap());
    let theirs = OrganisationId::from_bytes([8; 16]);
    let kinds = [None, Some(TokenType::Reverse), Some(TokenType::Secondary)];
    for project in [None, Some(&p1), Some(&p2)] {
        for organisation in [None, Some(ours), Some(theirs)] {
            for token_type in kinds {
                let subject = Subject { project, organisation, token_type };
                let inside = (project, organisation, token_type) == (Some(&p1), Some(ours), kinds[1]);
                assert_eq!(narrow.check(subject).is_ok(), inside, "{subject:?}");
                for unbound in [&wide, &Caller::Loopback] {
                    assert!(unbound.check(subject).is_ok());
                }
            }
        }
    }
    assert!(narrow.is_narrowed() && !wide.is_narrowed() && !Caller::Loopback.is_narrowed());
    assert!(narrow.check_project(&p1, ours).is_ok());
    assert!(narrow.check_project(&p2, ours).is_err() && narrow.check_project(&p1, theirs).is_err());
    let refused = narrow.check(Subject::default()).unwrap_err();
    assert_eq!(refused.get_details_error_info().unwrap().reason, "NOT_FOR_THIS_CALLER");
}

#[test]
fn a_word_that_is_not_understood_grants_nothing() {
    for bad in [
        "[callers.'a.test']",
        "[callers.'a.test']\nroles = []",
        "[callers.'a.test']\nroles = ['Portal']",
        "[callers.'a.test']\nroles = ['portal', 'anyone']",
        "[callers.'a.test']\nroles = ['portal']\nprojects = []",
        "[callers.'a.test']\nroles = ['portal']\nproject = ['p1']",
        "[callers.'a.test']\nroles = ['portal']\norganisations = ['x']",
        "[callers.'a.test']\nroles = ['portal']\ntoken_types = ['reverse']",
        "[callers.'a.test']\nroles = ['portal', 'verifier']\nprojects = ['p1']",
        "[callers.loopback]\nroles = ['portal']",
        "[callers.'*.test']\nroles = ['portal']",
        "[callers.'spiffe://a/*']\nroles = ['portal']",
        "callers = 'all'",
        "callers = []",
    ] {
        assert!(read(bad).is_err(), "{bad}");
    }
    assert_eq!(read(""), Ok(Callers::default()));
}
