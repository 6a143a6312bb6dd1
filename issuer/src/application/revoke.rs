//! Revoking, telling beforehand what it would hit, and waiting until it has taken effect. Nothing un-revokes.

use std::{collections::BTreeSet, time::Duration};

use common::{
    key_id::KeyId,
    organisation_id::OrganisationId,
    project_id::ProjectId,
    revocation::{
        cursor::Cursor,
        entry::Reason,
        log::Reach,
        rule::{Rule, Scope},
    },
    timestamp::Timestamp,
    token::kind::{PerType, TokenType},
    token_id::TokenId,
};

use crate::{
    application::{
        log::{AppendDone, AppendError, AppendOrder, Planned},
        realm::Realm,
        tokens::each_live,
    },
    domain::{
        approval::Reference,
        followers::Visibility,
        ports::{StoreError, TokensOf},
    },
};

/// What a revocation names.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Selector {
    /// Single tokens, known to this ledger or not.
    Tokens(Vec<TokenId>),
    /// Every matching token recorded so far.
    Scope(Scope),
    /// The tokens issued so far for one approved request.
    Request(Reference),
    /// Every token that a key signed.
    Key(KeyId),
}

/// A durable revocation.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Revoked {
    /// How many copies of the store hold it, at least.
    pub copies: u32,
    /// The position of the last entry that it needs.
    pub cursor: Cursor,
    /// How many running verifiers acknowledged it already.
    pub visible_to: usize,
    /// How many are running.
    pub followers: usize,
    /// From then on no verification accepts what was revoked, in any case.
    pub effective_by: Timestamp,
}

/// Revokes what `selector` names. When it answers `Ok`, the entries are durable and on their way to every verifier.
///
/// # Errors
/// [`RevokeError`]: whether it happened is not known, and asking again is safe.
pub async fn revoke(
    realm: &Realm,
    selector: Selector,
    reason: Reason,
    comment: String,
    actor: &str,
) -> Result<Revoked, RevokeError> {
    let rules = match &selector {
        Selector::Tokens(ids) => {
            let mut rules = Vec::with_capacity(ids.len());
            for id in ids.iter().collect::<BTreeSet<_>>() {
                let record = realm.store.token(*id).await?;
                let hits =
                    record.as_ref().map_or(PerType::from_fn(|_| true), |record| only(record.token_type()));
                let expires_at = record.map(|record| record.expires_at);
                rules.push(Planned { rule: Rule::Token(*id), reason, expires_at, hits });
            }
            rules
        }
        Selector::Request(request) => {
            let mut rules = Vec::new();
            let now = realm.clock.now().wall;
            each_live(realm, TokensOf::Request(request.clone()), now, |record| {
                rules.push(Planned {
                    rule: Rule::Token(record.id),
                    reason,
                    expires_at: Some(record.expires_at),
                    hits: only(record.token_type()),
                });
            })
            .await?;
            rules
        }
        Selector::Scope(scope) => vec![planned(Rule::Scope(scope.clone()), reason)],
        Selector::Key(key) => vec![planned(Rule::Key(*key), reason)],
    };
    let order = AppendOrder { rules, change: None, action: "revoke", comment, actor: actor.into() };
    let done = realm.log.append(order).await?;
    Ok(report(realm, done))
}

/// What a step that is durable promises.
pub(super) fn report(realm: &Realm, done: AppendDone) -> Revoked {
    let now = realm.clock.now();
    let visibility = realm.followers.visibility(done.cursor, now.boot);
    let after = realm.followers.effective_after(done.hits, now.boot);
    // Both the clock reading and the span are cut to seconds: one more for each keeps the promise.
    let effective_by = now.wall.plus(Duration::from_secs(after.as_secs() + 2));
    Revoked {
        copies: realm.store.copies(),
        cursor: done.cursor,
        visible_to: visibility.visible_to(),
        followers: visibility.followers,
        effective_by,
    }
}

fn planned(rule: Rule, reason: Reason) -> Planned {
    Planned { hits: hits_of(&rule), rule, reason, expires_at: None }
}

/// The types that a rule can hit, as far as it says itself.
pub(super) fn hits_of(rule: &Rule) -> PerType<bool> {
    let any = PerType::from_fn(|_| true);
    match rule {
        Rule::Scope(Scope { token_type: Some(kind), .. }) => only(*kind),
        Rule::Scope(Scope { source_project: Some(_), .. } | Scope { source_organisation: Some(_), .. }) => {
            only(TokenType::Secondary)
        }
        Rule::Scope(_) | Rule::Token(_) | Rule::Key(_) => any,
    }
}

fn only(kind: TokenType) -> PerType<bool> {
    let mut hits = PerType::default();
    *hits.get_mut(kind) = true;
    hits
}

/// What a revocation would hit now.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Preview {
    /// Live tokens.
    pub live_tokens: u64,
    /// Projects with at least one of them.
    pub projects: u64,
    /// The latest expiry among them.
    pub latest_expiry: Option<Timestamp>,
}

/// Counts what [`revoke`] would hit now, and changes nothing.
///
/// # Errors
/// [`StoreError`].
pub async fn preview(realm: &Realm, selector: &Selector) -> Result<Preview, StoreError> {
    let now = realm.clock.now().wall;
    let (mut projects, mut preview) = (BTreeSet::<ProjectId>::new(), Preview::default());
    let published = realm.log.published();
    let mut count = |record: &crate::domain::ledger::TokenRecord| {
        if published.log.set().standing(&record.subject()).is_some() || record.expires_at <= now {
            return;
        }
        preview.live_tokens += 1;
        preview.latest_expiry = preview.latest_expiry.max(Some(record.expires_at));
        projects.insert(record.project.clone());
    };
    match selector {
        Selector::Tokens(ids) => {
            for id in ids.iter().collect::<BTreeSet<_>>() {
                if let Some(record) = realm.store.token(*id).await? {
                    count(&record);
                }
            }
        }
        Selector::Request(request) => {
            each_live(realm, TokensOf::Request(request.clone()), now, |record| count(record)).await?;
        }
        Selector::Scope(scope) => {
            let of = scope.narrowest();
            each_live(realm, of, now, |record| {
                if scope.matches(&record.subject()) {
                    count(record);
                }
            })
            .await?;
        }
        Selector::Key(key) => {
            each_live(realm, TokensOf::Everyone, now, |record| {
                if record.key == *key {
                    count(record);
                }
            })
            .await?;
        }
    }
    preview.projects = projects.len() as u64;
    Ok(preview)
}

/// Waits until no verification that starts later accepts what the entry at `cursor` revoked, at most `timeout`.
///
/// # Errors
/// [`AwaitError`].
pub async fn await_visibility(
    realm: &Realm,
    cursor: Cursor,
    timeout: Duration,
) -> Result<Visibility, AwaitError> {
    match realm.log.published().log.reaches(cursor) {
        Reach::Reached => {}
        Reach::NotYet => return Err(AwaitError::Unknown),
        Reach::Lost => return Err(AwaitError::Lost),
    }
    let mut deadline = realm.timer.sleep(timeout);
    loop {
        let moved = realm.followers.moved();
        tokio::pin!(moved);
        let now = realm.clock.now();
        let visibility = realm.followers.visibility(cursor, now.boot);
        if visibility.reached() {
            return Ok(visibility);
        }
        // Time alone can end a lease; looked at often enough to follow a clock that a test turns.
        let next = visibility.next_change.map_or(LOOK, |at| at.since(now.boot).clamp(SHORTEST, LOOK));
        tokio::select! {
            biased;
            () = &mut deadline => return Ok(visibility),
            // A thousand verifiers acknowledge within milliseconds: one look for all that come together.
            () = &mut moved => realm.timer.sleep(SHORTEST).await,
            () = realm.timer.sleep(next) => {}
        }
    }
}

/// Why nothing was revoked, as far as is known.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum RevokeError {
    /// The store did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The log took no entry.
    #[error(transparent)]
    Log(#[from] AppendError),
}

/// Why there is nothing to wait for.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum AwaitError {
    /// The log has not reached it.
    #[error("the log has not reached this cursor")]
    Unknown,
    /// It is of an earlier epoch, beyond what was carried over.
    #[error("the entry at this cursor was lost before its epoch ended")]
    Lost,
}

/// Which part of the ledger a scope can match at most.
trait Narrowest {
    fn narrowest(&self) -> TokensOf;
}

impl Narrowest for Scope {
    fn narrowest(&self) -> TokensOf {
        match (&self.project, self.organisation) {
            (Some(project), _) => TokensOf::Project(project.clone()),
            (None, Some(organisation)) => TokensOf::Organisation(organisation),
            (None, None) => TokensOf::Everyone,
        }
    }
}

/// The scope of a project's tokens.
pub fn project_scope(
    project: ProjectId,
    organisation: Option<OrganisationId>,
    kind: Option<TokenType>,
) -> Scope {
    Scope { project: Some(project), organisation, token_type: kind, ..Scope::default() }
}

const LOOK: Duration = Duration::from_millis(200);
const SHORTEST: Duration = Duration::from_millis(1);
