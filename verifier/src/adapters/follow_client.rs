//! The connection to an issuer: endpoints in turn, backoff, and the stream. Judges nothing of what it carries.

mod convert;

use std::{pin::Pin, sync::Arc, time::Duration};

pub use common::runtime::dial::{Endpoint, InvalidEndpoint};
use common::{
    proto::v1::{self as pb, trust_service_client::TrustServiceClient},
    runtime::{dial::deepest, tls::ClientTls},
};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{
    Response, Status, Streaming,
    transport::{Channel, Endpoint as Target},
};

use crate::domain::{
    feed::{Feed, Gone, Issuers, Said},
    session::Input,
};

/// Who follows.
#[derive(Clone, Debug)]
pub struct Introduction {
    /// `follower.id`: 1 to 128 printable ASCII characters.
    pub follower_id: String,
    /// Drawn at start, so that a restarted verifier is another one.
    pub instance: u64,
    /// The instance that held this verifier's file before and has ended.
    pub replaces: Option<u64>,
    /// The realm that is expected.
    pub realm: String,
}

/// Connects to the issuers of one realm.
#[derive(Debug)]
pub struct FollowClient {
    endpoints: Vec<Endpoint>,
    tls: Option<Arc<ClientTls>>,
    next: usize,
    introduction: Introduction,
    failures: u32,
    jitter: StdRng,
}

impl FollowClient {
    /// Begins at any of the endpoints. `seed` is drawn at start.
    ///
    /// # Errors
    /// [`NoEndpoints`].
    pub fn new(endpoints: Vec<Endpoint>, introduction: Introduction, seed: u64) -> Result<Self, NoEndpoints> {
        if endpoints.is_empty() {
            return Err(NoEndpoints);
        }
        let mut jitter = StdRng::seed_from_u64(seed);
        let next = jitter.random_range(0..endpoints.len());
        Ok(Self { endpoints, tls: None, next, introduction, failures: 0, jitter })
    }

    /// For endpoints that begin with `https://`; without it, none of those is ever reached.
    #[must_use]
    pub fn with_tls(self, tls: Option<Arc<ClientTls>>) -> Self {
        Self { tls, ..self }
    }

    /// Any span up to one that doubles with each failure.
    fn backoff(&mut self) -> Duration {
        let longest = FIRST_BACKOFF.saturating_mul(1 << self.failures.min(16)).min(LAST_BACKOFF);
        self.failures = self.failures.saturating_add(1);
        self.jitter.random_range(Duration::ZERO..=longest)
    }
}

impl Issuers for FollowClient {
    type Feed = FollowStream;

    async fn connect(&mut self, good: bool) -> FollowStream {
        if good {
            self.failures = 0;
        }
        loop {
            // The first connection of all need not wait; a good one that was lost is followed by all verifiers at once.
            if good || self.failures > 0 {
                let backoff = self.backoff();
                tokio::time::sleep(backoff).await;
            } else {
                self.failures = 1;
            }
            let turn = self.next;
            self.next = (turn + 1) % self.endpoints.len();
            let Some(endpoint) = self.endpoints.get(turn) else { continue };
            match channel(endpoint, self.tls.as_ref()).await {
                Ok(channel) => {
                    tracing::info!(?endpoint, "connected to an issuer");
                    return FollowStream::open(channel, self.introduction.clone());
                }
                Err(error) => {
                    tracing::warn!(?endpoint, error = %deepest(&error), "no connection to this issuer");
                }
            }
        }
    }
}

/// None at all.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("at least one issuer must be named")]
pub struct NoEndpoints;

async fn channel(
    endpoint: &Endpoint,
    tls: Option<&Arc<ClientTls>>,
) -> Result<Channel, tonic::transport::Error> {
    let patient = |target: Target| {
        target
            .connect_timeout(CONNECT)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(KEEP_ALIVE)
            .keep_alive_timeout(KEEP_ALIVE)
            .initial_stream_window_size(WINDOW)
            .initial_connection_window_size(WINDOW)
    };
    endpoint.connect(tls, patient).await
}

type Opening = Pin<Box<dyn Future<Output = Result<Response<Streaming<pb::FollowResponse>>, Status>> + Send>>;

/// One stream to one issuer.
#[expect(missing_debug_implementations, reason = "the opening is a future, which has none")]
pub struct FollowStream {
    introduction: Introduction,
    requests: mpsc::Sender<pb::FollowRequest>,
    responses: Responses,
}

/// An issuer may wait for the hello before it answers at all, so opening is part of listening.
enum Responses {
    Opening(Opening),
    Open(Box<Streaming<pb::FollowResponse>>),
    Ended,
}

impl FollowStream {
    fn open(channel: Channel, introduction: Introduction) -> Self {
        let (requests, outgoing) = mpsc::channel(UNSENT);
        let mut client = TrustServiceClient::new(channel).max_decoding_message_size(LARGEST);
        let opening = async move { client.follow(ReceiverStream::new(outgoing)).await };
        Self { introduction, requests, responses: Responses::Opening(Box::pin(opening)) }
    }

    async fn message(&mut self) -> Result<Option<pb::FollowResponse>, Status> {
        if let Responses::Opening(opening) = &mut self.responses {
            let opened = opening.await;
            self.responses = match opened {
                Ok(response) => Responses::Open(Box::new(response.into_inner())),
                Err(status) => {
                    self.responses = Responses::Ended;
                    return Err(status);
                }
            };
        }
        match &mut self.responses {
            Responses::Open(stream) => stream.message().await,
            Responses::Opening(_) | Responses::Ended => Ok(None),
        }
    }
}

impl Feed for FollowStream {
    async fn next(&mut self) -> Option<Input> {
        let heard = match self.message().await {
            Ok(message) => message.map(convert::heard),
            Err(status) => {
                tracing::warn!(code = ?status.code(), message = status.message(), "the issuer ended the stream");
                None
            }
        };
        match heard {
            Some(Ok(input)) => return Some(input),
            Some(Err(error)) => tracing::warn!(%error, "the issuer is left"),
            None => {}
        }
        self.responses = Responses::Ended;
        None
    }

    fn say(&mut self, said: Said) -> Result<(), Gone> {
        self.requests.try_send(convert::said(said, &self.introduction)).map_err(|_full_or_closed| Gone)
    }

    async fn room(&mut self) {
        // A closed stream has no room either: saying something tells.
        let _permit = self.requests.reserve().await;
    }

    async fn goodbye(mut self) {
        let said = self.requests.try_send(convert::goodbye()).is_ok();
        // The end of the requests lets the issuer end the stream, and only then the goodbye was surely read.
        let (closed, _) = mpsc::channel(1);
        self.requests = closed;
        let ended = async { while let Ok(Some(_)) = self.message().await {} };
        if said && tokio::time::timeout(GOODBYE, ended).await.is_err() {
            tracing::warn!("the issuer did not confirm the goodbye");
        }
    }
}

const FIRST_BACKOFF: Duration = Duration::from_millis(100);
const LAST_BACKOFF: Duration = Duration::from_secs(5);
const CONNECT: Duration = Duration::from_secs(2);
const KEEP_ALIVE: Duration = Duration::from_secs(5);
/// The issuer's answer to a goodbye is waited for so long.
const GOODBYE: Duration = Duration::from_secs(1);
/// Messages that wait to be sent: with more, the issuer does not read.
const UNSENT: usize = 64;
const LARGEST: usize = 4 << 20;
const WINDOW: u32 = 4 << 20;
