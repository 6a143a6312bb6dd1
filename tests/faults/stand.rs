//! An issuer and a verifier as processes, with the wire between them. Makes no claim.

use std::time::Duration;

use common::clock::{BootInstant, Clock as _, SystemClock};
use harness::{
    calls::Calls,
    expect, keys,
    orders::{self, OWNER},
    programs::Program,
};

use crate::link::Link;

/// The processes, callers of both, and a project `study`.
pub(crate) struct Stand {
    pub(crate) issuer: Program,
    pub(crate) verifier: Program,
    pub(crate) link: Link,
    pub(crate) calls: Calls,
    _folder: tempfile::TempDir,
}

impl Stand {
    /// The verifier has heard everything when this returns.
    pub(crate) async fn start() -> Self {
        let mut stand = Self::without_verifier().await;
        stand.verifier.start().await;
        stand.calls.fresh().await;
        stand
    }

    /// The verifier is not started yet.
    pub(crate) async fn without_verifier() -> Self {
        let folder = tempfile::tempdir().unwrap();
        keys::copy_into(&folder.path().join("keys"), 1);
        let limit = format!("{}s", LIMIT.as_secs());
        let settings = [("KEYS__DIRECTORY", "keys"), ("LIMITS__REVERSE__STALENESS", &*limit)];
        let mut issuer = Program::new("issuer", folder.path(), &settings);
        issuer.start().await;
        let link = Link::to(issuer.grpc()).await;
        let settings = [
            ("ISSUER__ENDPOINTS", &*format!("http://{}", link.address)),
            ("ISSUER__LOG_KEYS", "keys/log.public.pem"),
            ("FOLLOWER__ID", "follower-a"),
            ("SNAPSHOT__PATH", "view"),
        ];
        let verifier = Program::new("verifier", folder.path(), &settings);
        let calls = Calls::new(issuer.grpc(), verifier.grpc());
        calls.create(orders::reversible("study")).await.unwrap();
        Self { issuer, verifier, link, calls, _folder: folder }
    }

    /// A new token of the type with the limit here, and its id.
    pub(crate) async fn reverse(&self) -> (String, String) {
        let issued = self.calls.issue(orders::reverse("study", OWNER)).await.unwrap();
        (issued.token, issued.record.unwrap().token_id)
    }

    /// Whether the verifier is too stale to decide. Any other error fails the test, and so does a refusal.
    pub(crate) async fn stale(&self, token: &str) -> bool {
        match self.calls.verify(token).await {
            Ok(answer) => {
                let verdict = answer.verdict.unwrap();
                let accepted =
                    matches!(verdict, common::proto::v1::verify_token_response::Verdict::Accepted(_));
                assert!(accepted, "a good token: {verdict:?}");
                false
            }
            Err(status) => {
                assert_eq!(expect::reason(&status), "REVOCATIONS_STALE");
                true
            }
        }
    }
}

/// On the clock that leases are judged on.
pub(crate) fn now() -> BootInstant {
    SystemClock.now().boot
}

/// Of reverse tokens here.
pub(crate) const LIMIT: Duration = Duration::from_secs(3);
