//! Between the wire of `Follow` and values. Bounds are checked here; nothing is believed here.

use common::{
    convert::{Violations, values},
    key_id::KeyId,
    proto::v1 as pb,
    token::{claims::SCHEMA, kind::TokenType},
    trust::Signed,
};
use pb::{follow_request::Message as Request, follow_response::Message as Response};

use super::Introduction;
use crate::domain::{
    feed::{Offer, Run, Said},
    session::Input,
};

/// To the wire.
pub(super) fn said(said: Said, by: &Introduction) -> pb::FollowRequest {
    let message = match said {
        Said::Hello { head, limits } => Request::Hello(pb::FollowHello {
            follower_id: by.follower_id.clone(),
            instance: by.instance,
            realm: by.realm.clone(),
            head: head.map(signed_head),
            limits: TokenType::ALL
                .into_iter()
                .map(|kind| pb::StalenessLimit {
                    token_type: values::token_type(kind).into(),
                    staleness: Some(values::duration(*limits.get(kind))),
                })
                .collect(),
            entry_kinds: ENTRY_KINDS,
            schema: u32::try_from(SCHEMA).unwrap_or(u32::MAX),
            replaces: by.replaces,
        }),
        Said::Probe(number) => Request::Probe(pb::FollowProbe { number }),
        Said::Acknowledge(cursor, keys) => Request::Acknowledge(pb::FollowAcknowledge {
            cursor: Some(values::cursor(cursor)),
            key_ids: keys.iter().map(KeyId::to_string).collect(),
        }),
        Said::Offer(Offer { head, run, last }) => {
            let (previous_hash, first_sequence, entries) = run.map_or_else(Default::default, |run| {
                (run.previous.to_vec().into(), run.first, run.entries.into())
            });
            Request::Offer(pb::FollowOffer {
                head: Some(signed_head(head)),
                previous_hash,
                first_sequence,
                entries,
                last,
            })
        }
    };
    pb::FollowRequest { message: Some(message) }
}

/// Goodbye.
pub(super) const fn goodbye() -> pb::FollowRequest {
    pb::FollowRequest { message: Some(Request::Goodbye(pb::FollowGoodbye {})) }
}

/// From the wire.
///
/// # Errors
/// [`OutOfBounds`].
pub(super) fn heard(response: pb::FollowResponse) -> Result<Input, OutOfBounds> {
    Ok(match response.message.ok_or(OutOfBounds)? {
        Response::Trust(pb::FollowTrust { statement, signature, log_key_id }) => {
            Input::Trust(signed(statement.into(), signature.into(), &log_key_id)?)
        }
        Response::Head(pb::FollowHead { head }) => {
            let pb::SignedHead { head, signature, log_key_id } = head.ok_or(OutOfBounds)?;
            Input::Head(signed(head.into(), signature.into(), &log_key_id)?)
        }
        Response::Entries(pb::FollowEntries { epoch, first_sequence, previous_hash, entries }) => {
            let previous = previous_hash.as_ref().try_into().map_err(|_length| OutOfBounds)?;
            if entries.len() > Run::MAX_LEN {
                return Err(OutOfBounds);
            }
            Input::Entries(Run { epoch, first: first_sequence, previous, entries: entries.into() })
        }
        Response::Answer(pb::FollowAnswer { number, cursor, head_age }) => {
            let mut violations = Violations::default();
            let head_age = values::read_duration("head_age", head_age.ok_or(OutOfBounds)?, &mut violations);
            Input::Answer {
                number,
                cursor: values::read_cursor(cursor.ok_or(OutOfBounds)?),
                head_age: head_age.ok_or(OutOfBounds)?,
            }
        }
        Response::Wanted(pb::FollowWanted { epoch, after_sequence }) => {
            Input::Wanted { epoch, after: after_sequence }
        }
    })
}

/// A message that no issuer of ours sends.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("a message out of bounds")]
pub(super) struct OutOfBounds;

fn signed(bytes: Vec<u8>, signature: Vec<u8>, key: &str) -> Result<Signed, OutOfBounds> {
    let key: KeyId = key.parse().map_err(|_text| OutOfBounds)?;
    let small = bytes.len() <= STATEMENT && signature.len() <= SIGNATURE;
    if small { Ok(Signed { bytes, signature, key }) } else { Err(OutOfBounds) }
}

fn signed_head(head: Signed) -> pb::SignedHead {
    pb::SignedHead {
        head: head.bytes.into(),
        signature: head.signature.into(),
        log_key_id: head.key.to_string(),
    }
}

/// The highest entry kind that this build knows: 0 opens an epoch, 1 revokes.
const ENTRY_KINDS: u32 = 1;
/// A head or a statement has at most so many bytes.
const STATEMENT: usize = 64 << 10;
/// RSA of 4096 bits.
const SIGNATURE: usize = 512;
