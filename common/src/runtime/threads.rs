//! Which threads serve calls, and who brings them their connections. Knows no service and no protocol.

use std::{future::poll_fn, io, num::NonZeroUsize, sync::Arc, thread};

use tokio::{
    net::{TcpStream, UnixStream},
    runtime::Builder,
    sync::{mpsc, oneshot},
};

use super::{
    arrivals::{Arrivals, Handed, Place, Portable},
    shutdown::Shutdown,
};

/// Which threads serve calls.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Threads {
    /// Those of the runtime that serves everything else: for calls that wait on others.
    Shared,
    /// So many of their own: for calls that are answered from memory. Each has a runtime and connections of its own, so
    /// no call moves between processors and answers leave in batches (docs/adr/0013).
    Own(NonZeroUsize),
}

impl Threads {
    /// One for each processor that this process may use.
    pub fn per_processor() -> Self {
        Self::Own(thread::available_parallelism().unwrap_or(NonZeroUsize::MIN))
    }
}

/// What arrives for one thread.
pub(super) struct Inbox {
    pub(super) tcp: Handed<TcpStream>,
    pub(super) unix: Handed<UnixStream>,
}

/// A thread to which connections can be brought.
pub(super) struct Outbox {
    tcp: Queue<TcpStream>,
    unix: Queue<UnixStream>,
    /// One clone for each connection that it has.
    share: Arc<()>,
}

type Queue<S> = mpsc::UnboundedSender<(<S as Portable>::Parcel, Place)>;

impl Outbox {
    pub(super) fn tcp(&self) -> &Queue<TcpStream> {
        &self.tcp
    }

    pub(super) fn unix(&self) -> &Queue<UnixStream> {
        &self.unix
    }
}

/// Both ends of the way to a thread. What lies on it is bounded by the places of its connections.
pub(super) fn way() -> (Outbox, Inbox) {
    let ((tcp, tcp_inbox), (unix, unix_inbox)) = (mpsc::unbounded_channel(), mpsc::unbounded_channel());
    let outbox = Outbox { tcp, unix, share: Arc::default() };
    (outbox, Inbox { tcp: Handed(tcp_inbox), unix: Handed(unix_inbox) })
}

/// Brings what arrives to the threads, each time to the one with the fewest connections, until the drain begins. Then
/// the listener is closed.
pub(super) async fn spread<A: Arrivals>(
    mut arrivals: A,
    threads: &[Outbox],
    queue: fn(&Outbox) -> &Queue<A::Stream>,
    shutdown: &Shutdown,
) {
    let spreading = async {
        while let Some((stream, place)) = poll_fn(|cx| arrivals.poll_arrival(cx)).await {
            let least = threads.iter().min_by_key(|thread| Arc::strong_count(&thread.share));
            match (stream.pack(), least) {
                (Ok(parcel), Some(thread)) => {
                    // A thread that has ended takes none: it is closed, as at the drain.
                    let place = place.with_share(Arc::clone(&thread.share));
                    queue(thread).send((parcel, place)).ok();
                }
                (Err(error), _) => tracing::warn!(%error, "a connection cannot be served"),
                (Ok(_), None) => {}
            }
        }
    };
    tokio::select! {
        () = spreading => {}
        () = shutdown.begun() => {}
    }
}

/// A thread with a runtime of its own that does `work`. Dropping this ends it, wherever it is.
pub(super) struct Thread {
    ended: oneshot::Receiver<io::Result<()>>,
    _stop: oneshot::Sender<()>,
}

impl Thread {
    pub(super) fn start<F: Future<Output = ()>>(
        number: usize,
        work: impl FnOnce() -> F + Send + 'static,
    ) -> io::Result<Self> {
        let (stop, stopped) = oneshot::channel::<()>();
        let (tell, ended) = oneshot::channel();
        thread::Builder::new().name(format!("calls-{number}")).spawn(move || {
            let outcome = Builder::new_current_thread().enable_all().build().map(|runtime| {
                runtime.block_on(async {
                    tokio::select! {
                        () = work() => {}
                        _ = stopped => {}
                    }
                });
            });
            tell.send(outcome).ok();
        })?;
        Ok(Self { ended, _stop: stop })
    }

    /// Until its work is done.
    ///
    /// # Errors
    /// It has no runtime, or panicked.
    pub(super) async fn done(self) -> io::Result<()> {
        self.ended
            .await
            .map_err(|_panicked| io::Error::other("a thread that serves calls ended before its time"))?
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;
    use crate::runtime::arrivals::TcpArrivals;

    #[tokio::test]
    async fn each_connection_goes_to_the_thread_with_the_fewest_until_the_drain_begins() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (outboxes, mut inboxes): (Vec<_>, Vec<_>) = (0..3).map(|_| way()).unzip();
        let shutdown = Shutdown::manual();
        let told = shutdown.clone();
        let spreading = tokio::spawn(async move {
            spread(TcpArrivals::new(listener, 7), &outboxes, Outbox::tcp, &told).await;
        });
        let mut open = Vec::new();
        for _ in 0..2 {
            for inbox in &mut inboxes {
                open.push(TcpStream::connect(address).await.unwrap());
                let (stream, place) = poll_fn(|cx| inbox.tcp.poll_arrival(cx)).await.unwrap();
                assert_eq!(stream.peer_addr().unwrap(), open.last().unwrap().local_addr().unwrap());
                open.push(stream);
                std::mem::forget(place);
            }
        }
        // A place given back is the next to be taken.
        open.push(TcpStream::connect(address).await.unwrap());
        drop(poll_fn(|cx| inboxes.get_mut(0).unwrap().tcp.poll_arrival(cx)).await.unwrap());
        open.push(TcpStream::connect(address).await.unwrap());
        drop(poll_fn(|cx| inboxes.get_mut(0).unwrap().tcp.poll_arrival(cx)).await.unwrap());
        shutdown.begin();
        spreading.await.unwrap();
        assert!(TcpStream::connect(address).await.is_err(), "the listener is closed");
    }
}
