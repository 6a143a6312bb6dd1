//! Listening sockets for gRPC, TCP and Unix, and for probes. Each connection carries its [`Caller`]; nothing is read from it
//! here.

mod connection;
mod frames;

use std::{
    fs, io,
    net::SocketAddr,
    os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use tokio::{
    net::{TcpListener, TcpStream, UnixListener, UnixStream},
    sync::Semaphore,
};
use tokio_stream::Stream;

pub(super) use self::connection::Connection;
use super::{
    arrivals::{Arrivals, Pause, Place, Portable as _, TcpArrivals},
    caller::Caller,
    tls::TlsError,
};

/// Owner and group may connect, others not.
const SOCKET_MODE: u32 = 0o660;

/// Why a listener could not be had.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The address is taken or not ours.
    #[error("cannot listen on {address}: {source}")]
    Tcp {
        /// What the settings say.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The socket could not be made.
    #[error("cannot listen on {}: {source}", path.display())]
    Unix {
        /// What the settings say.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A running process answers there.
    #[error("cannot listen on {}: a running process does", path.display())]
    InUse {
        /// What the settings say.
        path: PathBuf,
    },
    /// The path holds something that is not a socket, which is not ours to remove.
    #[error("cannot listen on {}: it is not a socket", path.display())]
    NotASocket {
        /// What the settings say.
        path: PathBuf,
    },
    /// Certificate, key, CA or revocation list.
    #[error("tls: {0}")]
    Tls(#[from] TlsError),
    /// The exporter of traces and metrics.
    #[error("telemetry: {0}")]
    Otlp(String),
}

/// Binds a TCP address.
///
/// # Errors
///
/// [`BindError::Tcp`].
pub(super) async fn bind_tcp(address: SocketAddr) -> Result<TcpListener, BindError> {
    TcpListener::bind(address).await.map_err(|source| BindError::Tcp { address, source })
}

/// Connections whose callers are all alike.
pub(super) struct Connections<A> {
    arrivals: A,
    caller: Caller,
}

impl<A> Connections<A> {
    pub(super) const fn new(arrivals: A, caller: Caller) -> Self {
        Self { arrivals, caller }
    }
}

impl<A: Arrivals> Stream for Connections<A> {
    type Item = io::Result<Connection<A::Stream>>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Some((stream, place)) = ready!(self.arrivals.poll_arrival(cx)) else { return Poll::Ready(None) };
        let caller = self.caller.clone();
        let prepared = stream.prepare();
        Poll::Ready(Some(prepared.map(|()| Connection::open(stream, caller, place))))
    }
}

/// Plain HTTP/1.1, for probes.
pub(super) struct Probes(pub(super) TcpArrivals, pub(super) SocketAddr);

impl axum::serve::Listener for Probes {
    type Io = Connection<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            if let Some((stream, place)) = std::future::poll_fn(|cx| self.0.poll_arrival(cx)).await {
                return (Connection::probe(stream, place), self.1);
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.1)
    }
}

/// Connections of a Unix socket. Above the most that there may be, it closes each new one at once. Dropping it removes the
/// file, if it is still the same file.
pub(super) struct UnixArrivals {
    listener: UnixListener,
    path: PathBuf,
    inode: (u64, u64),
    places: Arc<Semaphore>,
    pause: Pause,
}

impl UnixArrivals {
    /// Makes the socket, mode 0660 from the first moment it can be found. Replaces what a dead process left.
    ///
    /// # Errors
    ///
    /// Every case of [`BindError`] but the TCP one.
    pub(super) async fn bind(path: &Path, most: usize) -> Result<Self, BindError> {
        let failed = |source| BindError::Unix { path: path.to_owned(), source };
        match fs::symlink_metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed(error)),
            Ok(found) if !found.file_type().is_socket() => {
                return Err(BindError::NotASocket { path: path.to_owned() });
            }
            Ok(_) => match UnixStream::connect(path).await {
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
                // Not ours to judge (it might be full or forbidden): somebody may live there.
                Ok(_) | Err(_) => return Err(BindError::InUse { path: path.to_owned() }),
            },
        }
        // Made aside and moved into place: a socket is born with the mode of the umask.
        let mut aside = path.as_os_str().to_owned();
        aside.push(".new");
        let aside = PathBuf::from(aside);
        match fs::remove_file(&aside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            Ok(()) | Err(_) => {}
        }
        let listener = UnixListener::bind(&aside).map_err(failed)?;
        fs::set_permissions(&aside, fs::Permissions::from_mode(SOCKET_MODE)).map_err(failed)?;
        fs::rename(&aside, path).map_err(failed)?;
        let inode = inode(path).map_err(failed)?;
        let places = Arc::new(Semaphore::new(most));
        Ok(Self { listener, path: path.to_owned(), inode, places, pause: Pause::default() })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for UnixArrivals {
    fn drop(&mut self) {
        // A successor may have put its own socket there.
        if inode(&self.path).is_ok_and(|found| found == self.inode)
            && let Err(error) = fs::remove_file(&self.path)
        {
            tracing::warn!(path = %self.path.display(), %error, "the socket file stays behind");
        }
    }
}

impl Arrivals for UnixArrivals {
    type Stream = UnixStream;

    fn poll_arrival(&mut self, cx: &mut Context<'_>) -> Poll<Option<(UnixStream, Place)>> {
        let Self { listener, places, pause, .. } = self;
        loop {
            let (stream, _) = ready!(pause.poll_accept(cx, |cx| listener.poll_accept(cx)));
            match Arc::clone(places).try_acquire_owned() {
                Ok(permit) => return Poll::Ready(Some((stream, Place::of(permit)))),
                Err(_none_left) => tracing::debug!("too many connections to the socket: one is closed"),
            }
        }
    }
}

fn inode(path: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|found| (found.dev(), found.ino()))
}

#[cfg(test)]
mod tests;
