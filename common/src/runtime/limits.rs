//! Every bound that a server of ours puts on its callers, in one place; `docs/SECURITY.md` has the same table, and a test
//! compares the two. None of them is a setting: a bound that can be switched off is none.

use std::time::Duration;

/// The longest message that is decoded, unless a service needs more: `max_decoding_message_size`. The longest of ours,
/// a project with all its collaborators, is below 50 KiB.
pub const MAX_MESSAGE: usize = 64 * 1024;
/// The same for a batch of 64 tokens.
pub const MAX_BATCH: usize = 512 * 1024;
/// The same for the feed, over which verifiers offer back what an issuer lost.
pub const MAX_FEED: usize = 1024 * 1024;
/// The longest message that is sent: `max_encoding_message_size`. Followers take no longer one.
pub const MAX_SENT: usize = 4 * 1024 * 1024;
/// More than any question about health or about our own descriptors.
pub(super) const MAX_QUESTION: usize = 4 * 1024;

/// The most calls worked on at once, over all connections; health is outside.
pub(super) const MAX_CALLS: usize = 4_096;
/// A connection has no more calls under way than this part of the places that are free: a few take none from the others.
pub(super) const CALLS_SHARE: usize = 8;
/// Bytes of requests that have not arrived whole, over all calls: above it, long ones are refused,
pub(super) const MAX_ARRIVING: usize = 16 * 1024 * 1024;
/// and long are those above this. The longest request about one token is below 8 KiB.
pub(super) const SHORT: usize = 16 * 1024;
/// A request must have arrived whole by then, unless its method has begun to answer.
pub(super) const RECEIVE_WITHIN: Duration = Duration::from_secs(10);

/// Tokens that came over one connection and failed the check of their signature: so many at once,
pub(super) const FAILURES: u32 = 64;
/// and so many more each second are checked like any other. Beyond, each check waits until nobody else has work.
pub(super) const FAILURES_PER_SECOND: u32 = 100;
/// Calls of such connections in line; more are refused.
pub(super) const MAX_ASIDE: usize = 256;

/// The most TCP connections for gRPC.
pub(super) const MAX_CONNECTIONS: usize = 12_288;
/// The most connections to the Unix socket.
pub(super) const MAX_UNIX: usize = 1_024;
/// The most connections for the HTTP that proxies ask, each with one request at once.
pub(super) const MAX_HTTP: usize = 1_024;
/// The most connections for probes and metrics.
pub(super) const MAX_ADMIN: usize = 256;
/// The most connections for health alone: that port may be open to a whole network.
pub(super) const MAX_PROBES: usize = 64;
/// File descriptors that callers never get: they are for stores, files, and the feed to the issuer.
pub(super) const RESERVED_FILES: usize = 32;

/// From the first byte of TLS to a caller.
pub(super) const HANDSHAKE_WITHIN: Duration = Duration::from_secs(5);
/// Above it, the oldest handshake that has not come to an end is given up: it is the slowest.
pub(super) const MAX_HANDSHAKES: usize = 512;
/// HTTP/2 must have begun by then: its preface and the first frame header.
pub(super) const BEGIN_WITHIN: Duration = Duration::from_secs(5);
/// What we send must get on within this: who does not read is left.
pub(super) const STALL_WITHIN: Duration = Duration::from_secs(20);
/// A connection is asked to end (GOAWAY) at this age, or up to a quarter later: not all at one moment. Calls in flight go
/// on,
pub(super) const CONNECTION_AGE: Duration = Duration::from_hours(1);
/// and are cut so long after that. Longer than the longest call that waits for something.
pub(super) const CONNECTION_GRACE: Duration = Duration::from_mins(16);
/// A peer is asked so often whether it is still there,
pub(super) const KEEPALIVE_EVERY: Duration = Duration::from_secs(30);
/// and has so long to answer.
pub(super) const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// Calls at once in one connection.
pub(super) const MAX_STREAMS: u32 = 256;
/// All headers of a call together, decoded.
pub(super) const MAX_HEADERS: u32 = 16 * 1024;
/// What a call may send that nobody has read yet.
pub(super) const STREAM_WINDOW: u32 = 128 * 1024;
/// What all calls of a connection may.
pub(super) const CONNECTION_WINDOW: u32 = 256 * 1024;
/// What a call has to send that the peer gives no room for.
pub(super) const MAX_UNSENT: usize = 256 * 1024;
/// Calls that the peer reset before we looked at them (CVE-2023-44487).
pub(super) const MAX_PENDING_RESETS: usize = 20;
/// Calls that we reset because of what the peer sent, over the life of a connection (CVE-2025-8671).
pub(super) const MAX_OWN_RESETS: usize = 256;
/// Frames that cost work and ask for nothing (pings, settings, priorities, resets, small data …): so many at once,
pub(super) const IDLE_FRAMES: u32 = 512;
/// so many more each second,
pub(super) const IDLE_FRAMES_PER_SECOND: u32 = 64;
/// for each call begun,
pub(super) const IDLE_FRAMES_PER_CALL: u32 = 16;
/// and for each 4 KiB that we sent.
pub(super) const IDLE_FRAMES_PER_PAGE: u32 = 1;
