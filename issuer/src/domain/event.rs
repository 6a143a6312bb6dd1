//! What the audit trail says, one JSON object each. Never the token; people and purposes go here and nowhere else.

use serde::Serialize;

use crate::domain::approval::{Approval, Decision};

/// One thing that happened. Every text of it is made by us, or was parsed.
#[derive(Debug, Serialize)]
pub struct Event<'a> {
    /// When, in seconds since 1970 by the issuer's clock.
    pub time: u64,
    /// Who called: the certificate's identity, or how the call came in; `issuer` when nobody did.
    pub actor: &'a str,
    /// Written after the fact, because the trail could not be written when it happened.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub late: bool,
    /// What happened.
    #[serde(flatten)]
    pub what: &'a What<'a>,
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
    /// A call was outside the bounds that the settings give its caller.
    Deny(Denied<'a>),
    /// Entries were appended to the log; with them a project may have changed.
    Append(Append),
    /// A project was created, or changed without anything being revoked.
    Project {
        /// Its id.
        project_id: String,
        /// Its version since.
        version: u64,
        /// What was done: `create`, `create_again`, `set_collaborators`.
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
        held: u64,
        /// Out of what: `memory`, `verifier`, `another_issuer`, `journal`, `operator`.
        from: &'a str,
    },
    /// Limits or key roles changed.
    /// A key was given another role.
    Key {
        /// The record's version since.
        version: u64,
        /// What was done: `prepare`, `activate`, `retire`.
        action: &'a str,
        /// Which.
        key_id: String,
        /// Although some party may lack it.
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        forced: bool,
    },
    /// Limits changed, or key roles without anybody asking.
    Policy {
        /// The record's version since.
        version: u64,
        /// What was done.
        action: &'a str,
    },
    /// The oldest entries of the log had expired and are forgotten: lines that hold no later ones mend nothing any more.
    Trim {
        /// The epoch.
        epoch: u64,
        /// The last of them.
        base: u64,
        /// The hash of the chain up to it, base64url.
        hash: String,
    },
    /// The trail can be written again; what happened meanwhile follows, marked late.
    Resume {
        /// Since when it could not, in seconds since 1970.
        since: u64,
    },
    /// The log key signed for the line before this one, and so for every line before that.
    Head(SignedHead),
}

impl What<'_> {
    /// Every `what`, and every member that its line may have besides `time`, `actor`, `late` and `what`. Nothing else is
    /// ever written: no token, no key, no free text but these.
    pub const MEMBERS: &'static [(&'static str, &'static [&'static str])] = &[
        ("issue", &["token_id", "repeat", "order"]),
        ("refuse", &["reason", "order"]),
        ("deny", &["method", "project_id", "organisation_id", "token_type", "unwritten"]),
        ("append", &["epoch", "first", "last", "previous", "entries", "reason", "comment", "project_id"]),
        ("project", &["project_id", "version", "action"]),
        ("key", &["version", "action", "key_id", "forced"]),
        ("policy", &["version", "action"]),
        ("lost", &["epoch", "sequence", "found", "why"]),
        ("mended", &["epoch", "sequence", "held", "from"]),
        ("trim", &["epoch", "base", "hash"]),
        ("resume", &["since"]),
        ("head", &["issuer", "realm", "line", "hash", "key", "signature"]),
    ];
}

impl Ordered<'_> {
    /// Every member that an order may have in a line.
    pub const MEMBERS: &'static [&'static str] =
        &["project_id", "organisation_id", "token_type", "source", "approval"];
}

impl Approved<'_> {
    /// Every member that an approval may have in a line.
    pub const MEMBERS: &'static [&'static str] = &["request_id", "requested_by", "approved_by", "purpose"];
}

/// A call outside its caller's bounds, and what it was about, as far as that was told.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Denied<'a> {
    /// The method, as in the protos.
    pub method: &'a str,
    /// The project.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub project_id: Option<&'a str>,
    /// The organisation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub organisation_id: Option<String>,
    /// The token type.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_type: Option<&'a str>,
    /// How many more of this caller were denied before, without a line of their own.
    #[serde(skip_serializing_if = "is_zero")]
    pub unwritten: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes the field by reference")]
const fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// Entries as the log holds them: the journal is the issuer's own copy.
#[derive(Clone, Debug, Serialize)]
pub struct Append {
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
    /// What was done.
    pub reason: &'static str,
    /// Free text of the caller's.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub comment: String,
    /// The project that changed with them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub project_id: Option<String>,
}

/// An [`AuditHead`](crate::domain::audit_head::AuditHead) as a line holds it; its time is the line's.
#[derive(Debug, Serialize)]
pub struct SignedHead {
    /// The `iss` of the realm's tokens.
    pub issuer: String,
    /// The realm.
    pub realm: String,
    /// The number of the line before.
    pub line: u64,
    /// Its SHA-256, base64url.
    pub hash: String,
    /// The log key.
    pub key: String,
    /// Its signature, base64url.
    pub signature: String,
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;

    /// One of each, with every member that it can have. A new kind does not compile here before it is added.
    fn every() -> Vec<What<'static>> {
        let text = || "x".to_owned();
        let order = || Ordered {
            project_id: "x",
            organisation_id: text(),
            token_type: "x",
            source: Some(("x", text())),
            approval: Some(Approved {
                request_id: "x",
                requested_by: "x",
                approved_by: Some("x"),
                purpose: Some("x"),
            }),
        };
        let append = Append {
            epoch: 1,
            first: 1,
            last: 1,
            previous: text(),
            entries: text(),
            reason: "x",
            comment: text(),
            project_id: Some(text()),
        };
        let head = SignedHead {
            issuer: text(),
            realm: text(),
            line: 1,
            hash: text(),
            key: text(),
            signature: text(),
        };
        let all = vec![
            What::Issue { token_id: text(), repeat: true, order: order() },
            What::Refuse { reason: "x", order: order() },
            What::Deny(Denied {
                method: "x",
                project_id: Some("x"),
                organisation_id: Some(text()),
                token_type: Some("x"),
                unwritten: 1,
            }),
            What::Append(append),
            What::Project { project_id: text(), version: 1, action: "x" },
            What::Key { version: 1, action: "x", key_id: text(), forced: true },
            What::Policy { version: 1, action: "x" },
            What::Lost { epoch: 1, sequence: 1, found: "x", why: "x" },
            What::Mended { epoch: 1, sequence: 1, held: 1, from: "x" },
            What::Trim { epoch: 1, base: 1, hash: text() },
            What::Resume { since: 1 },
            What::Head(head),
        ];
        for one in &all {
            match one {
                What::Issue { .. }
                | What::Refuse { .. }
                | What::Deny(_)
                | What::Append(_)
                | What::Project { .. }
                | What::Key { .. }
                | What::Policy { .. }
                | What::Lost { .. }
                | What::Mended { .. }
                | What::Trim { .. }
                | What::Resume { .. }
                | What::Head(_) => {}
            }
        }
        all
    }

    fn members(value: &Value) -> BTreeSet<&str> {
        value.as_object().unwrap().keys().map(String::as_str).collect()
    }

    fn allowed(names: &[&'static str]) -> BTreeSet<&'static str> {
        names.iter().copied().collect()
    }

    /// Failure: a member that the list does not name, or a name that no event has.
    #[test]
    fn an_event_has_the_members_of_the_list_and_no_other() {
        let mut seen = BTreeSet::new();
        for what in every() {
            let event = Event { time: 1, actor: "x", late: true, what: &what };
            let line = serde_json::to_value(event).unwrap();
            let kind = line["what"].as_str().unwrap();
            let (kind, own) = What::MEMBERS.iter().find(|(named, _)| *named == kind).unwrap();
            let expected =
                allowed(own).union(&allowed(&["time", "actor", "late", "what"])).copied().collect();
            assert_eq!(members(&line), expected, "{kind}");
            if let Some(order) = line.get("order") {
                assert_eq!(members(order), allowed(Ordered::MEMBERS));
                assert_eq!(members(&order["approval"]), allowed(Approved::MEMBERS));
            }
            seen.insert(*kind);
        }
        assert_eq!(seen, What::MEMBERS.iter().map(|(kind, _)| *kind).collect());
    }
}
