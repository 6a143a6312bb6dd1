//! What a legitimate caller of the verifier notices while ten attackers do their worst, mode by mode; and what an idle
//! connection costs. The attackers get what processor time the verifier and its caller leave them, as on another machine.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use common::proto::v1::{
    self as pb, verifier_service_client::VerifierServiceClient, verify_token_response::Verdict,
};
use harness::{
    hostile::{Mode, attack_at},
    ports::free_address,
};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::{io::AsyncWriteExt as _, net::TcpStream, runtime::Handle, time::sleep};
use tonic::transport::{Channel, Endpoint};

use crate::{
    floors::awaited,
    report::{Spans, Target, told, told_bytes},
    stand::{Clients, Failure, Issuer, On, Program},
};

const ATTACKERS: usize = 10;
const NAME: &str = "abuse";
/// Between two calls of the legitimate caller.
const PACE: Duration = Duration::from_millis(2);

/// Each mode `turns` times for `span`, in turns with as long without it. Then `idle` connections.
pub(crate) async fn run(modest: &Handle, turns: usize, span: Duration, idle: u32) -> Result<(), Failure> {
    let issuer = Issuer::start().await?;
    let address = free_address();
    let verifier = issuer.verifier_on(NAME, On::Any, address, None).await?;
    let mut clients = Clients::connect(issuer.address).await?;
    clients.create_project().await?;
    let (token, _) = clients.issue().await?;
    let channel = Endpoint::from_shared(format!("http://{address}"))?.tcp_nodelay(true).connect().await?;
    let caller = Caller { client: VerifierServiceClient::new(channel), token };
    for mode in Mode::ALL {
        under(mode, modest, &caller, &verifier, address, turns, span).await?;
    }
    idling(&verifier, address, idle).await?;
    caller.calls(span).await?;
    verifier.stop().await?;
    issuer.stop().await
}

struct Caller {
    client: VerifierServiceClient<Channel>,
    token: String,
}

impl Caller {
    /// Calls for so long; a call that is not accepted is a failure.
    async fn calls(&self, span: Duration) -> Result<Spans, Failure> {
        let (mut spans, mut client) = (Spans::default(), self.client.clone());
        let begun = tokio::time::Instant::now();
        while begun.elapsed() < span {
            let request = pb::VerifyTokenRequest {
                token: self.token.clone(),
                accepted_types: vec![pb::TokenType::Pseudonymisation.into()],
                ..Default::default()
            };
            let (answer, taken) = awaited(client.verify_token(request)).await;
            if !matches!(answer?.into_inner().verdict, Some(Verdict::Accepted(_))) {
                return Err("a good token is not accepted".into());
            }
            spans.add(taken);
            sleep(PACE).await;
        }
        Ok(spans)
    }
}

async fn under(
    mode: Mode,
    modest: &Handle,
    caller: &Caller,
    verifier: &Program,
    address: SocketAddr,
    turns: usize,
    span: Duration,
) -> Result<(), Failure> {
    let [mut quiet, mut attacked] = [(); 2].map(|()| Spans::default());
    let before = verifier.memory("VmRSS")?;
    for _ in 0..turns {
        quiet.add(caller.calls(span).await?.percentile(99));
        let stop = Arc::new(AtomicBool::new(false));
        let attacks: Vec<_> = (0..ATTACKERS)
            .map(|_| {
                let stop = Arc::clone(&stop);
                modest.spawn(async move {
                    while !stop.load(Ordering::Relaxed) {
                        // Out of ports or of places: an attacker's own trouble.
                        attack_at(address, mode, span).await.ok();
                    }
                })
            })
            .collect();
        let calls = caller.calls(span).await;
        stop.store(true, Ordering::Relaxed);
        attacked.add(calls?.percentile(99));
        for attack in attacks {
            attack.await?;
        }
    }
    let name = format!("abuse: {mode:?}, VerifyToken p99 (floor: without)");
    told(&name, attacked.median(), Some(quiet.median()), Target::Ratio(2.0));
    let growth = verifier.memory("VmRSS")?.saturating_sub(before);
    told_bytes(&format!("abuse: {mode:?}, memory more"), growth, Some(64 << 20));
    Ok(())
}

/// Connections that have begun, and say nothing.
async fn idling(verifier: &Program, address: SocketAddr, many: u32) -> Result<(), Failure> {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })?;
    let before = verifier.memory("VmRSS")?;
    let mut held = Vec::new();
    for _ in 0..many {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await?;
        held.push(stream);
    }
    // Each has got the server's own settings: it is served.
    for stream in &held {
        stream.readable().await?;
    }
    let each = verifier.memory("VmRSS")?.saturating_sub(before) / u64::from(many);
    told_bytes(&format!("an idle connection, of {many}"), each, Some(64 << 10));
    Ok(())
}
