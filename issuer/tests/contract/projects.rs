//! What the contract says of projects, of limits and key roles, and of running verifiers.

use common::{key_id::KeyId, token::Limits};
use issuer::domain::{
    followers::Follower,
    key_holders::Holder,
    key_roles::KeyRoles,
    policy_record::PolicyRecord,
    ports::{Append, Appended, Created, Store},
};

use crate::samples::{change, id, organisation, project, ready};

pub(crate) async fn a_project_is_created_once(store: &dyn Store) {
    let first = project("p", 1, &[2]);
    assert_eq!(store.project(first.id.clone()).await, Ok(None));
    assert_eq!(store.create_project(first.clone()).await, Ok(Created::New));
    for again in [first.clone(), project("p", 3, &[])] {
        assert_eq!(store.create_project(again).await, Ok(Created::Stood(first.clone())));
    }
    assert_eq!(store.project(first.id.clone()).await, Ok(Some(first)));
}

pub(crate) async fn projects_come_in_pages_in_the_order_of_their_ids(store: &dyn Store) {
    for name in ["b", "a-1", "c", "a"] {
        store.create_project(project(name, 1, &[])).await.unwrap();
    }
    assert_eq!(names(store, None, None, 9).await, ["a", "a-1", "b", "c"]);
    assert_eq!(names(store, None, None, 2).await, ["a", "a-1"]);
    assert_eq!(names(store, None, Some("a-1"), 1).await, ["b"]);
    assert_eq!(names(store, None, Some("aa"), 9).await, ["b", "c"], "behind an id that is not there");
    assert_eq!(names(store, None, Some("c"), 9).await, [""; 0]);
    assert_eq!(names(store, None, None, 0).await, [""; 0]);
}

pub(crate) async fn an_organisation_sees_what_it_owns_or_works_on(store: &dyn Store) {
    let log = ready(store).await;
    let shared = project("shared", 2, &[1, 3, 1]);
    for project in [project("other", 2, &[]), shared.clone(), project("z", 1, &[1])] {
        store.create_project(project).await.unwrap();
    }
    assert_eq!(names(store, Some(1), None, 9).await, ["p", "shared", "z"]);
    assert_eq!(names(store, Some(1), Some("p"), 1).await, ["shared"]);
    assert_eq!(names(store, Some(2), None, 9).await, ["other", "shared"]);
    assert_eq!(names(store, Some(3), None, 9).await, ["shared"]);
    assert_eq!(names(store, Some(4), None, 9).await, [""; 0]);
    let append = Append { change: Some(change(&shared, &[4])), ..log.step(1).0 };
    assert_eq!(store.append(append).await, Ok(Appended::Done));
    assert_eq!(names(store, Some(1), None, 9).await, ["p", "z"]);
    assert_eq!(names(store, Some(2), None, 9).await, ["other", "shared"]);
    assert_eq!(names(store, Some(3), None, 9).await, [""; 0]);
    assert_eq!(names(store, Some(4), None, 9).await, ["shared"]);
}

pub(crate) async fn limits_and_key_roles_follow_the_version_that_stands(store: &dyn Store) {
    let first = PolicyRecord::first(Limits::default());
    let key = KeyId::from_bytes([1; 32]);
    let keys = KeyRoles::default().with_revoked([key].iter(), common::timestamp::Timestamp::EPOCH);
    let second = first.with_keys(keys).unwrap();
    let zeroth = PolicyRecord { version: 0, ..first.clone() };
    for refused in [&second, &zeroth] {
        assert_eq!(store.save_policy(refused.clone()).await, Ok(false));
    }
    assert_eq!(store.load().await.unwrap().policy, None);
    assert_eq!(store.policy().await, Ok(None));
    assert_eq!(store.save_policy(first.clone()).await, Ok(true));
    assert_eq!(store.save_policy(first.clone()).await, Ok(false));
    assert_eq!(store.save_policy(second.clone()).await, Ok(true));
    let third = PolicyRecord { version: 4, ..second.clone() };
    for refused in [&first, &second, &third, &zeroth] {
        assert_eq!(store.save_policy(refused.clone()).await, Ok(false));
    }
    assert_eq!(store.policy().await, Ok(Some(second.clone())));
    assert_eq!(store.load().await.unwrap().policy, Some(second));
}

/// Of a store that several issuers share. One of a single issuer keeps none.
pub(crate) async fn what_issuers_tell_of_keys_is_replaced_and_taken_back(store: &dyn Store) {
    let holder = |instance, beat| Holder {
        issuer: "one".to_owned(),
        instance,
        beat,
        private: [KeyId::from_bytes([1; 32])].into(),
        followers: [(Follower { id: "v".to_owned(), instance: 7 }, [KeyId::from_bytes([2; 32])].into())]
            .into(),
    };
    assert_eq!(store.holders().await, Ok(Vec::new()));
    for (instance, beat) in [(1, 1), (2, 1), (1, 2)] {
        assert_eq!(store.save_holder(holder(instance, beat)).await, Ok(()));
    }
    let mut held = store.holders().await.unwrap();
    held.sort_by_key(|holder| holder.instance);
    assert_eq!(held, [holder(1, 2), holder(2, 1)]);
    for _ in 0..2 {
        assert_eq!(store.remove_holders(vec![1, 9]).await, Ok(()));
        assert_eq!(store.holders().await, Ok(vec![holder(2, 1)]));
    }
}

async fn names(store: &dyn Store, of: Option<u8>, after: Option<&str>, most: usize) -> Vec<String> {
    let projects = store.projects(of.map(organisation), after.map(id), most).await.unwrap();
    projects.into_iter().map(|project| project.id.to_string()).collect()
}
