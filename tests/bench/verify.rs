//! What a verification costs the verifier's processor, beside echoes that answer as much to the same requests, in turns.

use std::sync::Arc;

use common::proto::v1 as pb;
use prost::Message as _;

use crate::{
    load::{Plan, Shape},
    report::{Spans, Target, told},
    stand::{Failure, Issuer},
    subjects::{Subject, Window},
    tokens::{self, VERIFY, VERIFY_MANY},
};

/// How much is sent.
#[derive(Clone, Copy)]
pub(crate) struct Sizes {
    pub(crate) rounds: usize,
    /// Requests in a window with many at once; a window with one at a time has an eighth.
    pub(crate) window: usize,
    pub(crate) distinct: usize,
    /// Never seen tokens in a window.
    pub(crate) misses: usize,
}

const fn shape(connections: usize, streams: usize) -> Shape {
    Shape { connections, streams }
}

pub(crate) const BUSY: Shape = shape(4, 32);
const SHAPES: [Shape; 5] = [shape(1, 1), shape(1, 32), BUSY, shape(16, 1), shape(64, 4)];
const BATCH: usize = 64;

/// The three servers and what they are asked.
struct Field {
    verifier: Subject,
    layers: Subject,
    bare: Subject,
    sizes: Sizes,
}

pub(crate) async fn run(sizes: Sizes) -> Result<(), Failure> {
    let issuer = Issuer::start().await?;
    let keys = issuer.folder.path().join("keys");
    let fresh = sizes.misses * sizes.rounds;
    let pool = tokens::signed(&keys, sizes.distinct.max(fresh), 1)?;
    let verifier = Subject::verifier(&issuer, "verify").await?;
    let hot = pool.first().ok_or("no tokens")?;
    let length = answer_length(&issuer, hot).await?;
    let (layers, bare) = (Subject::layers(length).await?, Subject::bare(&issuer, length).await?);
    let field = Field { verifier, layers, bare, sizes };
    field.hot(hot).await?;
    field.sockets(hot).await?;
    field.misses(&pool).await?;
    field.distinct(&pool).await?;
    field.batches(&pool).await?;
    field.forged(&pool).await?;
    for subject in [field.verifier, field.layers, field.bare] {
        subject.stop().await?;
    }
    issuer.stop().await
}

/// How long the message is that answers about this token.
async fn answer_length(issuer: &Issuer, token: &str) -> Result<usize, Failure> {
    let channel = issuer.socket("verify").await?;
    let request = pb::VerifyTokenRequest::decode(&*tokens::request(token))?;
    let mut client = pb::verifier_service_client::VerifierServiceClient::new(channel);
    let answer = client.verify_token(request).await?.into_inner();
    match answer.verdict {
        Some(pb::verify_token_response::Verdict::Accepted(_)) => Ok(answer.encoded_len()),
        _ => Err("a good token is not accepted".into()),
    }
}

/// Windows of one case, for each server that takes part.
#[derive(Default)]
struct Case {
    costs: Vec<Spans>,
    latencies: Vec<Spans>,
}

impl Case {
    fn add(&mut self, place: usize, window: Window) {
        for spans in [&mut self.costs, &mut self.latencies] {
            spans.resize_with(spans.len().max(place + 1), Spans::default);
        }
        let [latencies, _] = window.seen.latencies;
        if let (Some(costs), Some(all)) = (self.costs.get_mut(place), self.latencies.get_mut(place)) {
            costs.add(window.cost);
            all.extend(latencies);
        }
    }

    fn cost(&self, place: usize) -> std::time::Duration {
        self.costs.get(place).map(Spans::median).unwrap_or_default()
    }

    fn tell_latencies(&self, name: &str, place: usize) {
        let Some(spans) = self.latencies.get(place) else { return };
        for (what, permille) in [("p50", 500), ("p99", 990), ("p99.9", 999)] {
            told(&format!("{name}, latency {what}"), spans.permille(permille), None, Target::None);
        }
    }
}

impl Field {
    fn requests(&self, shape: Shape) -> usize {
        if shape.connections * shape.streams == 1 { self.sizes.window / 8 } else { self.sizes.window }
    }

    /// In turns, so that what else the machine does meets all of them.
    async fn turns(&self, shape: Shape, bodies: &[Vec<u8>], servers: &[&Subject]) -> Result<Case, Failure> {
        let plan = plan(VERIFY, bodies);
        let requests = self.requests(shape);
        let mut case = Case::default();
        for round in 0..=self.sizes.rounds {
            for (place, server) in servers.iter().enumerate() {
                let window = server.window(&server.tcp, shape, &plan, requests, requests as u64).await?;
                // The first one warms up.
                if round > 0 {
                    case.add(place, window);
                }
            }
        }
        Ok(case)
    }

    async fn hot(&self, token: &str) -> Result<(), Failure> {
        let bodies = [tokens::request(token)];
        for shape in SHAPES {
            let case = self.turns(shape, &bodies, &[&self.verifier, &self.layers, &self.bare]).await?;
            let bound = |bound| {
                if [BUSY, self::shape(16, 1)].contains(&shape) { Target::Worth(bound) } else { Target::None }
            };
            let (ours, layers, bare) = (case.cost(0), Some(case.cost(1)), Some(case.cost(2)));
            told(&format!("hot token, {shape}, of the echo with the same layers"), ours, layers, bound(0.95));
            told(&format!("hot token, {shape}, of the bare echo"), ours, bare, bound(0.85));
            case.tell_latencies(&format!("hot token, {shape}"), 0);
        }
        Ok(())
    }

    /// One at a time over the Unix socket and over TCP.
    async fn sockets(&self, token: &str) -> Result<(), Failure> {
        let alone = shape(1, 1);
        let plan = plan(VERIFY, &[tokens::request(token)]);
        let requests = self.requests(alone);
        let mut case = Case::default();
        let unix = self.verifier.unix.as_ref().ok_or("no socket")?;
        for _ in 0..self.sizes.rounds {
            for (place, to) in [unix, &self.verifier.tcp].into_iter().enumerate() {
                case.add(place, self.verifier.window(to, alone, &plan, requests, requests as u64).await?);
            }
        }
        let p50 = |place: usize| case.latencies.get(place).map(Spans::median).unwrap_or_default();
        told("Unix socket, 1x1, p50, of TCP", p50(0), Some(p50(1)), Target::Ratio(0.9));
        told("Unix socket, 1x1, processor time, of TCP", case.cost(0), Some(case.cost(1)), Target::None);
        Ok(())
    }

    /// Tokens that no cache has seen.
    async fn misses(&self, pool: &[String]) -> Result<(), Failure> {
        let Sizes { misses, rounds, .. } = self.sizes;
        let bare = crate::floors::Bare::new()?;
        let (mut costs, mut echo, mut verify) = (Spans::default(), Spans::default(), Spans::default());
        for fresh in pool.chunks(misses).take(rounds) {
            let bodies: Vec<_> = fresh.iter().map(|token| tokens::request(token)).collect();
            let plan = plan(VERIFY, &bodies);
            costs.add(
                self.verifier.window(&self.verifier.tcp, BUSY, &plan, misses, misses as u64).await?.cost,
            );
            echo.add(self.layers.window(&self.layers.tcp, BUSY, &plan, misses, misses as u64).await?.cost);
            verify.extend((0..100).map(|_| bare.verify()).collect::<Result<Vec<_>, _>>()?);
        }
        let floor = echo.median() + verify.median() + std::time::Duration::from_nanos(1_500);
        told("new token, 3072 bits, of echo + RSA + 1.5 us", costs.median(), Some(floor), Target::Worth(0.9));
        told("floor: RSA-3072 verification", verify.median(), None, Target::None);
        Ok(())
    }

    /// Every token of the pool in turn, all in the cache.
    async fn distinct(&self, pool: &[String]) -> Result<(), Failure> {
        let bodies: Vec<_> =
            pool.iter().take(self.sizes.distinct).map(|token| tokens::request(token)).collect();
        let count = bodies.len();
        let all = plan(VERIFY, &bodies);
        self.verifier.window(&self.verifier.tcp, BUSY, &all, count, count as u64).await?;
        let requests = self.requests(BUSY).max(count);
        let mut case = Case::default();
        for _ in 0..self.sizes.rounds {
            for (place, server) in [&self.verifier, &self.layers].into_iter().enumerate() {
                case.add(place, server.window(&server.tcp, BUSY, &all, requests, requests as u64).await?);
            }
        }
        told(
            &format!("{count} cached tokens, 4x32, of the echo"),
            case.cost(0),
            Some(case.cost(1)),
            Target::Worth(0.9),
        );
        case.tell_latencies(&format!("{count} cached tokens, 4x32"), 0);
        Ok(())
    }

    /// 64 tokens in a call, against one in a call.
    async fn batches(&self, pool: &[String]) -> Result<(), Failure> {
        let some: Vec<_> = pool.iter().take(BATCH * 16).cloned().collect();
        let batches: Vec<_> = some.chunks_exact(BATCH).map(tokens::batch).collect();
        let singles: Vec<_> = some.iter().map(|token| tokens::request(token)).collect();
        let (many, one) = (plan(VERIFY_MANY, &batches), plan(VERIFY, &singles));
        let calls = (self.requests(BUSY) / BATCH).max(1);
        let server = &self.verifier;
        let (mut batch, mut single) = (Spans::default(), Spans::default());
        for round in 0..=self.sizes.rounds {
            let accepted = (calls * BATCH) as u64;
            let window = server.window(&server.tcp, shape(4, 4), &many, calls, accepted).await?;
            let alone = server.window(&server.tcp, BUSY, &one, calls * BATCH, accepted).await?;
            if round > 0 {
                batch.add(window.cost / u32::try_from(BATCH)?);
                single.add(alone.cost);
            }
        }
        told(
            "batch of 64, per token, of one in a call",
            batch.median(),
            Some(single.median()),
            Target::Worth(5.0),
        );
        Ok(())
    }
}

impl Field {
    /// Every other token is a forgery, which costs a signature check each time.
    async fn forged(&self, pool: &[String]) -> Result<(), Failure> {
        let some: Vec<_> = pool.iter().take(64).collect();
        let good: Vec<_> = some.iter().map(|token| (tokens::request(token), 0)).collect();
        let mixed = some
            .iter()
            .flat_map(|token| [(tokens::request(token), 0), (tokens::request(&tokens::forged(token)), 1)]);
        let good = Plan { path: VERIFY, bodies: good.into(), traceparent: None };
        let mixed = Plan { path: VERIFY, bodies: mixed.collect(), traceparent: None };
        let (requests, server) = (self.requests(BUSY) / 4 * 2, &self.verifier);
        let (mut alone, mut beside, mut refused) = (Spans::default(), Spans::default(), Spans::default());
        for _ in 0..self.sizes.rounds {
            let half = requests / 2;
            let calm = server.window(&server.tcp, BUSY, &good, half, half as u64).await?;
            let [latencies, _] = calm.seen.latencies;
            alone.extend(latencies);
            let attacked = server.window(&server.tcp, BUSY, &mixed, requests, half as u64).await?;
            let [latencies, forged] = attacked.seen.latencies;
            beside.extend(latencies);
            refused.extend(forged);
        }
        told(
            "good tokens beside as many forged, p99, of alone",
            beside.percentile(99),
            Some(alone.percentile(99)),
            Target::Ratio(2.0),
        );
        told("forged tokens, p99", refused.percentile(99), None, Target::None);
        Ok(())
    }
}

pub(crate) fn plan(path: &'static str, bodies: &[Vec<u8>]) -> Plan {
    let bodies: Arc<[_]> = bodies.iter().map(|body| (body.clone(), 0)).collect();
    Plan { path, bodies, traceparent: None }
}
