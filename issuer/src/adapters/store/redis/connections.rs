//! Connections to the server to write to: a fixed number, each rebuilt when it breaks, freezes, finds wrong settings or is
//! to the wrong server. No call waits longer than its deadline. Knows no step.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use redis::{Cmd, FromRedisValue, Pipeline, RedisResult, Value};
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
    time::timeout,
};

use super::{
    checks::Unfit,
    keeper::{Keeper, Live, Target, dial},
    refusal::Refusal,
    rounds::Rounds,
    standing::Standing,
    whereabouts::Lookout,
};

/// What a script answers: parts, some of which may be missing.
pub(super) type Parts = Vec<Option<Vec<u8>>>;

/// A script with its keys and arguments.
#[derive(Debug)]
pub(super) struct Call {
    text: &'static str,
    script: redis::Script,
    keys: Vec<Vec<u8>>,
    args: Vec<Vec<u8>>,
}

impl Call {
    pub(super) fn new(text: &'static str) -> Self {
        Self { text, script: redis::Script::new(text), keys: Vec::new(), args: Vec::new() }
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
    writing: Lines,
    reading: Lines,
    deadline: Duration,
    /// Replicas that must acknowledge a step, and the key that is written so that they speak of it.
    replicas: u32,
    touched: String,
    standing: Arc<Standing>,
    _keepers: JoinSet<()>,
    _lookout: Lookout,
}

/// Connections of one use, taken in turns. Who waits for replicas holds up nobody who only reads.
#[derive(Debug)]
struct Lines {
    lines: Vec<Line>,
    next: AtomicUsize,
}

#[derive(Debug)]
struct Line {
    live: watch::Receiver<Option<Live>>,
    broken: mpsc::Sender<u64>,
    rounds: Rounds<Cmd, Value>,
}

impl Connections {
    /// Connects once, so that wrong settings are told at start, and keeps connections from then on. `seed` spreads the
    /// waits between attempts.
    pub(super) async fn open(
        mut target: Target,
        lookout: Lookout,
        (replicas, touched): (u32, String),
        seed: [u8; 32],
    ) -> Result<Self, Unfit> {
        let mut first = Some(dial(&mut target).await?);
        let mut keepers = JoinSet::new();
        let mut random = StdRng::from_seed(seed);
        let mut keep = |_| {
            let (publish, live) = watch::channel(None);
            let (broken, told) = mpsc::channel(WRITING);
            let random = StdRng::from_seed(random.random());
            keepers.spawn(Keeper { target: target.clone(), publish, told, random }.run(first.take()));
            Line { live, broken, rounds: Rounds::default() }
        };
        let writing = (0..WRITING).map(&mut keep).collect();
        let reading = (0..READING).map(&mut keep).collect();
        let lines = |lines| Lines { lines, next: AtomicUsize::new(0) };
        Ok(Self {
            writing: lines(writing),
            reading: lines(reading),
            deadline: target.deadline,
            replicas,
            touched,
            standing: target.standing,
            _keepers: keepers,
            _lookout: lookout,
        })
    }

    pub(super) fn standing(&self) -> &Standing {
        &self.standing
    }

    /// Asks, changing nothing.
    pub(super) async fn read<T: FromRedisValue>(&self, call: &Call) -> Result<T, Refusal> {
        from(self.ask(&self.reading, call, 0).await?)
    }

    /// Takes a step, and answers once enough replicas have it. After [`Refusal::TooFewCopies`], as after most others,
    /// whether it stands is not known.
    pub(super) async fn write<T: FromRedisValue>(&self, call: &Call) -> Result<T, Refusal> {
        from(self.ask(&self.writing, call, self.replicas).await?)
    }

    async fn ask(&self, lines: &Lines, call: &Call, replicas: u32) -> Result<Value, Refusal> {
        let turn = lines.next.fetch_add(1, Ordering::Relaxed) % lines.lines.len().max(1);
        let taken = lines.lines.get(turn).ok_or(Refusal::NoAnswer)?;
        let mut used = None;
        let outcome = timeout(self.deadline, async {
            let mut receiver = taken.live.clone();
            let live = receiver.wait_for(Option::is_some).await.ok().and_then(|live| live.clone());
            let live = live.ok_or(Refusal::NoAnswer)?;
            used = Some(live.number);
            self.run(taken, &live, call, replicas).await
        });
        let outcome = outcome.await.unwrap_or(Err(Refusal::NoAnswer));
        // Without a connection, why there is none is known already.
        if let Some(number) = used {
            match &outcome {
                Ok(_) => self.standing.well(),
                Err(refusal) => {
                    self.standing.complain(refusal);
                    if refusal.ends_connection() {
                        // Full: the keeper knows already.
                        taken.broken.try_send(number).ok();
                    }
                }
            }
        }
        outcome
    }

    /// Runs it, after teaching the server the script if it does not know it.
    async fn run(&self, taken: &Line, live: &Live, call: &Call, replicas: u32) -> Result<Value, Refusal> {
        let first = self.attempt(taken, live, call, replicas).await;
        if first != Err(Refusal::NoScript) {
            return first;
        }
        let mut teach = redis::cmd("SCRIPT");
        teach.arg("LOAD").arg(call.text);
        live.connection.ask::<Value>(&teach).await?;
        self.attempt(taken, live, call, replicas).await
    }

    async fn attempt(&self, taken: &Line, live: &Live, call: &Call, replicas: u32) -> Result<Value, Refusal> {
        if replicas == 0 {
            return live.connection.ask(&call.command()).await;
        }
        let (deadline, touched) = (self.deadline, self.touched.as_str());
        taken
            .rounds
            .take(call.command(), |steps| {
                let round = round(&steps, live.fsynced, replicas, touched, deadline);
                let (connection, fsynced) = (live.connection.clone(), live.fsynced);
                async move {
                    let asked = timeout(deadline, connection.ask_all::<Vec<RedisResult<Value>>>(&round));
                    let answers = asked.await.unwrap_or(Err(Refusal::NoAnswer))?;
                    Ok(judge(answers, steps.len(), fsynced, replicas))
                }
            })
            .await
    }
}

/// One write, one connection, in this order: WAIT speaks of its own connection's last write only. Steps that found
/// everything as it should be have written nothing, so something is written in any case.
fn round(steps: &[Cmd], fsynced: bool, replicas: u32, touched: &str, deadline: Duration) -> Pipeline {
    let mut pipeline = Pipeline::new();
    for step in steps {
        pipeline.add_command(step.clone());
    }
    pipeline.cmd("HSET").arg(touched).arg("touched").arg(1);
    // Shorter than the deadline: why a step was refused is told behind the wait, and the connection goes on.
    let waits = if fsynced { 2 } else { 1 };
    let patience = (deadline.as_millis() * 3 / 4 / waits).to_string();
    pipeline.cmd("WAIT").arg(replicas).arg(&patience);
    if fsynced {
        // Behind WAIT, or a replica says what it has fsynced before it has, and next after a second.
        pipeline.cmd("WAITAOF").arg(1).arg(replicas).arg(&patience);
    }
    pipeline.ignore_errors();
    pipeline
}

/// What each of `steps` steps is told: its own refusal, or that there are too few copies of all that was written.
fn judge(
    answers: Vec<RedisResult<Value>>,
    steps: usize,
    fsynced: bool,
    replicas: u32,
) -> Vec<Result<Value, Refusal>> {
    let mut answers = answers.into_iter().map(|answer| answer.map_err(|error| Refusal::from(&error)));
    let answered: Vec<_> = answers.by_ref().take(steps).collect();
    let mut next = || answers.next().ok_or(Refusal::Foreign)?;
    let waited = next().and_then(|_touched| next()).and_then(|waited| {
        let mut enough = from::<u32>(waited)? >= replicas;
        if fsynced {
            let (here, copies): (u32, u32) = from(next()?)?;
            enough &= here >= 1 && copies >= replicas;
        }
        if enough { Ok(()) } else { Err(Refusal::TooFewCopies) }
    });
    answered.into_iter().map(|answer| answer.and_then(|value| waited.map(|()| value))).collect()
}

fn from<T: FromRedisValue>(value: Value) -> Result<T, Refusal> {
    redis::from_redis_value(value).map_err(|_of_another_form| Refusal::Foreign)
}

/// Steps of many callers share a connection and its waits for replicas; while one waits, another is sent.
const WRITING: usize = 2;
const READING: usize = 2;
