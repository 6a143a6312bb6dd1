//! Issuing a token. The order of the steps is the safety argument: policy, ledger, signature, check, trail, release.

use std::time::Duration;

use common::{
    jws::{self, CannotSign},
    keys::{CannotSignNow, SigningFailed},
    project::Project,
    revocation::cursor::Cursor,
    timestamp::Timestamp,
    token_id::TokenId,
    verification::{Presented, Refusal, Standing, Unverified},
};

use crate::{
    application::{log::Published, realm::Realm, signing_pool::NotRun},
    domain::{
        approval::{Approval, Decision},
        claims::claims,
        event::{Ordered, What},
        ledger::TokenRecord,
        order::Order,
        policy::{PolicyError, Registered, decide},
        ports::{Idempotency, NoEntropy, NotWritten, Recorded, Recording, StoreError},
    },
};

/// A token, once, and what the ledger keeps of it.
pub struct Issued {
    /// JWS compact. Nobody keeps it.
    pub token: String,
    /// The record.
    pub record: TokenRecord,
}

/// Issues one token, or answers a repeated order with the same claims, freshly signed.
///
/// # Errors
/// [`IssueError`]. What is refused is in the audit trail too.
pub async fn issue(realm: &Realm, order: &Order, actor: &str) -> Result<Issued, IssueError> {
    // Before anything is written: an order that there is no time for leaves no record and no line.
    let _place = realm.pool.place()?;
    for _ in 0..ATTEMPTS {
        match attempt(realm, order, actor).await {
            Err(IssueError::Meanwhile) => {}
            Err(error) => {
                if let Some(reason) = error.refusal() {
                    realm.trail.write(actor, What::Refuse { reason, order: Ordered::from(order) }).await?;
                }
                return Err(error);
            }
            Ok(issued) => return Ok(issued),
        }
    }
    Err(IssueError::Meanwhile)
}

/// One attempt; [`IssueError::Meanwhile`] asks for another one.
async fn attempt(realm: &Realm, order: &Order, actor: &str) -> Result<Issued, IssueError> {
    let now = realm.clock.now().wall;
    let published = realm.log.published();
    may_promise(realm, &published, now)?;

    // 1. Policy, on the projects as they are now.
    let project = realm.store.project(order.project.clone()).await?.ok_or(IssueError::NoSuchProject)?;
    let source = match order.operation.source() {
        Some(source) if source.project == project.id => Some(project.clone()),
        Some(source) => realm.store.project(source.project.clone()).await?,
        None => None,
    };
    let registered = |project: &'_ Project| published.logged_version(&project.id);
    let source = source.as_ref().map(|project| Registered { project, logged_version: registered(project) });
    let ours = Registered { project: &project, logged_version: registered(&project) };
    let limits = realm.policy.load().limits;
    let draft = decide(order, ours, source, &limits, now).map_err(IssueError::Policy)?;

    // 2. Written down before it exists: with the log's position, and only if the projects are still what policy saw.
    let key = realm.signing_key(&published).ok_or(IssueError::NoSigningKey)?;
    let mut id = [0; 16];
    realm.entropy.fill(&mut id)?;
    let recording = Recording {
        record: draft.record(TokenId::from_bytes(id), key.public().id()),
        checked: draft.checked_against().cloned().collect(),
        idempotency: order.idempotency_key.as_ref().map(|key| Idempotency {
            key: realm.blinding.hash(&[
                actor.as_bytes(),
                order.project.as_str().as_bytes(),
                key.as_str().as_bytes(),
            ]),
            content: content(realm, order),
        }),
        audit: realm.trail.mark(),
    };
    let mut record = recording.record.clone();
    let recorded = realm.store.record(recording).await;
    realm.conditions.store_answered(recorded.is_ok());
    let (record, key, repeat) = match recorded? {
        Recorded::At(cursor) => {
            record.recorded = cursor;
            (record, key, false)
        }
        Recorded::Before { same_content: false, .. } => return Err(IssueError::IdempotencyKeyReused),
        Recorded::Before { record, same_content: true } => {
            let live = now < record.expires_at && published.log.set().standing(&record.subject()).is_none();
            let key = realm.keys.key(record.key).filter(|_| live).ok_or(IssueError::TokenNoLongerLive)?;
            (record, key, true)
        }
        Recorded::ProjectChanged => return Err(IssueError::Meanwhile),
        Recorded::NoLog => return Err(IssueError::LostData),
    };

    // No token outlives the period in which its key is published.
    if !realm.policy.load().keys.covers(record.key, record.expires_at) {
        return Err(if repeat { IssueError::TokenNoLongerLive } else { IssueError::Meanwhile });
    }

    // 3. Signed, and checked as a verifier would; 4. in the trail. Both before anybody sees it.
    let said = claims(&record, &project.configuration, &realm.issuer, &realm.audience);
    let line = What::Issue { token_id: record.id.to_string(), repeat, order: Ordered::from(order) };
    let (token, written) =
        tokio::join!(realm.pool.run(move || jws::sign(said, &key)), realm.trail.write(actor, line));
    let late = |why: &NotRun| {
        if *why == NotRun::Late {
            realm.conditions.signing_failed(CannotSignNow.into());
        }
    };
    let token = token.inspect_err(late)?.inspect_err(|error| match error {
        CannotSign::Failed(why) => realm.conditions.signing_failed(*why),
        CannotSign::TooLong => {}
    })?;
    written?;
    self_check(realm, &token, &record, now)?;

    // 5. What was revoked while it was made never leaves.
    if realm.log.published().log.set().standing(&record.subject()).is_some() {
        return Err(if repeat { IssueError::TokenNoLongerLive } else { IssueError::Meanwhile });
    }
    Ok(Issued { token, record })
}

/// Nothing is issued that could not be revoked, traced or dated (rule 15).
fn may_promise(realm: &Realm, published: &Published, now: Timestamp) -> Result<(), IssueError> {
    if published.lost {
        return Err(IssueError::LostData);
    }
    // Of a shared store: whoever has not read limits and key roles for a while may sign with a key that is retired.
    let unread = realm.conditions.confirmed_age(realm.clock.now().boot).is_none_or(|age| age > UNREAD);
    if realm.store.shared() && unread {
        return Err(IssueError::StoreUnreachable);
    }
    if realm.conditions.audit_broken() {
        return Err(IssueError::AuditUnavailable);
    }
    if realm.conditions.signature_faulty() {
        return Err(IssueError::Signing);
    }
    if realm.conditions.signer_unavailable() {
        return Err(IssueError::SignerUnavailable);
    }
    let suspect = now < published.head.statement().log_time || realm.store.clock_off();
    if suspect { Err(IssueError::ClockSuspect) } else { Ok(()) }
}

/// With the verifier's own code; the published keys, limits and rules are what verifiers have.
fn self_check(realm: &Realm, token: &str, record: &TokenRecord, now: Timestamp) -> Result<(), IssueError> {
    let published = realm.log.published();
    let trust = published.trust.statement();
    let unverified = Unverified::parse(token)?;
    let key = trust.key(unverified.unverified_key_id());
    let presented = Presented { accepted_types: &[record.token_type()], holder: record.holder.as_ref() };
    let now = now.max(record.issued_at);
    let current =
        unverified.check_signature(key)?.check_claims(&realm.self_check, &trust.limits, &presented, now)?;
    let live = current.check_revocation(Standing::NotRevoked)?;
    if live.claims().id == record.id
        && live.claims().recorded == record.recorded
        && record.recorded != Cursor::ZERO
    {
        Ok(())
    } else {
        Err(IssueError::Signing)
    }
}

/// Everything of the order but its key, blinded.
fn content(realm: &Realm, order: &Order) -> [u8; 32] {
    let mut parts: Vec<Vec<u8>> = vec![
        order.organisation.as_bytes().to_vec(),
        vec![order.operation.token_type().code()],
        order
            .lifetime
            .map(|lifetime| lifetime.duration().as_secs().to_be_bytes().to_vec())
            .unwrap_or_default(),
        order.holder.map(Vec::from).unwrap_or_default(),
    ];
    if let Some(source) = order.operation.source() {
        parts.push(source.project.as_str().as_bytes().to_vec());
        parts.push(source.organisation.as_bytes().to_vec());
    }
    if let Some(Approval { request, requested_by, decision, purpose }) = &order.approval {
        parts.push(request.as_str().as_bytes().to_vec());
        parts.push(requested_by.as_str().as_bytes().to_vec());
        match decision {
            Decision::Person(person) => parts.push(person.as_str().as_bytes().to_vec()),
            // No reference is empty.
            Decision::Automatic => parts.push(Vec::new()),
        }
        parts.push(purpose.as_ref().map(|purpose| purpose.as_str().as_bytes().to_vec()).unwrap_or_default());
    }
    realm.blinding.hash(&parts.iter().map(Vec::as_slice).collect::<Vec<_>>())
}

/// Why no token was issued.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum IssueError {
    /// No project of that id.
    #[error("no such project")]
    NoSuchProject,
    /// A rule forbids it.
    #[error(transparent)]
    Policy(PolicyError),
    /// The key was used for another order.
    #[error("the idempotency key was used for another order")]
    IdempotencyKeyReused,
    /// The token of the first order has expired or was revoked.
    #[error("the token of this idempotency key is no longer live")]
    TokenNoLongerLive,
    /// The projects or the log kept changing while it was made: try again.
    #[error("the project was changed meanwhile; try again")]
    Meanwhile,
    /// Too many are waiting for a signature: try again.
    #[error("too many tokens are waiting to be signed; try again")]
    Busy,
    /// No key may sign.
    #[error("there is no key that may sign")]
    NoSigningKey,
    /// The audit trail is broken.
    #[error("the audit trail cannot be written, so nothing is issued")]
    AuditUnavailable,
    /// The clock is behind the log's last time.
    #[error("this issuer's clock is behind the log's last time")]
    ClockSuspect,
    /// The store or the log lost data.
    #[error("revocations were lost, so nothing is issued until they are mended")]
    LostData,
    /// The store did not answer.
    #[error("the store cannot be reached")]
    StoreUnreachable,
    /// What holds the keys does not sign now.
    #[error("what holds the keys does not sign now")]
    SignerUnavailable,
    /// Our fault: the signature failed, or the finished token did not pass the verifier's own code.
    #[error("the token could not be made")]
    Signing,
}

impl IssueError {
    /// Why the order was refused, for the trail. `None` when it was not: then the caller may ask again.
    const fn refusal(self) -> Option<&'static str> {
        match self {
            Self::NoSuchProject => Some("NO_SUCH_PROJECT"),
            Self::Policy(refused) => match refused.reason() {
                Some(reason) => Some(reason),
                None => Some("LIFETIME_TOO_LONG"),
            },
            Self::IdempotencyKeyReused => Some("IDEMPOTENCY_KEY_REUSED"),
            Self::TokenNoLongerLive => Some("TOKEN_NO_LONGER_LIVE"),
            Self::Meanwhile
            | Self::Busy
            | Self::NoSigningKey
            | Self::AuditUnavailable
            | Self::ClockSuspect
            | Self::LostData
            | Self::StoreUnreachable
            | Self::SignerUnavailable
            | Self::Signing => None,
        }
    }
}

impl From<StoreError> for IssueError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unreachable => Self::StoreUnreachable,
            StoreError::LostData | StoreError::HalfImported => Self::LostData,
        }
    }
}

impl From<NotWritten> for IssueError {
    fn from(_why: NotWritten) -> Self {
        Self::AuditUnavailable
    }
}

impl From<NoEntropy> for IssueError {
    fn from(_none: NoEntropy) -> Self {
        Self::Signing
    }
}

impl From<CannotSign> for IssueError {
    fn from(error: CannotSign) -> Self {
        match error {
            CannotSign::Failed(SigningFailed::Unavailable(_)) => Self::SignerUnavailable,
            CannotSign::Failed(SigningFailed::Faulty) | CannotSign::TooLong => Self::Signing,
        }
    }
}

impl From<NotRun> for IssueError {
    fn from(reason: NotRun) -> Self {
        match reason {
            NotRun::Full => Self::Busy,
            NotRun::Failed => Self::Signing,
            NotRun::Late => Self::SignerUnavailable,
        }
    }
}

impl From<Refusal> for IssueError {
    fn from(refusal: Refusal) -> Self {
        tracing::error!(%refusal, "a finished token did not pass the check and was thrown away");
        Self::Signing
    }
}

/// An issuer of a shared store that has not read the record of limits and key roles for so long issues nothing (see
/// `key_roles::STRAGGLERS`).
const UNREAD: Duration = Duration::from_secs(10);
/// How often policy looks again before the caller is asked to.
const ATTEMPTS: usize = 8;
