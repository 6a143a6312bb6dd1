//! A wire between the store and a server that a test can cut, silence, or end after so many bytes.

use std::{
    net::TcpListener as StdListener,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

/// The wire. Cut when it is dropped.
pub(crate) struct Proxy {
    pub(crate) port: u16,
    shared: Arc<Shared>,
    _task: JoinSet<()>,
}

struct Shared {
    server: String,
    /// Connections made before this many were made pass nothing on.
    silent_before: AtomicUsize,
    made: AtomicUsize,
    /// Bytes of answers that still pass; then the connection ends.
    left: AtomicU64,
}

impl Proxy {
    pub(crate) fn start(server: &str) -> Self {
        let listener = StdListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared {
            server: format!("127.0.0.1:{server}"),
            silent_before: AtomicUsize::new(0),
            made: AtomicUsize::new(0),
            left: AtomicU64::new(u64::MAX),
        });
        let mut task = JoinSet::new();
        task.spawn(accept(TcpListener::from_std(listener).unwrap(), Arc::clone(&shared)));
        Self { port, shared, _task: task }
    }

    /// The connections that stand now pass nothing on any more, and stay open. New ones do.
    pub(crate) fn silence_those_that_stand(&self) {
        self.shared.silent_before.store(self.shared.made.load(Ordering::SeqCst), Ordering::SeqCst);
    }

    pub(crate) fn made(&self) -> usize {
        self.shared.made.load(Ordering::SeqCst)
    }

    /// Whoever gets an answer after these bytes of answers loses the connection instead.
    pub(crate) fn end_after(&self, bytes: u64) {
        self.shared.left.store(bytes, Ordering::SeqCst);
    }

    pub(crate) fn pass_all(&self) {
        self.end_after(u64::MAX);
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut wires = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        let number = shared.made.fetch_add(1, Ordering::SeqCst);
        wires.spawn(wire(client, number, Arc::clone(&shared)));
        while wires.try_join_next().is_some() {}
    }
}

async fn wire(mut client: TcpStream, number: usize, shared: Arc<Shared>) {
    let Ok(mut server) = TcpStream::connect(&shared.server).await else { return };
    client.set_nodelay(true).ok();
    server.set_nodelay(true).ok();
    let (mut from_client, mut from_server) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    loop {
        let silent = || number < shared.silent_before.load(Ordering::SeqCst);
        tokio::select! {
            read = client.read(&mut from_client) => match read {
                Ok(1..) if silent() => {}
                Ok(count @ 1..) => if server.write_all(&from_client[..count]).await.is_err() { return },
                _ => return,
            },
            read = server.read(&mut from_server) => match read {
                Ok(1..) if silent() => {}
                Ok(count @ 1..) => {
                    let left = shared.left.load(Ordering::SeqCst);
                    let pass = count.min(usize::try_from(left).unwrap_or(usize::MAX));
                    if left != u64::MAX {
                        shared.left.fetch_sub(pass as u64, Ordering::SeqCst);
                    }
                    if client.write_all(&from_server[..pass]).await.is_err() || pass < count {
                        return;
                    }
                }
                _ => return,
            },
        }
    }
}
