//! A wire over TCP between a verifier and its issuer that can be cut, held in either direction, slowed, or made to lose.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    task::JoinSet,
};

/// How it is now.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum State {
    Well,
    /// Every connection ends, and none is taken.
    Cut,
    /// What is said that way does not arrive, and nobody is told.
    Held(Way),
    /// So many bytes a second in each direction at most.
    Slow(u32),
    /// One segment of five comes late, as those do that were lost and sent again.
    Losing,
}

/// Seen from the verifier.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Way {
    Out,
    In,
    Both,
}

/// The wire. Gone when it is dropped.
pub(crate) struct Link {
    pub(crate) address: SocketAddr,
    state: watch::Sender<State>,
    made: Arc<AtomicUsize>,
    _tasks: JoinSet<()>,
}

impl Link {
    pub(crate) async fn to(issuer: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, made) = (listener.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
        let (state, seen) = watch::channel(State::Well);
        let (counted, mut tasks) = (Arc::clone(&made), JoinSet::new());
        tasks.spawn(async move {
            let mut wires = JoinSet::new();
            while let Ok((near, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::SeqCst);
                if *seen.borrow() != State::Cut {
                    wires.spawn(wire(near, issuer, seen.clone()));
                }
                while wires.try_join_next().is_some() {}
            }
        });
        Self { address, state, made, _tasks: tasks }
    }

    pub(crate) fn set(&self, state: State) {
        self.state.send_replace(state);
    }

    /// How many connections verifiers made.
    pub(crate) fn made(&self) -> usize {
        self.made.load(Ordering::SeqCst)
    }
}

async fn wire(near: TcpStream, issuer: SocketAddr, seen: watch::Receiver<State>) {
    let Ok(far) = TcpStream::connect(issuer).await else { return };
    near.set_nodelay(true).ok();
    far.set_nodelay(true).ok();
    let (near, far) = (near.into_split(), far.into_split());
    let mut cut = seen.clone();
    tokio::select! {
        () = carry(near.0, far.1, seen.clone(), Way::Out) => {}
        () = carry(far.0, near.1, seen, Way::In) => {}
        _ended = cut.wait_for(|state| *state == State::Cut) => {}
    }
}

async fn carry(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut seen: watch::Receiver<State>, way: Way) {
    let mut random = StdRng::seed_from_u64(5);
    let mut bytes = vec![0; SEGMENT];
    loop {
        let Ok(read @ 1..) = from.read(&mut bytes).await else { return };
        let state = *seen.borrow();
        match state {
            State::Slow(rate) => {
                let share = u32::try_from(read).unwrap_or(u32::MAX);
                tokio::time::sleep(Duration::from_secs(1) * share / rate).await;
            }
            State::Losing if random.random_bool(0.2) => tokio::time::sleep(SENT_AGAIN).await,
            State::Well | State::Cut | State::Held(_) | State::Losing => {}
        }
        let held = |state: &State| [State::Held(way), State::Held(Way::Both)].contains(state);
        if seen.wait_for(|state| !held(state)).await.is_err() || to.write_all(&bytes[..read]).await.is_err() {
            return;
        }
    }
}

const SEGMENT: usize = 4 << 10;
/// The least that Linux waits for an acknowledgement.
const SENT_AGAIN: Duration = Duration::from_millis(200);
