//! What comes from an issuer, as values, and the ports that it comes and is kept through. Knows no wire and no disk.

use std::{fmt, future::Future, io, time::Duration};

use common::{
    key_id::KeyId,
    revocation::{cursor::Cursor, entry::Hash, head::Head, lease::LeaseRecord, log::Log},
    token::kind::PerType,
    trust::{Signed, Trust, Verified},
};

use super::session::Input;

/// Consecutive entries in their packed form. By itself it proves nothing.
#[derive(Clone, Eq, PartialEq)]
pub struct Run {
    /// The epoch of all of them.
    pub epoch: u64,
    /// The sequence of the first.
    pub first: u64,
    /// The hash before the first.
    pub previous: Hash,
    /// Each entry behind its length.
    pub entries: Vec<u8>,
}

impl Run {
    /// The most bytes of packed entries in one run.
    pub const MAX_LEN: usize = 1 << 20;
}

impl fmt::Debug for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { epoch, first, previous: _, entries } = self;
        write!(f, "Run({epoch}/{first}, {} bytes)", entries.len())
    }
}

/// What the log grew by in one step: proven, complete up to its head.
#[derive(Clone, Debug)]
pub struct Batch {
    /// In order, without a gap. Empty when the head only confirms a log time.
    pub runs: Vec<Run>,
    /// Where they end.
    pub head: Verified<Head>,
}

impl Batch {
    /// The position that is reached with it.
    pub fn cursor(&self) -> Cursor {
        self.head.statement().cursor()
    }
}

/// The issuers of one realm.
pub trait Issuers: Send {
    /// A connection to one of them.
    type Feed: Feed;

    /// Tries them in turn, for ever. Waits longer and longer, unless the connection before was `good`.
    fn connect(&mut self, good: bool) -> impl Future<Output = Self::Feed> + Send;
}

/// A connection to one issuer.
pub trait Feed: Send {
    /// What it says next; `None` once it is gone. May be dropped and asked again without loss.
    fn next(&mut self) -> impl Future<Output = Option<Input>> + Send;

    /// Says something, without waiting.
    ///
    /// # Errors
    /// [`Gone`].
    fn say(&mut self, said: Said) -> Result<(), Gone>;

    /// Waits until there is room for something long.
    fn room(&mut self) -> impl Future<Output = ()> + Send;

    /// Says goodbye, and waits a little until it was heard.
    fn goodbye(self) -> impl Future<Output = ()> + Send;
}

/// What a verifier says.
#[derive(Clone, Debug)]
pub enum Said {
    /// Who follows, and from where.
    Hello {
        /// The head that is held.
        head: Option<Signed>,
        /// The limits that are applied at the most.
        limits: PerType<Duration>,
    },
    /// Asks whether the log has moved.
    Probe(u64),
    /// What every reader sees and the file holds: entries up to here, and these token keys.
    Acknowledge(Cursor, Vec<KeyId>),
    /// Entries that the issuer lacks.
    Offer(Offer),
}

/// Entries that the issuer lacks.
#[derive(Clone, Debug)]
pub struct Offer {
    /// Covers the run.
    pub head: Signed,
    /// The entries; `None` when there are none to offer.
    pub run: Option<Run>,
    /// No more follow.
    pub last: bool,
}

/// The connection does not take any more.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the issuer is gone, or does not read what it is sent")]
pub struct Gone;

/// A verifier's own file.
pub trait Book: Send + 'static {
    /// The head that covers what it holds.
    fn head(&self) -> Option<&Verified<Head>>;

    /// Takes in what the log grew by. On the disk when this returns.
    ///
    /// What does not follow the entries in the file replaces them: another epoch, or a jump over entries that have
    /// expired for everybody.
    ///
    /// # Errors
    /// Nothing of it counts as held; it may be tried again.
    fn append(&mut self, batch: &Batch) -> io::Result<()>;

    /// Keeps the latest statement about keys and limits, and forgets the lease. On the disk when this returns.
    ///
    /// # Errors
    /// As [`Book::append`].
    fn trust(&mut self, trust: &Verified<Trust>) -> io::Result<()>;

    /// Notes a renewal, of a view that holds nothing which the file does not. Not waited for: an older one errs to the
    /// safe side.
    ///
    /// # Errors
    /// As [`Book::append`].
    fn lease(&mut self, record: LeaseRecord) -> io::Result<()>;

    /// Forgets the lease: whoever is told goodbye counts on nobody going on from this file. On the disk when this returns.
    ///
    /// # Errors
    /// The lease may still stand, so no goodbye may be said.
    fn relinquish(&mut self) -> io::Result<()>;

    /// Rewrites the file without the entries that `log` has trimmed away, if that is worth it. Says whether it was.
    ///
    /// # Errors
    /// The old file stands.
    fn compact(&mut self, log: &Log) -> io::Result<bool>;

    /// Hands the runs that reach beyond `after` to `each`, in order; the first may begin earlier.
    ///
    /// # Errors
    /// When the file cannot be read, or `each` says so.
    fn runs_after(&self, after: u64, each: &mut dyn FnMut(Run) -> io::Result<()>) -> io::Result<()>;
}
