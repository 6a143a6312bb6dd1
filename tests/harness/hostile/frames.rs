//! Frames of HTTP/2 and header blocks of HPACK (RFC 7541), written by hand. Sends nothing.

pub(super) const HEADER: usize = 9;

pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const PRIORITY: u8 = 2;
pub(super) const RST_STREAM: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
pub(super) const PING: u8 = 6;
pub(super) const GOAWAY: u8 = 7;
pub(super) const WINDOW_UPDATE: u8 = 8;
pub(super) const CONTINUATION: u8 = 9;

pub(super) const END_STREAM: u8 = 1;
pub(super) const END_HEADERS: u8 = 4;

/// What every client says first, settings included.
pub(super) fn preface(settings: &[(u16, u32)]) -> Vec<u8> {
    let pairs = settings
        .iter()
        .flat_map(|(name, value)| [&name.to_be_bytes()[..], &value.to_be_bytes()[..]].concat());
    let payload: Vec<u8> = pairs.collect();
    [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), frame(SETTINGS, 0, 0, &payload)].concat()
}

/// One frame.
pub(super) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    [head(kind, flags, stream, payload.len()), payload.to_vec()].concat()
}

/// The first 9 bytes of a frame, whatever follows.
pub(super) fn head(kind: u8, flags: u8, stream: u32, length: usize) -> Vec<u8> {
    let [.., high, middle, low] = length.to_be_bytes();
    [&[high, middle, low, kind, flags][..], &stream.to_be_bytes()].concat()
}

/// The headers of a gRPC call. Nothing is put into the table of the connection.
pub(super) fn call(path: &str) -> Vec<u8> {
    // POST and http stand in the static table, as do the names of path, authority and content-type.
    let mut block = vec![0x83, 0x86];
    literal(&mut block, &[0x04], path);
    literal(&mut block, &[0x01], "localhost");
    literal(&mut block, &[0x0f, 0x10], "application/grpc");
    block.extend([0, 2]);
    literal(&mut block, b"te", "trailers");
    block
}

/// A value whose name stands before it.
fn literal(block: &mut Vec<u8>, name: &[u8], value: &str) {
    block.extend(name);
    block.push(u8::try_from(value.len()).unwrap());
    block.extend(value.as_bytes());
}

/// A header of 4,000 bytes that the table keeps, then as many references to it as fit a frame: some 60 MiB when decoded.
pub(super) fn bomb() -> Vec<u8> {
    let mut block = call("/a/B");
    block.extend([0x40, 1, b'x']);
    // 4,000 as an integer with a prefix of 7 bits.
    block.extend([0x7f, 0xa1, 0x1e]);
    block.extend(std::iter::repeat_n(b'y', 4_000));
    let room = 16_384 - block.len();
    block.extend(std::iter::repeat_n(0xbe, room));
    block
}

/// What stands in the header of a frame that came.
pub(super) struct Frame {
    pub(super) length: usize,
    pub(super) kind: u8,
    /// It is about no single call.
    pub(super) whole_connection: bool,
}

impl Frame {
    pub(super) fn read(header: [u8; HEADER]) -> Self {
        let [high, middle, low, kind, _, stream @ ..] = header;
        let length = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
        Self { length, kind, whole_connection: stream == [0; 4] }
    }
}
