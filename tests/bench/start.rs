//! How soon a verifier is ready that must know very many revocations, and what memory they take.

use std::time::Duration;

use common::proto::v1 as pb;
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use tokio::task::JoinSet;

use crate::{
    floors::awaited,
    report::{Spans, Target, told, told_bytes},
    stand::{Clients, Failure, Issuer, Program},
};

/// Revokes `ids` tokens through the service, then starts a verifier `starts` times from the issuer and from its file.
pub(crate) async fn run(ids: u32, starts: usize) -> Result<(), Failure> {
    let issuer = Issuer::start().await?;
    let empty = issuer.verifier("empty").await?;
    let before = empty.memory("VmRSS")?;
    empty.stop().await?;
    let clients = Clients::connect(issuer.address).await?;
    let (loaded, load) = awaited(revoke_all(&clients, ids, 7)).await;
    loaded?;
    drop(clients);
    let [mut from_issuer, mut from_file, mut ended] = [(); 3].map(|()| Spans::default());
    let (mut resident, mut file_resident, mut highest) = (0, 0, 0);
    for round in 0..starts {
        let name = format!("start-{round}");
        let (new, span) = started(&issuer, &name).await?;
        from_issuer.add(span);
        resident = new.memory("VmRSS")?;
        highest = highest.max(new.memory("VmHWM")?);
        let (stopped, span) = awaited(new.stop()).await;
        ended.add(span);
        stopped?;
        let (again, span) = started(&issuer, &name).await?;
        from_file.add(span);
        file_resident = again.memory("VmRSS")?;
        again.stop().await?;
    }
    let (issuer, again) = awaited(issuer.again()).await;
    issuer?.stop().await?;
    let name = |what: &str| format!("{what}, {ids} revocations");
    let seconds = |many| Target::AtMost(Duration::from_secs(many));
    told(&name("verifier ready, from its file, p50"), from_file.median(), None, seconds(1));
    told(&name("verifier ready, from its file, slowest"), from_file.percentile(100), None, seconds(1));
    told(&name("verifier ready, from the issuer, p50"), from_issuer.median(), None, seconds(5));
    told(&name("verifier ready, from the issuer, slowest"), from_issuer.percentile(100), None, seconds(5));
    told(&name("verifier stopped, p50"), ended.median(), None, Target::None);
    told_bytes("verifier resident, no revocations", before, None);
    told_bytes(&name("verifier resident, more, from its file"), file_resident.saturating_sub(before), None);
    told_bytes(&name("verifier resident, more, from the issuer"), resident.saturating_sub(before), None);
    told_bytes(&name("verifier resident, highest, from the issuer"), highest, None);
    told(&name("issuer stopped and ready again"), again, None, Target::None);
    told(&name("Revoke of all of them, 1000 in a call"), load, None, Target::None);
    Ok(())
}

async fn started(issuer: &Issuer, name: &str) -> Result<(Program, Duration), Failure> {
    let (program, span) = awaited(issuer.verifier(name)).await;
    Ok((program?, span))
}

/// A few calls at once, 1,000 ids in each: the most that one takes. Tells the last position.
pub(crate) async fn revoke_all(clients: &Clients, ids: u32, seed: u64) -> Result<pb::Cursor, Failure> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut last = pb::Cursor::default();
    let later = |one: pb::Cursor, two: pb::Cursor| {
        if (one.epoch, one.sequence) < (two.epoch, two.sequence) { two } else { one }
    };
    let mut calls = JoinSet::new();
    let mut left = ids;
    while left > 0 {
        let many = left.min(1_000);
        left -= many;
        let names = (0..many).map(|_| identifier(&mut random)).collect();
        let mut clients = clients.clone();
        calls.spawn(async move { clients.revoke(names).await });
        if calls.len() == AT_ONCE
            && let Some(done) = calls.join_next().await
        {
            last = later(last, done??);
        }
    }
    while let Some(done) = calls.join_next().await {
        last = later(last, done??);
    }
    Ok(last)
}

fn identifier(random: &mut StdRng) -> String {
    common::encoding::encode(&random.random::<[u8; 16]>())
}

const AT_ONCE: usize = 64;
