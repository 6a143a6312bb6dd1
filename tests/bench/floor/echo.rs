//! A tonic service as `tonic-build` would write it, whose answer is always the same bytes. Judges nothing.

use std::{
    convert::Infallible,
    future::Ready,
    task::{Context, Poll},
};

use common::proto::v1 as pb;
use prost::bytes::Bytes;
use tonic::{
    Request, Response, Status,
    body::Body,
    codegen::{BoxFuture, Service, http},
    server::{Grpc, NamedService, UnaryService},
};
use tonic_prost::ProstCodec;

/// Answers every `VerifyToken` with a message of one length.
#[derive(Clone, Debug)]
pub(crate) struct Echo(Bytes);

impl Echo {
    /// `length` is that of the whole message.
    pub(crate) fn new(length: usize) -> Self {
        // A field's key and its length, which has one byte up to 127 and two above.
        let before = if length > 129 { 3 } else { 2 };
        Self(vec![7; length.saturating_sub(before)].into())
    }
}

/// One field of bytes.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Answer {
    #[prost(bytes = "bytes", tag = "1")]
    bytes: Bytes,
}

impl UnaryService<pb::VerifyTokenRequest> for Echo {
    type Response = Answer;
    type Future = Ready<Result<Response<Answer>, Status>>;

    fn call(&mut self, request: Request<pb::VerifyTokenRequest>) -> Self::Future {
        std::hint::black_box(request.get_ref());
        std::future::ready(Ok(Response::new(Answer { bytes: self.0.clone() })))
    }
}

impl Service<http::Request<Body>> for Echo {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Infallible>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let echo = self.clone();
        Box::pin(async move {
            let codec = ProstCodec::<Answer, pb::VerifyTokenRequest>::default();
            Ok(Grpc::new(codec).unary(echo, request).await)
        })
    }
}

impl NamedService for Echo {
    const NAME: &'static str = "ipms.token.v1.VerifierService";
}
