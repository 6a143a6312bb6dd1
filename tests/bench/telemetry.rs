//! What telemetry costs the verifier's processor on the hot path: the same calls with and without a collector in the settings.

use harness::ports::free_address;

use crate::{
    load::Plan,
    report::{Spans, Target, told},
    stand::{Failure, Issuer},
    subjects::Subject,
    tokens::{self, VERIFY},
    verify::{BUSY, Sizes, plan},
};

/// Both get the same header, which the one without does not look at. The collector is not there: that costs no less.
pub(crate) async fn run(sizes: Sizes) -> Result<(), Failure> {
    let issuer = Issuer::start().await?;
    let pool = tokens::signed(&issuer.folder.path().join("keys"), 1, 1)?;
    let hot = pool.first().ok_or("no tokens")?;
    let without = Subject::verifier(&issuer, "without").await?;
    let with = Subject::observed(&issuer, "with", Some(free_address())).await?;
    let traces = [
        (
            "nobody records the trace",
            Target::Ratio(1.03),
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00",
        ),
        ("each trace is recorded", Target::None, "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
    ];
    for (what, target, traceparent) in traces {
        let plan = Plan { traceparent: Some(traceparent), ..plan(VERIFY, &[tokens::request(hot)]) };
        let (mut costs, mut floor) = (Spans::default(), Spans::default());
        for round in 0..=sizes.rounds * 3 {
            for (server, spans) in [(&without, &mut floor), (&with, &mut costs)] {
                let window =
                    server.window(&server.tcp, BUSY, &plan, sizes.window, sizes.window as u64).await?;
                // The first one warms up.
                if round > 0 {
                    spans.add(window.cost);
                }
            }
        }
        told(
            &format!("hot token, 4x32, telemetry on, {what}, of off"),
            costs.median(),
            Some(floor.median()),
            target,
        );
    }
    with.stop().await?;
    without.stop().await?;
    issuer.stop().await
}
