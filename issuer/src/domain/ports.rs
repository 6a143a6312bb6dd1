//! What the application asks of a store, as a contract that every adapter passes tests of. Never how it is done.

use std::{fmt, future::Future, pin::Pin, sync::Arc};

use common::{
    keys::SigningKey,
    organisation_id::OrganisationId,
    project::Project,
    project_id::ProjectId,
    revocation::{cursor::Cursor, head::Link},
    timestamp::Timestamp,
    token_id::TokenId,
};

use crate::domain::{
    approval::Reference,
    draft::Checked,
    event::Event,
    followers::{Follower, Row, Tenure},
    key_holders::Holder,
    ledger::TokenRecord,
    policy_record::PolicyRecord,
    rounds::{Round, Rounded},
    transfer::{Kept, Part},
};

/// What a store answers, some time.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// Projects, the ledger, the revocation log, limits and key roles, running followers: of one realm.
///
/// Each method is one atomic step: it happens as a whole, or not at all. What a method that writes answers `Ok` for
/// survives a power cut, and every later call sees it. After an error nobody knows whether the step happened; asking
/// again is safe wherever the doc says so. Steps of one store happen one after the other.
pub trait Store: fmt::Debug + Send + Sync {
    /// How many copies hold what a method that writes answered `Ok` for, at least.
    fn copies(&self) -> u32;

    /// Everything that an issuer holds in memory.
    fn load(&self) -> Answer<'_, Loaded>;

    /// Whether other issuers append to the same log.
    fn shared(&self) -> bool;

    /// Why the last call failed, for the operator who has to mend it; `None` when it was answered.
    fn complaint(&self) -> Option<String> {
        None
    }

    /// Whether the store's clock was over 5 s off ours when it was last looked at. One that has none is never off.
    fn clock_off(&self) -> bool {
        false
    }

    /// Where the log ends, as [`Store::copies`] copies have it: nothing acknowledged before this call lies behind it.
    fn confirmed_end(&self) -> Answer<'_, Option<LogEnd>>;

    /// The entries behind the sequence `behind` of the log that ends there, packed, in runs as they were appended. `None`
    /// when the log has another base or epoch by now.
    fn runs(&self, end: LogEnd, behind: u64) -> Answer<'_, Option<Vec<Vec<u8>>>>;

    /// Adds a project. Safe to repeat.
    fn create_project(&self, project: Project) -> Answer<'_, Created>;

    /// One project.
    fn project(&self, id: ProjectId) -> Answer<'_, Option<Project>>;

    /// At most `most` projects behind `after` in the order of their ids; of those that `organisation` owns or works on,
    /// if one is given. Fewer than `most` are the last.
    fn projects(
        &self,
        organisation: Option<OrganisationId>,
        after: Option<ProjectId>,
        most: usize,
    ) -> Answer<'_, Vec<Project>>;

    /// Appends to the log, and changes a project in the same step. Not safe to repeat: compare the log's end first.
    fn append(&self, append: Append) -> Answer<'_, Appended>;

    /// Records a token, at the log's end, if the projects still have the versions that the policy looked at.
    ///
    /// An idempotency key that was used before is answered before anything else, and changes nothing.
    fn record(&self, recording: Recording) -> Answer<'_, Recorded>;

    /// One record.
    fn token(&self, id: TokenId) -> Answer<'_, Option<TokenRecord>>;

    /// At most `most` records, newest first, each with its number in the ledger; only those numbered below `before`, if
    /// that is given. Fewer than `most` are the last.
    fn tokens(&self, of: TokensOf, before: Option<u64>, most: usize) -> Answer<'_, Vec<(u64, TokenRecord)>>;

    /// Forgets at most `most` records (and their idempotency keys) that expired before `expired_before`, oldest expiry
    /// first, and tells how many. Safe to repeat.
    fn forget_tokens(&self, expired_before: Timestamp, most: usize) -> Answer<'_, usize>;

    /// Forgets every entry up to `base`, which the caller knows to have expired. Safe to repeat; a base at or before the
    /// one that stands changes nothing.
    fn trim(&self, epoch: u64, base: Link) -> Answer<'_, ()>;

    /// Replaces limits and key roles if the version that stands is `record.version - 1`; answers whether it did.
    fn save_policy(&self, record: PolicyRecord) -> Answer<'_, bool>;

    /// Limits and key roles as they stand; `None` before they were first saved.
    fn policy(&self) -> Answer<'_, Option<PolicyRecord>>;

    /// Adds or replaces what the issuer of this instance tells the others about keys. Safe to repeat; need not survive a
    /// loss, because it is told again every few seconds. A store of one issuer, which nobody else reads, keeps nothing.
    fn save_holder(&self, _holder: Holder) -> Answer<'_, ()> {
        Box::pin(async { Ok(()) })
    }

    /// What every issuer told that did not take it back.
    fn holders(&self) -> Answer<'_, Vec<Holder>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    /// Takes back what the issuers of these instances told. Safe to repeat.
    fn remove_holders(&self, _instances: Vec<u64>) -> Answer<'_, ()> {
        Box::pin(async { Ok(()) })
    }

    /// Adds the row of a running verifier, or puts it in the place of the one that stands ([`Row::over`]), and answers what
    /// stands now. Safe to repeat.
    fn save_follower(&self, row: Row) -> Answer<'_, Row>;

    /// Removes those rows that are still of this tenure (`None`: of any). Safe to repeat.
    fn remove_followers(&self, followers: Vec<(Follower, Option<Tenure>)>) -> Answer<'_, ()>;

    /// A confirmed round: writes the issuer's row if it stands as it must, takes over what its followers acknowledged, and
    /// answers what [`Store::copies`] copies hold at one instant: nothing acknowledged before this call lies behind it.
    /// Safe to repeat.
    fn round(&self, round: Round) -> Answer<'_, Rounded>;

    /// At most `most` records of the ledger behind the number `after`, oldest first, and the highest number that was ever
    /// given. Fewer than `most` are the last. For a copy of the store.
    fn ledger(&self, after: u64, most: usize) -> Answer<'_, (Vec<Kept>, u64)>;

    /// Takes a part of another store's copy into this one: [`Part::Begin`] first, [`Part::Finish`] last, in between in any
    /// order, each safe to repeat. Answers whether it did: not into a store that holds anything, unless by an import that
    /// was not finished; then that is gone. Until the last part every other call may answer
    /// [`StoreError::HalfImported`], and [`Store::load`] does.
    fn take_in(&self, part: Part) -> Answer<'_, bool>;

    /// Takes out an issuer's row, if the number of its last round is `number` (`None`: it has no row), and all rows that it
    /// holds; answers whether it did. Safe to repeat.
    fn expel(&self, issuer: u64, number: Option<u64>) -> Answer<'_, bool>;
}

/// What an issuer holds in memory.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Loaded {
    /// The end of the log; `None` in a store that is new or has lost everything.
    pub end: Option<LogEnd>,
    /// The entries behind the base, packed, in order, in runs as they were appended.
    pub runs: Vec<Vec<u8>>,
    /// Limits and key roles; `None` before they were first saved.
    pub policy: Option<PolicyRecord>,
    /// The rows of the register.
    pub followers: Vec<Row>,
    /// How far this issuer's audit trail reached when the store last heard of it.
    pub audit: Option<AuditMark>,
}

/// Where the log ends, and from where on it is held.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct LogEnd {
    /// From 1.
    pub epoch: u64,
    /// The last entry that was trimmed away; sequence 0 when none was.
    pub base: Link,
    /// The last entry.
    pub end: Link,
    /// The issuer's clock at the last append, never back.
    pub log_time: Timestamp,
}

impl LogEnd {
    /// The position of the last entry.
    pub const fn cursor(&self) -> Cursor {
        Cursor::new(self.epoch, self.end.sequence)
    }
}

/// A line of the audit trail: its number, and its SHA-256.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct AuditMark {
    /// From 1.
    pub number: u64,
    /// Of the line without its line feed.
    pub hash: [u8; 32],
}

/// A step of the log.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Append {
    /// The epoch and last entry that the log must end in; `None`: there must be no log. A new epoch follows the end of
    /// the one before.
    pub after: Option<(u64, Link)>,
    /// The entries behind it, packed. Of a new epoch, all that it holds.
    pub entries: Vec<u8>,
    /// The log's end afterwards. Its base counts in a new epoch only.
    pub end: LogEnd,
    /// A change of a project that goes with it (rule 11).
    pub change: Option<ProjectChange>,
    /// How far the audit trail reaches.
    pub audit: Option<AuditMark>,
}

/// A project's next version.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ProjectChange {
    /// The version that must stand.
    pub expected: u64,
    /// What it becomes.
    pub project: Project,
}

/// What came of a [`Store::create_project`].
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Created {
    /// It stands now.
    New,
    /// One of that id stood before, and still does.
    Stood(Project),
}

/// What came of a [`Store::append`].
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Appended {
    /// It is durable.
    Done,
    /// The log ends elsewhere. Nothing has changed.
    EndedElsewhere(Option<LogEnd>),
    /// The project has another version, or is not there. Nothing has changed.
    ProjectChanged,
}

/// A token to be recorded.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Recording {
    /// Its record. `recorded` is what the store makes of it.
    pub record: TokenRecord,
    /// The versions that the policy looked at.
    pub checked: Vec<Checked>,
    /// The caller's idempotency key, if one was given.
    pub idempotency: Option<Idempotency>,
    /// How far the audit trail reaches.
    pub audit: Option<AuditMark>,
}

/// An idempotency key as it is kept: nothing in it can be turned back into the order.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Idempotency {
    /// HMAC of caller, project and key.
    pub key: [u8; 32],
    /// HMAC of the order's content.
    pub content: [u8; 32],
}

/// What came of a [`Store::record`].
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Recorded {
    /// It is durable, at this log position.
    At(Cursor),
    /// The idempotency key was used before, for this token.
    Before {
        /// The token recorded then.
        record: TokenRecord,
        /// Whether the content was the same.
        same_content: bool,
    },
    /// A project has another version now: the policy has to look again. Nothing has changed.
    ProjectChanged,
    /// There is no log to record it at. Nothing has changed.
    NoLog,
}

/// Which records are asked for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum TokensOf {
    /// All.
    Everyone,
    /// A project's.
    Project(ProjectId),
    /// An organisation's.
    Organisation(OrganisationId),
    /// Those issued for one approved request.
    Request(Reference),
}

/// The audit trail, which is also this issuer's own copy of the log (DESIGN section 7).
pub trait Journal: fmt::Debug + Send + Sync {
    /// Appends a line for each event, in order. When it answers `Ok`, all of them survive a power cut; the answer is the
    /// mark of the last one, and of none the mark before. Answers within a few seconds, whatever the disk does. Not safe
    /// to repeat after an error.
    fn write<'a>(&'a self, events: &'a [Event<'a>]) -> Written<'a>;

    /// Appends a line in which the log key signs for all lines before it, unless the last one is that.
    fn seal(&self) -> Written<'_>;

    /// Whether nothing is being written, not even what its caller has given up.
    fn idle(&self) -> bool;
}

/// How far the journal reaches, some time.
pub type Written<'a> = Pin<Box<dyn Future<Output = Result<AuditMark, NotWritten>> + Send + 'a>>;

/// Why lines were not written, as far as is known.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum NotWritten {
    /// There is no room; nothing was written.
    #[error("there is no room for the audit trail")]
    Full,
    /// The disk does not answer. The lines may be there once it does.
    #[error("the disk of the audit trail does not answer")]
    Blocked,
    /// Nothing can be written any more until the journal is opened anew.
    #[error("the audit trail is broken until this process starts anew")]
    Broken,
}

/// Where private token keys come from.
pub trait KeySource: fmt::Debug + Send + Sync {
    /// Every key that was there since the start, the newest first. Blocks for as long as the disk does. One that cannot be
    /// read, or may not be, is left out and told to the operator.
    fn look(&self) -> Vec<Arc<SigningKey>>;

    /// What is wrong with the place, for people: keys that are there may not sign. Does not block.
    fn complaint(&self) -> Option<String>;
}

/// Where random bytes come from.
pub trait Entropy: fmt::Debug + Send + Sync {
    /// Fills the whole buffer with bytes that nobody can foresee.
    ///
    /// # Errors
    /// When there are none to be had.
    fn fill(&self, bytes: &mut [u8]) -> Result<(), NoEntropy>;
}

/// The system gives no random bytes.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the system gives no random bytes")]
pub struct NoEntropy;

/// Why a store did not answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum StoreError {
    /// It cannot be reached, or its disk failed. Whether the step happened is not known.
    #[error("the store cannot be reached")]
    Unreachable,
    /// What it holds is not what was put in: a broken seal, a record that cannot be read.
    #[error("the store has lost data")]
    LostData,
    /// An import was begun and not finished.
    #[error("an import into the store was not finished: run `issuer store import` again")]
    HalfImported,
}
