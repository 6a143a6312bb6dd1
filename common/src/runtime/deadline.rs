//! The caller's deadline: a call that has run out of time is dropped and told so. Sets no deadline of its own.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use http::{HeaderMap, Request, Response};
use tokio::time::{Sleep, sleep};
use tonic::{Status, body::Body};
use tower::Service;

/// A service whose calls end when the `grpc-timeout` of their caller is over. A header that cannot be read is none, as
/// elsewhere in gRPC.
#[derive(Clone, Debug)]
pub struct Deadline<S>(pub(super) S);

impl<S, B> Service<Request<B>> for Deadline<S>
where
    S: Service<Request<B>, Response = Response<Body>>,
    S::Future: Unpin,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Bounded<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let over = timeout(request.headers()).map(|span| Box::pin(sleep(span)));
        Bounded { answer: self.0.call(request), over }
    }
}

/// An answer being made, while there is time.
#[derive(Debug)]
pub struct Bounded<F> {
    answer: F,
    over: Option<Pin<Box<Sleep>>>,
}

impl<F, E> Future for Bounded<F>
where
    F: Future<Output = Result<Response<Body>, E>> + Unpin,
{
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        if let Poll::Ready(answer) = Pin::new(&mut self.answer).poll(cx) {
            return Poll::Ready(answer);
        }
        match &mut self.over {
            Some(over) => over
                .as_mut()
                .poll(cx)
                .map(|()| Ok(Status::deadline_exceeded("the time that the caller gave is over").into_http())),
            None => Poll::Pending,
        }
    }
}

/// Up to eight digits and a unit, as the gRPC protocol has it.
fn timeout(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let number = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(number * 3_600)),
        "M" => Some(Duration::from_secs(number * 60)),
        "S" => Some(Duration::from_secs(number)),
        "m" => Some(Duration::from_millis(number)),
        "u" => Some(Duration::from_micros(number)),
        "n" => Some(Duration::from_nanos(number)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::{convert::Infallible, future};

    use tonic::Code;

    use super::*;

    fn asked(text: &str) -> Request<()> {
        Request::builder().header("grpc-timeout", text).body(()).unwrap()
    }

    #[test]
    fn every_unit_is_read_and_nothing_else_is() {
        for (text, span) in [
            ("2H", Some(Duration::from_hours(2))),
            ("2M", Some(Duration::from_mins(2))),
            ("2S", Some(Duration::from_secs(2))),
            ("99999999m", Some(Duration::from_millis(99_999_999))),
            ("2u", Some(Duration::from_micros(2))),
            ("2n", Some(Duration::from_nanos(2))),
            ("", None),
            ("S", None),
            ("2", None),
            ("+2S", None),
            ("123456789S", None),
        ] {
            assert_eq!(timeout(asked(text).headers()), span, "{text}");
        }
    }

    #[tokio::test]
    async fn a_call_ends_when_its_callers_time_is_over_and_no_other_does() {
        type Answer = Result<Response<Body>, Infallible>;
        let mut stuck = Deadline(tower::service_fn(|_: Request<()>| future::pending::<Answer>()));
        let ended = stuck.call(asked("1m")).await.unwrap();
        assert_eq!(Status::from_header_map(ended.headers()).unwrap().code(), Code::DeadlineExceeded);
        let endless = tokio::time::timeout(Duration::from_millis(20), stuck.call(Request::new(()))).await;
        assert!(endless.is_err());
        let mut quick = Deadline(tower::service_fn(|_: Request<()>| {
            future::ready(Answer::Ok(Response::new(Body::empty())))
        }));
        let answer = quick.call(asked("0n")).await.unwrap();
        assert!(Status::from_header_map(answer.headers()).is_none());
    }
}
