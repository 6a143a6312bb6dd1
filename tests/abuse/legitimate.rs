//! Somebody who means well, and calls all the while. Counts what it got; judges nothing.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use common::proto::v1::{verifier_service_client::VerifierServiceClient, verify_token_response::Verdict};
use harness::calls::question;
use tokio::task::JoinHandle;
use tonic::transport::Channel;

/// Longer than any call takes that is served at all, on a machine that does other things too.
const PATIENCE: Duration = Duration::from_secs(10);

/// Has tokens verified, one after the other.
pub(crate) struct Legitimate {
    stop: Arc<AtomicBool>,
    calls: Arc<AtomicU64>,
    calling: JoinHandle<()>,
}

impl Legitimate {
    /// Begins; any call that is not accepted ends it.
    pub(crate) fn start(channel: Channel, token: String) -> Self {
        let (stop, calls) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (told, counted) = (Arc::clone(&stop), Arc::clone(&calls));
        let calling = tokio::spawn(async move {
            let mut client = VerifierServiceClient::new(channel);
            while !told.load(Ordering::Relaxed) {
                let mut request = tonic::Request::new(question(&token));
                request.set_timeout(PATIENCE);
                let answer = client.verify_token(request).await.unwrap().into_inner();
                assert!(matches!(answer.verdict, Some(Verdict::Accepted(_))), "{answer:?}");
                counted.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        Self { stop, calls, calling }
    }

    /// Ends; how many calls were made, every one of which was accepted.
    pub(crate) async fn end(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.calling.await.unwrap();
        self.calls.load(Ordering::Relaxed)
    }
}
