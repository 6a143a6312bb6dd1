//! Connections as they arrive: accepted here, or handed over by the thread that accepts for others. Nothing is read from
//! them, and nobody knows yet whose they are.

use std::{
    io, net,
    os::unix::net as unix,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    net::{TcpListener, TcpStream, UnixStream},
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    time::{Sleep, sleep},
};

/// Where connections come from.
pub(super) trait Arrivals: Send + Unpin + 'static {
    /// What they are.
    type Stream: Portable;

    /// The next one; `None` when there will be none any more.
    fn poll_arrival(&mut self, cx: &mut Context<'_>) -> Poll<Option<(Self::Stream, Place)>>;
}

/// What an open connection takes up; given back when this is dropped.
#[derive(Debug, Default)]
pub(super) struct Place {
    /// Of the most that there may be.
    _permit: Option<OwnedSemaphorePermit>,
    /// Of the thread that serves it.
    _share: Option<Arc<()>>,
}

impl Place {
    /// One of the most that there may be.
    pub(super) fn of(permit: OwnedSemaphorePermit) -> Self {
        Self { _permit: Some(permit), _share: None }
    }

    /// Counted as one of those that `share` serves.
    pub(super) fn with_share(self, share: Arc<()>) -> Self {
        Self { _share: Some(share), ..self }
    }
}

/// Connections of a TCP listener. Above the most that there may be, it closes each new one at once: they must not use up
/// the file descriptors of the process.
pub(super) struct TcpArrivals {
    listener: TcpListener,
    places: Arc<Semaphore>,
    pause: Pause,
}

impl TcpArrivals {
    pub(super) fn new(listener: TcpListener, most: usize) -> Self {
        Self { listener, places: Arc::new(Semaphore::new(most)), pause: Pause::default() }
    }
}

impl Arrivals for TcpArrivals {
    type Stream = TcpStream;

    fn poll_arrival(&mut self, cx: &mut Context<'_>) -> Poll<Option<(TcpStream, Place)>> {
        let Self { listener, places, pause } = self;
        loop {
            let (stream, _) = ready!(pause.poll_accept(cx, |cx| listener.poll_accept(cx)));
            let Ok(permit) = Arc::clone(places).try_acquire_owned() else {
                tracing::debug!("too many connections: one is closed");
                continue;
            };
            return Poll::Ready(Some((stream, Place::of(permit))));
        }
    }
}

/// Connections that another thread accepted.
pub(super) struct Handed<S: Portable>(pub(super) mpsc::UnboundedReceiver<(S::Parcel, Place)>);

impl<S: Portable> Arrivals for Handed<S> {
    type Stream = S;

    fn poll_arrival(&mut self, cx: &mut Context<'_>) -> Poll<Option<(S, Place)>> {
        loop {
            let Some((parcel, place)) = ready!(self.0.poll_recv(cx)) else { return Poll::Ready(None) };
            match S::unpack(parcel) {
                Ok(stream) => return Poll::Ready(Some((stream, place))),
                Err(error) => tracing::warn!(%error, "a connection cannot be served"),
            }
        }
    }
}

/// What can move from one runtime to another.
pub(super) trait Portable: Sized + Send + Unpin + 'static {
    /// As it travels.
    type Parcel: Send + 'static;

    /// Answers are small: waiting for more would only delay them. Fails on a connection that is gone.
    fn prepare(&self) -> io::Result<()> {
        Ok(())
    }

    /// Takes it out of this thread's runtime.
    fn pack(self) -> io::Result<Self::Parcel>;

    /// Puts it into this thread's runtime.
    fn unpack(parcel: Self::Parcel) -> io::Result<Self>;
}

impl Portable for TcpStream {
    type Parcel = net::TcpStream;

    fn prepare(&self) -> io::Result<()> {
        self.set_nodelay(true)
    }

    fn pack(self) -> io::Result<Self::Parcel> {
        self.into_std()
    }

    fn unpack(parcel: Self::Parcel) -> io::Result<Self> {
        Self::from_std(parcel)
    }
}

impl Portable for UnixStream {
    type Parcel = unix::UnixStream;

    fn pack(self) -> io::Result<Self::Parcel> {
        self.into_std()
    }

    fn unpack(parcel: Self::Parcel) -> io::Result<Self> {
        Self::from_std(parcel)
    }
}

/// Accepts again after a failure, but not at once: an error that lasts must not spin.
#[derive(Default)]
pub(super) struct Pause(Option<Pin<Box<Sleep>>>);

impl Pause {
    pub(super) fn poll_accept<T>(
        &mut self,
        cx: &mut Context<'_>,
        mut accept: impl FnMut(&mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<T> {
        loop {
            if let Some(sleep) = &mut self.0 {
                ready!(sleep.as_mut().poll(cx));
                self.0 = None;
            }
            match ready!(accept(cx)) {
                Ok(accepted) => return Poll::Ready(accepted),
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    self.0 = Some(Box::pin(sleep(BREATH)));
                }
            }
        }
    }
}

/// Between two tries when the process is out of something, such as file descriptors.
const BREATH: Duration = Duration::from_millis(100);
