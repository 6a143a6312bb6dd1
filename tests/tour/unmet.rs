//! Why the tour stops: a call that failed, or an answer that is not the one that must come. Prints nothing.

use std::{fmt::Debug, io};

use tonic::Status;
use tonic_types::StatusExt as _;

/// What every step returns.
pub(crate) type Outcome<T = ()> = Result<T, Unmet>;

/// Why the tour stops.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unmet {
    /// No address.
    #[error("{0} is not host:port")]
    Address(String),
    /// A call that must succeed did not.
    #[error("{call}: {}", told(status))]
    Call {
        /// The method.
        call: &'static str,
        /// What was answered.
        status: Box<Status>,
    },
    /// An answer came, but not the one that must come.
    #[error("{step}: expected {expected}, but got {got}")]
    Answer {
        /// Where.
        step: &'static str,
        /// What must come.
        expected: String,
        /// What came.
        got: String,
    },
    /// The component cannot be asked.
    #[error("the component: {0}")]
    Component(#[source] io::Error),
    /// What is kept for a later step.
    #[error("{path}: {source}")]
    Kept {
        /// The file.
        path: String,
        /// What the system or the parser said.
        source: io::Error,
    },
}

impl Unmet {
    /// Another answer than the expected one. What came is told without tokens: answers hold none but `IssueToken`'s.
    pub(crate) fn answer(step: &'static str, expected: impl Into<String>, got: &impl Debug) -> Self {
        Self::Answer { step, expected: expected.into(), got: format!("{got:?}") }
    }
}

/// Makes a status an [`Unmet`].
pub(crate) fn call(call: &'static str) -> impl Fn(Status) -> Unmet {
    move |status| Unmet::Call { call, status: Box::new(status) }
}

/// The code, the reason or the bad fields, and the message.
pub(crate) fn told(status: &Status) -> String {
    let code = format!("{:?}", status.code());
    let mut parts = vec![code];
    parts.extend(reason(status));
    parts.extend(fields(status));
    format!("{} – {}", parts.join(" "), status.message())
}

/// The reason of `google.rpc.ErrorInfo`.
pub(crate) fn reason(status: &Status) -> Option<String> {
    status.get_details_error_info().map(|info| info.reason)
}

/// The fields of `google.rpc.BadRequest`.
pub(crate) fn fields(status: &Status) -> Vec<String> {
    let bad = status.get_details_bad_request().map(|bad| bad.field_violations).unwrap_or_default();
    bad.into_iter().map(|violation| violation.field).collect()
}
