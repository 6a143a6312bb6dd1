//! An open connection: whose it is, how long it may be, and what it may not do. Speaks nothing itself.

use std::{
    io,
    pin::Pin,
    sync::{Arc, atomic::AtomicUsize},
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep},
};

use super::frames::Frames;
use crate::runtime::{
    arrivals::Place,
    caller::{Caller, Peer},
    failures::Failures,
    limits::{BEGIN_WITHIN, STALL_WITHIN},
    tls::Admission,
};

/// An open connection and whose it is.
#[derive(Debug)]
pub(in crate::runtime) struct Connection<S> {
    pub(super) stream: S,
    caller: Caller,
    calls: Arc<AtomicUsize>,
    failures: Arc<Failures>,
    /// What let the caller in, and must not have been withdrawn since.
    admission: Option<Admission>,
    /// HTTP/2 alone; the admin port speaks HTTP/1.1.
    bounds: Option<Bounds>,
    _place: Place,
}

#[derive(Debug)]
struct Bounds {
    frames: Frames,
    /// Until it has begun: the time by which it must.
    beginning: Option<Pin<Box<Sleep>>>,
    /// While nothing that we send gets on: the time by which it must.
    stalled: Option<Pin<Box<Sleep>>>,
}

impl<S> Connection<S> {
    /// Of HTTP/2, whose callers are all alike.
    pub(super) fn open(stream: S, caller: Caller, place: Place) -> Self {
        Self { bounds: Some(Bounds::new()), ..Self::of(stream, caller, place) }
    }

    /// Of HTTP/1.1, whose callers are all alike.
    pub(in crate::runtime) fn http(stream: S, caller: Caller, place: Place) -> Self {
        Self::of(stream, caller, place)
    }

    /// The same, for probes.
    pub(super) fn probe(stream: S, place: Place) -> Self {
        Self::http(stream, Caller::Nobody, place)
    }

    /// After a handshake.
    pub(in crate::runtime) fn admitted(
        stream: S,
        caller: Caller,
        admission: Admission,
        place: Place,
        http2: bool,
    ) -> Self {
        let bounds = http2.then(Bounds::new);
        Self { admission: Some(admission), bounds, ..Self::of(stream, caller, place) }
    }

    /// Not bound by anything.
    fn of(stream: S, caller: Caller, place: Place) -> Self {
        let (calls, failures) = (Arc::default(), Arc::default());
        Self { stream, caller, calls, failures, admission: None, bounds: None, _place: place }
    }

    /// Whose it is, and what its calls share.
    pub(in crate::runtime) fn peer(&self) -> Peer {
        let (calls, failures) = (Arc::clone(&self.calls), Arc::clone(&self.failures));
        Peer { caller: self.caller.clone(), calls, failures }
    }
}

impl Bounds {
    fn new() -> Self {
        let beginning = Some(Box::pin(sleep(BEGIN_WITHIN)));
        Self { frames: Frames::new(Instant::now()), beginning, stalled: None }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        if self.beginning.as_mut().is_some_and(|until| until.as_mut().poll(cx).is_ready()) {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "HTTP/2 does not begin"));
        }
        Ok(())
    }

    fn sent(&mut self, cx: &mut Context<'_>, polled: &Poll<io::Result<usize>>) -> io::Result<()> {
        match polled {
            Poll::Ready(Ok(bytes)) => {
                self.stalled = None;
                self.frames.sent(*bytes);
            }
            Poll::Ready(Err(_)) => {}
            Poll::Pending => {
                let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(STALL_WITHIN)));
                if stalled.as_mut().poll(cx).is_ready() {
                    return Err(io::Error::new(io::ErrorKind::TimedOut, "the peer does not read"));
                }
            }
        }
        Ok(())
    }

    fn received(&mut self, bytes: &[u8]) -> io::Result<()> {
        let flood = |_flood| io::Error::new(io::ErrorKind::ConnectionAborted, "a flood of frames");
        self.frames.received(bytes, Instant::now()).map_err(flood)?;
        if self.frames.begun() {
            self.beginning = None;
        }
        Ok(())
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Connection<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.admission.as_mut().is_some_and(|admission| !admission.stands()) {
            let withdrawn = "the caller's certificate is no longer trusted";
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::ConnectionAborted, withdrawn)));
        }
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buffer);
        let Some(bounds) = &mut self.bounds else { return polled };
        match polled {
            Poll::Ready(Ok(())) => {
                Poll::Ready(bounds.received(buffer.filled().get(before..).unwrap_or_default()))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => match bounds.poll(cx) {
                Ok(()) => Poll::Pending,
                Err(late) => Poll::Ready(Err(late)),
            },
        }
    }
}

impl<S: AsyncWrite + Unpin> Connection<S> {
    fn sent(&mut self, cx: &mut Context<'_>, polled: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match self.bounds.as_mut().map_or(Ok(()), |bounds| bounds.sent(cx, &polled)) {
            Ok(()) => polled,
            Err(late) => Poll::Ready(Err(late)),
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Connection<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.sent(cx, polled)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.sent(cx, polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
