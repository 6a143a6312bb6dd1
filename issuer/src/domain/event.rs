//! What the audit trail says, one JSON object each. Never the token; people and purposes go here and nowhere else.

use serde::Serialize;

use crate::domain::approval::{Approval, Decision};

/// One thing that happened. Every text of it is made by us, or was parsed.
#[derive(Debug, Serialize)]
pub struct Event<'a> {
    /// When, in seconds since 1970 by the issuer's clock.
    pub time: u64,
    /// Who called: the certificate's identity, or how the call came in.
    pub actor: &'a str,
    /// What happened.
    #[serde(flatten)]
    pub what: What<'a>,
}

/// What happened.
#[derive(Debug, Serialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum What<'a> {
    /// A token was recorded. Its caller got it, unless something failed afterwards.
    Issue {
        /// Its id.
        token_id: String,
        /// Whether it is the answer to a repeated order.
        repeat: bool,
        /// What was ordered.
        order: Ordered<'a>,
    },
    /// An order was refused.
    Refuse {
        /// Why.
        reason: &'a str,
        /// What was ordered.
        order: Ordered<'a>,
    },
    /// Entries were appended to the log; with them a project may have changed.
    Append(Append<'a>),
    /// A project was created, or changed without anything being revoked.
    Project {
        /// Its id.
        project_id: String,
        /// Its version since.
        version: u64,
        /// What was done: `create`, `set_collaborators`.
        action: &'a str,
    },
    /// The log lost entries, as far as this issuer can see: it issues nothing until that is mended.
    Lost {
        /// The epoch that it holds.
        epoch: u64,
        /// The number of the last entry that it holds.
        sequence: u64,
        /// Where the store's log ends instead.
        found: &'a str,
        /// What was seen.
        why: &'a str,
    },
    /// The log holds everything again that any party here knew of.
    Mended {
        /// The epoch since.
        epoch: u64,
        /// The number of its last entry.
        sequence: u64,
        /// How many entries it holds.
        entries: u64,
        /// Out of what: `memory`, `verifier`, `another_issuer`, `journal`, `operator`.
        from: &'a str,
    },
    /// Limits or key roles changed.
    Policy {
        /// The record's version since.
        version: u64,
        /// What was done.
        action: &'a str,
    },
}

/// Entries as the log holds them: the journal is the issuer's own copy.
#[derive(Debug, Serialize)]
pub struct Append<'a> {
    /// The epoch.
    pub epoch: u64,
    /// The number of the first of them.
    pub first: u64,
    /// The number of the last of them.
    pub last: u64,
    /// The hash of the chain before them, base64url.
    pub previous: String,
    /// Packed, base64url.
    pub entries: String,
    /// Why, as on the wire.
    pub reason: &'a str,
    /// Free text of the caller's.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub comment: &'a str,
    /// The project that changed with them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub project_id: Option<String>,
    /// Written after the fact, because the trail was broken when it happened.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub late: bool,
}

/// An order as the audit trail keeps it.
#[derive(Debug, Serialize)]
pub struct Ordered<'a> {
    /// The project.
    pub project_id: &'a str,
    /// The organisation.
    pub organisation_id: String,
    /// The token type.
    pub token_type: &'a str,
    /// The source layer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<(&'a str, String)>,
    /// Who asked for it, who approved it, what for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approval: Option<Approved<'a>>,
}

/// An approval as the audit trail keeps it (rule 12).
#[derive(Debug, Serialize)]
pub struct Approved<'a> {
    /// The approved request.
    pub request_id: &'a str,
    /// Who asked.
    pub requested_by: &'a str,
    /// Who approved; absent when the Portal did by rule.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approved_by: Option<&'a str>,
    /// What for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub purpose: Option<&'a str>,
}

impl<'a> From<&'a Approval> for Approved<'a> {
    fn from(approval: &'a Approval) -> Self {
        let approved_by = match &approval.decision {
            Decision::Person(person) => Some(person.as_str()),
            Decision::Automatic => None,
        };
        Self {
            request_id: approval.request.as_str(),
            requested_by: approval.requested_by.as_str(),
            approved_by,
            purpose: approval.purpose.as_ref().map(crate::domain::approval::Purpose::as_str),
        }
    }
}

impl<'a> From<&'a crate::domain::order::Order> for Ordered<'a> {
    fn from(order: &'a crate::domain::order::Order) -> Self {
        Self {
            project_id: order.project.as_str(),
            organisation_id: order.organisation.to_string(),
            token_type: order.operation.token_type().as_str(),
            source: order
                .operation
                .source()
                .map(|source| (source.project.as_str(), source.organisation.to_string())),
            approval: order.approval.as_ref().map(Approved::from),
        }
    }
}
