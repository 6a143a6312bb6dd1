//! The body of an answer: bytes that are ready, or whatever the generated server makes. Knows no message.

use std::{
    mem,
    pin::Pin,
    task::{Context, Poll},
};

use http::{HeaderMap, HeaderValue};
use http_body::{Body as HttpBody, Frame, SizeHint};
use prost::bytes::Bytes;
use tonic::{Status, body::Body};

/// See the module's text.
#[derive(Debug)]
pub struct Answer(Kind);

#[derive(Debug)]
enum Kind {
    /// One message, then the trailers of a success.
    Message(Bytes),
    Trailers,
    Ended,
    Made(Body),
}

impl Answer {
    /// A success with this one message, behind its prefix.
    pub(super) const fn of(message: Bytes) -> Self {
        Self(Kind::Message(message))
    }
}

impl From<Body> for Answer {
    fn from(body: Body) -> Self {
        Self(Kind::Made(body))
    }
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if let Kind::Made(body) = &mut self.0 {
            return Pin::new(body).poll_frame(cx);
        }
        let (next, frame) = match mem::replace(&mut self.0, Kind::Ended) {
            Kind::Message(message) => (Kind::Trailers, Some(Ok(Frame::data(message)))),
            Kind::Trailers => {
                let mut trailers = HeaderMap::with_capacity(1);
                trailers.insert("grpc-status", HeaderValue::from_static("0"));
                (Kind::Ended, Some(Ok(Frame::trailers(trailers))))
            }
            ended @ (Kind::Ended | Kind::Made(_)) => (ended, None),
        };
        self.0 = next;
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Message(_) | Kind::Trailers => false,
            Kind::Ended => true,
            Kind::Made(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Message(message) => SizeHint::with_exact(message.len() as u64),
            Kind::Trailers | Kind::Ended => SizeHint::with_exact(0),
            Kind::Made(body) => body.size_hint(),
        }
    }
}
