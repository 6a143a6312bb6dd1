//! Clients that mean harm: HTTP/2 by hand (RFC 9113), as no library would send it. What they get back is told; what is right
//! is not judged here.

mod frames;
mod modes;

use std::time::Duration;

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadHalf, WriteHalf},
    net::TcpStream,
    time::{Instant, sleep_until, timeout_at},
};

use self::frames::Frame;
pub use self::modes::{Mode, OPENED};

/// How one attack over one connection went.
#[derive(Clone, Debug, Default)]
pub struct Ended {
    /// When the server ended the connection; absent when it still stood after the patience of the attacker.
    pub after: Option<Duration>,
    /// The error code of its GOAWAY, if it sent one.
    pub goaway: Option<u32>,
    /// How many calls it reset.
    pub resets: u64,
    /// How many header blocks it answered with.
    pub answers: u64,
    /// How many frames or pieces were sent.
    pub sent: u64,
    /// How many bytes it gave room for, over all calls.
    room: u64,
}

/// What an attacker sees of the other side, filled in by whoever reads.
type Seen = std::sync::Arc<std::sync::Mutex<Ended>>;

/// Attacks over a connection until the server ends it, or for so long.
pub async fn attack<S>(stream: S, mode: Mode, patience: Duration) -> Ended
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (reading, writing) = tokio::io::split(stream);
    let begun = Instant::now();
    let until = begun + patience;
    let seen = Seen::default();
    let mut writer = Writer { writing, sent: 0, until, seen: Seen::clone(&seen) };
    let watching = {
        let seen = Seen::clone(&seen);
        let reads = mode.reads();
        tokio::spawn(async move {
            if reads {
                watch(reading, &seen).await;
            } else {
                // Holds the connection open without taking a byte from it.
                sleep_until(until).await;
            }
        })
    };
    let gone = tokio::select! {
        gone = mode.run(&mut writer) => gone.is_err(),
        () = sleep_until(until) => false,
    };
    // What was sent last may still be answered; the end shows in the reading too.
    let ended = match timeout_at(until, watching).await {
        Ok(_) => mode.reads() || gone,
        Err(_elapsed) => gone,
    };
    let mut told = seen.lock().unwrap().clone();
    told.after = (ended || gone).then(|| begun.elapsed());
    told.sent = writer.sent;
    told
}

/// Connects to a plaintext port, and attacks.
pub async fn attack_at(
    address: std::net::SocketAddr,
    mode: Mode,
    patience: Duration,
) -> std::io::Result<Ended> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(attack(stream, mode, patience).await)
}

/// The sending side.
struct Writer<S> {
    writing: WriteHalf<S>,
    sent: u64,
    until: Instant,
    seen: Seen,
}

/// The connection is gone, as far as sending shows.
#[derive(Debug)]
struct Gone;

impl<S: AsyncRead + AsyncWrite> Writer<S> {
    async fn send(&mut self, bytes: &[u8]) -> Result<(), Gone> {
        self.sent += 1;
        self.writing.write_all(bytes).await.map_err(|_error| Gone)
    }

    /// Sends the same again and again, until the connection or the patience ends.
    async fn flood(&mut self, bytes: &[u8]) -> Result<(), Gone> {
        while Instant::now() < self.until {
            self.send(bytes).await?;
        }
        Ok(())
    }

    /// Waits until the other side has given room for so many bytes, all in all.
    async fn room(&self, bytes: u64) {
        // What every connection has before a word of the server's.
        while self.seen.lock().unwrap().room + 65_535 < bytes && Instant::now() < self.until {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Sends nothing more.
    async fn hold(&self) {
        sleep_until(self.until).await;
    }
}

/// Reads frames until the connection ends; notes what matters.
async fn watch<S: AsyncRead>(mut reading: ReadHalf<S>, seen: &Seen) {
    let mut header = [0; frames::HEADER];
    let mut payload = Vec::new();
    while reading.read_exact(&mut header).await.is_ok() {
        let frame = Frame::read(header);
        payload.resize(frame.length, 0);
        if reading.read_exact(&mut payload).await.is_err() {
            return;
        }
        let mut seen = seen.lock().unwrap();
        match frame.kind {
            frames::HEADERS => seen.answers += 1,
            frames::RST_STREAM => seen.resets += 1,
            frames::WINDOW_UPDATE if frame.whole_connection => {
                let more = payload.first_chunk().map_or(0, |more| u32::from_be_bytes(*more));
                seen.room += u64::from(more);
            }
            frames::GOAWAY => {
                let code = payload.get(4..8).and_then(|code| code.try_into().ok());
                seen.goaway = code.map(u32::from_be_bytes);
            }
            _ => {}
        }
    }
}
