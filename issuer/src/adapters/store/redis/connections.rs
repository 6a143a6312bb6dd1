//! Connections to one Redis server: a fixed number, each rebuilt when it breaks, freezes or finds wrong settings. No call
//! waits longer than its deadline. Knows no step.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use redis::{
    AsyncConnectionConfig, Client, Cmd, FromRedisValue, Pipeline, RedisResult, Value,
    aio::MultiplexedConnection,
};
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
    time::timeout,
};

use super::{
    checks::{Demands, Unfit},
    refusal::Refusal,
};

/// What a script answers: parts, some of which may be missing.
pub(super) type Parts = Vec<Option<Vec<u8>>>;

/// A script with its keys and arguments.
#[derive(Debug)]
pub(super) struct Call {
    script: redis::Script,
    keys: Vec<Vec<u8>>,
    args: Vec<Vec<u8>>,
}

impl Call {
    pub(super) fn new(script: &str) -> Self {
        Self { script: redis::Script::new(script), keys: Vec::new(), args: Vec::new() }
    }

    pub(super) fn key(mut self, key: impl Into<Vec<u8>>) -> Self {
        self.keys.push(key.into());
        self
    }

    pub(super) fn arg(mut self, arg: impl Into<Vec<u8>>) -> Self {
        self.args.push(arg.into());
        self
    }

    fn command(&self) -> Cmd {
        let mut command = redis::cmd("EVALSHA");
        command.arg(self.script.get_hash()).arg(self.keys.len()).arg(&self.keys).arg(&self.args);
        command
    }
}

/// The connections. Dropped: all of them are closed.
#[derive(Debug)]
pub(super) struct Connections {
    lines: Vec<Line>,
    next: AtomicUsize,
    deadline: Duration,
    /// Replicas that must acknowledge a step, and the key that is written so that they speak of it.
    replicas: u32,
    touched: String,
    _keepers: JoinSet<()>,
}

#[derive(Debug)]
struct Line {
    live: watch::Receiver<Option<Live>>,
    broken: mpsc::Sender<u64>,
}

#[derive(Clone)]
struct Live {
    number: u64,
    connection: MultiplexedConnection,
}

impl std::fmt::Debug for Live {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Live").field("number", &self.number).finish_non_exhaustive()
    }
}

/// What connections are made with.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) client: Client,
    pub(super) demands: Demands,
    pub(super) deadline: Duration,
    /// Replicas that must acknowledge a step.
    pub(super) replicas: u32,
}

impl Connections {
    /// Connects once, so that wrong settings are told at start, and keeps connections from then on. `seed` spreads the
    /// waits between attempts.
    pub(super) async fn open(target: Target, touched: String, seed: [u8; 32]) -> Result<Self, Unfit> {
        let mut first = Some(dial(&target).await?);
        let mut keepers = JoinSet::new();
        let mut random = StdRng::from_seed(seed);
        let lines = (0..LINES).map(|_| {
            let (publish, live) = watch::channel(None);
            let (broken, told) = mpsc::channel(LINES);
            let keeper =
                Keeper { target: target.clone(), publish, told, random: StdRng::from_seed(random.random()) };
            keepers.spawn(keeper.run(first.take()));
            Line { live, broken }
        });
        let lines = lines.collect();
        let (deadline, replicas) = (target.deadline, target.replicas);
        Ok(Self { lines, next: AtomicUsize::new(0), deadline, replicas, touched, _keepers: keepers })
    }

    /// Asks, changing nothing.
    pub(super) async fn read<T: FromRedisValue>(&self, call: &Call) -> Result<T, Refusal> {
        from(self.ask(call, 0).await?)
    }

    /// Takes a step, and answers once enough replicas have it. After [`Refusal::TooFewCopies`], as after most others,
    /// whether it stands is not known.
    pub(super) async fn write<T: FromRedisValue>(&self, call: &Call) -> Result<T, Refusal> {
        from(self.ask(call, self.replicas).await?)
    }

    async fn ask(&self, call: &Call, replicas: u32) -> Result<Value, Refusal> {
        let turn = self.next.fetch_add(1, Ordering::Relaxed) % self.lines.len().max(1);
        let taken = self.lines.get(turn).ok_or(Refusal::NoAnswer)?;
        let mut used = None;
        let outcome = timeout(self.deadline, async {
            let mut receiver = taken.live.clone();
            let live = receiver.wait_for(Option::is_some).await.ok().and_then(|live| live.clone());
            let mut live = live.ok_or(Refusal::NoAnswer)?;
            used = Some(live.number);
            self.run(&mut live.connection, call, replicas).await
        });
        let outcome = outcome.await.unwrap_or(Err(Refusal::NoAnswer));
        if let (Err(refusal), Some(number)) = (&outcome, used)
            && refusal.ends_connection()
        {
            // Full: the keeper knows already.
            taken.broken.try_send(number).ok();
        }
        outcome
    }

    /// Runs it, after teaching the server the script if it does not know it.
    async fn run(
        &self,
        connection: &mut MultiplexedConnection,
        call: &Call,
        replicas: u32,
    ) -> Result<Value, Refusal> {
        let first = self.attempt(connection, call, replicas).await;
        if first != Err(Refusal::NoScript) {
            return first;
        }
        let loaded = call.script.load_async(connection).await;
        loaded.map_err(|error| Refusal::from(&error))?;
        self.attempt(connection, call, replicas).await
    }

    async fn attempt(
        &self,
        connection: &mut MultiplexedConnection,
        call: &Call,
        replicas: u32,
    ) -> Result<Value, Refusal> {
        let refusal = |error| Refusal::from(&error);
        if replicas == 0 {
            return call.command().query_async(connection).await.map_err(refusal);
        }
        // One write, one connection, in this order: WAIT speaks of its own connection's last write only. A step that
        // found everything as it should be has written nothing, so something is written in any case.
        let mut pipeline = Pipeline::new();
        pipeline.add_command(call.command());
        pipeline.cmd("HSET").arg(&self.touched).arg("touched").arg(1);
        pipeline.cmd("WAIT").arg(replicas).arg(self.deadline.as_millis().to_string());
        pipeline.ignore_errors();
        let answers: Vec<RedisResult<Value>> = pipeline.query_async(connection).await.map_err(refusal)?;
        let [answer, touched, waited] = <[_; 3]>::try_from(answers).map_err(|_fewer| Refusal::Foreign)?;
        let answer = answer.map_err(refusal)?;
        touched.map_err(refusal)?;
        let copies: u32 = from(waited.map_err(refusal)?)?;
        if copies < replicas { Err(Refusal::TooFewCopies) } else { Ok(answer) }
    }
}

fn from<T: FromRedisValue>(value: Value) -> Result<T, Refusal> {
    redis::from_redis_value(value).map_err(|_of_another_form| Refusal::Foreign)
}

/// A new connection to a server that is fit for use.
async fn dial(target: &Target) -> Result<MultiplexedConnection, Unfit> {
    let patience = target.deadline.saturating_mul(PATIENCE);
    let config = AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
    let connecting = target.client.get_multiplexed_async_connection_with_config(&config);
    let connected = timeout(patience, connecting).await.map_err(|_late| Unfit::from(Refusal::NoAnswer))?;
    let mut connection = connected.map_err(|error| Unfit::from(Refusal::from(&error)))?;
    let checked = timeout(patience, target.demands.check(&mut connection)).await;
    checked.unwrap_or(Err(Unfit::from(Refusal::NoAnswer)))?;
    Ok(connection)
}

/// Keeps one connection alive.
struct Keeper {
    target: Target,
    publish: watch::Sender<Option<Live>>,
    told: mpsc::Receiver<u64>,
    random: StdRng,
}

impl Keeper {
    async fn run(mut self, mut ready: Option<MultiplexedConnection>) {
        let (mut number, mut failures) = (0, 0_u32);
        loop {
            let dialled = match ready.take() {
                Some(connection) => Ok(connection),
                None => dial(&self.target).await,
            };
            match dialled {
                Ok(connection) => {
                    (number, failures) = (number + 1, 0);
                    self.publish.send_replace(Some(Live { number, connection: connection.clone() }));
                    let over = self.watch(number, connection).await;
                    self.publish.send_replace(None);
                    if over {
                        return;
                    }
                }
                Err(unfit) => {
                    if failures == 0 {
                        tracing::error!("Redis is not used: {unfit}");
                    }
                    failures = failures.saturating_add(1);
                    let most = FIRST_WAIT.saturating_mul(1 << failures.min(8)).min(LONGEST_WAIT);
                    tokio::time::sleep(most.mul_f64(self.random.random_range(0.5..1.0))).await;
                }
            }
        }
    }

    /// Returns when the connection is worth nothing any more; `true`: nobody wants one.
    async fn watch(&mut self, number: u64, mut connection: MultiplexedConnection) -> bool {
        let mut looks = 0_u32;
        loop {
            tokio::select! {
                broken = self.told.recv() => match broken {
                    None => return true,
                    Some(broken) if broken == number => return false,
                    // Of a connection before this one.
                    Some(_) => continue,
                },
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
            looks = looks.wrapping_add(1);
            let alive = if looks.is_multiple_of(CHECK_AFTER) {
                match timeout(self.target.deadline, self.target.demands.check(&mut connection)).await {
                    Ok(Ok(())) => true,
                    Ok(Err(unfit)) => {
                        tracing::error!("Redis is not used any more: {unfit}");
                        false
                    }
                    Err(_late) => false,
                }
            } else {
                let ping = redis::cmd("PING");
                let answer = timeout(self.target.deadline, ping.query_async::<Value>(&mut connection)).await;
                matches!(answer, Ok(Ok(_)))
            };
            if !alive {
                return false;
            }
        }
    }
}

/// Steps of many callers share a connection; several spread the waits for replicas.
const LINES: usize = 4;
/// An idle connection is looked at so often: a frozen server is noticed without a call.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The server's settings are checked at each such look: once a minute.
const CHECK_AFTER: u32 = 60;
/// Making a connection may take so many deadlines.
const PATIENCE: u32 = 4;
const FIRST_WAIT: Duration = Duration::from_millis(25);
const LONGEST_WAIT: Duration = Duration::from_secs(1);
