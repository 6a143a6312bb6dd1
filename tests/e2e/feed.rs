//! The verifiers' feed as it is on the wire: what a follower must say, what it is told, and what becomes of a bad one.

use std::time::Duration;

use common::proto::v1::{
    self as pb, Cursor, FollowHello, FollowRequest, FollowResponse, TokenType,
    follow_request::Message as Say, follow_response::Message as Told,
};
use harness::{calls::tokens, expect, orders, pair::Pair, programs::Programs, until};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, Streaming};

const UNKNOWN: &str = "AAAAAAAAAAAAAAAAAAAAAA";

/// A follower in the test's hands.
struct Follower {
    say: mpsc::Sender<FollowRequest>,
    told: Streaming<FollowResponse>,
}

impl Follower {
    /// Opens a stream with this word.
    async fn open(pair: &Pair, first: Say) -> Result<Self, Status> {
        let (say, said) = mpsc::channel(8);
        say.send(FollowRequest { message: Some(first) }).await.unwrap();
        let told = pair.trust().follow(ReceiverStream::new(said)).await?.into_inner();
        Ok(Self { say, told })
    }

    async fn say(&self, message: Say) {
        self.say.send(FollowRequest { message: Some(message) }).await.unwrap();
    }

    async fn probe(&self, number: u64) {
        self.say(Say::Probe(pb::FollowProbe { number })).await;
    }

    async fn next(&mut self) -> Result<Told, Status> {
        Ok(self.told.message().await?.unwrap().message.unwrap())
    }

    /// Why the stream ends, after whatever else is told.
    async fn end(mut self) -> Status {
        loop {
            if let Err(status) = self.told.message().await.map(Option::unwrap) {
                return status;
            }
        }
    }

    /// Everything up to the answer to a probe.
    async fn until_answer(&mut self) -> (Vec<Told>, pb::FollowAnswer) {
        let mut before = Vec::new();
        loop {
            match self.next().await.unwrap() {
                Told::Answer(answer) => return (before, answer),
                other @ (Told::Trust(_) | Told::Head(_) | Told::Entries(_) | Told::Wanted(_)) => {
                    before.push(other);
                }
            }
        }
    }
}

/// What was told, runs of entries taken together.
fn kinds(told: &[Told]) -> Vec<&'static str> {
    let kind = |one: &Told| match one {
        Told::Trust(_) => "trust",
        Told::Head(_) => "head",
        Told::Entries(_) => "entries",
        Told::Answer(_) => "answer",
        Told::Wanted(_) => "wanted",
    };
    let mut kinds: Vec<_> = told.iter().map(kind).collect();
    kinds.dedup();
    kinds
}

/// What a new verifier says first.
fn hello() -> FollowHello {
    let limit = |kind: TokenType| pb::StalenessLimit {
        token_type: kind.into(),
        staleness: Some(orders::seconds(10)),
    };
    FollowHello {
        follower_id: "follower-b".to_owned(),
        instance: 7,
        realm: "default".to_owned(),
        head: None,
        limits: [TokenType::Pseudonymisation, TokenType::Reverse, TokenType::Secondary].map(limit).to_vec(),
        entry_kinds: 1,
        schema: 1,
        replaces: None,
    }
}

/// Why a follower that begins so is not taken.
async fn turned_away(pair: &Pair, first: Say) -> Status {
    match Follower::open(pair, first).await {
        Ok(follower) => follower.end().await,
        Err(status) => status,
    }
}

#[tokio::test]
async fn a_follower_begins_with_a_good_hello() {
    let pair = Pair::start().await;
    let probe = Say::Probe(pb::FollowProbe { number: 1 });
    assert_eq!(expect::fields(&turned_away(&pair, probe).await), ["hello"]);
    let nothing = FollowHello::default();
    let fields = expect::fields(&turned_away(&pair, Say::Hello(nothing)).await);
    assert_eq!(fields, ["hello.follower_id", "hello.limits"]);
    let mut bad = hello();
    bad.limits[0].staleness = Some(orders::seconds(0));
    bad.limits[1].token_type = 9;
    let fields = expect::fields(&turned_away(&pair, Say::Hello(bad)).await);
    assert_eq!(fields, ["hello.limits", "hello.limits[0]", "hello.limits[1].token_type"]);
}

#[tokio::test]
async fn a_follower_of_another_realm_or_of_an_older_build_is_turned_away() {
    let pair = Pair::start().await;
    let elsewhere = FollowHello { realm: "elsewhere".to_owned(), ..hello() };
    let kinds = FollowHello { entry_kinds: 0, ..hello() };
    let schema = FollowHello { schema: 0, ..hello() };
    for (first, reason) in
        [(elsewhere, "OTHER_REALM"), (kinds, "FOLLOWER_TOO_OLD"), (schema, "FOLLOWER_TOO_OLD")]
    {
        let status = turned_away(&pair, Say::Hello(first)).await;
        assert_eq!((status.code(), &*expect::reason(&status)), (Code::FailedPrecondition, reason));
    }
}

#[tokio::test]
async fn a_new_follower_is_told_trust_head_and_entries_before_its_answer() {
    let pair = Pair::start().await;
    let revoked = pair.revoke(tokens([UNKNOWN])).await.unwrap().cursor.unwrap();
    let mut follower = Follower::open(&pair, Say::Hello(hello())).await.unwrap();
    follower.probe(1).await;
    let (told, answer) = follower.until_answer().await;
    assert_eq!(kinds(&told), ["trust", "head", "entries"]);
    assert_eq!((answer.number, answer.cursor), (1, Some(revoked)));
    assert_eq!(answer.head_age, Some(orders::seconds(0)), "the head was read after the probe came");
    let next = pair.revoke(tokens(["BAAAAAAAAAAAAAAAAAAAAA"])).await.unwrap().cursor.unwrap();
    follower.probe(2).await;
    let (told, answer) = follower.until_answer().await;
    assert_eq!(kinds(&told), ["head", "entries"], "only what is new");
    assert_eq!((answer.number, answer.cursor), (2, Some(next)));
}

#[tokio::test]
async fn what_is_out_of_order_ends_the_stream() {
    let pair = Pair::start().await;
    let acknowledge = |sequence| {
        Say::Acknowledge(pb::FollowAcknowledge {
            cursor: Some(Cursor { epoch: 1, sequence }),
            key_ids: Vec::new(),
        })
    };
    let offer = pb::FollowOffer { previous_hash: vec![0; 32].into(), ..pb::FollowOffer::default() };
    for said in [
        Say::Hello(hello()),
        Say::Probe(pb::FollowProbe { number: 0 }),
        acknowledge(99),
        Say::Acknowledge(pb::FollowAcknowledge { cursor: None, key_ids: Vec::new() }),
        Say::Offer(offer),
    ] {
        let follower = Follower::open(&pair, Say::Hello(hello())).await.unwrap();
        follower.say(said.clone()).await;
        assert_eq!(follower.end().await.code(), Code::InvalidArgument, "{said:?}");
    }
    let follower = Follower::open(&pair, Say::Hello(hello())).await.unwrap();
    follower.probe(1).await;
    follower.probe(1).await;
    let status = follower.end().await;
    assert_eq!((status.code(), &*expect::reason(&status)), (Code::InvalidArgument, "OUT_OF_ORDER"));
}

#[tokio::test]
async fn a_follower_that_acknowledges_nothing_is_waited_for_and_gets_no_more_answers() {
    let pair = Pair::start().await;
    let mut follower = Follower::open(&pair, Say::Hello(hello())).await.unwrap();
    follower.probe(1).await;
    follower.until_answer().await;
    let revoked = pair.revoke(tokens([UNKNOWN])).await.unwrap();
    let cursor = revoked.cursor.unwrap();
    assert_eq!(revoked.followers, 2);
    let waiting = until("the other one sees it", async || {
        let seen = pair.await_visibility(cursor, Duration::ZERO).await.unwrap();
        (seen.visible_to == 1).then_some(seen)
    })
    .await;
    assert_eq!((waiting.reached, waiting.waiting_for), (false, vec!["follower-b".to_owned()]));
    pair.issuer_clock.advance(Duration::from_secs(6));
    follower.probe(2).await;
    follower.say(Say::Acknowledge(pb::FollowAcknowledge { cursor: Some(cursor), key_ids: Vec::new() })).await;
    follower.probe(3).await;
    let (_, answer) = follower.until_answer().await;
    assert_eq!(answer.number, 3, "the probe before its acknowledgement was not answered");
    let seen = pair.await_visibility(cursor, Duration::from_secs(20)).await.unwrap();
    assert_eq!((seen.reached, seen.visible_to), (true, 2));
}

#[tokio::test]
async fn a_follower_that_goes_without_a_word_is_waited_for_and_one_that_says_goodbye_is_not() {
    let pair = Pair::start().await;
    let gone = Follower::open(&pair, Say::Hello(hello())).await.unwrap();
    drop(gone);
    let other = FollowHello { follower_id: "follower-c".to_owned(), ..hello() };
    let polite = Follower::open(&pair, Say::Hello(other)).await.unwrap();
    polite.say(Say::Goodbye(pb::FollowGoodbye {})).await;
    let cursor = until("the goodbye is heard", async || {
        let revoked = pair.revoke(tokens([UNKNOWN])).await.unwrap();
        (revoked.followers == 2).then_some(revoked.cursor.unwrap())
    })
    .await;
    let waiting = until("the verifier sees it", async || {
        let seen = pair.await_visibility(cursor, Duration::ZERO).await.unwrap();
        (seen.visible_to == 1).then_some(seen)
    })
    .await;
    assert_eq!(waiting.waiting_for, ["follower-b"]);
}

#[tokio::test]
async fn the_key_set_is_the_same_over_grpc_and_http_and_holds_no_private_key() {
    let programs = Programs::start().await;
    let keys = programs.trust().get_key_set(pb::GetKeySetRequest {}).await.unwrap().into_inner().keys;
    let page = programs.issuer.page("/.well-known/jwks.json").await;
    let (_, body) = page.split_once("\r\n\r\n").unwrap();
    let jwks: serde_json::Value = serde_json::from_str(body).unwrap();
    let listed = jwks["keys"].as_array().unwrap();
    assert_eq!(listed.len(), keys.len());
    for (json, key) in listed.iter().zip(&keys) {
        let members: Vec<_> = json.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(members, ["alg", "e", "kid", "kty", "n", "use"]);
        assert_eq!((json["kid"].as_str(), json["n"].as_str()), (Some(&*key.kid), Some(&*key.n)));
        assert_eq!((key.kty.as_str(), key.alg.as_str(), key.e.as_str()), ("RSA", "PS256", "AQAB"));
    }
    let view = programs.view().await.unwrap();
    assert_eq!(view.key_ids, keys.into_iter().map(|key| key.kid).collect::<Vec<_>>());
}
