//! What all use cases of one realm share. Never a transport; never a store by name.

use std::{fmt, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use aws_lc_rs::hmac;
use common::{clock::Clock, keys::SigningKey, token::kind::PerType, trust::LogKeys, verification::Policy};

use crate::{
    application::{
        conditions::Conditions,
        followers::Followers,
        key_book::KeyBook,
        log::{LogHandle, Published},
        signing_pool::SigningPool,
        timer::Timer,
        trail::Trail,
    },
    domain::{
        policy_record::PolicyRecord,
        ports::{Entropy, Store},
    },
};

/// One realm: one log, one `iss`, its keys and its store.
#[derive(Debug)]
pub struct Realm {
    /// Its name.
    pub name: String,
    /// The `iss` of its tokens.
    pub issuer: String,
    /// The `aud` of its tokens.
    pub audience: String,
    /// The types whose tokens are issued to a holder's certificate only.
    pub holder_required: PerType<bool>,
    /// How a finished token is judged before it leaves.
    pub self_check: Policy,
    /// Projects, ledger, log.
    pub store: Arc<dyn Store>,
    /// The audit trail.
    pub trail: Arc<Trail>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// How it passes.
    pub timer: Arc<dyn Timer>,
    /// Random bytes.
    pub entropy: Arc<dyn Entropy>,
    /// The revocation log.
    pub log: LogHandle,
    /// The running verifiers.
    pub followers: Arc<Followers>,
    /// What stands in the way.
    pub conditions: Arc<Conditions>,
    /// Limits and key roles as the store holds them.
    pub policy: Arc<ArcSwap<PolicyRecord>>,
    /// The token keys that this issuer holds, and what is known of who holds which.
    pub keys: Arc<KeyBook>,
    /// How long a copy of the JWKS may be used.
    pub jwks_max_age: Duration,
    /// The public log key; and while it is exchanged, the other one.
    pub log_keys: LogKeys,
    /// The log key.
    pub log_signer: Arc<SigningKey>,
    /// Where tokens are signed.
    pub pool: SigningPool,
    /// For what must be recognised and not be read.
    pub blinding: Blinding,
}

impl Realm {
    /// The key that signs here: the active one, or where it is not held or was revoked the newest prepared one that is
    /// held. Never one that is not published.
    pub fn signing_key(&self, published: &Published) -> Option<Arc<SigningKey>> {
        let policy = self.policy.load();
        let usable = policy.keys.signers().filter(|id| !published.log.set().holds_key(id));
        usable.into_iter().find_map(|id| self.keys.key(id))
    }
}

/// A keyed hash: tells whether two things are the same, and nothing else of them.
pub struct Blinding(hmac::Key);

impl Blinding {
    /// Under a key of at least 32 secret bytes.
    pub fn new(secret: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret))
    }

    /// The hash of these parts, each with its length, so that no two lists of parts are one.
    pub fn hash(&self, parts: &[&[u8]]) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&self.0);
        for part in parts {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        }
        let mut hash = [0; 32];
        for (to, from) in hash.iter_mut().zip(context.sign().as_ref()) {
            *to = *from;
        }
        hash
    }
}

impl fmt::Debug for Blinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Blinding")
    }
}
