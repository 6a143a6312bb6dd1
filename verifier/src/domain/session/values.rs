//! What goes into a session and what comes out. Decides nothing but which alarm belongs to which reason.

use std::time::Duration;

use common::{
    key_id::KeyId,
    revocation::{
        cursor::Cursor,
        lease::{BootId, LeaseRecord},
        log::{Log, Refused},
    },
    token::kind::PerType,
    trust::{LogKeys, NotTrusted, Signed, Trust, Verified},
};

use crate::domain::{
    alarm::Alarm,
    feed::{Batch, Run},
    view::View,
};

/// Whose feed it is, and how it is to be followed.
#[derive(Clone, Debug)]
pub struct Expected {
    /// The `iss` of the realm's tokens.
    pub issuer: String,
    /// The realm.
    pub realm: String,
    /// The pinned log keys.
    pub log_keys: LogKeys,
    /// The limits of this verifier's own: they only tighten what is announced.
    pub own_staleness: PerType<Option<Duration>>,
    /// This start of the machine.
    pub boot: BootId,
    /// Whether there is a file, so that only what it holds is acknowledged.
    pub keeps_file: bool,
}

/// What happened.
#[derive(Clone, Debug)]
pub enum Input {
    /// A stream stands; nothing was said on it.
    Connected,
    /// The stream is gone.
    Disconnected,
    /// Time has passed.
    Tick,
    /// The file holds everything up to here.
    Kept(Cursor),
    /// The file holds these token keys, those of the last statement that was given to it.
    KeysKept(Vec<KeyId>),
    /// The issuer states keys and limits.
    Trust(Signed),
    /// The issuer states where the log ends.
    Head(Signed),
    /// The issuer sends entries up to that head.
    Entries(Run),
    /// The issuer answers a probe.
    Answer {
        /// The probe's number.
        number: u64,
        /// Where the log ended.
        cursor: Cursor,
        /// How old that knowledge was when the probe arrived.
        head_age: Duration,
    },
    /// The issuer has lost entries, and asks for them.
    Wanted {
        /// Of this epoch.
        epoch: u64,
        /// Those behind this one.
        after: u64,
    },
}

/// What is to be done.
#[derive(Clone, Debug)]
pub enum Action {
    /// Say who follows, and from where.
    Hello {
        /// The head that is held.
        head: Option<Signed>,
        /// The limits that are applied at the most until the next hello.
        limits: PerType<Duration>,
    },
    /// Ask whether the log has moved.
    Probe(u64),
    /// Let every reader see this.
    Publish(View),
    /// Keep something in the file, in this order.
    Keep(Keep),
    /// Tell the issuer what every reader sees and the file holds: entries up to here, and these token keys.
    Acknowledge(Cursor, Vec<KeyId>),
    /// Offer the issuer the entries behind this one, from the file.
    Offer {
        /// The sequence before them.
        after: u64,
    },
    /// Tell the operator.
    Raise(Alarm),
    /// The alarms about the issuer end.
    IssuerBelieved,
    /// Leave this stream, and try another.
    Disconnect(Reason),
}

/// What goes into the file.
#[derive(Clone, Debug)]
pub enum Keep {
    /// A proven batch; its cursor is to be reported once it is on the disk.
    Batch(Batch),
    /// Keys and limits.
    Trust(Verified<Trust>),
    /// A renewal.
    Lease(LeaseRecord),
    /// What was trimmed may go.
    Compact(Log),
}

/// Why a stream is left.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Reason {
    /// No answer for 5 s.
    #[error("the issuer does not answer")]
    Silent,
    /// Not trust, then a head, then entries up to it.
    #[error("a message out of order")]
    OutOfOrder,
    /// Longer limits are announced than this stream's hello told.
    #[error("longer limits are announced: they must be told to the issuer first")]
    LimitsRaised,
    /// Another issuer or realm.
    #[error("a statement of another issuer or realm")]
    OtherIssuer,
    /// Keys and limits that say something else, stated before those held.
    #[error("keys and limits older than those held")]
    TrustRolledBack,
    /// A signature does not hold.
    #[error(transparent)]
    NotTrusted(#[from] NotTrusted),
    /// The log is refused.
    #[error(transparent)]
    Refused(Refused),
}

impl Reason {
    /// What an operator must be told.
    pub(super) const fn alarm(self) -> Option<Alarm> {
        match self {
            Self::OtherIssuer => Some(Alarm::OtherIssuer),
            Self::TrustRolledBack => Some(Alarm::TrustRolledBack),
            Self::NotTrusted(_) => Some(Alarm::NotTrusted),
            Self::Refused(Refused::Future) => Some(Alarm::FutureHead),
            Self::Silent | Self::OutOfOrder | Self::LimitsRaised | Self::Refused(_) => None,
        }
    }
}
