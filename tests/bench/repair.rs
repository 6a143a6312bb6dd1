//! A log of a million live entries that Redis and the issuer's trail have lost, and one verifier holds: how soon all of it is
//! back.

use std::time::Duration;

use common::{
    clock::{BootInstant, Clock as _, SystemClock},
    proto::v1 as pb,
};
use pb::verifier_service_client::VerifierServiceClient;
use tonic::transport::Channel;

use crate::{
    redis::{Pair, created},
    report::{Target, told, told_number},
    stand::{Clients, Failure, Issuer, beside_us},
    start::revoke_all,
};

/// Revokes `ids` tokens, takes away what Redis and the trail hold of them, and starts the issuer again.
pub(crate) async fn run(ids: u32) -> Result<(), Failure> {
    let folder = tempfile::tempdir_in(beside_us()?)?;
    let pair = Pair::start(folder.path()).await?;
    let issuer = Issuer::start_with(pair.settings()).await?;
    let mut clients = Clients::connect(issuer.address).await?;
    created(&mut clients).await?;
    let verifier = issuer.verifier("repair").await?;
    let last = revoke_all(&clients, ids, 7).await?;
    clients.await_visibility(last).await?;
    drop(clients);
    let mut stopped = BootInstant::default();
    let issuer = issuer
        .again_after(async |folder| {
            pair.wipe().await?;
            for file in std::fs::read_dir(folder)?.flatten() {
                if file.file_name().to_string_lossy().starts_with("audit.jsonl") {
                    std::fs::remove_file(file.path())?;
                }
            }
            stopped = SystemClock.now().boot;
            Ok(())
        })
        .await?;
    let since = |start: BootInstant| SystemClock.now().boot.since(start);
    let started = since(stopped);
    let patience = Duration::from_mins(2);
    let mut noticed = None;
    while value(&issuer, "ipms_log_mended").await? < 1.0 {
        if noticed.is_none() && value(&issuer, "ipms_log_losses").await? >= 1.0 {
            noticed = Some(SystemClock.now().boot);
        }
        if since(stopped) > patience {
            return Err("it is never mended".into());
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let mended = SystemClock.now().boot;
    let held = value(&issuer, "ipms_log_entries").await?;
    let channel = issuer.socket("repair").await?;
    let entries = decides_again(channel, patience).await?;
    let decided = since(stopped);
    let name = |what: &str| format!("{ids} entries lost but at one verifier: {what}");
    let ten = Target::AtMost(Duration::from_secs(10));
    told(&name("issuer started"), started, None, Target::None);
    told(&name("from its start to all back"), mended.since(stopped), None, ten);
    told(&name("from noticed to all back"), mended.since(noticed.unwrap_or(stopped)), None, ten);
    told(&name("from its start until the verifier decides again"), decided, None, ten);
    // Each, and what opens an epoch.
    let missing = f64::from(ids) + 1.0 - held;
    told_number(&name("missing at the issuer"), missing, 0.0);
    let missing = f64::from(ids) + 1.0 - f64::from(u32::try_from(entries)?);
    told_number(&name("missing at the verifier"), missing, 0.0);
    verifier.stop().await?;
    issuer.stop().await
}

/// Waits until it follows the new epoch; how many entries it holds then.
async fn decides_again(channel: Channel, patience: Duration) -> Result<u64, Failure> {
    let mut client = VerifierServiceClient::new(channel);
    let begun = SystemClock.now().boot;
    while SystemClock.now().boot.since(begun) < patience {
        let view = client.get_trust_view(pb::GetTrustViewRequest {}).await?.into_inner();
        let epoch = view.view.and_then(|view| view.cursor).map_or(0, |cursor| cursor.epoch);
        if epoch > 1 && view.types.iter().all(|one| one.decidable) {
            return Ok(view.entries);
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Err("it never decides again".into())
}

/// A gauge of the issuer.
async fn value(issuer: &Issuer, name: &str) -> Result<f64, Failure> {
    let page = issuer.told("/metrics").await?;
    let line = page.lines().find(|line| line.starts_with(&format!("{name} "))).ok_or("no such gauge")?;
    Ok(line.rsplit(' ').next().ok_or("no value")?.parse()?)
}
