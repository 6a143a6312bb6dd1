//! `verifier doctor`: looks at all that a start needs, at every issuer and at the verifier that runs. Changes nothing.

use std::{sync::Arc, time::Duration};

use common::{
    clock::Clock,
    proto::v1::{self as pb, trust_service_client::TrustServiceClient},
    runtime::{
        dial::{Endpoint, deepest},
        doctor::{Page, Report},
        tls::ClientTls,
    },
    timestamp::Timestamp,
};
use tonic::{Code, Request, Response};

use crate::{settings::Settings, transport::health::TYPE_NAMES};

/// Looks at everything, by this clock.
pub async fn examine(settings: &Settings, clock: Arc<dyn Clock>) -> Report {
    let mut report = Report::default();
    report.good("settings", "all are taken");
    report.good("keys", format!("{} pinned log key(s) read", settings.log_keys.ids().len()));
    report.own_certificate(&settings.service, Arc::clone(&clock));
    let tls = settings.issuer_tls.clone();
    let tls =
        tls.and_then(|files| report.client_certificate("issuer certificate", files, Arc::clone(&clock)));
    match &settings.snapshot {
        Some(path) => report.writable_folder("snapshot", Page::Settings, path),
        None => report
            .left("snapshot", "none is kept: after a restart nothing is accepted before an issuer answers"),
    }
    for endpoint in &settings.endpoints {
        issuer(endpoint, tls.as_ref(), &*clock, &mut report).await;
    }
    report.serving(&settings.service, &TYPE_NAMES).await;
    report
}

/// One issuer: that it is there, lets this verifier in, and what time it has.
async fn issuer(endpoint: &Endpoint, tls: Option<&Arc<ClientTls>>, clock: &dyn Clock, report: &mut Report) {
    let patient = |target: tonic::transport::Endpoint| target.connect_timeout(WAIT).timeout(WAIT);
    let channel = match endpoint.connect(tls, patient).await {
        Ok(channel) => channel,
        Err(error) => {
            let told = format!("no connection to the issuer at {endpoint}: {}", deepest(&error));
            return report.bad("reachability", Page::Reachability, told);
        }
    };
    let asked = clock.now();
    match TrustServiceClient::new(channel).get_key_set(Request::new(pb::GetKeySetRequest {})).await {
        Ok(answer) => {
            report
                .good("reachability", format!("the issuer at {endpoint} answers and lets this verifier in"));
            match seconds(&answer) {
                None => report.left("clocks", format!("the issuer at {endpoint} does not tell its time")),
                Some(theirs) => {
                    compare(endpoint, theirs, (asked.wall.seconds(), clock.now().wall.seconds()), report);
                }
            }
        }
        Err(status) if matches!(status.code(), Code::PermissionDenied | Code::Unauthenticated) => {
            let told =
                format!("the issuer at {endpoint} does not let this verifier in: {}", status.message());
            report.bad("reachability", Page::Callers, told);
        }
        Err(status) => {
            let told = format!("the issuer at {endpoint} answers {:?}: {}", status.code(), status.message());
            report.bad("reachability", Page::Reachability, told);
        }
    }
}

/// A head that is over 60 s ahead is not taken, and `exp` is judged by the later of both clocks.
fn compare(endpoint: &Endpoint, theirs: u64, (asked, answered): (u64, u64), report: &mut Report) {
    let (behind, ahead) = (asked.saturating_sub(theirs), theirs.saturating_sub(answered));
    if behind > TOLERATED || ahead > TOLERATED {
        let told =
            format!("the clock of the issuer at {endpoint} is {} s off this machine's", behind.max(ahead));
        report.bad("clocks", Page::Clocks, told);
    } else {
        report.good(
            "clocks",
            format!("the issuer's at {endpoint} agrees with this machine's within {TOLERATED} s"),
        );
    }
}

/// When the issuer answered, by the `date` that every HTTP server gives (RFC 9110 section 6.6.1).
fn seconds<T>(answer: &Response<T>) -> Option<u64> {
    let date = answer.metadata().get("date")?.to_str().ok()?;
    Timestamp::from_http_date(date).map(Timestamp::seconds)
}

const WAIT: Duration = Duration::from_secs(2);
/// Seconds.
const TOLERATED: u64 = 5;
