//! Who is calling, as the connection proves it. Reads no metadata: what a caller says of itself is no proof.

use super::methods::Role;

/// What the connection proves about the caller.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Caller {
    /// Plaintext on loopback, trusted by `grpc.insecure_loopback`.
    Loopback,
    /// Plaintext TCP: no identity.
    Nobody,
    /// Could open the Unix socket: the file's mode let it.
    UnixSocket,
}

impl Caller {
    /// The name under which the caller is audited and logged.
    pub const fn actor(self) -> &'static str {
        match self {
            Self::Loopback => "loopback",
            Self::Nobody => "nobody",
            Self::UnixSocket => "unix-socket",
        }
    }

    /// Whether the caller may do what asks for `role`.
    pub const fn holds(self, role: Role) -> bool {
        match (self, role) {
            (Self::Loopback, _) | (_, Role::Anyone) | (Self::UnixSocket, Role::Component) => true,
            (Self::Nobody, _) | (Self::UnixSocket, Role::Portal | Role::Verifier | Role::Operator) => false,
        }
    }

    /// The caller of a request; nobody, if no connection vouches for one.
    pub fn of(extensions: &http::Extensions) -> Self {
        extensions.get::<Self>().copied().unwrap_or(Self::Nobody)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_caller_holds_its_roles_and_no_other() {
        let all = [Role::Portal, Role::Verifier, Role::Component, Role::Operator, Role::Anyone];
        let held = |caller: Caller| all.map(|role| caller.holds(role));
        assert_eq!(held(Caller::Loopback), [true; 5]);
        assert_eq!(held(Caller::UnixSocket), [false, false, true, false, true]);
        assert_eq!(held(Caller::Nobody), [false, false, false, false, true]);
    }

    #[test]
    fn a_request_without_a_connection_comes_from_nobody() {
        assert_eq!(Caller::of(&http::Extensions::new()), Caller::Nobody);
    }
}
