//! Rotating token keys: published first, activated when every party holds the next one, by an operator or by schedule.

use std::{sync::Arc, time::Duration};

use common::{key_id::KeyId, keys::PublicKey, timestamp::Timestamp};

use crate::{
    application::{
        log::{KeyChange, KeyOrder, KeyOrderError},
        realm::Realm,
    },
    domain::{
        key_holders::Reach,
        key_roles::{KeyRole, RoleError},
        ports::StoreError,
        rotation::{Turn, turn},
    },
};

/// A key as operators see it.
#[derive(Clone, Debug)]
pub struct KeySight {
    /// Its public half.
    pub public: PublicKey,
    /// Its role, and since when. `None`: it lies unused in this issuer's folder.
    pub role: Option<(KeyRole, Timestamp)>,
    /// Who holds it.
    pub reach: Reach,
    /// This issuer signs with it.
    pub signs_here: bool,
}

/// Who would be left behind if a key were activated now.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Gaps {
    /// Live issuers without the private key.
    pub issuers: Vec<String>,
    /// Live verifiers without the public key.
    pub followers: Vec<String>,
    /// Until then, parties that read the JWKS may hold an older copy.
    pub published_until: Option<Timestamp>,
}

/// What came of an activation.
#[derive(Clone, Debug)]
pub struct Activated {
    /// The key that signs.
    pub key: KeySight,
    /// The one that did before.
    pub retired: Option<KeySight>,
    /// What `force` went over.
    pub risked: Gaps,
}

/// The keys that are published, and those that lie unused here, in the order of their ids.
///
/// # Errors
/// [`KeyError::Store`].
pub async fn list(realm: &Realm) -> Result<Vec<KeySight>, KeyError> {
    refresh(realm).await?;
    let policy = realm.policy.load_full();
    let mut ids: Vec<_> =
        policy.keys.all().iter().filter(|key| key.public.is_some()).map(|key| key.id).collect();
    let held = realm.keys.held();
    ids.extend(held.iter().map(|key| key.public().id()).filter(|id| policy.keys.get(*id).is_none()));
    ids.sort_unstable();
    ids.dedup();
    Ok(ids.into_iter().filter_map(|id| sight(realm, id)).collect())
}

/// Publishes a key of this issuer's folder. One that is prepared or active stays what it is.
///
/// # Errors
/// [`KeyError`].
pub async fn prepare(realm: &Realm, id: KeyId, actor: &str) -> Result<KeySight, KeyError> {
    may_change(realm)?;
    refresh(realm).await?;
    let held = realm.keys.key(id).map(|key| key.public().clone());
    // Another issuer may have prepared it.
    let known = || realm.policy.load().keys.get(id).and_then(|key| key.public.clone());
    let public = held.or_else(known).ok_or(KeyError::NoSuchKey)?;
    order(realm, KeyChange::Prepare(public), actor).await?;
    sight(realm, id).ok_or(KeyError::NoSuchKey)
}

/// Lets a prepared key sign, if nobody is left behind or `force` says to go on.
///
/// # Errors
/// [`KeyError`].
pub async fn activate(realm: &Realm, id: KeyId, force: bool, actor: &str) -> Result<Activated, KeyError> {
    may_change(realm)?;
    refresh(realm).await?;
    let policy = realm.policy.load_full();
    match policy.keys.get(id).map(|key| key.role) {
        None if realm.keys.key(id).is_some() => return Err(KeyError::NotPrepared),
        None | Some(KeyRole::Prepared | KeyRole::Active | KeyRole::Retired { .. } | KeyRole::Revoked) => {}
    }
    let before = policy.keys.active().map(|key| key.id).filter(|before| *before != id);
    let risked = gaps(realm, id);
    let prepared = policy.keys.get(id).is_some_and(|key| key.role == KeyRole::Prepared);
    if prepared && !force && risked != Gaps::default() {
        return Err(KeyError::NotEverywhere(Box::new(risked)));
    }
    order(realm, KeyChange::Activate { id, forced: prepared && risked != Gaps::default() }, actor).await?;
    let key = sight(realm, id).ok_or(KeyError::NoSuchKey)?;
    let (retired, risked) = if prepared {
        (before.and_then(|before| sight(realm, before)), risked)
    } else {
        (None, Gaps::default())
    };
    Ok(Activated { key, retired, risked })
}

/// Takes a prepared key out of use.
///
/// # Errors
/// [`KeyError`].
pub async fn retire(realm: &Realm, id: KeyId, actor: &str) -> Result<KeySight, KeyError> {
    may_change(realm)?;
    refresh(realm).await?;
    order(realm, KeyChange::Retire(id), actor).await?;
    sight(realm, id).ok_or(KeyError::NoSuchKey)
}

/// What a schedule asks for now, done. Tells whether a rotation is overdue: no key stands by, or some party lacks it.
///
/// # Errors
/// [`KeyError`]; it is tried again at the next turn.
pub async fn by_schedule(realm: &Realm, every: Duration) -> Result<bool, KeyError> {
    let policy = realm.policy.load_full();
    let held = realm.keys.held();
    let unused =
        held.iter().map(|key| key.public().clone()).filter(|key| policy.keys.get(key.id()).is_none());
    let unused: Vec<_> = unused.collect();
    let ready = |id| gaps(realm, id) == Gaps::default();
    let change = match turn(&policy.keys, &unused, every, realm.clock.now().wall, ready) {
        Turn::Wait => return Ok(false),
        Turn::Overdue => return Ok(true),
        Turn::Prepare(public) => KeyChange::Prepare(public),
        Turn::Activate(id) => KeyChange::Activate { id, forced: false },
    };
    may_change(realm)?;
    order(realm, change, SCHEDULE).await?;
    Ok(false)
}

/// Looks at the folder and at what the other issuers tell.
///
/// # Errors
/// [`KeyError::Store`].
pub async fn refresh(realm: &Realm) -> Result<(), KeyError> {
    realm.keys.look().await;
    let longest = longest_lease(realm);
    let policy = realm.policy.load_full();
    let wanted = |id: &KeyId| policy.keys.is_of_use(*id);
    realm.keys.exchange(&*realm.store, longest, realm.clock.now().boot, wanted).await?;
    Ok(())
}

/// Who would be left behind if this key were activated now.
fn gaps(realm: &Realm, id: KeyId) -> Gaps {
    let reach = reach(realm, id);
    let now = realm.clock.now().wall;
    let policy = realm.policy.load();
    let settled = policy.keys.get(id).map(|key| key.since.plus(realm.jwks_max_age).plus(SPREAD));
    Gaps {
        issuers: reach.issuers_without,
        followers: reach.followers_without,
        published_until: settled.filter(|settled| now < *settled),
    }
}

fn sight(realm: &Realm, id: KeyId) -> Option<KeySight> {
    let policy = realm.policy.load();
    let roled = policy.keys.get(id);
    let held = realm.keys.key(id).map(|key| key.public().clone());
    let signing = realm.signing_key(&realm.log.published());
    Some(KeySight {
        public: roled.and_then(|key| key.public.clone()).or(held)?,
        role: roled.map(|key| (key.role, key.since)),
        reach: reach(realm, id),
        signs_here: signing.is_some_and(|key| key.public().id() == id),
    })
}

fn reach(realm: &Realm, id: KeyId) -> Reach {
    Reach::of(id, &realm.keys.live(longest_lease(realm), realm.clock.now().boot))
}

fn longest_lease(realm: &Realm) -> Duration {
    realm.policy.load().limits.longest_staleness()
}

/// No change without a trail.
fn may_change(realm: &Realm) -> Result<(), KeyError> {
    if realm.conditions.audit_broken() { Err(KeyError::AuditUnavailable) } else { Ok(()) }
}

async fn order(realm: &Realm, change: KeyChange, actor: &str) -> Result<(), KeyError> {
    let done = realm.log.change_keys(KeyOrder { change, actor: Arc::from(actor) }).await;
    done.map_err(|error| match error {
        KeyOrderError::Role(RoleError::NoSuchKey) => KeyError::NoSuchKey,
        KeyOrderError::Role(RoleError::Retired) => KeyError::Retired,
        KeyOrderError::Role(RoleError::Revoked) => KeyError::Revoked,
        KeyOrderError::Role(RoleError::Active) => KeyError::Active,
        KeyOrderError::Role(RoleError::TooMany) => KeyError::TooMany,
        KeyOrderError::Behind => KeyError::Store(StoreError::Unreachable),
        KeyOrderError::Store(error) => KeyError::Store(error),
        KeyOrderError::AuditUnavailable => KeyError::AuditUnavailable,
        KeyOrderError::Stopped => KeyError::Stopped,
    })
}

/// Why a key did not get another role.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum KeyError {
    /// No such key here.
    #[error("no key of this name has a role, nor lies in this issuer's keys.directory")]
    NoSuchKey,
    /// It lies in the folder only.
    #[error("the key is not published: prepare it first")]
    NotPrepared,
    /// It is retired for good.
    #[error("the key is retired: it never signs again")]
    Retired,
    /// It is revoked for good.
    #[error("the key is revoked: it never signs again")]
    Revoked,
    /// It signs.
    #[error("the key signs: activate another one first")]
    Active,
    /// No more can be published.
    #[error("32 keys are published: retire some, and wait until they are gone")]
    TooMany,
    /// Somebody would be left behind.
    #[error("not every party holds the key yet")]
    NotEverywhere(Box<Gaps>),
    /// It could not be written down.
    #[error("the audit trail cannot be written")]
    AuditUnavailable,
    /// The store did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// This process is going down.
    #[error("this issuer is going down")]
    Stopped,
}

/// For the trail, when nobody asked.
const SCHEDULE: &str = "schedule";
/// Within this, every issuer that reaches the store publishes what one of them did.
const SPREAD: Duration = Duration::from_secs(1);
