//! What must be true of a store whose process was killed.

use std::{collections::BTreeSet, path::Path};

use common::{
    organisation_id::OrganisationId,
    revocation::entry::{Body, unpack},
    timestamp::Timestamp,
};
use issuer::domain::{
    approval::Reference,
    ledger::TokenRecord,
    ports::{Loaded, Recorded, Store, TokensOf},
};
use redb::{Database, ReadableDatabase as _, ReadableTableMetadata as _, TableHandle as _};

use crate::child::{Acknowledged, CHANGING, STILL, open, recording};

/// Opens the store and looks for everything acknowledged, and for halves of steps.
pub(crate) async fn check(path: &Path, acknowledged: &[Acknowledged]) {
    let store = open(path);
    let loaded = store.load().await.unwrap();
    let changed = store.project(CHANGING.parse().unwrap()).await.unwrap();
    check_log(&loaded, changed.map(|project| project.version), acknowledged);
    check_register(&loaded, acknowledged);
    check_ledger(&store, &loaded, acknowledged).await;
}

/// Forgets every record and looks for rows that were left behind.
pub(crate) async fn check_forgotten(path: &Path) {
    let store = open(path);
    let all = store.tokens(TokensOf::Everyone, None, usize::MAX).await.unwrap();
    for (_, record) in &all {
        assert_eq!(store.token(record.id).await, Ok(Some(record.clone())));
    }
    assert_eq!(store.forget_tokens(Timestamp::MAX, usize::MAX).await, Ok(all.len()));
    drop(store);
    let database = Database::open(path).unwrap();
    let transaction = database.begin_read().unwrap();
    for table in transaction.list_tables().unwrap() {
        let name = table.name().to_owned();
        if !["projects", "log", "followers", "meta"].contains(&name.as_str()) {
            assert_eq!(
                transaction.open_untyped_table(table).unwrap().len().unwrap(),
                0,
                "left behind in {name}"
            );
        }
    }
}

/// The chain is whole, and entries, end, mark and project are of one step.
fn check_log(loaded: &Loaded, version: Option<u64>, acknowledged: &[Acknowledged]) {
    let entries = unpack(&loaded.runs.concat()).unwrap();
    if let Some(end) = loaded.end {
        let mut link = end.base;
        let mut named = None;
        for entry in &entries {
            link.sequence += 1;
            assert_eq!(entry.cursor.sequence, link.sequence);
            link.hash = entry.link(&link.hash);
            if let Body::Rule { project: Some((_, version)), .. } = &entry.body {
                named = Some(*version);
            }
        }
        assert_eq!(link, end.end, "the chain of hashes");
        assert_eq!(loaded.audit.map(|mark| (mark.number, mark.hash)), Some((link.sequence, link.hash)));
        if let Some(named) = named {
            assert_eq!(version, Some(named), "a change and its entry");
        }
    } else {
        assert!(entries.is_empty() && loaded.audit.is_none() && version.is_none_or(|version| version == 1));
    }
    for one in acknowledged {
        match one {
            Acknowledged::Append { sequence, version: acknowledged } => {
                assert!(loaded.end.is_some_and(|end| end.end.sequence >= *sequence));
                assert!(version >= Some(*acknowledged));
            }
            Acknowledged::Trim { base } => assert!(loaded.end.is_some_and(|end| end.base.sequence >= *base)),
            Acknowledged::Record { .. } | Acknowledged::Joined { .. } | Acknowledged::Left { .. } => {}
        }
    }
}

fn check_register(loaded: &Loaded, acknowledged: &[Acknowledged]) {
    let rows: BTreeSet<u64> = loaded.followers.iter().map(|row| row.follower.instance).collect();
    let mut last = None;
    for one in acknowledged {
        match one {
            Acknowledged::Joined { instance } => last = Some(instance),
            Acknowledged::Left { instance } => assert!(!rows.contains(instance), "{instance} left"),
            Acknowledged::Append { .. } | Acknowledged::Trim { .. } | Acknowledged::Record { .. } => {}
        }
    }
    // A row leaves only after the next has joined.
    assert!(last.is_none_or(|last| rows.contains(last)), "{last:?} joined");
}

/// What was acknowledged is there, and whatever is there is found in every way.
async fn check_ledger(store: &dyn Store, loaded: &Loaded, acknowledged: &[Acknowledged]) {
    let newest = acknowledged.len() + SPARE;
    let page = async |of| store.tokens(of, None, newest).await.unwrap();
    let all = page(TokensOf::Everyone).await;
    assert_eq!(page(TokensOf::Project(STILL.parse().unwrap())).await, all);
    assert_eq!(page(TokensOf::Organisation(OrganisationId::from_bytes([1; 16]))).await, all);
    assert_eq!(page(TokensOf::Request(Reference::new("request").unwrap())).await, all);
    for (_, record) in &all {
        assert!(loaded.end.is_some_and(|end| record.recorded <= end.cursor()));
        assert_eq!(store.token(record.id).await, Ok(Some(record.clone())));
    }
    let mut last = None;
    for one in acknowledged {
        if let Acknowledged::Record { round, task, number, sequence } = *one {
            let asked = recording(round, task, number);
            let record = all.iter().map(|(_, record)| record).find(|record| record.id == asked.record.id);
            let record = record.expect("an acknowledged record");
            assert_eq!(record.recorded.sequence, sequence);
            assert_eq!(TokenRecord { recorded: record.recorded, ..asked.record.clone() }, *record);
            last = Some((asked, record));
        }
    }
    if let Some((asked, record)) = last {
        let before = Recorded::Before { record: record.clone(), same_content: true };
        assert_eq!(store.record(asked).await, Ok(before), "the idempotency key came with it");
    }
}

/// More than can have been written and not told.
const SPARE: usize = 64;
