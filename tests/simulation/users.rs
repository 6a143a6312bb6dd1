//! Those who call the issuers: they order tokens, revoke, and wait for visibility, one task for each call.

use std::{
    sync::{Arc, Mutex},
    task::{Context, Poll, Waker},
    time::Duration,
};

use common::{
    organisation_id::OrganisationId,
    project::{Alphabet, Method, OutputFormat, Project, ProjectConfiguration, Retention, Treatment},
    revocation::{cursor::Cursor, entry::Reason},
    timestamp::Timestamp,
    token::kind::TokenType,
    token_id::TokenId,
};
use issuer::{
    application::{
        issue::{IssueError, Issued, issue},
        projects,
        revoke::{Selector, await_visibility, project_scope, revoke},
    },
    domain::{
        approval::{Approval, Decision, Purpose, Reference},
        order::{Lifetime, Operation, Order},
        ports::Answer,
    },
};

use crate::{
    history::Token,
    machine::BEGIN,
    world::{Broken, World},
};

/// What came of calls.
pub(crate) type Told = Arc<Mutex<Vec<Outcome>>>;

pub(crate) enum Outcome {
    Issued(Box<Issued>),
    NotIssued(IssueError),
    /// Of these tokens.
    Revoked(Vec<usize>, Cursor),
    Visible(Vec<usize>),
}

impl World {
    /// Somebody orders a token.
    pub(crate) fn order(&mut self, n: usize) {
        let (Some(realm), Some(owner)) = (self.serving(n), self.issuers[n].process) else { return };
        let reverse = self.dice.percent(50);
        let lifetime = self.dice.between(20, 300);
        let operation = if reverse { Operation::Reverse } else { Operation::Pseudonymise };
        let (order, told) = (order(operation, lifetime), Arc::clone(&self.told));
        self.note(format_args!("order at issuer {n}"));
        self.tasks.spawn(owner, async move {
            match issue(&realm, &order, "portal").await {
                Ok(issued) => told.lock().unwrap().push(Outcome::Issued(Box::new(issued))),
                // New, or the store has lost it: the Portal sends it again.
                Err(IssueError::NoSuchProject) => {
                    drop(projects::create(&realm, project(), "portal").await);
                }
                Err(error) => told.lock().unwrap().push(Outcome::NotIssued(error)),
            }
        });
    }

    /// Somebody revokes: one token, or all of a type.
    pub(crate) fn revoke(&mut self, n: usize) {
        let (Some(realm), Some(owner)) = (self.serving(n), self.issuers[n].process) else { return };
        let tokens = &self.history.tokens;
        if tokens.is_empty() {
            return;
        }
        // Mostly one of the last, which is still alive.
        let back = self.dice.index(tokens.len().min(6));
        let one = tokens.len() - 1 - back;
        let (selector, hit) = if self.dice.percent(75) {
            (Selector::Tokens(vec![tokens[one].id.parse::<TokenId>().unwrap()]), vec![one])
        } else {
            let kind = tokens[one].kind;
            let all = (0..tokens.len()).filter(|number| tokens[*number].kind == kind).collect();
            (Selector::Scope(project_scope("p".parse().unwrap(), None, Some(kind))), all)
        };
        let told = Arc::clone(&self.told);
        self.note(format_args!("revoke {hit:?} at issuer {n} by {selector:?}"));
        self.tasks.spawn(owner, async move {
            let Ok(revoked) = revoke(&realm, selector, Reason::Operator, String::new(), "portal").await
            else {
                return;
            };
            told.lock().unwrap().push(Outcome::Revoked(hit.clone(), revoked.cursor));
            let seen = await_visibility(&realm, revoked.cursor, Duration::from_secs(40)).await;
            if seen.is_ok_and(|seen| seen.reached()) {
                told.lock().unwrap().push(Outcome::Visible(hit));
            }
        });
    }

    /// What calls came to counts from now on.
    pub(crate) fn hear_users(&mut self) -> Result<(), Broken> {
        let now = self.now();
        let told = std::mem::take(&mut *self.told.lock().unwrap());
        for outcome in told {
            match outcome {
                Outcome::Issued(issued) => {
                    let Issued { token: text, record } = *issued;
                    let id = record.id.to_string();
                    if !self.issuers.iter().any(|issuer| issuer.plan.trail.has_issued(&id)) {
                        return Err(format!("I5: token {id} was given out and is in no trail"));
                    }
                    let (number, kind, at) =
                        (self.history.tokens.len(), record.token_type(), record.recorded);
                    self.note(format_args!("token {number} is {id}, {kind}, recorded at {at}"));
                    self.history.tally.issued += 1;
                    self.history.tokens.push(Token {
                        text,
                        id,
                        kind: record.token_type(),
                        given: now,
                        issued_at: record.issued_at,
                        expires_at: record.expires_at,
                        revoked: None,
                        visible: None,
                    });
                }
                Outcome::NotIssued(error) => self.note(format_args!("not issued: {error}")),
                Outcome::Revoked(tokens, cursor) => {
                    self.note(format_args!("revoked {tokens:?} at {cursor}"));
                    self.history.tally.revoked += 1;
                    let trails = || self.issuers.iter().map(|issuer| &issuer.plan.trail);
                    let owed = self.issuers.iter().any(|issuer| {
                        let realm = issuer.slot.lock().unwrap();
                        realm.as_ref().is_some_and(|realm| realm.trail.down().is_some())
                    });
                    // What a full trail owes is written late.
                    if !owed && !trails().any(|trail| trail.has_appended(cursor)) {
                        return Err(format!("I5: the entry at {cursor} was acknowledged and is in no trail"));
                    }
                    for token in tokens {
                        self.history.tokens[token].revoked.get_or_insert(now);
                    }
                }
                Outcome::Visible(tokens) => {
                    self.note(format_args!("visible {tokens:?}"));
                    self.history.tally.visible += 1;
                    for token in tokens {
                        self.history.tokens[token].visible.get_or_insert(now);
                    }
                }
            }
        }
        Ok(())
    }
}

/// A store in memory answers at once.
pub(crate) fn at_once<T>(mut answer: Answer<'_, T>) -> T {
    match answer.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => answer.ok().unwrap(),
        Poll::Pending => panic!("a store in memory that waits"),
    }
}

fn project() -> Project {
    let created = Timestamp::from_seconds(u64::try_from(BEGIN).unwrap()).unwrap();
    let retention = Retention::new(1, 0, 0).unwrap();
    let retention_end = retention.end(created).unwrap();
    Project {
        id: "p".parse().unwrap(),
        owner: OrganisationId::from_bytes([1; 16]),
        collaborators: Vec::new(),
        configuration: ProjectConfiguration {
            method: Method::Reversible { retention, retention_end },
            treatment: Treatment::AlwaysSame,
            output_format: OutputFormat::new(Alphabet::Uuid, 36).unwrap(),
        },
        created,
        closed: None,
        version: 1,
    }
}

fn order(operation: Operation, lifetime: u64) -> Order {
    let name = |text| Reference::new(text).unwrap();
    debug_assert!(matches!(operation.token_type(), TokenType::Pseudonymisation | TokenType::Reverse));
    Order {
        project: "p".parse().unwrap(),
        organisation: OrganisationId::from_bytes([1; 16]),
        operation,
        lifetime: Some(Lifetime::new(Duration::from_secs(lifetime)).unwrap()),
        approval: Some(Approval {
            request: name("request"),
            requested_by: name("anna"),
            decision: Decision::Person(name("bert")),
            purpose: Purpose::new("follow-up").unwrap(),
        }),
        holder: None,
        idempotency_key: None,
    }
}
