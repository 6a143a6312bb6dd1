//! From the call that revokes a signing key until each of many verifiers refuses every token of it.

use std::{sync::Arc, time::Duration};

use common::{
    clock::{Clock as _, SystemClock},
    proto::v1 as pb,
};
use pb::{key_service_client::KeyServiceClient, revoke_request::Selector};
use tokio::{
    runtime::{Builder, Handle},
    sync::oneshot,
};

use crate::{
    floors::awaited,
    follower::Follower,
    report::{Spans, Target, told},
    stand::{Clients, Failure, Issuer},
};

/// `rounds` keys, each revoked after it has signed `tokens` tokens that all `followers` had accepted. A revoked key is
/// published until its rule expires, so there are 31 rounds at the most.
pub(crate) async fn run(followers: u64, rounds: usize, tokens: usize) -> Result<(), Failure> {
    let issuer = Issuer::start().await?;
    // The caller is another program: it must not wait its turn behind the followers of this one.
    let caller = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let measured = measure(&issuer, caller.handle(), followers, rounds, tokens).await;
    caller.shutdown_background();
    let (each, last) = measured?;
    let name =
        |what: &str| format!("revoked key: its {tokens} tokens refused by {what}, {followers} followers");
    let bound = if followers == 100 { Target::AtMost(Duration::from_millis(250)) } else { Target::None };
    told(&name("each, p50"), each.median(), None, Target::None);
    told(&name("each, p99"), each.percentile(99), None, bound);
    told(&name("the last, p99"), last.percentile(99), None, Target::None);
    issuer.stop().await
}

async fn measure(
    issuer: &Issuer,
    caller: &Handle,
    followers: u64,
    rounds: usize,
    tokens: usize,
) -> Result<(Spans, Spans), Failure> {
    let mut clients = caller.spawn(Clients::connect(issuer.address)).await??;
    clients.create_project().await?;
    let mut keys = KeyServiceClient::new(clients.channel.clone());
    let running: Vec<_> =
        (0..followers).map(|number| Follower::start(issuer, number, true)).collect::<Result<_, _>>()?;
    for follower in &running {
        follower.ready().await?;
    }
    let (mut each, mut last) = (Spans::default(), Spans::default());
    for round in 0..rounds.min(MOST) {
        let next = harness::keys::put_new(&issuer.folder.path().join("keys"), round);
        prepared(&mut keys, &next).await?;
        let mut made: Vec<Arc<str>> = Vec::new();
        let mut signed = String::new();
        for _ in 0..tokens {
            let (token, key) = clients.issue_and_tell_key().await?;
            made.push(token.into());
            signed = key;
        }
        let mut waiting = Vec::new();
        for follower in &running {
            for token in &made {
                if !follower.accepts(token)? {
                    return Err("a good token is refused".into());
                }
            }
            let (watching, watches) = oneshot::channel();
            waiting.push(follower.refusals(made.clone(), watching));
            watches.await?;
        }
        let mut calling = clients.clone();
        let call = caller.spawn(async move {
            let start = SystemClock.now().boot;
            calling.revoke_as(Selector::KeyId(signed)).await.map(|_cursor| start)
        });
        let mut refusals = Vec::new();
        for refused in waiting {
            refusals.push(refused.await??);
        }
        let start = call.await??;
        last.extend(refusals.iter().max().map(|last| last.since(start)));
        each.extend(refusals.iter().map(|refused| refused.since(start)));
        signs(&mut keys, &next).await?;
    }
    for follower in running {
        follower.stop().await?;
    }
    Ok((each, last))
}

async fn prepared(keys: &mut KeyServiceClient<tonic::transport::Channel>, id: &str) -> Result<(), Failure> {
    keys.prepare_key(pb::PrepareKeyRequest { key_id: id.to_owned() }).await?;
    Ok(())
}

/// Returns once the next key signs.
async fn signs(keys: &mut KeyServiceClient<tonic::transport::Channel>, id: &str) -> Result<(), Failure> {
    loop {
        let (listed, _span) = awaited(keys.list_keys(pb::ListKeysRequest::default())).await;
        if listed?.into_inner().keys.iter().any(|key| key.key_id == id && key.signs_here) {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// As many as a statement holds, but for the one that signs at last.
const MOST: usize = 31;
