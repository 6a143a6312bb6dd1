//! `TrustService`: the verifiers' feed as a bounded stream, and the key set.

use std::{
    collections::BTreeSet,
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll},
    time::Duration,
};

use common::{
    convert::{
        Violations,
        values::{cursor, duration, read_cursor, read_duration, read_token_type},
    },
    jws::Algorithm,
    key_id::KeyId,
    keys::PublicKey,
    proto::v1::{
        self as pb, follow_request::Message as Heard, follow_response::Message as Said,
        trust_service_server::TrustService,
    },
    runtime::{
        shutdown::Shutdown,
        status::{invalid_argument, unavailable, with_reason},
    },
    token::kind::{PerType, TokenType},
    trust::{Signed, Trust},
};
use tokio::sync::mpsc;
use tokio_stream::Stream;
use tonic::{Code, Request, Response, Status, Streaming};

use super::status;
use crate::{
    application::{
        follow::{Feed, Hello, Part, Say},
        log::Published,
        realm::Realm,
    },
    domain::followers::Follower,
};

/// The service over one realm.
#[derive(Clone, Debug)]
pub struct Trusting {
    /// The realm.
    pub realm: Arc<Realm>,
    /// Ends every feed, so that verifiers go to another issuer.
    pub shutdown: Shutdown,
}

#[tonic::async_trait]
impl TrustService for Trusting {
    type FollowStream = Outgoing;

    async fn follow(
        &self,
        request: Request<Streaming<pb::FollowRequest>>,
    ) -> Result<Response<Outgoing>, Status> {
        let mut heard = request.into_inner();
        let first = tokio::time::timeout(PATIENCE, heard.message()).await;
        let first = first.map_err(|_late| Status::deadline_exceeded("no hello within 5 s"))??;
        let hello = read_hello(first).map_err(|bad| invalid_argument(&bad))?;
        let feed = Feed::open(Arc::clone(&self.realm), hello).await.map_err(status::follow)?;
        let (say, said) = mpsc::channel(AHEAD);
        let end = Arc::new(OnceLock::new());
        let outgoing = Outgoing { said, end: Arc::clone(&end) };
        let (realm, shutdown) = (Arc::clone(&self.realm), self.shutdown.clone());
        tokio::spawn(async move {
            if let Err(why) = carry(&realm, feed, heard, &say, &shutdown).await {
                end.set(why).ok();
            }
        });
        Ok(Response::new(outgoing))
    }

    async fn get_key_set(
        &self,
        _request: Request<pb::GetKeySetRequest>,
    ) -> Result<Response<pb::GetKeySetResponse>, Status> {
        Ok(Response::new(key_set(&self.realm.log.published())))
    }
}

/// The public keys whose tokens are accepted: a revoked one is in it no more.
pub fn key_set(published: &Published) -> pb::GetKeySetResponse {
    let jwk = |key: &PublicKey| pb::JsonWebKey {
        kty: "RSA".to_owned(),
        r#use: "sig".to_owned(),
        alg: match key.algorithm() {
            Algorithm::Ps256 => "PS256".to_owned(),
            Algorithm::Rs256 => "RS256".to_owned(),
        },
        kid: key.id().to_string(),
        n: key.jwk_n(),
        e: key.jwk_e(),
    };
    let keys = published.trust.statement().keys.iter();
    pb::GetKeySetResponse {
        keys: keys.filter(|key| !published.log.set().holds_key(&key.id())).map(jwk).collect(),
    }
}

/// Carries a feed until one side ends it. `Ok` when the verifier did.
async fn carry(
    realm: &Realm,
    mut feed: Feed,
    mut heard: Streaming<pb::FollowRequest>,
    say: &mpsc::Sender<pb::FollowResponse>,
    shutdown: &Shutdown,
) -> Result<(), Status> {
    let mut published = realm.log.subscribe();
    published.mark_changed();
    loop {
        tokio::select! {
            biased;
            () = shutdown.begun() => {
                return Err(unavailable("SHUTTING_DOWN", "this issuer is going down", Duration::ZERO));
            }
            message = heard.message() => {
                let Some(message) = message? else { return Ok(()) };
                match message.message {
                    Some(Heard::Probe(probe)) => {
                        send(say, feed.probe(probe.number).await.map_err(status::follow)?).await?;
                    }
                    Some(Heard::Acknowledge(seen)) => {
                        let cursor = seen.cursor.ok_or_else(|| out_of_order("an acknowledgement without a cursor"))?;
                        let keys = read_keys(&seen.key_ids).map_err(|bad| invalid_argument(&bad))?;
                        feed.acknowledge(read_cursor(cursor), keys).map_err(status::follow)?;
                    }
                    Some(Heard::Goodbye(_)) => {
                        feed.goodbye().await;
                        return Ok(());
                    }
                    Some(Heard::Hello(_)) => return Err(out_of_order("a second hello")),
                    Some(Heard::Offer(offer)) => {
                        let part = read_offer(&offer).map_err(|bad| invalid_argument(&bad))?;
                        feed.offer(part).await.map_err(status::follow)?;
                    }
                    None => return Err(out_of_order("an empty message")),
                }
            }
            changed = published.changed() => {
                if changed.is_err() {
                    return Err(unavailable("SHUTTING_DOWN", "this issuer is going down", Duration::ZERO));
                }
                send(say, feed.catch_up().map_err(status::follow)?).await?;
            }
        }
    }
}

/// Sends, and cuts whoever does not read in time: nothing is buffered without bound.
async fn send(say: &mpsc::Sender<pb::FollowResponse>, what: Vec<Say>) -> Result<(), Status> {
    for one in what {
        match tokio::time::timeout(PATIENCE, say.send(render(one))).await {
            Ok(Ok(())) => {}
            Ok(Err(_gone)) => return Err(Status::cancelled("the verifier has gone")),
            Err(_late) => {
                let text = "what was sent was not read within 5 s";
                return Err(with_reason(Code::ResourceExhausted, "FOLLOWER_TOO_SLOW", text));
            }
        }
    }
    Ok(())
}

fn render(say: Say) -> pb::FollowResponse {
    let message = match say {
        Say::Trust(trust) => {
            let signed = trust.signed();
            Said::Trust(pb::FollowTrust {
                statement: signed.bytes.clone().into(),
                signature: signed.signature.clone().into(),
                log_key_id: signed.key.to_string(),
            })
        }
        Say::Head(head) => {
            let signed = head.signed();
            let head = pb::SignedHead {
                head: signed.bytes.clone().into(),
                signature: signed.signature.clone().into(),
                log_key_id: signed.key.to_string(),
            };
            Said::Head(pb::FollowHead { head: Some(head) })
        }
        Say::Entries(epoch, run) => Said::Entries(pb::FollowEntries {
            epoch,
            first_sequence: run.first,
            previous_hash: run.previous.to_vec().into(),
            entries: prost::bytes::Bytes::from_owner(run.bytes),
        }),
        Say::Wanted(epoch) => Said::Wanted(pb::FollowWanted { epoch, after_sequence: 0 }),
        Say::Answer(number, end, age) => Said::Answer(pb::FollowAnswer {
            number,
            cursor: Some(cursor(end)),
            head_age: Some(duration(age)),
        }),
    };
    pb::FollowResponse { message: Some(message) }
}

fn read_hello(first: Option<pb::FollowRequest>) -> Result<Hello, Violations> {
    let mut violations = Violations::default();
    let Some(Heard::Hello(given)) = first.and_then(|first| first.message) else {
        violations.add("hello", "must come first");
        return violations.finish(None);
    };
    let printable = given.follower_id.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    if !(1..=128).contains(&given.follower_id.len()) || !printable {
        violations.add("hello.follower_id", "must be 1 to 128 printable ASCII characters");
    }
    let head = match given.head {
        Some(head) => read_head("hello.head", &head, &mut violations).map(Some),
        None => Some(None),
    };
    let mut limits = PerType::<Option<Duration>>::default();
    for (index, limit) in given.limits.iter().enumerate() {
        let field = format!("hello.limits[{index}]");
        let kind = read_token_type(&format!("{field}.token_type"), limit.token_type, &mut violations);
        let given = violations.required(&format!("{field}.staleness"), limit.staleness);
        let span = given.and_then(|span| read_duration(&format!("{field}.staleness"), span, &mut violations));
        if let Some((kind, span)) = kind.zip(span) {
            if span.is_zero() || span > LONGEST_LEASE || limits.get(kind).is_some() {
                violations.add(&field, "must be more than zero and at most 1 h, and each type once");
            }
            *limits.get_mut(kind) = Some(span);
        }
    }
    if TokenType::ALL.into_iter().any(|kind| limits.get(kind).is_none()) {
        violations.add("hello.limits", "must name each token type");
    }
    let limits = PerType::from_fn(|kind| limits.get(kind).unwrap_or_default());
    let follower = Follower { id: given.follower_id, instance: given.instance };
    violations.finish(head.map(|head| Hello {
        follower,
        realm: given.realm,
        head,
        limits,
        entry_kinds: given.entry_kinds,
        schema: u64::from(given.schema),
        replaces: given.replaces,
    }))
}

fn read_head(field: &str, given: &pb::SignedHead, violations: &mut Violations) -> Option<Signed> {
    let key = violations.check(&format!("{field}.log_key_id"), given.log_key_id.parse::<KeyId>());
    key.map(|key| Signed { bytes: given.head.to_vec(), signature: given.signature.to_vec(), key })
}

fn read_offer(given: &pb::FollowOffer) -> Result<Part, Violations> {
    let mut violations = Violations::default();
    let head = violations.required("offer.head", given.head.as_ref());
    let head = head.and_then(|head| read_head("offer.head", head, &mut violations));
    let previous = <[u8; 32]>::try_from(given.previous_hash.as_ref()).map_err(|_length| "must be 32 bytes");
    let previous = violations.check("offer.previous_hash", previous);
    violations.finish(head.zip(previous).map(|(head, previous)| Part {
        head,
        first: given.first_sequence,
        previous,
        entries: given.entries.to_vec(),
        last: given.last,
    }))
}

/// The keys that a verifier says it holds; `None` when it says nothing of keys.
fn read_keys(given: &[String]) -> Result<Option<BTreeSet<KeyId>>, Violations> {
    let mut violations = Violations::default();
    if given.len() > Trust::MOST_KEYS {
        violations.add("acknowledge.key_ids", "must be at most 32");
        return violations.finish(None);
    }
    let keys = given.iter().map(|id| violations.check("acknowledge.key_ids", id.parse::<KeyId>())).collect();
    violations.finish(Some(keys).map(|keys: Option<BTreeSet<_>>| keys.filter(|keys| !keys.is_empty())))
}

fn out_of_order(what: &'static str) -> Status {
    with_reason(Code::InvalidArgument, "OUT_OF_ORDER", what)
}

/// What is said, and at last why no more is.
#[derive(Debug)]
pub struct Outgoing {
    said: mpsc::Receiver<pb::FollowResponse>,
    end: Arc<OnceLock<Status>>,
}

impl Stream for Outgoing {
    type Item = Result<pb::FollowResponse, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        match self.said.poll_recv(context) {
            Poll::Ready(Some(message)) => Poll::Ready(Some(Ok(message))),
            Poll::Ready(None) => {
                let why = self.end.get().cloned();
                self.end = Arc::default();
                Poll::Ready(why.map(Err))
            }
            Poll::Pending => Poll::Pending,
        }
    }
}

/// How long a verifier may take: to say hello, to read what was sent.
const PATIENCE: Duration = Duration::from_secs(5);
/// No limit in force is longer; a longer one would only make everybody wait for it.
const LONGEST_LEASE: Duration = Duration::from_hours(1);
/// Messages made ahead of what the verifier reads.
const AHEAD: usize = 8;
