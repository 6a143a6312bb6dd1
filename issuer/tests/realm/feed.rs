//! The verifiers' feed over a real stream, claim by claim.

use std::time::Duration;

use common::{
    proto::v1::{
        self as pb, follow_request::Message as Says, follow_response::Message as Hears,
        trust_service_client::TrustServiceClient,
    },
    revocation::{entry::Reason, head::Head},
    token_id::TokenId,
    trust::{LogKeys, Signed, Trust},
};
use issuer::application::revoke::{Selector, revoke};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, Streaming, transport::Endpoint};
use tonic_types::StatusExt as _;

use crate::world::{Serving, World};

struct Follower {
    say: mpsc::Sender<pb::FollowRequest>,
    hear: Streaming<pb::FollowResponse>,
}

impl Follower {
    async fn connect(serving: &Serving, hello: pb::FollowHello) -> Result<Self, Status> {
        let channel = Endpoint::from_shared(serving.endpoint())
            .unwrap()
            .initial_stream_window_size(65_535)
            .initial_connection_window_size(65_535)
            .connect()
            .await
            .unwrap();
        let (say, said) = mpsc::channel(16);
        say.send(request(Says::Hello(hello))).await.unwrap();
        let hear = TrustServiceClient::new(channel).follow(ReceiverStream::new(said)).await?.into_inner();
        Ok(Self { say, hear })
    }

    async fn say(&self, message: Says) {
        self.say.send(request(message)).await.unwrap();
    }

    async fn hear(&mut self) -> Hears {
        let heard = tokio::time::timeout(PATIENCE, self.hear.message()).await.expect("nothing was said");
        heard.unwrap().expect("the stream ended").message.unwrap()
    }

    async fn probe(&self, number: u64) {
        self.say(Says::Probe(pb::FollowProbe { number })).await;
    }

    /// Why the stream ends, after whatever is still said.
    async fn end(mut self) -> Status {
        loop {
            match tokio::time::timeout(PATIENCE, self.hear.message()).await.expect("it did not end") {
                Ok(Some(_)) => {}
                Ok(None) => panic!("it ended without a reason"),
                Err(status) => return status,
            }
        }
    }
}

fn request(message: Says) -> pb::FollowRequest {
    pb::FollowRequest { message: Some(message) }
}

fn hello() -> pb::FollowHello {
    let limit = |(kind, seconds): (pb::TokenType, i64)| pb::StalenessLimit {
        token_type: kind.into(),
        staleness: Some(prost_types::Duration { seconds, nanos: 0 }),
    };
    let kinds = [
        (pb::TokenType::Pseudonymisation, 900),
        (pb::TokenType::Reverse, 10),
        (pb::TokenType::Secondary, 60),
    ];
    pb::FollowHello {
        follower_id: "verifier-1".to_owned(),
        instance: 7,
        realm: "default".to_owned(),
        head: None,
        limits: kinds.map(limit).into(),
        entry_kinds: 1,
        schema: 1,
        replaces: None,
    }
}

const fn cursor(epoch: u64, sequence: u64) -> pb::Cursor {
    pb::Cursor { epoch, sequence }
}

async fn revoke_many(world: &World, first: u32, count: u32) {
    let id = |n: u32| {
        let mut bytes = [0; 16];
        bytes[..4].copy_from_slice(&n.to_be_bytes());
        TokenId::from_bytes(bytes)
    };
    let selector = Selector::Tokens((first..first + count).map(id).collect());
    revoke(&world.realm, selector, Reason::Operator, String::new(), "test").await.unwrap();
}

fn keys(world: &World) -> LogKeys {
    world.realm.log_keys.clone()
}

fn head_of(world: &World, said: &Hears) -> Head {
    let Hears::Head(pb::FollowHead { head: Some(head) }) = said else { panic!("no head: {said:?}") };
    let key = head.log_key_id.parse().unwrap();
    let signed = Signed { bytes: head.head.to_vec(), signature: head.signature.to_vec(), key };
    keys(world).check::<Head>(&signed).unwrap().statement().clone()
}

#[tokio::test]
async fn a_follower_hears_trust_then_the_head_then_every_entry_and_the_answer_last() {
    let world = World::new().await;
    revoke_many(&world, 1, 3).await;
    let serving = world.serve().await;
    let mut follower = Follower::connect(&serving, hello()).await.unwrap();
    follower.probe(1).await;
    let Hears::Trust(trust) = follower.hear().await else { panic!("trust comes first") };
    let key = trust.log_key_id.parse().unwrap();
    let signed = Signed { bytes: trust.statement.to_vec(), signature: trust.signature.to_vec(), key };
    assert_eq!(keys(&world).check::<Trust>(&signed).unwrap().statement().keys.len(), 1);
    let head = follower.hear().await;
    assert_eq!(head_of(&world, &head).end.sequence, 4);
    let mut next = 1;
    while next <= 4 {
        let Hears::Entries(run) = follower.hear().await else { panic!("entries follow") };
        assert_eq!((run.epoch, run.first_sequence), (1, next));
        next += common::revocation::entry::unpack(&run.entries).unwrap().len() as u64;
    }
    let Hears::Answer(answer) = follower.hear().await else { panic!("the answer is last") };
    assert_eq!((answer.number, answer.cursor), (1, Some(cursor(1, 4))));
    // A row is durable before the first answer.
    let rows = issuer::domain::ports::Store::load(&*world.store).await.unwrap().followers;
    assert_eq!(rows.iter().map(|row| row.follower.id.as_str()).collect::<Vec<_>>(), ["verifier-1"]);
    follower.say(Says::Goodbye(pb::FollowGoodbye {})).await;
    assert!(follower.hear.message().await.unwrap().is_none());
    assert!(issuer::domain::ports::Store::load(&*world.store).await.unwrap().followers.is_empty());
    serving.stop().await;
}

#[tokio::test]
async fn a_follower_goes_on_from_the_head_that_it_holds() {
    let world = World::new().await;
    revoke_many(&world, 1, 3).await;
    let before = world.realm.log.published().head.signed().clone();
    revoke_many(&world, 10, 2).await;
    let serving = world.serve().await;
    let head = pb::SignedHead {
        head: before.bytes.into(),
        signature: before.signature.into(),
        log_key_id: before.key.to_string(),
    };
    let mut follower =
        Follower::connect(&serving, pb::FollowHello { head: Some(head), ..hello() }).await.unwrap();
    follower.say(Says::Acknowledge(acknowledged(Some(cursor(1, 4))))).await;
    follower.hear().await;
    follower.hear().await;
    let Hears::Entries(run) = follower.hear().await else { panic!("entries follow") };
    assert_eq!(run.first_sequence, 5);
    serving.stop().await;
}

#[tokio::test]
async fn what_comes_out_of_order_or_from_elsewhere_ends_the_feed_by_name() {
    let world = World::new().await;
    let serving = world.serve().await;
    let other = pb::FollowHello { realm: "other".to_owned(), ..hello() };
    let old = pb::FollowHello { entry_kinds: 0, ..hello() };
    for (hello, reason) in [(other, "OTHER_REALM"), (old, "FOLLOWER_TOO_OLD")] {
        let status = Follower::connect(&serving, hello).await.err().unwrap();
        assert_eq!(status.code(), Code::FailedPrecondition);
        assert_eq!(status.get_details_error_info().unwrap().reason, reason);
    }
    let bad = pb::FollowHello { follower_id: String::new(), limits: Vec::new(), ..hello() };
    let status = Follower::connect(&serving, bad).await.err().unwrap();
    let fields = status.get_details_bad_request().unwrap().field_violations;
    assert_eq!(
        fields.iter().map(|one| one.field.as_str()).collect::<Vec<_>>(),
        ["hello.follower_id", "hello.limits"]
    );
    let cases = [
        vec![Says::Hello(hello())],
        vec![Says::Probe(pb::FollowProbe { number: 2 }), Says::Probe(pb::FollowProbe { number: 2 })],
        vec![Says::Acknowledge(acknowledged(Some(cursor(1, 99))))],
        vec![Says::Acknowledge(acknowledged(None))],
        vec![Says::Offer(pb::FollowOffer::default())],
    ];
    for messages in cases {
        let follower = Follower::connect(&serving, hello()).await.unwrap();
        for message in messages {
            follower.say(message).await;
        }
        assert_eq!(follower.end().await.code(), Code::InvalidArgument);
    }
    serving.stop().await;
}

/// Failure: anything but a clear status, or memory that grows with what is not read. Takes the five seconds that a
/// verifier is given.
#[tokio::test]
async fn a_follower_that_does_not_read_is_cut() {
    let world = World::new().await;
    let serving = world.serve().await;
    let follower = Follower::connect(&serving, hello()).await.unwrap();
    // Far more than the window and the messages made ahead; revoking is not held up by it.
    for round in 0..16 {
        revoke_many(&world, 1_000 * round + 1, 1_000).await;
        // What is published is sent as one: let the feed see each.
        tokio::task::yield_now().await;
    }
    let mut reader = Follower::connect(&serving, pb::FollowHello { instance: 8, ..hello() }).await.unwrap();
    reader.probe(1).await;
    assert!(matches!(reader.hear().await, Hears::Trust(_)), "others are served meanwhile");
    // The claim is about time: nothing is read for longer than a verifier is given.
    tokio::time::sleep(Duration::from_secs(6)).await;
    let status = follower.end().await;
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert_eq!(status.get_details_error_info().unwrap().reason, "FOLLOWER_TOO_SLOW");
    serving.stop().await;
}

#[tokio::test]
async fn a_drain_tells_followers_to_go_elsewhere() {
    let world = World::new().await;
    let serving = world.serve().await;
    let follower = Follower::connect(&serving, hello()).await.unwrap();
    follower.probe(1).await;
    serving.shutdown.begin();
    let status = follower.end().await;
    assert_eq!(status.code(), Code::Unavailable);
    assert_eq!(status.get_details_error_info().unwrap().reason, "SHUTTING_DOWN");
    serving.stop().await;
}

const PATIENCE: Duration = Duration::from_secs(20);

const fn acknowledged(cursor: Option<pb::Cursor>) -> pb::FollowAcknowledge {
    pb::FollowAcknowledge { cursor, key_ids: Vec::new() }
}
