//! `KeyService`: parse, ask, render.

use std::sync::Arc;

use common::{
    convert::{
        Violations,
        values::{read_id, timestamp},
    },
    key_id::KeyId,
    proto::v1::{self as pb, key_service_server::KeyService},
    runtime::{caller::Caller, status::invalid_argument},
};
use tonic::{Request, Response, Status};

use super::{paging, render, status};
use crate::{
    application::{
        realm::Realm,
        rotate_keys::{self, Gaps, KeySight},
    },
    domain::key_roles::KeyRole,
};

/// The service over one realm.
#[derive(Clone, Debug)]
pub struct KeyKeeping(pub Arc<Realm>);

#[tonic::async_trait]
impl KeyService for KeyKeeping {
    async fn list_keys(
        &self,
        request: Request<pb::ListKeysRequest>,
    ) -> Result<Response<pb::ListKeysResponse>, Status> {
        let (size, after) = read_list(request.get_ref()).map_err(|bad| invalid_argument(&bad))?;
        let keys = rotate_keys::list(&self.0).await.map_err(status::keys)?;
        let mut rest = keys.iter().filter(|key| after.is_none_or(|after| key.public.id() > after));
        let page: Vec<_> = rest.by_ref().take(size).collect();
        let last = rest.next().and(page.last()).map(|last| last.public.id());
        Ok(Response::new(pb::ListKeysResponse {
            keys: page.into_iter().map(key).collect(),
            next_page_token: last.map(|id| paging::token(id.as_bytes(), NO_FILTER)).unwrap_or_default(),
        }))
    }

    async fn prepare_key(
        &self,
        request: Request<pb::PrepareKeyRequest>,
    ) -> Result<Response<pb::PrepareKeyResponse>, Status> {
        let caller = Caller::of(request.extensions());
        let id = read_key(&request.get_ref().key_id).map_err(|bad| invalid_argument(&bad))?;
        let prepared = rotate_keys::prepare(&self.0, id, caller.actor()).await.map_err(status::keys)?;
        Ok(Response::new(pb::PrepareKeyResponse { key: Some(key(&prepared)) }))
    }

    async fn activate_key(
        &self,
        request: Request<pb::ActivateKeyRequest>,
    ) -> Result<Response<pb::ActivateKeyResponse>, Status> {
        let caller = Caller::of(request.extensions());
        let given = request.get_ref();
        let id = read_key(&given.key_id).map_err(|bad| invalid_argument(&bad))?;
        let activated = rotate_keys::activate(&self.0, id, given.force, caller.actor()).await;
        let activated = activated.map_err(status::keys)?;
        Ok(Response::new(pb::ActivateKeyResponse {
            key: Some(key(&activated.key)),
            retired: activated.retired.as_ref().map(key),
            risks: risks(&activated.risked),
        }))
    }

    async fn retire_key(
        &self,
        request: Request<pb::RetireKeyRequest>,
    ) -> Result<Response<pb::RetireKeyResponse>, Status> {
        let caller = Caller::of(request.extensions());
        let id = read_key(&request.get_ref().key_id).map_err(|bad| invalid_argument(&bad))?;
        let retired = rotate_keys::retire(&self.0, id, caller.actor()).await.map_err(status::keys)?;
        Ok(Response::new(pb::RetireKeyResponse { key: Some(key(&retired)) }))
    }
}

fn read_key(given: &str) -> Result<KeyId, Violations> {
    let mut violations = Violations::default();
    let id = read_id("key_id", given, &mut violations);
    violations.finish(id)
}

fn read_list(given: &pb::ListKeysRequest) -> Result<(usize, Option<KeyId>), Violations> {
    let mut violations = Violations::default();
    let size = paging::size(given.page_size, &mut violations);
    let after = match paging::mark(&given.page_token, NO_FILTER, &mut violations) {
        Some(Some(mark)) => match <[u8; 32]>::try_from(mark) {
            Ok(id) => Some(Some(KeyId::from_bytes(id))),
            Err(_length) => {
                paging::refuse(&mut violations);
                None
            }
        },
        Some(None) => Some(None),
        None => None,
    };
    violations.finish(size.zip(after))
}

fn key(sight: &KeySight) -> pb::Key {
    let (role, until) = match sight.role.map(|(role, _)| role) {
        None => (pb::KeyRole::Unused, None),
        Some(KeyRole::Prepared) => (pb::KeyRole::Prepared, None),
        Some(KeyRole::Active) => (pb::KeyRole::Active, None),
        Some(KeyRole::Retired { until }) => (pb::KeyRole::Retired, Some(until)),
        Some(KeyRole::Revoked) => (pb::KeyRole::Revoked, None),
    };
    let reach = &sight.reach;
    pb::Key {
        key_id: sight.public.id().to_string(),
        role: role.into(),
        algorithm: sight.public.algorithm().as_str().to_owned(),
        bits: render::count(sight.public.bits()),
        since: sight.role.map(|(_, since)| timestamp(since)),
        until: until.map(timestamp),
        held_by: reach.issuers_with.clone(),
        missing_at: reach.issuers_without.clone(),
        followers_with: render::count(reach.followers - reach.followers_without.len()),
        followers: render::count(reach.followers),
        followers_without: reach.followers_without.iter().take(MOST_NAMES).cloned().collect(),
        signs_here: sight.signs_here,
    }
}

/// What was gone over, one line each.
fn risks(risked: &Gaps) -> Vec<String> {
    let mut lines = Vec::new();
    if !risked.issuers.is_empty() {
        lines.push(format!(
            "issuers without the private key, which issue nothing unless they hold another prepared one: {}",
            names(&risked.issuers)
        ));
    }
    if !risked.followers.is_empty() {
        lines.push(format!(
            "verifiers without the public key, which refuse good tokens as UNKNOWN_KEY until they have heard of it: {}",
            names(&risked.followers)
        ));
    }
    if let Some(until) = risked.published_until {
        lines.push(format!("parties that read the JWKS may hold a copy without the key until {until}"));
    }
    lines
}

/// As many as an error or an answer has room for, and how many more there are.
pub(super) fn names(all: &[String]) -> String {
    let shown: Vec<_> = all.iter().take(SHOWN).map(String::as_str).collect();
    let more = all.len() - shown.len();
    if more == 0 { shown.join(", ") } else { format!("{} and {more} more", shown.join(", ")) }
}

const NO_FILTER: &[&str] = &[];
const MOST_NAMES: usize = 100;
/// A status travels in headers, whose size clients bound.
const SHOWN: usize = 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn force_tells_each_thing_that_it_risks() {
        assert_eq!(risks(&Gaps::default()), [""; 0]);
        let followers = (0..12).map(|n| format!("follower-{n}")).collect();
        let until = common::timestamp::Timestamp::from_seconds(7);
        let told = risks(&Gaps { issuers: vec!["two".to_owned()], followers, published_until: until });
        assert_eq!(told.len(), 3);
        assert!(told[0].ends_with(": two") && told[1].ends_with("follower-9 and 2 more"), "{told:?}");
    }
}
