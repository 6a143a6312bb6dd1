//! What Redis does to us, done by real servers: wrong settings, every kind of refusal, broken connections, lost masters,
//! lost data. Failure is an acknowledged step that is gone, a call without end, or a loss that nobody notices. An answer
//! "not known" is none.

#[cfg(test)]
mod anomalies;
#[cfg(test)]
mod connections;
#[cfg(test)]
mod files;
#[cfg(test)]
mod loops;
#[cfg(test)]
mod partition;
#[cfg(test)]
#[expect(unreachable_pub, reason = "it is the harness of the whole system that shares it")]
#[path = "../../../tests/harness/ports.rs"]
mod ports;
#[cfg(test)]
mod realm;
#[cfg(test)]
mod refusals;
#[cfg(test)]
#[expect(dead_code, reason = "the contract uses more of it")]
#[path = "../contract/samples.rs"]
mod samples;
#[cfg(test)]
#[path = "../contract/server.rs"]
mod server;
#[cfg(test)]
#[expect(dead_code, reason = "the contract uses more of it")]
#[path = "../servers/mod.rs"]
mod servers;
#[cfg(test)]
mod settings;
#[cfg(test)]
mod switches;

#[cfg(test)]
mod steps {
    //! Steps whose outcome may stay unknown, taken until it is known.

    use std::time::Duration;

    use issuer::{
        adapters::store::redis::RedisStore,
        domain::ports::{Appended, Store as _, StoreError},
    };

    use crate::samples::{Log, project};

    /// Appends one entry until it stands. Each answer that is none is followed by a look at what stands.
    pub(crate) async fn appended(store: &RedisStore, log: &Log) -> Log {
        let (append, after) = log.step(1);
        in_time("an append", async || match store.append(append.clone()).await {
            Ok(Appended::Done) => Some(after.clone()),
            Ok(Appended::EndedElsewhere(end)) if end == after.end => Some(after.clone()),
            Ok(answer) => panic!("{answer:?}"),
            Err(error) => {
                assert_eq!(error, StoreError::Unreachable);
                None
            }
        })
        .await
    }

    /// A store with a log of one entry and the project `p` of organisation 1.
    pub(crate) async fn begun(store: &RedisStore) -> Log {
        let log = appended(store, &Log::new()).await;
        let created = async || store.create_project(project("p", 1, &[])).await.ok();
        in_time("a project", created).await;
        log
    }

    /// Asks until there is an answer. Panics when there never is one.
    pub(crate) async fn in_time<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
        let asking = async {
            loop {
                if let Some(answer) = ask().await {
                    return answer;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, asking).await.unwrap_or_else(|_late| panic!("it never came: {what}"))
    }

    /// A number of rounds: this one, unless a variable says another.
    pub(crate) fn rounds(variable: &str, otherwise: u64) -> u64 {
        std::env::var_os(variable).map_or(otherwise, |text| text.to_str().unwrap().parse().unwrap())
    }

    const PATIENCE: Duration = Duration::from_mins(2);
}
