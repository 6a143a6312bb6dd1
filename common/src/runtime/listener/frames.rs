//! Frames of HTTP/2 that cost work and ask for nothing, counted as they come in. Looks at frame headers (RFC 9113 section
//! 4.1) and at nothing else; changes no byte.

use std::time::Duration;

use tokio::time::Instant;

use crate::runtime::limits::{
    IDLE_FRAMES, IDLE_FRAMES_PER_CALL, IDLE_FRAMES_PER_PAGE, IDLE_FRAMES_PER_SECOND,
};

/// Magic of the client: what stands before its first frame.
const PREFACE: usize = 24;
const HEADER: usize = 9;
const DATA: u8 = 0;
const HEADERS: u8 = 1;
/// Data that is worth a frame of its own.
const WORTHWHILE: usize = 256;
const PAGE: usize = 4096;

/// The peer sends more of such frames than any client has reason to.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Flood;

/// One connection's frames.
#[derive(Debug)]
pub(super) struct Frames {
    place: Place,
    credit: u32,
    /// Up to when credit was given for time.
    refilled: Instant,
    sent: usize,
    begun: bool,
}

/// Where in the stream of bytes the next one stands.
#[derive(Debug)]
enum Place {
    /// So many bytes before the first frame, or inside of a frame.
    Inside(usize),
    /// In a header, of which so much is known.
    Header([u8; HEADER], usize),
}

impl Frames {
    pub(super) const fn new(now: Instant) -> Self {
        Self { place: Place::Inside(PREFACE), credit: IDLE_FRAMES, refilled: now, sent: 0, begun: false }
    }

    /// Whether a first frame has begun.
    pub(super) const fn begun(&self) -> bool {
        self.begun
    }

    /// Credit for what the peer has to confirm.
    pub(super) fn sent(&mut self, bytes: usize) {
        self.sent += bytes;
        let pages = u32::try_from(self.sent / PAGE).unwrap_or(u32::MAX);
        self.sent %= PAGE;
        self.earn(pages.saturating_mul(IDLE_FRAMES_PER_PAGE));
    }

    /// Counts the frames in what was read.
    pub(super) fn received(&mut self, mut bytes: &[u8], now: Instant) -> Result<(), Flood> {
        while !bytes.is_empty() {
            match &mut self.place {
                Place::Inside(left) => {
                    let passed = bytes.len().min(*left);
                    bytes = bytes.get(passed..).unwrap_or_default();
                    *left -= passed;
                    if *left == 0 {
                        self.place = Place::Header([0; HEADER], 0);
                    }
                }
                Place::Header(header, known) => {
                    for (place, byte) in header.iter_mut().skip(*known).zip(bytes) {
                        *place = *byte;
                    }
                    let read = bytes.len().min(HEADER - *known);
                    bytes = bytes.get(read..).unwrap_or_default();
                    *known += read;
                    if *known == HEADER {
                        let [high, middle, low, kind, ..] = *header;
                        let length = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
                        self.place =
                            if length == 0 { Place::Header([0; HEADER], 0) } else { Place::Inside(length) };
                        self.begun = true;
                        self.count(kind, length, now)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn count(&mut self, kind: u8, length: usize, now: Instant) -> Result<(), Flood> {
        match kind {
            HEADERS => {
                self.earn(IDLE_FRAMES_PER_CALL);
                return Ok(());
            }
            DATA if length >= WORTHWHILE => return Ok(()),
            _ => {}
        }
        if self.credit == 0 {
            self.refill(now);
        }
        self.credit = self.credit.checked_sub(1).ok_or(Flood)?;
        Ok(())
    }

    /// Only when it is needed: a busy connection lives by its calls.
    fn refill(&mut self, now: Instant) {
        let elapsed = now.saturating_duration_since(self.refilled);
        let each = Duration::from_secs(1) / IDLE_FRAMES_PER_SECOND;
        let earned = u32::try_from(elapsed.as_nanos() / each.as_nanos()).unwrap_or(u32::MAX);
        self.refilled = now;
        self.earn(earned);
    }

    fn earn(&mut self, frames: u32) {
        self.credit = self.credit.saturating_add(frames).min(IDLE_FRAMES);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PING: u8 = 6;

    fn frame(kind: u8, length: usize) -> Vec<u8> {
        let [.., high, middle, low] = length.to_be_bytes();
        let mut frame = vec![high, middle, low, kind, 0, 0, 0, 0, 1];
        frame.resize(HEADER + length, 0);
        frame
    }

    fn begun(now: Instant) -> Frames {
        let mut frames = Frames::new(now);
        frames.received(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", now).unwrap();
        assert!(!frames.begun());
        frames
    }

    fn pings(frames: &mut Frames, count: u32, now: Instant) -> Result<(), Flood> {
        (0..count).try_for_each(|_| frames.received(&frame(PING, 8), now))
    }

    #[test]
    fn more_than_a_peer_has_reason_to_send_is_a_flood_and_time_brings_credit() {
        let now = Instant::now();
        for kind in [0, 2, 3, 4, 6, 8, 9, 250] {
            let mut frames = begun(now);
            let flood = (0..=IDLE_FRAMES).try_for_each(|_| frames.received(&frame(kind, 0), now));
            assert_eq!(flood, Err(Flood), "{kind}");
        }
        let mut frames = begun(now);
        pings(&mut frames, IDLE_FRAMES, now).unwrap();
        let later = now + Duration::from_secs(1);
        pings(&mut frames, IDLE_FRAMES_PER_SECOND, later).unwrap();
        assert_eq!(pings(&mut frames, 1, later), Err(Flood));
    }

    #[test]
    fn calls_data_and_what_we_sent_earn_credit_and_no_more_than_the_most() {
        let now = Instant::now();
        let mut frames = begun(now);
        for _ in 0..100 {
            frames.received(&frame(HEADERS, 40), now).unwrap();
            pings(&mut frames, IDLE_FRAMES_PER_CALL, now).unwrap();
            frames.received(&frame(DATA, WORTHWHILE), now).unwrap();
        }
        frames.received(&frame(HEADERS, 40), now).unwrap();
        pings(&mut frames, IDLE_FRAMES, now).unwrap();
        assert_eq!(pings(&mut frames, 1, now), Err(Flood));
        let mut frames = begun(now);
        pings(&mut frames, IDLE_FRAMES, now).unwrap();
        frames.sent(PAGE - 1);
        frames.sent(1);
        pings(&mut frames, 1, now).unwrap();
        assert_eq!(pings(&mut frames, 1, now), Err(Flood));
    }

    #[test]
    fn however_the_bytes_are_cut_the_frames_are_the_same() {
        let now = Instant::now();
        let all: Vec<u8> =
            [frame(4, 18), frame(HEADERS, 300), frame(DATA, 5), frame(DATA, 20_000), frame(PING, 8)].concat();
        for piece in [1, 2, 8, 9, 10, 299, 16_384] {
            let mut frames = begun(now);
            all.chunks(piece).for_each(|bytes| frames.received(bytes, now).unwrap());
            assert!(frames.begun());
            // Settings, the small data and the ping cost; the call before them had nothing to add.
            assert_eq!(frames.credit, IDLE_FRAMES - 2, "{piece}");
        }
    }
}
