//! The byte forms of key roles, and of what an issuer tells the others about keys.

use std::collections::{BTreeMap, BTreeSet};

use common::{jws::Algorithm, key_id::KeyId, keys::PublicKey, timestamp::Timestamp};
use serde::{Deserialize, Serialize};

use super::Record;
use crate::domain::{
    followers::Follower,
    key_holders::Holder,
    key_roles::{KeyRole, RoledKey},
};

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum RoleForm {
    Prepared,
    Active,
    Retired(u64),
    Revoked,
}

/// Since when it has its role; algorithm and modulus of what is published.
pub(super) type DetailForm = (u64, Option<(AlgorithmForm, String)>);

#[derive(Deserialize, Serialize)]
pub(super) enum AlgorithmForm {
    #[serde(rename = "PS256")]
    Ps256,
    #[serde(rename = "RS256")]
    Rs256,
}

pub(super) const fn role_form(role: KeyRole) -> RoleForm {
    match role {
        KeyRole::Prepared => RoleForm::Prepared,
        KeyRole::Active => RoleForm::Active,
        KeyRole::Retired { until } => RoleForm::Retired(until.seconds()),
        KeyRole::Revoked => RoleForm::Revoked,
    }
}

pub(super) fn detail_form(key: &RoledKey) -> DetailForm {
    let public = key.public.as_ref().map(|public| {
        let algorithm = match public.algorithm() {
            Algorithm::Ps256 => AlgorithmForm::Ps256,
            Algorithm::Rs256 => AlgorithmForm::Rs256,
        };
        (algorithm, public.jwk_n())
    });
    (key.since.seconds(), public)
}

pub(super) fn read(keys: Vec<(String, RoleForm)>, mut details: Vec<DetailForm>) -> Option<Vec<RoledKey>> {
    if details.is_empty() {
        details.resize_with(keys.len(), || (0, None));
    }
    if details.len() != keys.len() {
        return None;
    }
    let key = |((id, role), (since, public)): ((String, RoleForm), DetailForm)| {
        let role = match role {
            RoleForm::Prepared => KeyRole::Prepared,
            RoleForm::Active => KeyRole::Active,
            RoleForm::Retired(until) => KeyRole::Retired { until: Timestamp::from_seconds(until)? },
            RoleForm::Revoked => KeyRole::Revoked,
        };
        let public = match public {
            Some((algorithm, modulus)) => {
                let algorithm = match algorithm {
                    AlgorithmForm::Ps256 => Algorithm::Ps256,
                    AlgorithmForm::Rs256 => Algorithm::Rs256,
                };
                Some(PublicKey::from_jwk(&modulus, EXPONENT, algorithm).ok()?)
            }
            None => None,
        };
        Some(RoledKey { id: id.parse().ok()?, role, since: Timestamp::from_seconds(since)?, public })
    };
    keys.into_iter().zip(details).map(key).collect()
}

/// The keys are named once: of each verifier, and of the issuer, one number each tells which of them it holds.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(in crate::adapters::store) struct HolderForm {
    issuer: String,
    instance: u64,
    beat: u64,
    keys: Vec<String>,
    private: u64,
    followers: Vec<(String, u64, u64)>,
}

impl Record for Holder {
    type Form = HolderForm;

    fn form(&self) -> HolderForm {
        let named: BTreeSet<KeyId> =
            self.private.iter().chain(self.followers.values().flatten()).copied().collect();
        // What does not fit is not told, so nobody counts on it.
        let named: Vec<KeyId> = named.into_iter().take(MOST).collect();
        let bits = |held: &BTreeSet<KeyId>| {
            named
                .iter()
                .enumerate()
                .filter(|(_, key)| held.contains(key))
                .fold(0, |bits, (n, _)| bits | 1 << n)
        };
        let follower = |(follower, held): (&Follower, &BTreeSet<KeyId>)| {
            (follower.id.clone(), follower.instance, bits(held))
        };
        HolderForm {
            issuer: self.issuer.clone(),
            instance: self.instance,
            beat: self.beat,
            keys: named.iter().map(KeyId::to_string).collect(),
            private: bits(&self.private),
            followers: self.followers.iter().map(follower).collect(),
        }
    }

    fn read(form: HolderForm) -> Option<Self> {
        let named = form.keys.iter().map(|key| key.parse().ok()).collect::<Option<Vec<KeyId>>>()?;
        if named.len() > MOST {
            return None;
        }
        let held = |bits: u64| {
            let held = named.iter().enumerate().filter(|(n, _)| bits & 1 << n != 0);
            held.map(|(_, key)| *key).collect::<BTreeSet<_>>()
        };
        let follower = |(id, instance, bits)| (Follower { id, instance }, held(bits));
        Some(Self {
            issuer: form.issuer,
            instance: form.instance,
            beat: form.beat,
            private: held(form.private),
            followers: form.followers.into_iter().map(follower).collect::<BTreeMap<_, _>>(),
        })
    }
}

/// Bits of a number.
const MOST: usize = 64;
/// 65537: no other exponent is ever used.
const EXPONENT: &str = "AQAB";
