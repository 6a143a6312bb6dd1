//! A key in wrong hands, while tokens are issued as fast as they can be.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, Ordering},
};

use common::proto::v1::{KeyRole, RefusalReason};
use harness::{
    calls::Selector,
    keys,
    orders::{self, OWNER},
    programs::Programs,
    until,
};
use tonic::Code;

/// Failure: a token of the revoked key that any verification accepts after its visibility, or an order that is lost. No
/// failure: an order that is told to come again.
#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_key_under_load_is_refused_with_all_its_tokens_and_the_prepared_one_signs() {
    let programs = Programs::start().await;
    programs.create(orders::reversible("study")).await.unwrap();
    let old = programs.view().await.unwrap().key_ids[0].clone();
    let new = keys::put_new(&programs.path("keys"), 1);
    programs.prepare(&new).await.unwrap();
    let (issued, stop) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
    let load: Vec<_> = (0..4)
        .map(|_| {
            let (calls, issued, stop) = ((*programs).clone(), Arc::clone(&issued), Arc::clone(&stop));
            tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    match calls.issue(orders::pseudonymise("study", OWNER)).await {
                        Ok(answer) => {
                            let key = answer.record.unwrap().key_id;
                            issued.lock().unwrap().push((answer.token, key));
                        }
                        Err(status) => assert_eq!(status.code(), Code::Aborted, "{status:?}"),
                    }
                }
            })
        })
        .collect();
    let count = |key: &str| issued.lock().unwrap().iter().filter(|(_, signed)| signed == key).count();
    until("tokens of the old key", async || (count(&old) >= 50).then_some(())).await;
    let revoked = programs.revoke(Selector::KeyId(old.clone())).await.unwrap();
    programs.seen(&revoked).await;
    until("tokens of the new key", async || (count(&new) >= 50).then_some(())).await;
    stop.store(true, Ordering::Relaxed);
    for one in load {
        one.await.unwrap();
    }
    let issued = std::mem::take(&mut *issued.lock().unwrap());
    for (token, key) in &issued {
        if *key == old {
            assert_eq!(programs.refused(token).await, RefusalReason::Revoked);
        } else {
            assert_eq!(programs.accepted(token).await.key_id, new);
        }
    }
    let listed = until("the record says so", async || {
        programs.key(&new).await.filter(|key| key.role() == KeyRole::Active)
    })
    .await;
    assert!(listed.signs_here);
    assert_eq!(programs.key(&old).await.unwrap().role(), KeyRole::Revoked);
}
