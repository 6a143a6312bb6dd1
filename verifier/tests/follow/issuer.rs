//! An issuer over a real socket that leaves all decisions to the test.

use std::path::Path;

use common::{
    convert::values,
    proto::v1::{
        self as pb,
        follow_request::Message,
        follow_response::Message as Answer,
        trust_service_server::{TrustService, TrustServiceServer},
    },
    revocation::{cursor::Cursor, head::Head},
    trust::{Signed, Trust, Verified},
};
use tokio::{
    net::{TcpListener, UnixListener},
    sync::mpsc,
    task::JoinHandle,
};
use tokio_stream::wrappers::{TcpListenerStream, UnboundedReceiverStream, UnixListenerStream};
use tonic::{Request, Response, Status, Streaming, transport::Server};

use crate::written::Written;

type Responses = mpsc::UnboundedSender<Result<pb::FollowResponse, Status>>;

/// Hands each stream to the test.
struct Scripted(mpsc::UnboundedSender<Conversation>);

#[tonic::async_trait]
impl TrustService for Scripted {
    type FollowStream = UnboundedReceiverStream<Result<pb::FollowResponse, Status>>;

    async fn follow(
        &self,
        request: Request<Streaming<pb::FollowRequest>>,
    ) -> Result<Response<Self::FollowStream>, Status> {
        let mut requests = request.into_inner();
        // As a true issuer may: no answer at all before the hello.
        let first = requests.message().await?;
        let (responses, outgoing) = mpsc::unbounded_channel();
        let conversation = Conversation { first: first.and_then(|first| first.message), requests, responses };
        self.0.send(conversation).map_err(|_ended| Status::unavailable("the test has ended"))?;
        Ok(Response::new(UnboundedReceiverStream::new(outgoing)))
    }

    async fn get_key_set(
        &self,
        _request: Request<pb::GetKeySetRequest>,
    ) -> Result<Response<pb::GetKeySetResponse>, Status> {
        Err(Status::unimplemented("not asked for"))
    }
}

/// Stops with the test.
pub(crate) struct Issuer {
    pub(crate) endpoint: String,
    conversations: mpsc::UnboundedReceiver<Conversation>,
    server: JoinHandle<()>,
}

impl Issuer {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let (to_test, conversations) = mpsc::unbounded_channel();
        let service = TrustServiceServer::new(Scripted(to_test));
        let serving =
            Server::builder().add_service(service).serve_with_incoming(TcpListenerStream::new(listener));
        let server = tokio::spawn(async move { serving.await.unwrap() });
        Self { endpoint, conversations, server }
    }

    pub(crate) fn start_unix(path: &Path) -> Self {
        let listener = UnixListener::bind(path).unwrap();
        let endpoint = format!("unix:{}", path.display());
        let (to_test, conversations) = mpsc::unbounded_channel();
        let service = TrustServiceServer::new(Scripted(to_test));
        let serving =
            Server::builder().add_service(service).serve_with_incoming(UnixListenerStream::new(listener));
        let server = tokio::spawn(async move { serving.await.unwrap() });
        Self { endpoint, conversations, server }
    }

    /// The next stream, and the hello that it began with.
    pub(crate) async fn accept(&mut self) -> (pb::FollowHello, Conversation) {
        let mut conversation = self.conversations.recv().await.unwrap();
        let Some(Message::Hello(hello)) = conversation.first.take() else { panic!("no hello first") };
        (hello, conversation)
    }
}

impl Drop for Issuer {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// One stream.
pub(crate) struct Conversation {
    first: Option<Message>,
    requests: Streaming<pb::FollowRequest>,
    responses: Responses,
}

impl Conversation {
    /// What the verifier says next; `None` when it has ended its side.
    pub(crate) async fn next(&mut self) -> Option<Message> {
        self.requests.message().await.unwrap().map(|request| request.message.unwrap())
    }

    pub(crate) async fn acknowledged(&mut self, cursor: Cursor) {
        loop {
            if let Message::Acknowledge(acknowledge) = self.next().await.unwrap() {
                let acknowledged = values::read_cursor(acknowledge.cursor.unwrap());
                assert!(acknowledged <= cursor);
                if acknowledged == cursor {
                    return;
                }
            }
        }
    }

    pub(crate) async fn probe(&mut self) -> u64 {
        loop {
            if let Message::Probe(probe) = self.next().await.unwrap() {
                return probe.number;
            }
        }
    }

    pub(crate) async fn offer(&mut self) -> pb::FollowOffer {
        loop {
            if let Message::Offer(offer) = self.next().await.unwrap() {
                return offer;
            }
        }
    }

    pub(crate) fn trust(&self, trust: &Verified<Trust>) {
        let Signed { bytes, signature, key } = trust.signed().clone();
        let (statement, signature, log_key_id) = (bytes.into(), signature.into(), key.to_string());
        self.send(Answer::Trust(pb::FollowTrust { statement, signature, log_key_id }));
    }

    /// The head at `last`, and the entries from `first` to it.
    pub(crate) fn log(&self, written: &Written, first: u64, last: u64, log_time: u64) {
        self.head(written, last, log_time);
        let (epoch, first_sequence, previous, entries) = written.run(first, last);
        let (previous_hash, entries) = (previous.to_vec().into(), entries.into());
        self.send(Answer::Entries(pb::FollowEntries { epoch, first_sequence, previous_hash, entries }));
    }

    pub(crate) fn head(&self, written: &Written, end: u64, log_time: u64) {
        let head: Verified<Head> = written.head(0, end, log_time);
        let Signed { bytes, signature, key } = head.signed().clone();
        let (head, signature, log_key_id) = (bytes.into(), signature.into(), key.to_string());
        self.send(Answer::Head(pb::FollowHead {
            head: Some(pb::SignedHead { head, signature, log_key_id }),
        }));
    }

    pub(crate) fn answer(&self, number: u64, cursor: Cursor) {
        let head_age = Some(prost_types::Duration::default());
        let cursor = Some(values::cursor(cursor));
        self.send(Answer::Answer(pb::FollowAnswer { number, cursor, head_age }));
    }

    pub(crate) fn wanted(&self, epoch: u64, after_sequence: u64) {
        self.send(Answer::Wanted(pb::FollowWanted { epoch, after_sequence }));
    }

    pub(crate) fn send(&self, message: Answer) {
        self.responses.send(Ok(pb::FollowResponse { message: Some(message) })).unwrap();
    }

    /// Ends the stream with `status`.
    pub(crate) fn end(self, status: Status) {
        self.responses.send(Err(status)).unwrap();
    }
}
