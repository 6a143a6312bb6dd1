//! The messages of `VerifyToken` and `VerifyTokens`, read where they lie and answered with bytes that are kept beside
//! each token. The same bytes as those of the generated code, which a test compares. No rule.

use common::{convert::Violations, proto::v1 as pb, runtime::status::invalid_argument, verification::Live};
use prost::{
    Message,
    bytes::Bytes,
    encoding::{WireType, encode_key, encode_varint, encoded_len_varint},
};
use tonic::Status;

use super::{
    convert::{self, Asked},
    status,
};
use crate::{
    application::verify::{Judged, Undecided, Verdict, Verifier},
    domain::trust_view::Position,
};

/// Why a message gets no answer here.
pub(super) enum NoAnswer {
    /// The generated code has to say what is wrong with it.
    Unread,
    /// The answer is an error.
    Status(Box<Status>),
}

impl From<Status> for NoAnswer {
    fn from(status: Status) -> Self {
        Self::Status(Box::new(status))
    }
}

impl From<Violations> for NoAnswer {
    fn from(bad: Violations) -> Self {
        invalid_argument(&bad).into()
    }
}

/// Answers a `VerifyTokenRequest` with a `VerifyTokenResponse`, behind the prefix that gRPC puts before messages.
pub(super) fn verify_token(verifier: &Verifier, message: Bytes) -> Result<Bytes, NoAnswer> {
    let read = Plain::decode(message).ok().ok_or(NoAnswer::Unread)?;
    let question = convert::question(read.asked().ok_or(NoAnswer::Unread)?)?;
    let Judged { answer, view } = verifier.verify(&question);
    let (answer, view) = (answer.map_err(status::undecided)?, end(view));
    let answer = Part::of(&answer);
    let mut out = framed(answer.response_len(&view));
    answer.write_response(&view, &mut out);
    Ok(out.into())
}

/// Answers a `VerifyTokensRequest` with a `VerifyTokensResponse`, behind the prefix that gRPC puts before messages.
pub(super) fn verify_tokens(verifier: &Verifier, message: Bytes) -> Result<Bytes, NoAnswer> {
    let read = PlainBatch::decode(message).ok().ok_or(NoAnswer::Unread)?;
    let asked: Option<Vec<_>> = read.requests.iter().map(Plain::asked).collect();
    let questions = convert::questions(asked.ok_or(NoAnswer::Unread)?.into_iter())?;
    let Judged { answer, view } = verifier.verify_all(&questions);
    let view = end(view);
    let parts: Vec<_> = answer
        .iter()
        .map(|answer| {
            let part = answer.as_ref().map_or_else(|why| Part::undecided(*why), Part::of);
            let length = part.response_len(&view);
            (part, length)
        })
        .collect();
    let mut out = framed(parts.iter().map(|(_, length)| delimited_len(*length)).sum());
    for (part, length) in &parts {
        delimit(RESPONSES, *length, &mut out);
        part.write_response(&view, &mut out);
    }
    Ok(out.into())
}

/// `VerifyTokenRequest`, its bytes left where they are.
#[derive(Clone, PartialEq, Message)]
struct Plain {
    #[prost(bytes = "bytes", tag = "1")]
    token: Bytes,
    #[prost(int32, repeated, tag = "2")]
    accepted_types: Vec<i32>,
    #[prost(message, optional, tag = "3")]
    at_least: Option<pb::Cursor>,
    #[prost(message, optional, tag = "4")]
    max_staleness: Option<prost_types::Duration>,
    #[prost(bytes = "bytes", optional, tag = "5")]
    holder_certificate_sha256: Option<Bytes>,
}

impl Plain {
    /// `None` when the token is not the text that the proto says it is.
    fn asked(&self) -> Option<Asked<'_>> {
        Some(Asked {
            token: str::from_utf8(&self.token).ok()?,
            accepted_types: &self.accepted_types,
            at_least: self.at_least,
            max_staleness: self.max_staleness,
            holder: self.holder_certificate_sha256.as_deref(),
        })
    }
}

/// `VerifyTokensRequest`.
#[derive(Clone, PartialEq, Message)]
struct PlainBatch {
    #[prost(message, repeated, tag = "1")]
    requests: Vec<Plain>,
}

/// The verdict in a `VerifyTokenResponse`.
enum Part<'a> {
    /// What is kept, and what differs from call to call.
    Accepted(&'a [u8], pb::AcceptedToken),
    /// Any other, with the response around it.
    Whole(pb::VerifyTokenResponse),
}

impl<'a> Part<'a> {
    fn of(verdict: &'a Verdict) -> Self {
        match verdict {
            Verdict::Accepted(accepted) => {
                Self::Accepted(accepted.rendered(rendered), convert::usable_until(accepted))
            }
            Verdict::Refused(_) => Self::Whole(convert::response(convert::decided(verdict))),
        }
    }

    fn undecided(why: Undecided) -> Self {
        Self::Whole(convert::response(convert::undecided(why)))
    }

    fn response_len(&self, view: &[u8]) -> usize {
        view.len()
            + match self {
                Self::Accepted(kept, varying) => delimited_len(kept.len() + varying.encoded_len()),
                Self::Whole(response) => response.encoded_len(),
            }
    }

    /// Fields of one message may follow each other in pieces.
    fn write_response(&self, view: &[u8], out: &mut Vec<u8>) {
        match self {
            Self::Accepted(kept, varying) => {
                delimit(ACCEPTED, kept.len() + varying.encoded_len(), out);
                out.extend_from_slice(kept);
                varying.encode_raw(out);
            }
            Self::Whole(response) => response.encode_raw(out),
        }
        out.extend_from_slice(view);
    }
}

/// What every answer about a token says of it, whenever it is asked.
fn rendered(token: &Live) -> Box<[u8]> {
    convert::token(token).encode_to_vec().into_boxed_slice()
}

/// What stands at the end of each response that was judged on one view.
fn end(view: Position) -> Vec<u8> {
    pb::VerifyTokenResponse { verdict: None, view: Some(convert::position(view)) }.encode_to_vec()
}

/// Room for a message of `length` bytes behind its prefix: not compressed, and its length.
fn framed(length: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(PREFIX + length);
    out.push(0);
    // A batch of 64 answers has some 30 KiB.
    out.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
    out
}

fn delimit(field: u32, length: usize, out: &mut Vec<u8>) {
    encode_key(field, WireType::LengthDelimited, out);
    encode_varint(length as u64, out);
}

/// The fields' keys have one byte.
fn delimited_len(length: usize) -> usize {
    1 + encoded_len_varint(length as u64) + length
}

/// Bytes before each message of gRPC.
pub(super) const PREFIX: usize = 5;
/// `accepted` of `VerifyTokenResponse`.
const ACCEPTED: u32 = 1;
/// `responses` of `VerifyTokensResponse`.
const RESPONSES: u32 = 1;
