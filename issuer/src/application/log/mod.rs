//! The revocation log in this process: one writer, any number of readers of what it published.

mod appending;
mod keys;
mod others;
mod published;
mod recovery;
mod rounds;
mod step;
mod upkeep;
mod writer;

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot, watch};

pub use keys::{KeyChange, KeyOrder, KeyOrderError};
pub use published::{Announcer, Published};
pub(super) use step::AHEAD;
pub use writer::{CannotStart, Writer, WriterParts};

use common::{
    revocation::{cursor::Cursor, entry::Reason, head::Head, rule::Rule},
    timestamp::Timestamp,
    token::kind::PerType,
};

use crate::domain::{
    chain::Chain,
    ports::{ProjectChange, StoreError},
};

/// Asks the writer, and reads what it published. Cheap to clone.
#[derive(Clone, Debug)]
pub struct LogHandle {
    orders: mpsc::Sender<Command>,
    published: watch::Receiver<Arc<Published>>,
}

impl LogHandle {
    /// What stands now.
    pub fn published(&self) -> Arc<Published> {
        Arc::clone(&self.published.borrow())
    }

    /// Sees every later publication, the last one if several came at once.
    pub fn subscribe(&self) -> watch::Receiver<Arc<Published>> {
        self.published.clone()
    }

    /// Appends rules and a change as one atomic step. When it answers `Ok`, the step is durable, published to the
    /// followers, and in the audit trail unless that is broken.
    ///
    /// # Errors
    /// [`AppendError`].
    pub async fn append(&self, order: AppendOrder) -> Result<AppendDone, AppendError> {
        let (reply, answer) = oneshot::channel();
        let sent = self.orders.send(Command::Append(Box::new((order, reply)))).await;
        sent.map_err(|_stopped| AppendError::Stopped)?;
        answer.await.unwrap_or(Err(AppendError::Stopped))
    }

    /// Gives a key another role. When it answers `Ok`, the record is durable, written down and announced, if that could be
    /// done at once; a key that has the role already changes nothing.
    ///
    /// # Errors
    /// [`KeyOrderError`].
    pub async fn change_keys(&self, order: KeyOrder) -> Result<(), KeyOrderError> {
        let (reply, answer) = oneshot::channel();
        let sent = self.orders.send(Command::Keys(Box::new((order, reply)))).await;
        sent.map_err(|_stopped| KeyOrderError::Stopped)?;
        answer.await.unwrap_or(Err(KeyOrderError::Stopped))
    }

    /// A verifier holds a signed head that this log has not, or not any more: entries were lost.
    pub async fn noticed(&self, head: Head) {
        self.orders.send(Command::Noticed(Box::new(head))).await.ok();
    }

    /// A verifier offers all that it holds under this signed head.
    pub async fn offered(&self, chain: Chain, head: Head) {
        self.orders.send(Command::Offered(Box::new((chain, head)))).await.ok();
    }
}

/// What is to be appended in one step.
#[derive(Debug)]
pub struct AppendOrder {
    /// In order. None: only the change.
    pub rules: Vec<Planned>,
    /// A change of a project in the same step.
    pub change: Option<ProjectChange>,
    /// For the audit trail: what was done.
    pub action: &'static str,
    /// For the audit trail: the caller's free text.
    pub comment: String,
    /// For the audit trail: the caller.
    pub actor: Arc<str>,
}

/// A rule to be appended.
#[derive(Clone, Debug)]
pub struct Planned {
    /// What is revoked.
    pub rule: Rule,
    /// Why.
    pub reason: Reason,
    /// From this instant on nothing that it hits is live. `None`: the longest ceiling in force from now on.
    pub expires_at: Option<Timestamp>,
    /// The types that it can hit.
    pub hits: PerType<bool>,
}

/// What came of an append.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct AppendDone {
    /// The last entry that the step needs.
    pub cursor: Cursor,
    /// The types that it can hit.
    pub hits: PerType<bool>,
}

/// Why nothing was appended, as far as is known.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum AppendError {
    /// The project has another version by now. Nothing has changed.
    #[error("the project was changed meanwhile")]
    ProjectChanged,
    /// Entries were lost; the log takes no more until it is mended.
    #[error("the log has lost entries")]
    Lost,
    /// Other issuers appended first, again and again. Nothing has changed; asking again is safe.
    #[error("other issuers appended first")]
    Behind,
    /// The store did not answer: whether it happened is not known.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The head could not be signed. Nothing was published; whether it is in the store is not known.
    #[error("the head of the log could not be signed")]
    Signing,
    /// A change that revokes nothing, and the audit trail cannot be written. Whether it happened is not known.
    #[error("the audit trail cannot be written")]
    Unaudited,
    /// This process is going down.
    #[error("the log's writer has stopped")]
    Stopped,
}

/// An order, and where its answer goes.
type Asked = (AppendOrder, oneshot::Sender<Result<AppendDone, AppendError>>);

#[derive(Debug)]
enum Command {
    Append(Box<Asked>),
    Noticed(Box<Head>),
    Offered(Box<(Chain, Head)>),
    Keys(Box<(KeyOrder, oneshot::Sender<Result<(), KeyOrderError>>)>),
}
