//! Which caller may call which method of the issuer. What is not listed cannot be called.

use common::runtime::methods::{Method, Methods, Role};

/// The services of this program.
pub const SERVICES: [&str; 4] = [
    "ipms.token.v1.ProjectService",
    "ipms.token.v1.IssuerService",
    "ipms.token.v1.RevocationService",
    "ipms.token.v1.TrustService",
];

/// Every method, and the role it asks for.
pub static METHODS: Methods = Methods(&[
    Method { path: "/ipms.token.v1.ProjectService/CreateProject", role: Role::Portal },
    Method { path: "/ipms.token.v1.ProjectService/GetProject", role: Role::Portal },
    Method { path: "/ipms.token.v1.ProjectService/ListProjects", role: Role::Portal },
    Method { path: "/ipms.token.v1.ProjectService/SetCollaborators", role: Role::Portal },
    Method { path: "/ipms.token.v1.ProjectService/CloseProject", role: Role::Portal },
    Method { path: "/ipms.token.v1.IssuerService/IssueToken", role: Role::Portal },
    Method { path: "/ipms.token.v1.IssuerService/GetToken", role: Role::Portal },
    Method { path: "/ipms.token.v1.IssuerService/ListTokens", role: Role::Portal },
    Method { path: "/ipms.token.v1.RevocationService/Revoke", role: Role::Portal },
    Method { path: "/ipms.token.v1.RevocationService/PreviewRevocation", role: Role::Portal },
    Method { path: "/ipms.token.v1.RevocationService/AwaitVisibility", role: Role::Portal },
    Method { path: "/ipms.token.v1.TrustService/Follow", role: Role::Verifier },
    Method { path: "/ipms.token.v1.TrustService/GetKeySet", role: Role::Verifier },
]);

#[cfg(test)]
mod tests {
    use common::{proto::DESCRIPTORS, runtime::methods::missing_from};

    use super::*;

    #[test]
    fn the_table_and_the_proto_name_the_same_methods() {
        assert_eq!(missing_from(&METHODS, DESCRIPTORS, &SERVICES), Vec::<String>::new());
    }
}
