//! As much of HTTP/2 (RFC 9113) and HPACK (RFC 7541) as the generator needs: it sends one kind of request and reads frame
//! headers. Does no input and no output.

use std::collections::HashSet;

use crate::stand::Failure;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;
const HEADER: usize = 9;
const MAX_FRAME: usize = 16_384;
/// As wide as windows can be: the generator never makes the server wait.
const WIDE: u32 = 0x7FFF_FFFF;
const FIRST_WINDOW: u32 = 65_535;

/// Writes requests. The first one teaches the server's table its headers, the others name them by number.
pub(super) struct Opening {
    path: &'static str,
    traceparent: Option<&'static str>,
    next: u32,
}

impl Opening {
    pub(super) const fn new(path: &'static str, traceparent: Option<&'static str>) -> Self {
        Self { path, traceparent, next: 1 }
    }

    pub(super) fn preface() -> Vec<u8> {
        let mut out = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        let initial_window = [&[0, 4][..], &WIDE.to_be_bytes()].concat();
        frame(SETTINGS, 0, 0, &initial_window, &mut out);
        frame(WINDOW_UPDATE, 0, 0, &(WIDE - FIRST_WINDOW).to_be_bytes(), &mut out);
        out
    }

    /// Returns the number of its stream. `message` is as the proto has it.
    pub(super) fn request(&mut self, message: &[u8], out: &mut Vec<u8>) -> u32 {
        let stream = self.next;
        self.next += 2;
        // POST and http, of the static table.
        let mut block = vec![0x83, 0x86];
        if stream == 1 {
            let known =
                [(4, "", self.path), (1, "", "bench"), (31, "", "application/grpc"), (0, "te", "trailers")];
            let trace = self.traceparent.map(|value| (0, "traceparent", value));
            for (number, name, value) in known.into_iter().chain(trace) {
                block.push(0x40 | number);
                if number == 0 {
                    text(name, &mut block);
                }
                text(value, &mut block);
            }
        } else {
            // The last one taught has the lowest number; those with a colon come first.
            let last = if self.traceparent.is_some() { 66 } else { 65 };
            block.extend((62..=last).rev().map(|number| 0x80 | number));
        }
        frame(HEADERS, END_HEADERS, stream, &block, out);
        let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
        let data = [&[0][..], &length.to_be_bytes(), message].concat();
        let mut chunks = data.chunks(MAX_FRAME).peekable();
        while let Some(chunk) = chunks.next() {
            frame(DATA, if chunks.peek().is_none() { END_STREAM } else { 0 }, stream, chunk, out);
        }
        stream
    }
}

/// What the server still takes on this connection.
pub(super) struct Window(u64);

impl Window {
    /// Takes what a request with this message needs, or nothing.
    pub(super) fn admits(&mut self, message: usize) -> bool {
        let left = self.0.checked_sub(message as u64 + 5);
        self.0 = left.unwrap_or(self.0);
        left.is_some()
    }
}

/// A stream that ended.
pub(super) struct Ended {
    pub(super) stream: u32,
    /// Whether it brought a message.
    pub(super) message: bool,
}

/// Reads answers.
pub(super) struct Incoming {
    pub(super) window: Window,
    rest: Vec<u8>,
    /// Streams that brought data and have not ended.
    data: HashSet<u32>,
}

impl Default for Incoming {
    fn default() -> Self {
        Self { window: Window(u64::from(FIRST_WINDOW)), rest: Vec::new(), data: HashSet::new() }
    }
}

impl Incoming {
    /// Reads on; what must be answered is added to `out`.
    pub(super) fn read(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<Vec<Ended>, Failure> {
        self.rest.extend_from_slice(bytes);
        let all = std::mem::take(&mut self.rest);
        let (mut left, mut ended) = (&*all, Vec::new());
        while let Some((header, behind)) = left.split_first_chunk::<HEADER>() {
            let [a, b, c, kind, flags, stream @ ..] = *header;
            let length = u32::from_be_bytes([0, a, b, c]) as usize;
            let Some((payload, next)) = behind.split_at_checked(length) else { break };
            left = next;
            self.frame(kind, flags, u32::from_be_bytes(stream), payload, out, &mut ended)?;
        }
        self.rest = left.to_vec();
        Ok(ended)
    }

    fn frame(
        &mut self,
        kind: u8,
        flags: u8,
        stream: u32,
        payload: &[u8],
        out: &mut Vec<u8>,
        ended: &mut Vec<Ended>,
    ) -> Result<(), Failure> {
        match kind {
            DATA => {
                self.data.insert(stream);
            }
            SETTINGS if flags & ACK == 0 => frame(SETTINGS, ACK, 0, &[], out),
            PING if flags & ACK == 0 => frame(PING, ACK, 0, payload, out),
            WINDOW_UPDATE if stream == 0 => {
                let more = payload.first_chunk::<4>().ok_or("a short frame")?;
                self.window.0 += u64::from(u32::from_be_bytes(*more) & WIDE);
            }
            GOAWAY => return Err("the server ended the connection".into()),
            RST_STREAM => {
                self.data.remove(&stream);
                ended.push(Ended { stream, message: false });
            }
            _ => {}
        }
        if matches!(kind, DATA | HEADERS) && flags & END_STREAM != 0 {
            let message = self.data.remove(&stream);
            ended.push(Ended { stream, message });
        }
        Ok(())
    }
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8], out: &mut Vec<u8>) {
    let [_, a, b, c] = u32::try_from(payload.len()).unwrap_or(u32::MAX).to_be_bytes();
    out.extend_from_slice(&[a, b, c, kind, flags]);
    out.extend_from_slice(&stream.to_be_bytes());
    out.extend_from_slice(payload);
}

/// A text of fewer than 127 characters, as it is.
fn text(value: &str, block: &mut Vec<u8>) {
    block.push(u8::try_from(value.len()).unwrap_or(0));
    block.extend_from_slice(value.as_bytes());
}
