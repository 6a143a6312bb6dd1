//! Who is calling, as the connection proves it, and what the settings let that caller do. Reads no metadata: what a
//! caller says of itself is no proof.

mod settings;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, atomic::AtomicUsize},
};

use tonic::{Code, Status};

use super::{failures::Failures, methods::Role, status};
use crate::{organisation_id::OrganisationId, project_id::ProjectId, token::kind::TokenType};

/// What the connection proves about the caller.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Caller {
    /// Plaintext on loopback, trusted by `grpc.insecure_loopback`.
    Loopback,
    /// Plaintext TCP: no identity.
    Nobody,
    /// Could open the Unix socket: the file's mode let it.
    UnixSocket,
    /// Showed a certificate of our CA.
    Certified(Arc<Certified>),
}

/// A caller with a certificate.
#[derive(Debug, Eq, PartialEq)]
pub struct Certified {
    identity: Arc<str>,
    grant: Grant,
}

/// A connection as its calls know it.
#[derive(Clone, Debug)]
pub(super) struct Peer {
    /// Whose it is.
    pub(super) caller: Caller,
    /// How many of its calls are under way.
    pub(super) calls: Arc<AtomicUsize>,
    /// What it brought and was refused for what it is.
    pub(super) failures: Arc<Failures>,
}

/// What the settings give to an identity. The default is nothing.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Grant {
    /// For what it may call.
    pub roles: Vec<Role>,
    /// As [`Role::Portal`]: on behalf of these only.
    pub organisations: Option<BTreeSet<OrganisationId>>,
    /// As [`Role::Portal`]: for these only.
    pub projects: Option<BTreeSet<ProjectId>>,
    /// As [`Role::Portal`]: tokens of these types only.
    pub token_types: Option<BTreeSet<TokenType>>,
}

/// What a call is about; `None` is everything there is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Subject<'a> {
    /// The project.
    pub project: Option<&'a ProjectId>,
    /// The organisation that uses tokens, or owns the project.
    pub organisation: Option<OrganisationId>,
    /// The type of tokens.
    pub token_type: Option<TokenType>,
}

impl Caller {
    /// The name under which the caller is audited and logged, and owns its idempotency keys.
    pub fn actor(&self) -> &str {
        match self {
            Self::Loopback => "loopback",
            Self::Nobody => "nobody",
            Self::UnixSocket => "unix-socket",
            Self::Certified(certified) => &certified.identity,
        }
    }

    /// Whether the caller may do what asks for `role`.
    pub fn holds(&self, role: Role) -> bool {
        match (self, role) {
            (Self::Loopback, _) | (_, Role::Anyone) | (Self::UnixSocket, Role::Component) => true,
            (Self::Nobody, _) | (Self::UnixSocket, Role::Portal | Role::Verifier | Role::Operator) => false,
            (Self::Certified(certified), _) => certified.grant.roles.contains(&role),
        }
    }

    /// Whether the caller is bound to some projects, organisations or token types.
    pub fn is_narrowed(&self) -> bool {
        self.grant().is_some_and(|grant| {
            grant.organisations.is_some() || grant.projects.is_some() || grant.token_types.is_some()
        })
    }

    /// Lets a call through that is about `subject`. What is wider than the caller's bounds is outside of them.
    ///
    /// # Errors
    /// `PERMISSION_DENIED` `NOT_FOR_THIS_CALLER`.
    pub fn check(&self, subject: Subject<'_>) -> Result<(), Status> {
        let Some(grant) = self.grant() else { return Ok(()) };
        let within = bound(grant.organisations.as_ref(), subject.organisation.as_ref())
            && bound(grant.projects.as_ref(), subject.project)
            && bound(grant.token_types.as_ref(), subject.token_type.as_ref());
        if within { Ok(()) } else { Err(Self::outside()) }
    }

    /// As [`Self::check`], for what is about a project and no token: the types do not matter.
    ///
    /// # Errors
    /// `PERMISSION_DENIED` `NOT_FOR_THIS_CALLER`.
    pub fn check_project(&self, project: &ProjectId, owner: OrganisationId) -> Result<(), Status> {
        let Some(grant) = self.grant() else { return Ok(()) };
        let within = bound(grant.organisations.as_ref(), Some(&owner))
            && bound(grant.projects.as_ref(), Some(project));
        if within { Ok(()) } else { Err(Self::outside()) }
    }

    /// The refusal of what is outside the caller's bounds.
    pub fn outside() -> Status {
        let text = "the caller is not let do this for this project, organisation or token type";
        status::with_reason(Code::PermissionDenied, "NOT_FOR_THIS_CALLER", text)
    }

    /// The caller of a request; nobody, if no connection vouches for one.
    pub fn of(extensions: &http::Extensions) -> Self {
        let peer = || extensions.get::<Peer>().map(|peer| peer.caller.clone());
        extensions.get::<Self>().cloned().or_else(peer).unwrap_or(Self::Nobody)
    }

    fn grant(&self) -> Option<&Grant> {
        match self {
            Self::Certified(certified) => Some(&certified.grant),
            Self::Loopback | Self::Nobody | Self::UnixSocket => None,
        }
    }
}

fn bound<T: Ord>(bounds: Option<&BTreeSet<T>>, given: Option<&T>) -> bool {
    bounds.is_none_or(|bounds| given.is_some_and(|given| bounds.contains(given)))
}

/// Every identity that the settings give anything to.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Callers(Arc<BTreeMap<Arc<str>, Arc<Certified>>>);

impl Callers {
    /// Of these.
    pub fn new(grants: impl IntoIterator<Item = (Arc<str>, Grant)>) -> Self {
        let certified = grants
            .into_iter()
            .map(|(identity, grant)| (Arc::clone(&identity), Arc::new(Certified { identity, grant })));
        Self(Arc::new(certified.collect()))
    }

    /// The caller of that name; a stranger may call what anyone may.
    pub fn of(&self, identity: &Arc<str>) -> Caller {
        let stranger = || Certified { identity: Arc::clone(identity), grant: Grant::default() };
        Caller::Certified(self.0.get(identity).cloned().unwrap_or_else(|| Arc::new(stranger())))
    }

    /// Their names.
    pub fn identities(&self) -> impl Iterator<Item = &Arc<str>> {
        self.0.keys()
    }
}
