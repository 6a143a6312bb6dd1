//! A generator of gRPC calls over plaintext HTTP/2: prepared bodies, no client library in the way, so that one core can
//! keep another busy. An answer counts when its stream brought a message and ended. Knows no service.

mod frames;

use std::{
    collections::VecDeque,
    io,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Duration,
};

use common::clock::{BootInstant, Clock as _, SystemClock};
use rustix::thread::{CpuSet, sched_setaffinity};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpStream, UnixStream},
};

use self::frames::{Incoming, Opening};
use crate::stand::Failure;

/// Where the server listens.
#[derive(Clone, Debug)]
pub(crate) enum To {
    Tcp(std::net::SocketAddr),
    Unix(PathBuf),
}

/// How much at once.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Shape {
    pub(crate) connections: usize,
    pub(crate) streams: usize,
}

impl std::fmt::Display for Shape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}x{}", self.connections, self.streams)
    }
}

/// What is sent: bodies in turn, each of a class that is told apart in the latencies.
#[derive(Clone)]
pub(crate) struct Plan {
    pub(crate) path: &'static str,
    pub(crate) bodies: Arc<[(Vec<u8>, u8)]>,
    /// The same for all of them.
    pub(crate) traceparent: Option<&'static str>,
}

/// What came back.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    /// By class: how long each answer took.
    pub(crate) latencies: [Vec<Duration>; 2],
    /// Streams that ended without a message.
    pub(crate) errors: usize,
    pub(crate) took: Duration,
}

impl Seen {
    pub(crate) fn answers(&self) -> usize {
        self.latencies.iter().map(Vec::len).sum()
    }
}

/// Sends `requests` of the plan in this shape from the second processor and waits for all answers.
pub(crate) fn run(to: &To, shape: Shape, plan: &Plan, requests: usize) -> Result<Seen, Failure> {
    let (to, plan) = (to.clone(), plan.clone());
    let generator = thread::spawn(move || {
        pinned(1);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(all(&to, shape, &plan, requests))
    });
    generator.join().map_err(|_panic| "the generator panicked")?
}

/// Best effort: on a machine with one processor they share it.
pub(crate) fn pinned(processor: usize) {
    let mut set = CpuSet::new();
    set.set(processor);
    sched_setaffinity(None, &set).ok();
    rustix::process::nice(-10).ok();
}

async fn all(to: &To, shape: Shape, plan: &Plan, requests: usize) -> Result<Seen, Failure> {
    let work = Arc::new(Mutex::new(Work { next: 0, left: requests }));
    let start = SystemClock.now().boot;
    let mut running = tokio::task::JoinSet::new();
    for _ in 0..shape.connections {
        let (work, plan) = (Arc::clone(&work), plan.clone());
        match to {
            To::Tcp(address) => {
                let stream = TcpStream::connect(address).await?;
                stream.set_nodelay(true)?;
                running.spawn(one(stream, shape.streams, plan, work));
            }
            To::Unix(path) => {
                running.spawn(one(UnixStream::connect(path).await?, shape.streams, plan, work));
            }
        }
    }
    let mut seen = Seen::default();
    while let Some(ended) = running.join_next().await {
        let one = ended??;
        for (all, more) in seen.latencies.iter_mut().zip(one.latencies) {
            all.extend(more);
        }
        seen.errors += one.errors;
    }
    seen.took = SystemClock.now().boot.since(start);
    Ok(seen)
}

/// What all connections share: each request is sent by one of them.
struct Work {
    next: usize,
    left: usize,
}

impl Work {
    fn take(&mut self) -> Option<usize> {
        self.left = self.left.checked_sub(1)?;
        self.next += 1;
        Some(self.next - 1)
    }
}

/// A request under way.
struct Sent {
    stream: u32,
    class: u8,
    at: BootInstant,
}

async fn one<S: AsyncRead + AsyncWrite + Unpin>(
    mut socket: S,
    at_once: usize,
    plan: Plan,
    work: Arc<Mutex<Work>>,
) -> Result<Seen, Failure> {
    let mut seen = Seen::default();
    let mut opening = Opening::new(plan.path, plan.traceparent);
    let mut incoming = Incoming::default();
    let mut out = Opening::preface();
    let mut sent: VecDeque<Sent> = VecDeque::with_capacity(at_once);
    let mut buffer = vec![0; 1 << 16];
    let mut waiting: Option<usize> = None;
    loop {
        while sent.len() < at_once {
            let take = || work.lock().unwrap_or_else(PoisonError::into_inner).take();
            let Some(number) = waiting.take().or_else(take) else { break };
            let (body, class) = plan.bodies.get(number % plan.bodies.len()).ok_or("no bodies to send")?;
            if !incoming.window.admits(body.len()) {
                waiting = Some(number);
                break;
            }
            let stream = opening.request(body, &mut out);
            sent.push_back(Sent { stream, class: *class, at: SystemClock.now().boot });
        }
        if sent.is_empty() && waiting.is_none() {
            return Ok(seen);
        }
        socket.write_all(&out).await?;
        out.clear();
        let count = socket.read(&mut buffer).await?;
        if count == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        let now = SystemClock.now().boot;
        for ended in incoming.read(buffer.get(..count).unwrap_or_default(), &mut out)? {
            let place =
                sent.iter().position(|one| one.stream == ended.stream).ok_or("an answer to nothing")?;
            let one = sent.remove(place).ok_or("no such request")?;
            match seen.latencies.get_mut(usize::from(one.class)) {
                Some(latencies) if ended.message => latencies.push(now.since(one.at)),
                Some(_) | None => seen.errors += 1,
            }
        }
    }
}
