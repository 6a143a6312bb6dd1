//! What became of issued tokens: records with their state. Reads only.

use common::{
    organisation_id::OrganisationId,
    project_id::ProjectId,
    revocation::{
        cursor::Cursor,
        entry::{Body, Reason},
        rule::Rule,
    },
    timestamp::Timestamp,
    token::kind::TokenType,
    token_id::TokenId,
};

use crate::{
    application::{log::Published, realm::Realm},
    domain::{
        ledger::TokenRecord,
        ports::{StoreError, TokensOf},
    },
};

/// A record and what became of the token.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Known {
    /// The record.
    pub record: TokenRecord,
    /// What became of it.
    pub state: State,
}

/// What became of a token.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum State {
    /// Neither expired nor revoked.
    Live,
    /// Past its expiry, revoked before or not.
    Expired,
    /// Hit by a rule.
    Revoked(Cut),
}

/// The rule that hit a token.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Cut {
    /// Where it stands in the log.
    pub cursor: Cursor,
    /// The rule, its reason and when it was recorded. `None` when the entry is not held any more.
    pub entry: Option<(Rule, Reason, Timestamp)>,
}

/// Which tokens are listed.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Filter {
    /// Only of this project.
    pub project: Option<ProjectId>,
    /// Only of this organisation.
    pub organisation: Option<OrganisationId>,
    /// Only of this type.
    pub kind: Option<TokenType>,
    /// Only in this state.
    pub state: Option<Wanted>,
}

/// A state to list.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Wanted {
    /// [`State::Live`].
    Live,
    /// [`State::Expired`].
    Expired,
    /// [`State::Revoked`].
    Revoked,
}

/// One record; `None` when this ledger knows no such token.
///
/// # Errors
/// [`StoreError`].
pub async fn get(realm: &Realm, id: TokenId) -> Result<Option<Known>, StoreError> {
    let now = realm.clock.now().wall;
    let record = realm.store.token(id).await?;
    Ok(record.map(|record| known(&realm.log.published(), record, now)))
}

/// A page of at most `most` records, newest first, numbered below `before`; and the number to go on below, if there may
/// be more. A page may hold fewer: looking at records that do not match is bounded too.
///
/// # Errors
/// [`StoreError`].
pub async fn list(
    realm: &Realm,
    filter: &Filter,
    mut before: Option<u64>,
    most: usize,
) -> Result<(Vec<Known>, Option<u64>), StoreError> {
    let now = realm.clock.now().wall;
    let published = realm.log.published();
    let of = match (&filter.project, filter.organisation) {
        (Some(project), _) => TokensOf::Project(project.clone()),
        (None, Some(organisation)) => TokensOf::Organisation(organisation),
        (None, None) => TokensOf::Everyone,
    };
    let mut page = Vec::new();
    for _ in 0..LOOKS {
        let found = realm.store.tokens(of.clone(), before, PAGE).await?;
        let last = found.len() < PAGE;
        for (number, record) in found {
            if page.len() == most {
                return Ok((page, before));
            }
            before = Some(number);
            let known = known(&published, record, now);
            if filter.matches(&known) {
                page.push(known);
            }
        }
        if last {
            return Ok((page, None));
        }
    }
    Ok((page, before))
}

/// Hands over every record of these that has not expired at `now`.
pub(super) async fn each_live(
    realm: &Realm,
    of: TokensOf,
    now: Timestamp,
    mut each: impl FnMut(&TokenRecord),
) -> Result<(), StoreError> {
    let mut before = None;
    loop {
        let found = realm.store.tokens(of.clone(), before, PAGE).await?;
        let last = found.len() < PAGE;
        for (number, record) in &found {
            before = Some(*number);
            if record.expires_at > now {
                each(record);
            }
        }
        if last {
            return Ok(());
        }
    }
}

fn known(published: &Published, record: TokenRecord, now: Timestamp) -> Known {
    if now >= record.expires_at {
        return Known { record, state: State::Expired };
    }
    let Some(cursor) = published.log.set().standing(&record.subject()) else {
        return Known { record, state: State::Live };
    };
    let entry = published.chunks.entry(cursor.sequence).and_then(|entry| match entry.body {
        Body::Rule { rule, reason, .. } => Some((rule, reason, entry.recorded_at)),
        Body::Genesis(_) => None,
    });
    Known { record, state: State::Revoked(Cut { cursor, entry }) }
}

impl Filter {
    fn matches(&self, known: &Known) -> bool {
        let Known { record, state } = known;
        let state = match state {
            State::Live => Wanted::Live,
            State::Expired => Wanted::Expired,
            State::Revoked(_) => Wanted::Revoked,
        };
        self.project.as_ref().is_none_or(|project| *project == record.project)
            && self.organisation.is_none_or(|organisation| organisation == record.organisation)
            && self.kind.is_none_or(|kind| kind == record.token_type())
            && self.state.is_none_or(|wanted| wanted == state)
    }
}

/// Records asked for at once.
const PAGE: usize = 500;
/// How often a page asks for more, so that one call is bounded.
const LOOKS: usize = 20;
