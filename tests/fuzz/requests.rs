//! Any bytes as the request of any method, sent to running services: they answer, and never with an error of their own.

use std::{sync::LazyLock, time::Duration};

use common::proto::v1 as pb;
use harness::pair::Pair;
use prost::Message;
use tokio::runtime::Runtime;
use tonic::{
    Code, Request, Status,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    codegen::http::uri::PathAndQuery,
};

/// The first byte names the method, the others are the message.
pub(crate) fn requests(bytes: &[u8]) {
    static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().unwrap());
    static PAIR: LazyLock<Pair> = LazyLock::new(|| RUNTIME.block_on(Pair::start()));
    let Some((method, message)) = bytes.split_first() else { return };
    let Some(&(path, round_trip)) = METHODS.iter().cycle().nth(usize::from(*method)) else { return };
    round_trip(message);
    let channel = if path.contains("Verifier") { PAIR.verifier() } else { PAIR.issuer() };
    let status = RUNTIME.block_on(async {
        let mut client = tonic::client::Grpc::new(channel);
        client.ready().await.unwrap();
        let mut request = Request::new(tokio_stream::once(message.to_vec()));
        request.set_timeout(Duration::from_millis(300));
        let answer = client.streaming(request, PathAndQuery::from_static(path), Raw).await;
        match answer {
            Ok(answer) => answer.into_inner().message().await.err(),
            Err(status) => Some(status),
        }
    });
    let own_fault = [Code::Unknown, Code::DataLoss, Code::Unimplemented];
    if let Some(status) = status {
        // Tonic calls a message that is no protobuf an internal error; ours say nothing of decoding.
        let undecodable = status.code() == Code::Internal && status.message().contains("decode");
        assert!(undecodable || status.code() != Code::Internal, "{path}: {status:?}");
        assert!(!own_fault.contains(&status.code()), "{path}: {status:?}");
    }
}

/// What is decoded is encoded and decoded again as the same.
fn round_trip<M: Message + Default + PartialEq>(bytes: &[u8]) {
    if let Ok(message) = M::decode(bytes) {
        assert!(M::decode(message.encode_to_vec().as_slice()).unwrap() == message);
    }
}

type Method = (&'static str, fn(&[u8]));

/// Every method of both services.
const METHODS: [Method; 16] = [
    ("/ipms.token.v1.ProjectService/CreateProject", round_trip::<pb::CreateProjectRequest>),
    ("/ipms.token.v1.ProjectService/GetProject", round_trip::<pb::GetProjectRequest>),
    ("/ipms.token.v1.ProjectService/ListProjects", round_trip::<pb::ListProjectsRequest>),
    ("/ipms.token.v1.ProjectService/SetCollaborators", round_trip::<pb::SetCollaboratorsRequest>),
    ("/ipms.token.v1.ProjectService/CloseProject", round_trip::<pb::CloseProjectRequest>),
    ("/ipms.token.v1.IssuerService/IssueToken", round_trip::<pb::IssueTokenRequest>),
    ("/ipms.token.v1.IssuerService/GetToken", round_trip::<pb::GetTokenRequest>),
    ("/ipms.token.v1.IssuerService/ListTokens", round_trip::<pb::ListTokensRequest>),
    ("/ipms.token.v1.RevocationService/Revoke", round_trip::<pb::RevokeRequest>),
    ("/ipms.token.v1.RevocationService/PreviewRevocation", round_trip::<pb::PreviewRevocationRequest>),
    ("/ipms.token.v1.RevocationService/AwaitVisibility", round_trip::<pb::AwaitVisibilityRequest>),
    ("/ipms.token.v1.TrustService/Follow", round_trip::<pb::FollowRequest>),
    ("/ipms.token.v1.TrustService/GetKeySet", round_trip::<pb::GetKeySetRequest>),
    ("/ipms.token.v1.VerifierService/VerifyToken", round_trip::<pb::VerifyTokenRequest>),
    ("/ipms.token.v1.VerifierService/VerifyTokens", round_trip::<pb::VerifyTokensRequest>),
    ("/ipms.token.v1.VerifierService/GetTrustView", round_trip::<pb::GetTrustViewRequest>),
];

/// Bytes as they are.
#[derive(Clone, Copy)]
struct Raw;

impl Codec for Raw {
    type Encode = Vec<u8>;
    type Decode = ();
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, item: Vec<u8>, to: &mut EncodeBuf<'_>) -> Result<(), Status> {
        prost::bytes::BufMut::put_slice(to, &item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = ();
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<()>, Status> {
        let all = prost::bytes::Buf::remaining(from);
        prost::bytes::Buf::advance(from, all);
        Ok(Some(()))
    }
}
