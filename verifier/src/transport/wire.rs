//! The messages of `VerifyToken` and `VerifyTokens`, read where they lie and answered with bytes that are kept beside
//! each token. The same bytes as those of the generated code, which a test compares. No rule.

use common::{
    convert::Violations,
    proto::v1 as pb,
    runtime::status::invalid_argument,
    verification::{Live, Refusal},
};
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

/// A method that is answered here.
#[derive(Clone, Copy)]
pub(super) struct Method {
    /// The answer, behind the prefix that gRPC puts before messages.
    pub(super) answer: fn(&Verifier, Bytes) -> Result<Answered, NoAnswer>,
    /// Whether it is found without checking a signature.
    pub(super) is_known: fn(&Verifier, Bytes) -> bool,
}

/// `VerifyToken`.
pub(super) const VERIFY_TOKEN: Method = Method {
    answer: verify_token,
    is_known: |verifier, message| Plain::decode(message).is_ok_and(|read| read.is_known(verifier)),
};

/// `VerifyTokens`.
pub(super) const VERIFY_TOKENS: Method = Method {
    answer: verify_tokens,
    is_known: |verifier, message| {
        PlainBatch::decode(message).is_ok_and(|read| read.requests.iter().all(|one| one.is_known(verifier)))
    },
};

/// An answer, and what it cost for nothing.
pub(super) struct Answered {
    pub(super) message: Bytes,
    /// Signatures that were checked and are false.
    pub(super) forged: u32,
}

fn verify_token(verifier: &Verifier, message: Bytes) -> Result<Answered, NoAnswer> {
    let read = Plain::decode(message).ok().ok_or(NoAnswer::Unread)?;
    let question = convert::question(read.asked().ok_or(NoAnswer::Unread)?)?;
    let Judged { answer, view } = verifier.verify(&question);
    let (answer, view) = (answer.map_err(status::undecided)?, end(view));
    let (forged, answer) = (forged([&answer]), Part::of(&answer));
    let mut out = framed(answer.response_len(&view));
    answer.write_response(&view, &mut out);
    Ok(Answered { message: out.into(), forged })
}

fn verify_tokens(verifier: &Verifier, message: Bytes) -> Result<Answered, NoAnswer> {
    let read = PlainBatch::decode(message).ok().ok_or(NoAnswer::Unread)?;
    let asked: Option<Vec<_>> = read.requests.iter().map(Plain::asked).collect();
    let questions = convert::questions(asked.ok_or(NoAnswer::Unread)?.into_iter())?;
    let Judged { answer, view } = verifier.verify_all(&questions);
    let (view, forged) = (end(view), forged(answer.iter().flatten()));
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
    Ok(Answered { message: out.into(), forged })
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
    fn is_known(&self, verifier: &Verifier) -> bool {
        str::from_utf8(&self.token).is_ok_and(|token| verifier.knows(token))
    }

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

/// How many checks of a signature found it false.
pub(super) fn forged<'a>(verdicts: impl IntoIterator<Item = &'a Verdict>) -> u32 {
    // A batch has 64.
    verdicts
        .into_iter()
        .map(|verdict| u32::from(matches!(verdict, Verdict::Refused(Refusal::BadSignature))))
        .sum()
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
