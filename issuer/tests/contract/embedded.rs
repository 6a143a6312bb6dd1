//! What the embedded store promises beyond the contract: one file, its seals, its one owner.

use std::{fs, os::unix::fs::PermissionsExt as _};

use common::{timestamp::Timestamp, token::Limits};
use issuer::{
    adapters::store::{
        embedded::{EmbeddedStore, OpenError},
        seal::Seal,
    },
    domain::{
        policy_record::PolicyRecord,
        ports::{Append, Created, Recording, Store as _, StoreError, TokensOf},
    },
};
use redb::{Database, ReadableDatabase as _, TableDefinition};

use crate::samples::{Folder, change, id, idempotency, keep, project, ready, record, recording};

const PROJECTS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("projects");
const LEDGER: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("ledger");
const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");

#[tokio::test]
async fn a_file_that_is_opened_again_holds_what_it_held() {
    let folder = Folder::new();
    let store = folder.open();
    let log = ready(&store).await;
    store.save_policy(PolicyRecord::first(Limits::default())).await.unwrap();
    store
        .append(Append { change: Some(change(&project("p", 1, &[]), &[2])), ..log.step(3).0 })
        .await
        .unwrap();
    store.trim(1, log.link(1)).await.unwrap();
    let mut asked = Recording { idempotency: Some(idempotency(1, 1)), ..recording(record(1, "p")) };
    asked.checked[0].version = 2;
    keep(&store, asked.clone()).await;
    let before = (
        store.load().await,
        store.projects(None, None, 9).await,
        store.tokens(TokensOf::Everyone, None, 9).await,
        store.record(asked.clone()).await,
    );
    drop(store);
    let store = folder.open();
    let after = (
        store.load().await,
        store.projects(None, None, 9).await,
        store.tokens(TokensOf::Everyone, None, 9).await,
        store.record(asked).await,
    );
    assert_eq!(after, before);
    assert!(after.0.is_ok() && after.3.is_ok());
}

#[tokio::test]
async fn a_project_that_was_tampered_with_is_lost_data() {
    let folder = Folder::new();
    let store = folder.open();
    store.create_project(project("p", 1, &[])).await.unwrap();
    store.create_project(project("q", 1, &[])).await.unwrap();
    drop(store);
    let whole = bytes(&folder, "p");
    let mut flipped = whole.clone();
    *flipped.last_mut().unwrap() ^= 1;
    for tampered in [flipped, whole[..whole.len() - 1].to_vec(), Vec::new(), bytes(&folder, "q")] {
        replace(&folder, PROJECTS, "p", &tampered);
        let store = folder.open();
        let lost = Some(StoreError::LostData);
        assert_eq!(store.project(id("p")).await.err(), lost);
        assert_eq!(store.projects(None, None, 9).await.err(), lost);
        assert_eq!(store.create_project(project("p", 1, &[])).await.err(), lost);
        let (created, other) = tokio::join!(
            store.create_project(project("p", 1, &[])),
            store.create_project(project("q", 1, &[]))
        );
        assert_eq!(created.err(), lost);
        assert_eq!(other, Ok(Created::Stood(project("q", 1, &[]))), "the store goes on with what is whole");
    }
    replace(&folder, PROJECTS, "p", &whole);
    assert_eq!(folder.open().project(id("p")).await, Ok(Some(project("p", 1, &[]))));
}

#[tokio::test]
async fn limits_and_key_roles_that_were_tampered_with_are_lost_data() {
    let folder = Folder::new();
    let store = folder.open();
    let first = PolicyRecord::first(Limits::default());
    store.save_policy(first.clone()).await.unwrap();
    drop(store);
    let other = EmbeddedStore::open(&folder.path(), Seal::new(&[2; 32])).unwrap();
    assert_eq!(other.load().await.err(), Some(StoreError::LostData), "sealed with another key");
    let second = PolicyRecord { version: 2, ..first };
    assert_eq!(other.save_policy(second).await.err(), Some(StoreError::LostData));
}

#[tokio::test]
async fn a_record_that_cannot_be_read_stops_the_forgetting_before_it_begins() {
    let folder = Folder::new();
    let store = folder.open();
    ready(&store).await;
    for number in 1..=3 {
        keep(&store, recording(record(number, "p"))).await;
    }
    drop(store);
    let database = Database::open(folder.path()).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction.open_table(LEDGER).unwrap().insert(2, b"{}".as_slice()).unwrap();
    transaction.commit().unwrap();
    drop(database);
    let store = folder.open();
    let lost = Some(StoreError::LostData);
    assert_eq!(store.forget_tokens(Timestamp::MAX, 9).await.err(), lost);
    assert_eq!(store.token(record(2, "p").id).await.err(), lost);
    for number in [1, 3] {
        assert!(store.token(record(number, "p").id).await.unwrap().is_some());
    }
}

#[tokio::test]
async fn a_file_has_one_owner_and_is_for_nobody_else_to_read() {
    let folder = Folder::new();
    let store = folder.open();
    assert_eq!(fs::metadata(folder.path()).unwrap().permissions().mode() & 0o7777, 0o600);
    assert!(matches!(folder.try_open(), Err(OpenError::InUse)));
    drop(store);
    assert!(folder.try_open().is_ok());
}

#[test]
fn a_file_that_is_no_store_is_not_opened() {
    let folder = Folder::new();
    fs::write(folder.path(), "no store\n".repeat(1_000)).unwrap();
    assert!(matches!(folder.try_open(), Err(OpenError::Damaged(_))));
    drop(Folder::new().open());
    fs::remove_file(folder.path()).unwrap();
    drop(folder.open());
    let whole = fs::read(folder.path()).unwrap();
    fs::write(folder.path(), &whole[..whole.len() / 2]).unwrap();
    assert!(matches!(folder.try_open(), Err(OpenError::Damaged(_))));
    let nowhere = folder.path().join("nowhere");
    assert!(matches!(EmbeddedStore::open(&nowhere, Seal::new(&[1; 32])), Err(OpenError::Io(_))));
}

#[test]
fn a_file_of_another_program_or_of_another_format_is_not_opened() {
    let folder = Folder::new();
    replace(&folder, PROJECTS, "p", b"");
    assert!(matches!(folder.try_open(), Err(OpenError::Foreign)));
    fs::remove_file(folder.path()).unwrap();
    drop(folder.open());
    replace(&folder, META, "format", &[1, 0, 0, 0, 0, 0, 0, 0, 2]);
    assert!(matches!(folder.try_open(), Err(OpenError::Foreign)));
}

fn bytes(folder: &Folder, name: &str) -> Vec<u8> {
    let database = Database::open(folder.path()).unwrap();
    let table = database.begin_read().unwrap().open_table(PROJECTS).unwrap();
    table.get(name).unwrap().unwrap().value().to_vec()
}

fn replace(folder: &Folder, table: TableDefinition<'_, &str, &[u8]>, key: &str, bytes: &[u8]) {
    let database = Database::create(folder.path()).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction.open_table(table).unwrap().insert(key, bytes).unwrap();
    transaction.commit().unwrap();
}
