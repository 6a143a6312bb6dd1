//! What a Redis server must be set to, so that nothing acknowledged is lost without notice. Changes no setting.

use std::collections::HashMap;

use redis::aio::MultiplexedConnection;

use super::refusal::Refusal;

/// What is asked of the server.
#[derive(Clone, Copy, Debug)]
pub(super) struct Demands {
    /// The operator accepts that a crash of the server may lose what it acknowledged last.
    pub(super) accept_weaker_durability: bool,
}

/// Why a server is not used.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Unfit {
    /// It could not be asked.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Every setting that is wrong.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Wrong(Vec<Wrong>),
}

/// A setting of the server that is wrong.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Wrong {
    /// Older than 7.0.
    #[error("its version is below 7.0")]
    Version,
    /// A replica.
    #[error("its role is not master")]
    Role,
    /// Evicting a key un-revokes.
    #[error("maxmemory-policy must be noeviction")]
    Eviction,
    /// Without a file everything is lost in a restart.
    #[error("appendonly must be yes (or set store.accept_weaker_durability)")]
    AppendOnly,
    /// The last second is lost in a power cut.
    #[error("appendfsync must be always (or set store.accept_weaker_durability)")]
    Fsync,
    /// Its last write to the file failed.
    #[error("it cannot write its append-only file (aof_last_write_status)")]
    LastWrite,
    /// `CONFIG GET` is forbidden, so nothing is known of eviction and files.
    #[error("CONFIG GET is refused, so its settings are not known (or set store.accept_weaker_durability)")]
    Unknown,
}

impl Demands {
    /// Looks at the server's settings.
    pub(super) async fn check(self, connection: &mut MultiplexedConnection) -> Result<(), Unfit> {
        let mut info = redis::cmd("INFO");
        info.arg("server").arg("replication").arg("persistence");
        let info: String = info.query_async(connection).await.map_err(|error| Refusal::from(&error))?;
        let info: HashMap<_, _> = info.lines().filter_map(|line| line.trim_end().split_once(':')).collect();
        if info.get("loading") == Some(&"1") {
            return Err(Refusal::Loading.into());
        }
        let mut ask = redis::cmd("CONFIG");
        ask.arg("GET").arg("maxmemory-policy").arg("appendonly").arg("appendfsync");
        let config: Option<HashMap<String, String>> = match ask.query_async(connection).await {
            Ok(config) => Some(config),
            Err(error) => {
                let refusal = Refusal::from(&error);
                if !matches!(refusal, Refusal::Denied | Refusal::Other) {
                    return Err(refusal.into());
                }
                None
            }
        };
        let wrong = self.wrong(&info, config.as_ref());
        if wrong.is_empty() { Ok(()) } else { Err(Unfit::Wrong(wrong)) }
    }

    fn wrong(self, info: &HashMap<&str, &str>, config: Option<&HashMap<String, String>>) -> Vec<Wrong> {
        let version = info.get("redis_version").and_then(|version| version.split('.').next()?.parse().ok());
        let is = |name: &str, value: &str| {
            config.is_some_and(|config| config.get(name).is_some_and(|held| held == value))
        };
        let strict = !self.accept_weaker_durability;
        let known = config.is_some();
        [
            (Wrong::Version, version.unwrap_or(0) < 7),
            (Wrong::Role, info.get("role") != Some(&"master")),
            (Wrong::Unknown, !known && strict),
            (Wrong::Eviction, known && !is("maxmemory-policy", "noeviction")),
            (Wrong::AppendOnly, known && strict && !is("appendonly", "yes")),
            (Wrong::Fsync, known && strict && !is("appendfsync", "always")),
            (Wrong::LastWrite, info.get("aof_last_write_status").is_some_and(|status| *status != "ok")),
        ]
        .into_iter()
        .filter_map(|(one, stands)| stands.then_some(one))
        .collect()
    }
}
