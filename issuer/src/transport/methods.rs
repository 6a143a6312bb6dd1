//! Which caller may call which method of the issuer. What is not listed cannot be called.

use common::runtime::methods::{Method, Methods, Rate, Role};

/// The services of this program.
pub const SERVICES: [&str; 5] = [
    "ipms.token.v1.ProjectService",
    "ipms.token.v1.IssuerService",
    "ipms.token.v1.RevocationService",
    "ipms.token.v1.TrustService",
    "ipms.token.v1.KeyService",
];

/// Of the two that must never be short of calls, revoking has at least what issuing has.
const OFTEN: Rate = Rate { per_second: 2_000, burst: 4_000 };
const USUAL: Rate = Rate { per_second: 500, burst: 1_000 };
/// Thousands of verifiers may share one identity, and all of them come back at once when an issuer restarts: well within
/// the 10 s that the shortest lease lasts.
const STREAMS: Rate = Rate { per_second: 500, burst: 5_000 };

/// Each looks at a disk, and people do not call often.
const RARE: Rate = Rate { per_second: 20, burst: 100 };

/// Every method, the role it asks for, and how often each identity may call it.
pub static METHODS: Methods = Methods(&[
    Method { path: "/ipms.token.v1.ProjectService/CreateProject", role: Role::Portal, rate: USUAL },
    Method { path: "/ipms.token.v1.ProjectService/GetProject", role: Role::Portal, rate: USUAL },
    Method { path: "/ipms.token.v1.ProjectService/ListProjects", role: Role::Portal, rate: USUAL },
    Method { path: "/ipms.token.v1.ProjectService/SetCollaborators", role: Role::Portal, rate: USUAL },
    Method { path: "/ipms.token.v1.ProjectService/CloseProject", role: Role::Portal, rate: USUAL },
    Method { path: "/ipms.token.v1.IssuerService/IssueToken", role: Role::Portal, rate: OFTEN },
    Method { path: "/ipms.token.v1.IssuerService/GetToken", role: Role::Portal, rate: USUAL },
    Method { path: "/ipms.token.v1.IssuerService/ListTokens", role: Role::Portal, rate: USUAL },
    Method { path: "/ipms.token.v1.RevocationService/Revoke", role: Role::Portal, rate: OFTEN },
    Method { path: "/ipms.token.v1.RevocationService/PreviewRevocation", role: Role::Portal, rate: USUAL },
    Method { path: "/ipms.token.v1.RevocationService/AwaitVisibility", role: Role::Portal, rate: USUAL },
    Method { path: "/ipms.token.v1.TrustService/Follow", role: Role::Verifier, rate: STREAMS },
    Method { path: "/ipms.token.v1.TrustService/GetKeySet", role: Role::Verifier, rate: USUAL },
    Method { path: "/ipms.token.v1.KeyService/ListKeys", role: Role::Operator, rate: RARE },
    Method { path: "/ipms.token.v1.KeyService/PrepareKey", role: Role::Operator, rate: RARE },
    Method { path: "/ipms.token.v1.KeyService/ActivateKey", role: Role::Operator, rate: RARE },
    Method { path: "/ipms.token.v1.KeyService/RetireKey", role: Role::Operator, rate: RARE },
]);

#[cfg(test)]
mod tests {
    use common::{proto::DESCRIPTORS, runtime::methods::missing_from};

    use super::*;

    #[test]
    fn revoking_is_never_limited_below_issuing() {
        let rate = |name: &str| METHODS.0.iter().find(|method| method.path.ends_with(name)).unwrap().rate;
        let (issue, revoke) = (rate("/IssueToken"), rate("/Revoke"));
        assert!(revoke.per_second >= issue.per_second && revoke.burst >= issue.burst);
    }

    #[test]
    fn the_table_and_the_proto_name_the_same_methods() {
        assert_eq!(missing_from(&METHODS, DESCRIPTORS, &SERVICES), Vec::<String>::new());
    }
}
