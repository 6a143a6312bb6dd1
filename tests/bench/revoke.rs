//! From the call of Revoke until the last of many verifiers refuses the token.

use std::{sync::Arc, time::Duration};

use common::clock::{Clock as _, SystemClock};
use tokio::{
    runtime::{Builder, Handle},
    sync::oneshot,
};

use crate::{
    floors::{Disk, Echo, awaited},
    follower::Follower,
    redis::{Pair, created},
    report::{Spans, Target, told},
    stand::{Clients, Failure, Issuer, beside_us},
};

/// What was measured over all rounds.
#[derive(Default)]
struct Measured {
    call: Spans,
    each: Spans,
    last: Spans,
    visible: Spans,
    disk: Spans,
    echo: Spans,
    /// What the issuer computed, per round.
    issuer: Duration,
}

/// `rounds` revocations, one after the other, each of a new token that all `followers` had accepted. `files`: each
/// keeps a file, on the disk that is the issuer's too.
pub(crate) async fn run(followers: u64, rounds: usize, files: bool) -> Result<(), Failure> {
    over(Issuer::start().await?, "", followers, rounds, files).await
}

/// The same over Redis on loopback with one replica that must acknowledge, each follower with a file.
pub(crate) async fn over_redis(followers: u64, rounds: usize) -> Result<(), Failure> {
    let folder = tempfile::tempdir_in(beside_us()?)?;
    let pair = Pair::start(folder.path()).await?;
    over(Issuer::start_with(pair.settings()).await?, "Redis, ", followers, rounds, true).await
}

async fn over(
    issuer: Issuer,
    store: &str,
    followers: u64,
    rounds: usize,
    files: bool,
) -> Result<(), Failure> {
    // The caller is another program: it must not wait its turn behind the followers of this one.
    let caller = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let measured = measure(&issuer, caller.handle(), followers, rounds, files).await;
    caller.shutdown_background();
    tell(store, followers, &measured?);
    issuer.stop().await
}

async fn measure(
    issuer: &Issuer,
    caller: &Handle,
    followers: u64,
    rounds: usize,
    files: bool,
) -> Result<Measured, Failure> {
    let address = issuer.address;
    let mut clients = caller.spawn(Clients::connect(address)).await??;
    created(&mut clients).await?;
    let running: Vec<_> =
        (0..followers).map(|number| Follower::start(issuer, number, files)).collect::<Result<_, _>>()?;
    for follower in &running {
        follower.ready().await?;
    }
    let mut disk = Disk::new(issuer.folder.path())?;
    let mut echo = Echo::new(clients.channel.clone());
    let mut measured = Measured::default();
    for _ in 0..rounds {
        let (token, id) = clients.issue().await?;
        let token: Arc<str> = token.into();
        let mut waiting = Vec::new();
        for follower in &running {
            if !follower.accepts(&token)? {
                return Err("a new token is refused".into());
            }
            let (watching, watches) = oneshot::channel();
            waiting.push(follower.refusal(Arc::clone(&token), watching));
            watches.await?;
        }
        measured.disk.add(disk.write()?);
        measured.echo.add(echo.call().await?);
        let before = issuer.computed()?;
        let mut calling = clients.clone();
        let call = caller.spawn(async move {
            let start = SystemClock.now().boot;
            let (cursor, call) = awaited(calling.revoke(vec![id])).await;
            let (reached, visible) = awaited(calling.await_visibility(cursor?)).await;
            reached?;
            Ok::<_, Failure>((start, call, call + visible))
        });
        let mut refusals = Vec::new();
        for refused in waiting {
            refusals.push(refused.await??);
        }
        let (start, call, visible) = call.await??;
        measured.issuer += issuer.computed()?.saturating_sub(before) / u32::try_from(rounds)?;
        measured.call.add(call);
        measured.visible.add(visible);
        measured.last.extend(refusals.iter().max().map(|last| last.since(start)));
        measured.each.extend(refusals.iter().map(|refused| refused.since(start)));
    }
    for follower in running {
        follower.stop().await?;
    }
    Ok(measured)
}

fn tell(store: &str, followers: u64, measured: &Measured) {
    let floor = Some(measured.disk.median() + measured.echo.median());
    let name = |what: &str| format!("{store}{what}, {followers} followers");
    let milliseconds = |many| Target::AtMost(Duration::from_millis(many));
    let Measured { call, each, last, visible, disk, echo, issuer } = measured;
    // More than a hundred verifiers on two processors wait for each other: told, and no target.
    let hundred = followers == 100;
    let if_hundred = |target| if hundred { target } else { Target::None };
    told(&name("revoke: the call, p50"), call.median(), floor, milliseconds(20));
    told(&name("revoke: the call, p99"), call.percentile(99), None, milliseconds(250));
    told(&name("revoke: refused by each, p50"), each.median(), floor, Target::None);
    told(&name("revoke: refused by each, p99"), each.percentile(99), None, Target::None);
    told(&name("revoke: refused by the last, p50"), last.median(), floor, if_hundred(milliseconds(20)));
    told(&name("revoke: refused by the last, p99"), last.percentile(99), None, if_hundred(milliseconds(250)));
    told(&name("revoke: AwaitVisibility reached, p50"), visible.median(), floor, Target::None);
    told(
        &name("revoke: AwaitVisibility reached, p99"),
        visible.percentile(99),
        None,
        if_hundred(milliseconds(250)),
    );
    told(&name("revoke: computed by the issuer"), *issuer, None, Target::None);
    told(&name("floor: one page to the disk, p50"), disk.median(), None, Target::None);
    told(&name("floor: one page to the disk, p99"), disk.percentile(99), None, Target::None);
    told(&name("floor: an empty call, p50"), echo.median(), None, Target::None);
}
