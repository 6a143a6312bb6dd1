//! `grpc.health.v1`: what is served and what is not, told to whoever asks or watches. Judges nothing itself.

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard},
};

use tokio::sync::watch;
use tokio_stream::{StreamExt, wrappers::WatchStream};
use tonic::{Request, Response, Status, codegen::BoxStream};
use tonic_health::pb::{
    HealthCheckRequest, HealthCheckResponse,
    health_check_response::ServingStatus,
    health_server::{self, HealthServer},
};

use super::limits::MAX_QUESTION;

/// The name of the process as a whole.
const PROCESS: &str = "";

/// Which services are served. All clones are one.
#[derive(Clone, Debug)]
pub struct Health(Arc<RwLock<Board>>);

/// A name whose sender is gone is not served any more, for good; its watchers were told and their streams ended.
type Board = BTreeMap<String, Option<watch::Sender<bool>>>;

impl Health {
    /// Knows these names and no other; none is served yet. The process (`""`) is, until the drain.
    pub fn new(names: &[&str]) -> Self {
        let mut board: Board =
            names.iter().map(|name| ((*name).to_owned(), Some(watch::Sender::new(false)))).collect();
        board.insert(PROCESS.to_owned(), Some(watch::Sender::new(true)));
        Self(Arc::new(RwLock::new(board)))
    }

    /// Says whether a name is served. Watchers hear only of changes. A name given to [`Health::new`] is expected.
    pub fn set(&self, name: &str, serving: bool) {
        match self.board().get(name) {
            Some(Some(sender)) => {
                sender.send_if_modified(|now| std::mem::replace(now, serving) != serving);
            }
            // Draining: nothing is served any more.
            Some(None) => {}
            None => tracing::error!(name, "no such name in grpc.health"),
        }
    }

    /// Whether a name is served; `None` when there is no such name.
    pub fn is_serving(&self, name: &str) -> Option<bool> {
        self.board().get(name).map(|sender| sender.as_ref().is_some_and(|sender| *sender.borrow()))
    }

    /// Nothing is served from now on. Ends all watches, each after its last word.
    pub fn drain(&self) {
        let mut board = self.0.write().unwrap_or_else(PoisonError::into_inner);
        for sender in board.values_mut().filter_map(Option::take) {
            sender.send_if_modified(|now| std::mem::replace(now, false));
        }
    }

    /// To be added to a server.
    pub fn service(&self) -> HealthServer<impl health_server::Health> {
        HealthServer::new(self.clone()).max_decoding_message_size(MAX_QUESTION)
    }

    /// Poison means a panic between two of our own lines: the map is whole all the same.
    fn board(&self) -> RwLockReadGuard<'_, Board> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }
}

#[tonic::async_trait]
impl health_server::Health for Health {
    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        let serving = self
            .is_serving(&request.get_ref().service)
            .ok_or_else(|| Status::not_found("no such service"))?;
        Ok(Response::new(told(served(serving))))
    }

    type WatchStream = BoxStream<HealthCheckResponse>;

    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let board = self.board();
        let stream: Self::WatchStream = match board.get(&request.get_ref().service) {
            Some(Some(sender)) => {
                Box::pin(WatchStream::new(sender.subscribe()).map(|now| Ok(told(served(now)))))
            }
            Some(None) => Box::pin(tokio_stream::once(Ok(told(ServingStatus::NotServing)))),
            // The protocol keeps such a stream open. Names never come later, so it says nothing more until the drain.
            None => {
                let end = board.get(PROCESS).and_then(Option::as_ref).map(watch::Sender::subscribe);
                let rest = end.map(WatchStream::new).map(|stream| stream.filter_map(|_| None));
                let first = tokio_stream::once(Ok(told(ServingStatus::ServiceUnknown)));
                match rest {
                    Some(rest) => Box::pin(first.chain(rest)),
                    None => Box::pin(first),
                }
            }
        };
        Ok(Response::new(stream))
    }
}

const fn served(serving: bool) -> ServingStatus {
    if serving { ServingStatus::Serving } else { ServingStatus::NotServing }
}

fn told(status: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse { status: status.into() }
}

#[cfg(test)]
mod tests {
    use tonic::Code;

    use super::{health_server::Health as _, *};

    async fn watch(health: &Health, name: &str) -> BoxStream<HealthCheckResponse> {
        let request = HealthCheckRequest { service: name.to_owned() };
        health.watch(Request::new(request)).await.unwrap().into_inner()
    }

    async fn next(stream: &mut BoxStream<HealthCheckResponse>) -> Option<ServingStatus> {
        stream.next().await.map(|told| told.unwrap().status())
    }

    #[tokio::test]
    async fn only_the_process_is_served_from_the_start() {
        let health = Health::new(&["a"]);
        assert_eq!(health.is_serving(""), Some(true));
        assert_eq!(health.is_serving("a"), Some(false));
        assert_eq!(health.is_serving("b"), None);
        let asked = Request::new(HealthCheckRequest { service: "b".to_owned() });
        assert_eq!(health.check(asked).await.unwrap_err().code(), Code::NotFound);
    }

    #[tokio::test]
    async fn watchers_hear_changes_only_and_the_drain_ends_them() {
        let health = Health::new(&["a"]);
        let mut stream = watch(&health, "a").await;
        assert_eq!(next(&mut stream).await, Some(ServingStatus::NotServing));
        health.set("a", false);
        health.set("a", true);
        assert_eq!(next(&mut stream).await, Some(ServingStatus::Serving));
        health.drain();
        health.set("a", true);
        assert_eq!(next(&mut stream).await, Some(ServingStatus::NotServing));
        assert_eq!(next(&mut stream).await, None);
        assert_eq!((health.is_serving("a"), health.is_serving("")), (Some(false), Some(false)));
        assert_eq!(next(&mut watch(&health, "a").await).await, Some(ServingStatus::NotServing));
    }

    #[tokio::test]
    async fn who_watches_an_unknown_name_is_told_so_until_the_drain() {
        let health = Health::new(&[]);
        let mut stream = watch(&health, "b").await;
        assert_eq!(next(&mut stream).await, Some(ServingStatus::ServiceUnknown));
        health.drain();
        assert_eq!(next(&mut stream).await, None);
    }
}
