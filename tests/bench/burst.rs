//! A hundred thousand revocations at once over Redis: when the last of ten verifiers sees the last of them, and what a
//! caller of one of them notices meanwhile.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use common::{
    clock::{BootInstant, Clock as _, SystemClock},
    proto::v1 as pb,
};
use pb::verifier_service_client::VerifierServiceClient;
use tokio::{runtime::Builder, task::JoinHandle};
use tonic::transport::Channel;

use crate::{
    floors::awaited,
    follower::Follower,
    redis::{Pair, created},
    report::{Spans, Target, told},
    stand::{Clients, Failure, Issuer, beside_us},
    start::revoke_all,
};

/// `bursts` of `ids` each, with a calm before each. The nine verifiers that nobody asks would be on other machines: here
/// they are in this process, at the lowest rank.
pub(crate) async fn run(ids: u32, bursts: usize) -> Result<(), Failure> {
    let folder = tempfile::tempdir_in(beside_us()?)?;
    let pair = Pair::start(folder.path()).await?;
    let issuer = Issuer::start_with(pair.settings()).await?;
    // Callers are programs of their own, of the usual rank.
    let caller = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let mut clients = caller.spawn(Clients::connect(issuer.address)).await??;
    created(&mut clients).await?;
    let (token, _) = clients.issue().await?;
    let asked = issuer.verifier("burst").await?;
    let others: Vec<_> =
        (1..FOLLOWERS).map(|number| Follower::start(&issuer, number, true)).collect::<Result<_, _>>()?;
    for follower in &others {
        follower.ready().await?;
    }
    let asking = Asking::start(caller.handle(), issuer.socket("burst").await?, token);
    let (mut visible, mut acknowledged) = (Spans::default(), Spans::default());
    let mut busy = Vec::new();
    for seed in 0..u64::try_from(bursts)? {
        tokio::time::sleep(CALM).await;
        let begun = SystemClock.now().boot;
        let revoking = clients.clone();
        let (last, span) =
            caller.spawn(async move { awaited(revoke_all(&revoking, ids, seed)).await }).await?;
        acknowledged.add(span);
        let (last, mut waiting) = (last?, clients.clone());
        let (reached, span) =
            caller.spawn(async move { awaited(waiting.await_visibility(last)).await }).await?;
        reached?;
        visible.add(span);
        busy.push((begun, SystemClock.now().boot));
    }
    tokio::time::sleep(CALM).await;
    let spans = asking.stop().await?;
    let [mut calm, mut meanwhile] = [(); 2].map(|()| Spans::default());
    for (at, span) in &spans {
        let in_burst = busy.iter().any(|(from, to)| from <= at && at <= to);
        let after = busy.iter().any(|(_, to)| to <= at && at.since(*to) < CALM / 5);
        if in_burst {
            meanwhile.add(*span);
        } else if !after {
            calm.add(*span);
        }
    }
    let name = |what: &str| format!("Redis, {ids} revocations at once: {what}");
    let two = Target::AtMost(Duration::from_secs(2));
    told(&name("all acknowledged, median"), acknowledged.median(), None, Target::None);
    told(&name("then visible at 10, median"), visible.median(), None, two);
    told(&name("then visible at 10, slowest burst"), visible.percentile(100), None, two);
    told(
        &name("VerifyToken p50 meanwhile, of before"),
        meanwhile.median(),
        Some(calm.median()),
        Target::None,
    );
    let (slow, usual) = (meanwhile.percentile(99), calm.percentile(99));
    told(&name("VerifyToken p99 meanwhile, of before"), slow, Some(usual), Target::Ratio(2.0));
    let slowest = meanwhile.percentile(100);
    told(&name("VerifyToken slowest meanwhile"), slowest, Some(calm.percentile(100)), Target::None);
    for follower in others {
        follower.stop().await?;
    }
    asked.stop().await?;
    caller.shutdown_background();
    issuer.stop().await
}

/// One that asks the same verifier all the time, at a steady pace.
struct Asking {
    stop: Arc<AtomicBool>,
    asked: JoinHandle<Result<Vec<(BootInstant, Duration)>, Failure>>,
}

impl Asking {
    fn start(on: &tokio::runtime::Handle, channel: Channel, token: String) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopping = Arc::clone(&stop);
        let mut client = VerifierServiceClient::new(channel);
        let request = pb::VerifyTokenRequest {
            token,
            accepted_types: vec![pb::TokenType::Pseudonymisation.into()],
            ..Default::default()
        };
        let asked = on.spawn(async move {
            let mut spans = Vec::new();
            let mut tick = tokio::time::interval(PACE);
            tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            while !stopping.load(Ordering::Relaxed) {
                tick.tick().await;
                let at = SystemClock.now().boot;
                let (answer, span) = awaited(client.verify_token(request.clone())).await;
                match answer?.into_inner().verdict {
                    Some(pb::verify_token_response::Verdict::Accepted(_)) => spans.push((at, span)),
                    other => return Err(format!("a good token: {other:?}").into()),
                }
            }
            Ok(spans)
        });
        Self { stop, asked }
    }

    async fn stop(self) -> Result<Vec<(BootInstant, Duration)>, Failure> {
        self.stop.store(true, Ordering::Relaxed);
        self.asked.await?
    }
}

const FOLLOWERS: u64 = 10;
const CALM: Duration = Duration::from_secs(4);
const PACE: Duration = Duration::from_millis(2);
