//! Who may call what: one table per program, and the layer that holds it. Knows no service and no rule of theirs.

use std::{
    collections::BTreeSet,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use http::{Request, Response};
use prost::Message;
use tonic::{Code, Status, body::Body};
use tower::{Layer, Service};

use super::{caller::Caller, rate_limit::RateLimits, status};
use crate::clock::Clock;

/// For what a caller is here.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Role {
    /// Manages projects, asks for tokens and withdraws them.
    Portal,
    /// Follows the revocation log.
    Verifier,
    /// Has tokens verified.
    Component,
    /// Looks after keys.
    Operator,
    /// Nothing need be proved.
    Anyone,
}

/// A method and the role it asks for.
#[derive(Clone, Copy, Debug)]
pub struct Method {
    /// As on the wire: `/ipms.token.v1.VerifierService/VerifyToken`.
    pub path: &'static str,
    /// Who may call it.
    pub role: Role,
    /// How often each identity may.
    pub rate: Rate,
}

/// So many calls a second, and so many at once before that counts. For each identity by itself.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Rate {
    /// In the long run.
    pub per_second: u32,
    /// At once.
    pub burst: u32,
}

/// Every method that a program serves. What is not in it cannot be called.
#[derive(Clone, Copy, Debug)]
pub struct Methods(pub &'static [Method]);

/// What a path is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Found {
    /// The method with this index in the table.
    Listed(usize),
    /// A service that every server of ours has, open to anyone.
    Common(&'static str),
    /// Not served.
    Unknown,
}

/// The paths of `grpc.health.v1`.
pub(super) const HEALTH: &str = "/grpc.health.v1.Health/";

const COMMON: [&str; 3] =
    [HEALTH, "/grpc.reflection.v1.ServerReflection/", "/grpc.reflection.v1alpha.ServerReflection/"];

impl Methods {
    pub(super) fn find(&self, path: &str) -> Found {
        // A dozen paths at most: comparing them all is quicker than hashing one.
        if let Some(index) = self.0.iter().position(|method| method.path == path) {
            return Found::Listed(index);
        }
        COMMON.into_iter().find(|service| path.starts_with(service)).map_or(Found::Unknown, Found::Common)
    }

    /// # Errors
    ///
    /// `UNIMPLEMENTED` when there is no such method, `PERMISSION_DENIED` when the caller lacks the role.
    fn admit(&self, path: &str, caller: &Caller) -> Result<(), Status> {
        let role = match self.find(path) {
            Found::Listed(index) => self.0.get(index).map(|method| method.role),
            Found::Common(_) => Some(Role::Anyone),
            Found::Unknown => None,
        };
        match role {
            None => Err(Status::unimplemented("no such method")),
            Some(role) if caller.holds(role) => Ok(()),
            Some(_) => Err(status::with_reason(
                Code::PermissionDenied,
                "NO_ROLE",
                "the caller holds no role for this method",
            )),
        }
    }
}

/// Differences between a table and the services in a descriptor set, one line each; empty when they agree. For a test
/// in each program: a method without a row cannot be called, and a row without a method is a slip.
pub fn missing_from(table: &Methods, descriptors: &[u8], services: &[&str]) -> Vec<String> {
    let Ok(set) = prost_types::FileDescriptorSet::decode(descriptors) else {
        return vec!["the descriptor set cannot be read".to_owned()];
    };
    let mut described = BTreeSet::new();
    for file in &set.file {
        for service in &file.service {
            let name = format!("{}.{}", file.package(), service.name());
            if services.contains(&&*name) {
                described.extend(service.method.iter().map(|method| format!("/{name}/{}", method.name())));
            }
        }
    }
    let listed: BTreeSet<String> = table.0.iter().map(|method| method.path.to_owned()).collect();
    let prefixes = services.iter().map(|service| (service, format!("/{service}/")));
    let absent = prefixes
        .filter(|(_, prefix)| !described.iter().any(|path| path.starts_with(prefix)))
        .map(|(service, _)| format!("{service} is not described"));
    let mut differences: Vec<String> = absent.collect();
    differences.extend(described.difference(&listed).map(|path| format!("{path} is not in the table")));
    differences.extend(listed.difference(&described).map(|path| format!("{path} is not described")));
    differences
}

/// Lets a call through only if the table says so: by role, then by rate.
#[derive(Clone, Debug)]
pub(super) struct MethodsLayer {
    pub(super) methods: &'static Methods,
    pub(super) limits: Arc<RateLimits>,
    pub(super) clock: Arc<dyn Clock>,
}

impl MethodsLayer {
    /// # Errors
    ///
    /// As [`Methods::admit`]; and `RESOURCE_EXHAUSTED`, with the time after which a try is worth it.
    fn admit(&self, path: &str, caller: &Caller) -> Result<(), Status> {
        self.methods.admit(path, caller)?;
        let (Found::Listed(method), Caller::Certified(_)) = (self.methods.find(path), caller) else {
            return Ok(());
        };
        self.limits.take(caller, method, self.clock.now().boot).map_err(|wait| {
            let text = "the caller calls this too often";
            status::retry_after(Code::ResourceExhausted, "RATE_LIMITED", text, wait)
        })
    }
}

impl<S> Layer<S> for MethodsLayer {
    type Service = Guarded<S>;

    fn layer(&self, inner: S) -> Guarded<S> {
        Guarded { inner, gate: self.clone() }
    }
}

/// A service behind the table.
#[derive(Clone, Debug)]
pub(super) struct Guarded<S> {
    inner: S,
    gate: MethodsLayer,
}

impl<S, B, R> Service<Request<B>> for Guarded<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Future: Unpin,
    R: From<Body>,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = Refusable<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        match self.gate.admit(request.uri().path(), &Caller::of(request.extensions())) {
            Ok(()) => Refusable::Passed(self.inner.call(request)),
            Err(status) => Refusable::refused(status),
        }
    }
}

/// The answer of the service, or of the layer in its place.
#[derive(Debug)]
pub(super) enum Refusable<F> {
    Passed(F),
    Refused(Option<Box<Response<Body>>>),
}

impl<F> Refusable<F> {
    pub(super) fn refused(status: Status) -> Self {
        Self::Refused(Some(Box::new(status.into_http())))
    }
}

impl<F, R, E> Future for Refusable<F>
where
    F: Future<Output = Result<Response<R>, E>> + Unpin,
    R: From<Body>,
{
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        match &mut *self {
            Self::Passed(answer) => Pin::new(answer).poll(cx),
            Self::Refused(refusal) => {
                refusal.take().map_or(Poll::Pending, |answer| Poll::Ready(Ok(answer.map(R::from))))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tonic_types::StatusExt;

    use super::*;
    use crate::proto::DESCRIPTORS;

    const RATE: Rate = Rate { per_second: 1, burst: 1 };
    const TABLE: Methods = Methods(&[
        Method { path: "/ipms.token.v1.VerifierService/VerifyToken", role: Role::Component, rate: RATE },
        Method { path: "/ipms.token.v1.VerifierService/VerifyTokens", role: Role::Component, rate: RATE },
        Method { path: "/ipms.token.v1.VerifierService/GetTrustView", role: Role::Anyone, rate: RATE },
    ]);

    #[test]
    fn a_caller_without_the_role_is_refused_with_the_reason() {
        let path = "/ipms.token.v1.VerifierService/VerifyToken";
        assert!(TABLE.admit(path, &Caller::UnixSocket).is_ok());
        let refused = TABLE.admit(path, &Caller::Nobody).unwrap_err();
        assert_eq!(refused.code(), Code::PermissionDenied);
        assert_eq!(refused.get_details_error_info().unwrap().reason, "NO_ROLE");
    }

    #[test]
    fn what_is_not_in_the_table_is_unimplemented_for_everyone() {
        for path in
            ["/ipms.token.v1.VerifierService/None", "/a.B/C", "/", "", "/grpc.health.v1.Healthy/Check"]
        {
            let refused = TABLE.admit(path, &Caller::Loopback).unwrap_err();
            assert_eq!(refused.code(), Code::Unimplemented, "{path}");
        }
    }

    #[test]
    fn health_and_reflection_are_open_to_anyone() {
        for path in
            ["/grpc.health.v1.Health/Check", "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"]
        {
            assert!(TABLE.admit(path, &Caller::Nobody).is_ok(), "{path}");
        }
    }

    #[test]
    fn a_table_that_differs_from_the_descriptors_is_told() {
        const SHORT: Methods = Methods(&[
            Method { path: "/ipms.token.v1.VerifierService/VerifyToken", role: Role::Component, rate: RATE },
            Method { path: "/ipms.token.v1.VerifierService/Slip", role: Role::Component, rate: RATE },
        ]);
        let services = ["ipms.token.v1.VerifierService"];
        assert_eq!(missing_from(&TABLE, DESCRIPTORS, &services), [""; 0]);
        assert_eq!(
            missing_from(&SHORT, DESCRIPTORS, &services),
            [
                "/ipms.token.v1.VerifierService/GetTrustView is not in the table",
                "/ipms.token.v1.VerifierService/VerifyTokens is not in the table",
                "/ipms.token.v1.VerifierService/Slip is not described",
            ]
        );
        assert_eq!(missing_from(&TABLE, DESCRIPTORS, &["a.B"])[0], "a.B is not described");
        assert_eq!(missing_from(&TABLE, b"\xff", &services).len(), 1);
    }
}
