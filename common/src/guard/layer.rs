//! The layer around a service: 401 or 503, or the request goes on with its admission. Never logs a token.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use http::{
    HeaderMap, HeaderValue, Request, Response, StatusCode,
    header::{AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE},
};
use tonic::Status;
use tower::{Layer, Service};

use super::{Admission, HolderCertificate, Judge, NotAdmitted, Shown};
use crate::{
    runtime::{
        bearer::{Bearer, bearer},
        status,
    },
    token::kind::TokenType,
};

/// Puts a [`Judge`] before a service: an axum route, or a tonic server.
///
/// A request without credentials gets 401 with a bare `Bearer` (RFC 6750 section 3.1); every refusal gets the same 401
/// with `error="invalid_token"`; 503 with `Retry-After` says that nobody can tell. A gRPC call gets `UNAUTHENTICATED` or
/// `UNAVAILABLE` instead. What passes carries an [`Admission`] in its extensions, and its token no more.
#[derive(Debug)]
pub struct Guard<J> {
    judge: Arc<J>,
    accepted_types: Arc<[TokenType]>,
}

impl<J> Guard<J> {
    /// For endpoints that serve `accepted_types`.
    pub fn new(judge: Arc<J>, accepted_types: impl Into<Arc<[TokenType]>>) -> Self {
        Self { judge, accepted_types: accepted_types.into() }
    }
}

impl<J> Clone for Guard<J> {
    fn clone(&self) -> Self {
        Self { judge: Arc::clone(&self.judge), accepted_types: Arc::clone(&self.accepted_types) }
    }
}

impl<S, J> Layer<S> for Guard<J> {
    type Service = Guarded<S, J>;

    fn layer(&self, inner: S) -> Guarded<S, J> {
        Guarded { inner, guard: self.clone() }
    }
}

/// A service behind a [`Guard`].
#[derive(Debug)]
pub struct Guarded<S, J> {
    inner: S,
    guard: Guard<J>,
}

impl<S: Clone, J> Clone for Guarded<S, J> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), guard: self.guard.clone() }
    }
}

impl<S, J, Sent, Answer> Service<Request<Sent>> for Guarded<S, J>
where
    S: Service<Request<Sent>, Response = Response<Answer>> + Clone + Send + 'static,
    S::Future: Send,
    J: Judge,
    Sent: Send + 'static,
    Answer: Default,
{
    type Response = Response<Answer>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Answer>, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Sent>) -> Self::Future {
        // The service that was found ready, not a clone of it, which may not be.
        let clone = self.inner.clone();
        let mut ready = std::mem::replace(&mut self.inner, clone);
        let guard = self.guard.clone();
        Box::pin(async move {
            let holder = request.extensions().get().copied();
            match guard.admit(request.headers(), holder).await {
                Ok(admission) => {
                    request.headers_mut().remove(AUTHORIZATION);
                    request.extensions_mut().insert(admission);
                    ready.call(request).await
                }
                Err(why) => Ok(turned_away(request.headers(), why)),
            }
        })
    }
}

impl<J: Judge> Guard<J> {
    async fn admit(
        &self,
        headers: &HeaderMap,
        holder: Option<HolderCertificate>,
    ) -> Result<Admission, TurnedAway> {
        let token = match bearer(headers) {
            Bearer::None => return Err(TurnedAway::NoCredentials),
            Bearer::Unusable => return Err(TurnedAway::Refused),
            Bearer::Token(token) => token,
        };
        let admission =
            self.judge.judge(Shown { token, accepted_types: &self.accepted_types, holder }).await?;
        // A judge that answers what was not asked is not believed.
        if self.accepted_types.contains(&admission.kind) { Ok(admission) } else { Err(TurnedAway::Refused) }
    }
}

#[derive(Clone, Copy)]
enum TurnedAway {
    NoCredentials,
    Refused,
    Undecided(Duration),
}

impl From<NotAdmitted> for TurnedAway {
    fn from(why: NotAdmitted) -> Self {
        match why {
            NotAdmitted::Refused => Self::Refused,
            NotAdmitted::Undecided { retry_after } => Self::Undecided(retry_after),
        }
    }
}

fn turned_away<B: Default>(asked: &HeaderMap, why: TurnedAway) -> Response<B> {
    let kind = asked.get(CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
    if kind.starts_with(b"application/grpc") {
        return match why {
            TurnedAway::NoCredentials => Status::unauthenticated("a bearer token is needed"),
            TurnedAway::Refused => Status::unauthenticated("the token is refused"),
            TurnedAway::Undecided(retry_after) => status::unavailable(
                "TOKEN_UNDECIDED",
                "nobody can tell now whether the token may be used",
                retry_after,
            ),
        }
        .into_http();
    }
    let (code, name, value) = match why {
        TurnedAway::NoCredentials => {
            (StatusCode::UNAUTHORIZED, WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))
        }
        TurnedAway::Refused => {
            let refused = HeaderValue::from_static(r#"Bearer error="invalid_token""#);
            (StatusCode::UNAUTHORIZED, WWW_AUTHENTICATE, refused)
        }
        TurnedAway::Undecided(retry_after) => {
            // Whole seconds (RFC 9110 section 10.2.3), never cut to a shorter wait.
            let seconds = retry_after.as_secs() + u64::from(retry_after.subsec_nanos() > 0);
            (StatusCode::SERVICE_UNAVAILABLE, RETRY_AFTER, HeaderValue::from(seconds.max(1)))
        }
    };
    let mut response = Response::new(B::default());
    *response.status_mut() = code;
    response.headers_mut().insert(name, value);
    response
}
