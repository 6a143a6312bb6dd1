//! Which methods the verifier serves, and to whom. What is not in the table cannot be called.

use common::runtime::methods::{Method, Methods, Role};

/// The table.
pub static METHODS: Methods = Methods(&[
    Method { path: "/ipms.token.v1.VerifierService/VerifyToken", role: Role::Component },
    Method { path: "/ipms.token.v1.VerifierService/VerifyTokens", role: Role::Component },
    Method { path: "/ipms.token.v1.VerifierService/GetTrustView", role: Role::Component },
]);

#[cfg(test)]
mod tests {
    use common::{proto::DESCRIPTORS, runtime::methods::missing_from};

    use super::*;

    #[test]
    fn the_table_is_the_service_as_described() {
        assert_eq!(missing_from(&METHODS, DESCRIPTORS, &["ipms.token.v1.VerifierService"]), [""; 0]);
    }
}
