//! Which methods the verifier serves, and to whom. What is not in the table cannot be called.

use common::runtime::methods::{Method, Methods, Rate, Role};

/// More than a busy component asks for.
const OFTEN: Rate = Rate { per_second: 50_000, burst: 50_000 };
const USUAL: Rate = Rate { per_second: 2_000, burst: 2_000 };

/// The table.
pub static METHODS: Methods = Methods(&[
    Method { path: "/ipms.token.v1.VerifierService/VerifyToken", role: Role::Component, rate: OFTEN },
    Method { path: "/ipms.token.v1.VerifierService/VerifyTokens", role: Role::Component, rate: USUAL },
    Method { path: "/ipms.token.v1.VerifierService/GetTrustView", role: Role::Component, rate: USUAL },
    Method { path: "/envoy.service.auth.v3.Authorization/Check", role: Role::Component, rate: OFTEN },
]);

#[cfg(test)]
mod tests {
    use common::{proto::DESCRIPTORS, runtime::methods::missing_from};

    use super::*;

    const SERVICES: [&str; 2] = ["ipms.token.v1.VerifierService", "envoy.service.auth.v3.Authorization"];

    #[test]
    fn the_table_is_the_service_as_described() {
        assert_eq!(missing_from(&METHODS, DESCRIPTORS, &SERVICES), [""; 0]);
    }
}
