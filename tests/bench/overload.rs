//! More calls than can be served, whether or not earlier ones were answered: what is still done in time, how soon the rest
//! is told, and how soon all is as before. Whoever floods gets what processor time the services leave; how soon a rejection
//! comes is asked by a caller of its own, which does not.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use common::proto::v1::{self as pb, verifier_service_client::VerifierServiceClient};
use harness::ports::free_address;
use tokio::{
    runtime::Handle,
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval, sleep_until},
};
use tonic::{
    Code, Request, Status,
    transport::{Channel, Endpoint},
};

use crate::{
    report::{Spans, Target, told, told_rate},
    stand::{Clients, Failure, Issuer, ORGANISATION, On, PROJECT, Program},
};

/// Later than that, an answer is of no use.
const USEFUL: Duration = Duration::from_secs(1);
/// Connections of the callers.
const CONNECTIONS: usize = 8;
/// Of the caller beside a flood, in a second.
const ASKED: f64 = 100.0;
const REJECTED: Duration = Duration::from_millis(5);
const BACK: Duration = Duration::from_secs(2);

/// For each service: its peak, 5 and 10 times that, and half of it again. Then revoking beside 5 times the orders, and
/// verifying beside a flood of forged tokens.
pub(crate) async fn run(modest: &Handle, span: Duration) -> Result<(), Failure> {
    let issuer = Issuer::start().await?;
    let address = free_address();
    let verifier = issuer.verifier_on("overload", On::Any, address, None).await?;
    let mut clients = Clients::connect(issuer.address).await?;
    clients.create_project().await?;

    let orders = connections(issuer.address).await?;
    let order = Work::Order;
    let server = Server::Issuer(&issuer);
    let peak = loaded("IssueToken", modest, &orders, order.clone(), server, span).await?;
    revoking(modest, &orders, peak, span, &mut clients).await?;

    let judged = connections(address).await?;
    let (token, _) = clients.issue().await?;
    let seen = Work::Judge(token.clone().into(), None);
    let server = Server::Verifier(&verifier);
    loaded("VerifyToken, seen", modest, &judged, seen.clone(), server, span).await?;
    let forged = Work::Judge(token.into(), Some(Arc::default()));
    let peak = loaded("VerifyToken, forged", modest, &judged, forged.clone(), server, span).await?;
    beside_forged(modest, &judged, peak, span, seen, forged).await?;
    verifier.stop().await?;
    issuer.stop().await
}

async fn connections(address: std::net::SocketAddr) -> Result<Vec<Channel>, Failure> {
    let mut all = Vec::new();
    for _ in 0..CONNECTIONS {
        all.push(Endpoint::from_shared(format!("http://{address}"))?.tcp_nodelay(true).connect().await?);
    }
    Ok(all)
}

/// One call.
#[derive(Clone)]
enum Work {
    Order,
    /// Of this token; forged anew each time, when there is a number to do it with.
    Judge(Arc<str>, Option<Arc<std::sync::atomic::AtomicU64>>),
}

impl Work {
    async fn call(&self, channel: Channel) -> Result<(), Status> {
        match self {
            Self::Order => {
                let mut request = Request::new(pb::IssueTokenRequest {
                    project_id: PROJECT.into(),
                    organisation_id: ORGANISATION.into(),
                    token_type: pb::TokenType::Pseudonymisation.into(),
                    approval: Some(pb::Approval {
                        request_id: "request".into(),
                        requested_by: "somebody".into(),
                        approval: Some(pb::approval::Approval::Automatic(pb::AutomaticApproval {})),
                        purpose: String::new(),
                    }),
                    ..Default::default()
                });
                request.set_timeout(USEFUL);
                pb::issuer_service_client::IssuerServiceClient::new(channel)
                    .issue_token(request)
                    .await
                    .map(drop)
            }
            Self::Judge(token, forging) => {
                let token =
                    forging.as_ref().map_or_else(|| token.to_string(), |number| forged(token, number));
                let accepted_types = vec![pb::TokenType::Pseudonymisation.into()];
                let mut request =
                    Request::new(pb::VerifyTokenRequest { token, accepted_types, ..Default::default() });
                request.set_timeout(USEFUL);
                VerifierServiceClient::new(channel).verify_token(request).await.map(drop)
            }
        }
    }
}

/// The token with another signature, which costs a check like any other.
fn forged(token: &str, number: &std::sync::atomic::AtomicU64) -> String {
    let number = number.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let letters = number.to_be_bytes().into_iter().flat_map(|byte| [byte >> 4, byte & 15]);
    let mark: String = letters.map(|letter| char::from(b'A' + letter)).collect();
    let (said, signature) = token.rsplit_once('.').unwrap_or_default();
    format!("{said}.{mark}{}", signature.get(mark.len()..).unwrap_or_default())
}

/// What became of the calls of one stretch of time.
#[derive(Default)]
struct Became {
    done: Spans,
    rejected: Spans,
    late: u32,
    failed: u32,
    last: Option<Status>,
}

type Seen = Arc<Mutex<Became>>;

/// Calls at a rate, whatever becomes of those before.
async fn offer(channels: &[Channel], work: &Work, each_second: f64, span: Duration) -> Became {
    let seen = Seen::default();
    let mut calls = JoinSet::new();
    let begun = Instant::now();
    let mut tick = interval(Duration::from_millis(1));
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut offered = 0_u32;
    let mut channels = channels.iter().cycle();
    while begun.elapsed() < span {
        tick.tick().await;
        let due = begun.elapsed().as_secs_f64() * each_second;
        while f64::from(offered) < due {
            offered += 1;
            if let Some(channel) = channels.next() {
                calls.spawn(one(channel.clone(), work.clone(), Seen::clone(&seen)));
            }
        }
        while calls.try_join_next().is_some() {}
    }
    calls.join_all().await;
    std::mem::take(&mut seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
}

async fn one(channel: Channel, work: Work, seen: Seen) {
    let begun = Instant::now();
    let answer = tokio::time::timeout(USEFUL, work.call(channel)).await;
    let span = begun.elapsed();
    let mut seen = seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    match answer {
        Ok(Ok(())) => seen.done.add(span),
        Ok(Err(status)) if status.code() == Code::ResourceExhausted => seen.rejected.add(span),
        Ok(Err(status)) if matches!(status.code(), Code::DeadlineExceeded | Code::Cancelled) => {
            seen.late += 1;
        }
        Ok(Err(status)) => {
            seen.failed += 1;
            seen.last = Some(status);
        }
        Err(_elapsed) => seen.late += 1,
    }
}

/// On the threads that leave the services their time.
async fn offered(
    modest: &Handle,
    channels: &[Channel],
    work: &Work,
    each_second: f64,
    span: Duration,
) -> Result<Became, Failure> {
    let (channels, work) = (channels.to_vec(), work.clone());
    let became = modest.spawn(async move { offer(&channels, &work, each_second, span).await }).await?;
    if let Some(status) = &became.last {
        println!("  {} calls failed, the last with {status}", became.failed);
    }
    Ok(became)
}

/// As [`offered`], and besides some calls over a connection of its own, on threads that do not wait behind those of the flood:
/// what they see of the time to a rejection is the server's, and not the queue of whoever floods.
async fn beside(
    modest: &Handle,
    channels: &[Channel],
    work: &Work,
    each_second: f64,
    server: Server<'_>,
    span: Duration,
) -> Result<(Became, Became, f64), Failure> {
    let Some((own, others)) = channels.split_first() else { return Err("no connection".into()) };
    let flooding = offered(modest, others, work, each_second, span);
    let asking = async {
        // When the flood has begun, and no longer than it lasts.
        sleep_until(Instant::now() + span / 10).await;
        let (before, begun) = (server.answered().await?, Instant::now());
        let asked = offer(std::slice::from_ref(own), work, ASKED, span * 8 / 10).await;
        let more = server.answered().await? - before;
        Ok::<_, Failure>((asked, more / begun.elapsed().as_secs_f64()))
    };
    let (became, asked) = tokio::join!(flooding, asking);
    let (asked, answered) = asked?;
    Ok((became?, asked, answered))
}

/// Who tells how many calls it has answered. Whoever floods sees answers late, for lack of processor time.
#[derive(Clone, Copy)]
enum Server<'a> {
    Issuer(&'a Issuer),
    Verifier(&'a Program),
}

impl Server<'_> {
    /// Orders, or verifications, that were answered with OK.
    async fn answered(self) -> Result<f64, Failure> {
        let (text, method) = match self {
            Self::Issuer(issuer) => (issuer.told("/metrics").await?, "IssueToken"),
            Self::Verifier(verifier) => (verifier.told("/metrics").await?, "VerifyToken"),
        };
        let ours = |line: &&str| {
            line.starts_with("ipms_rpc_total{")
                && line.contains(&format!("/{method}\""))
                && line.contains("\"OK\"")
        };
        let line = text.lines().find(ours).and_then(|line| line.rsplit(' ').next());
        Ok(line.ok_or("no call was answered")?.parse()?)
    }
}

/// The most that is done: by callers that each wait for their answer.
async fn peak(modest: &Handle, channels: &[Channel], work: &Work, span: Duration) -> Result<f64, Failure> {
    let mut callers = JoinSet::new();
    let until = Instant::now() + span;
    for channel in channels.iter().cycle().take(8 * channels.len()) {
        let (channel, work) = (channel.clone(), work.clone());
        let calling = async move {
            let mut done = 0_u32;
            while Instant::now() < until {
                done += u32::from(work.call(channel.clone()).await.is_ok());
            }
            done
        };
        callers.spawn_on(calling, modest);
    }
    let done: u32 = callers.join_all().await.into_iter().sum();
    Ok(f64::from(done) / span.as_secs_f64())
}

async fn loaded(
    name: &str,
    modest: &Handle,
    channels: &[Channel],
    work: Work,
    server: Server<'_>,
    span: Duration,
) -> Result<f64, Failure> {
    let peak = peak(modest, channels, &work, span).await?;
    told_rate(&format!("overload: {name}, peak"), peak, None);
    for (times, least) in [(5.0, 0.9), (10.0, 0.8)] {
        let (became, asked, answered) = beside(modest, channels, &work, peak * times, server, span).await?;
        let all = became.done.count() + became.rejected.count() + became.late + became.failed;
        let name = format!("overload: {name}, {times} x peak");
        told_rate(&format!("{name}, offered"), f64::from(all) / span.as_secs_f64(), None);
        told_rate(&format!("{name}, answered"), answered, Some(least * peak));
        told(&format!("{name}, done, p99"), became.done.percentile(99), None, Target::None);
        let (rejected, late) = (became.rejected.count(), became.late);
        let share = format!("{name}, rejected p99 of those that flood ({rejected}; {late} late)");
        told(&share, became.rejected.percentile(99), None, Target::None);
        let (done, rejected, late) = (asked.done.count(), asked.rejected.count(), asked.late);
        println!("  a caller beside it: {done} done, {rejected} rejected, {late} late");
        if rejected > 0 {
            let own = format!("{name}, rejection to a caller beside it");
            told(&format!("{own}, p50"), asked.rejected.median(), None, Target::None);
            told(&format!("{own}, p99"), asked.rejected.percentile(99), None, Target::AtMost(REJECTED));
        }
    }
    let back = back(modest, channels, &work, peak / 2.0).await?;
    told(&format!("overload: {name}, as before again after"), back, None, Target::AtMost(BACK));
    Ok(peak)
}

/// After an overload: when calls at half of the peak are all done again, for half a second on end.
async fn back(
    modest: &Handle,
    channels: &[Channel],
    work: &Work,
    each_second: f64,
) -> Result<Duration, Failure> {
    let begun = Instant::now();
    loop {
        let at = begun.elapsed();
        let became = offered(modest, channels, work, each_second, Duration::from_millis(500)).await?;
        let all_done = became.late + became.failed == 0 && became.rejected.count() == 0;
        if all_done || begun.elapsed() > Duration::from_secs(30) {
            return Ok(at);
        }
    }
}

/// Revoking, one by one, while five times the orders come in that can be served.
async fn revoking(
    modest: &Handle,
    channels: &[Channel],
    peak: f64,
    span: Duration,
    clients: &mut Clients,
) -> Result<(), Failure> {
    let mut ids = Vec::new();
    for _ in 0..20 {
        ids.push(clients.issue().await?.1);
    }
    let flooding = {
        let channels = channels.to_vec();
        modest.spawn(async move { offer(&channels, &Work::Order, peak * 5.0, span).await })
    };
    sleep_until(Instant::now() + span / 10).await;
    let mut spans = Spans::default();
    for id in ids {
        let begun = Instant::now();
        clients.revoke(vec![id]).await?;
        spans.add(begun.elapsed());
    }
    let during = !flooding.is_finished();
    flooding.await?;
    let name = if during { "Revoke beside 5 x the orders" } else { "Revoke beside and after 5 x the orders" };
    told(&format!("overload: {name}, p50"), spans.median(), None, Target::None);
    told(
        &format!("overload: {name}, p99"),
        spans.percentile(99),
        None,
        Target::AtMost(Duration::from_millis(250)),
    );
    Ok(())
}

/// A caller of a connection of its own, without and with twice as many forged tokens as can be judged on the others.
async fn beside_forged(
    modest: &Handle,
    channels: &[Channel],
    peak: f64,
    span: Duration,
    seen: Work,
    forged: Work,
) -> Result<(), Failure> {
    let Some((own, others)) = channels.split_first() else { return Ok(()) };
    let others = others.to_vec();
    let mut quiet = Vec::new();
    let mut flooded = Vec::new();
    for _ in 0..3 {
        let own = std::slice::from_ref(own);
        quiet.push(offer(own, &seen, 200.0, span).await.done.percentile(99));
        let flooding = {
            let (others, forged) = (others.clone(), forged.clone());
            modest.spawn(async move { offer(&others, &forged, peak * 2.0, span).await })
        };
        let became = offer(own, &seen, 200.0, span).await;
        flooding.await?;
        flooded.push(became.done.percentile(99));
        if became.late + became.failed > 0 {
            println!("  beside forged tokens {} calls were late, {} failed", became.late, became.failed);
        }
    }
    let median = |mut spans: Vec<Duration>| {
        spans.sort_unstable();
        spans.get(spans.len() / 2).copied().unwrap_or_default()
    };
    let name = "overload: VerifyToken beside forged ones, p99 (floor: without)";
    told(name, median(flooded), Some(median(quiet)), Target::Ratio(2.0));
    Ok(())
}
