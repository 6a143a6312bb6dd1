//! Entries and rules against section 5 of the design.

use super::*;
use crate::{
    key_id::KeyId,
    organisation_id::OrganisationId,
    revocation::rule::{MASKS, Scope, Subject, projected},
    token::kind::TokenType,
    token_id::TokenId,
};

fn entry(rule: Rule) -> Entry {
    Entry {
        cursor: Cursor::new(1, 5),
        recorded_at: Timestamp::EPOCH,
        expires_at: Timestamp::MAX,
        body: Body::Rule {
            rule,
            reason: Reason::Operator,
            cut: Cursor::new(1, 4),
            project: Some(("p".parse().unwrap(), 3)),
        },
    }
}

#[test]
fn every_rule_survives_packing_and_a_cut_run_is_refused() {
    let all = MASKS.map(|mask| {
        entry(Rule::Scope(Scope {
            token_type: (mask & 1 != 0).then_some(TokenType::Reverse),
            project: (mask & 2 != 0).then(|| "a".parse().unwrap()),
            organisation: (mask & 4 != 0).then_some(OrganisationId::from_bytes([1; 16])),
            source_project: (mask & 8 != 0).then(|| "b".parse().unwrap()),
            source_organisation: (mask & 16 != 0).then_some(OrganisationId::from_bytes([2; 16])),
        }))
    });
    let bytes = pack(&all);
    assert_eq!(unpack(&bytes).unwrap(), all);
    assert_eq!(unpack(bytes.get(..bytes.len() - 1).unwrap()), Err(EntryError::Truncated));
}

#[test]
fn an_entry_kind_it_does_not_know_is_an_error_of_its_own() {
    let mut bytes = entry(Rule::Token(TokenId::from_bytes([7; 16]))).canonical();
    *bytes.get_mut(1).unwrap() = 9;
    assert_eq!(Entry::decode(&bytes), Err(EntryError::UnknownKind));
}

#[test]
fn a_rule_hits_every_token_recorded_before_it_and_none_recorded_after() {
    let project: ProjectId = "a".parse().unwrap();
    let at = |sequence| Subject {
        id: TokenId::from_bytes([7; 16]),
        key: KeyId::from_bytes([8; 32]),
        token_type: TokenType::Reverse,
        project: &project,
        organisation: OrganisationId::from_bytes([1; 16]),
        source: None,
        recorded: Cursor::new(1, sequence),
    };
    let scope = Scope { project: Some(project.clone()), ..Scope::default() };
    assert_eq!(projected(&at(1), scope.mask(), &mut vec![7]), Some(&*scope.canonical()));
    let cut = Cursor::new(1, 4);
    assert!(Rule::Scope(scope.clone()).hits(&at(3), cut));
    assert!(!Rule::Scope(scope).hits(&at(4), cut));
    assert!(Rule::Token(TokenId::from_bytes([7; 16])).hits(&at(9), cut));
    assert!(Rule::Key(KeyId::from_bytes([8; 32])).hits(&at(9), cut));
}

#[test]
fn the_chain_tells_another_previous_hash_and_another_entry_apart() {
    let (one, two) =
        (entry(Rule::Token(TokenId::from_bytes([1; 16]))), entry(Rule::Token(TokenId::from_bytes([2; 16]))));
    assert_ne!(one.link(&[0; 32]), two.link(&[0; 32]));
    assert_ne!(one.link(&[0; 32]), one.link(&[1; 32]));
}
