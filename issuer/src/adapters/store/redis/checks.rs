//! What a Redis server must be set to, so that nothing acknowledged is lost without notice. Changes no setting.

use std::{collections::HashMap, fmt};

use super::{dial::Connection, refusal::Refusal};

/// Something that may be lost without notice, which an operator accepts by name.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Risk {
    /// Everything, in a restart of the server.
    AppendOnly,
    /// The last second, in a power cut.
    AppendFsync,
    /// What is acknowledged while the file is rewritten, in a power cut.
    NoAppendFsyncOnRewrite,
    /// The end of a damaged file, in a restart.
    AofLoadTruncated,
    /// What a master takes that is cut from its replicas and is read by nobody who waits for copies.
    MinReplicas,
    /// What a replica that `store.copies` does not count could not take part in, in a failover.
    Copies,
    /// Any of these, for the server does not tell its settings (`CONFIG GET`).
    Config,
}

impl Risk {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::AppendOnly,
        Self::AppendFsync,
        Self::NoAppendFsyncOnRewrite,
        Self::AofLoadTruncated,
        Self::MinReplicas,
        Self::Copies,
        Self::Config,
    ];

    /// As it stands in `store.accept_risks`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::AppendOnly => "appendonly",
            Self::AppendFsync => "appendfsync",
            Self::NoAppendFsyncOnRewrite => "no-appendfsync-on-rewrite",
            Self::AofLoadTruncated => "aof-load-truncated",
            Self::MinReplicas => "min-replicas",
            Self::Copies => "copies",
            Self::Config => "config",
        }
    }
}

/// What is asked of the server.
#[derive(Clone, Debug)]
pub(super) struct Demands {
    /// A node of a cluster, or none.
    pub(super) cluster: bool,
    /// How many machines hold the data.
    pub(super) copies: u32,
    pub(super) accepted: Vec<Risk>,
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
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Wrong {
    /// Its name in `CONFIG` or `INFO`.
    pub setting: &'static str,
    /// What it is.
    pub is: String,
    /// What it must be.
    pub must: String,
    /// What an operator would have to accept.
    pub risk: Option<Risk>,
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { setting, is, must, risk } = self;
        write!(f, "{setting} is {is} and must be {must}")?;
        match risk {
            Some(risk) => write!(f, " (or accept the risk: store.accept_risks = [\"{}\"])", risk.name()),
            None => Ok(()),
        }
    }
}

impl Demands {
    /// Looks at the server's settings.
    pub(super) async fn check(&self, connection: &Connection) -> Result<(), Unfit> {
        let mut info = redis::cmd("INFO");
        info.arg("server").arg("replication").arg("persistence").arg("memory");
        let info: String = connection.ask(&info).await?;
        let info: HashMap<_, _> = info.lines().filter_map(|line| line.trim_end().split_once(':')).collect();
        if info.get("loading") == Some(&"1") {
            return Err(Refusal::Loading.into());
        }
        let mut ask = redis::cmd("CONFIG");
        ask.arg("GET").arg(&SETTINGS.map(|(name, ..)| name)).arg("min-replicas-*");
        let config = match connection.ask::<HashMap<String, String>>(&ask).await {
            Ok(config) => Some(config),
            // A managed server that keeps its settings to itself.
            Err(Refusal::Denied | Refusal::Other) => None,
            Err(refusal) => return Err(refusal.into()),
        };
        let wrong = self.wrong(&info, config.as_ref());
        if wrong.is_empty() { Ok(()) } else { Err(Unfit::Wrong(wrong)) }
    }

    /// Everything that is wrong and not accepted.
    fn wrong(&self, info: &HashMap<&str, &str>, config: Option<&HashMap<String, String>>) -> Vec<Wrong> {
        let mut wrong = Vec::new();
        let mut demand = |setting, is: &str, good: bool, must: &str, risk: Option<Risk>| {
            if !good && risk.is_none_or(|risk| !self.accepted.contains(&risk)) {
                wrong.push(Wrong { setting, is: is.to_owned(), must: must.to_owned(), risk });
            }
        };
        let told = |name: &str| info.get(name).copied().unwrap_or("not told");
        let number = |text: &str| text.split('.').next().and_then(|number| number.parse::<u32>().ok());

        let version = told("redis_version");
        demand(
            "redis_version",
            version,
            number(version).is_some_and(|major| major >= 7),
            "7.0 or later",
            None,
        );
        // As Valkey calls it.
        let mode = info.get("server_mode").copied().unwrap_or_else(|| told("redis_mode"));
        let wanted = if self.cluster { "cluster" } else { "standalone" };
        demand("redis_mode", mode, mode == wanted, &format!("{wanted}, as store.url says"), None);
        demand("role", told("role"), told("role") == "master", "master", None);
        let policy = told("maxmemory_policy");
        // Evicting one key un-revokes.
        demand("maxmemory-policy", policy, policy == "noeviction", "noeviction", None);
        let status = told("aof_last_write_status");
        demand("aof_last_write_status", status, matches!(status, "ok" | "not told"), "ok", None);
        // With more copies than are counted, half of those counted is no majority.
        let (replicas, counted) = (told("connected_slaves"), self.copies.saturating_sub(1));
        let few = number(replicas).is_none_or(|replicas| replicas <= counted);
        let must = format!("at most {counted}, as store.copies says");
        demand("connected_slaves", replicas, few, &must, Some(Risk::Copies));

        let Some(config) = config else {
            let enabled = told("aof_enabled");
            demand("aof_enabled", enabled, enabled == "1", "1", Some(Risk::AppendOnly));
            demand("CONFIG GET", "refused", false, "allowed, so that settings are known", Some(Risk::Config));
            return wrong;
        };
        for (setting, must, risk) in SETTINGS {
            // One that this version does not have cannot be wrong.
            if let Some(is) = config.get(setting) {
                demand(setting, is, is == must, must, risk);
            }
        }
        let needed = self.copies / 2;
        let held = |name: &str| config.get(name).map_or("not told", String::as_str);
        if needed > 0 {
            let (least, lag) = (held("min-replicas-to-write"), held("min-replicas-max-lag"));
            let enough = number(least).is_some_and(|least| least >= needed);
            let must = format!("at least {needed}, half of store.copies");
            demand("min-replicas-to-write", least, enough, &must, Some(Risk::MinReplicas));
            let soon = number(lag).is_some_and(|lag| (1..=LAG).contains(&lag));
            demand("min-replicas-max-lag", lag, soon, "1 to 10", Some(Risk::MinReplicas));
        }
        wrong
    }
}

/// Settings of one allowed value, and the risk that any other is.
const SETTINGS: [(&str, &str, Option<Risk>); 6] = [
    ("appendonly", "yes", Some(Risk::AppendOnly)),
    ("appendfsync", "always", Some(Risk::AppendFsync)),
    ("no-appendfsync-on-rewrite", "no", Some(Risk::NoAppendFsyncOnRewrite)),
    ("aof-load-truncated", "no", Some(Risk::AofLoadTruncated)),
    // A master that is demoted would go on taking writes that are thrown away.
    ("replica-read-only", "yes", None),
    // A replica that acknowledges what its disk did not take.
    ("replica-ignore-disk-write-errors", "no", None),
];
/// Seconds after which a silent replica does not count, at most.
const LAG: u32 = 10;

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(demands: &Demands, info: &[(&'static str, &'static str)]) -> Vec<String> {
        let well = [("redis_version", "7.0.15"), ("redis_mode", "standalone"), ("role", "master")];
        let well = well.into_iter().chain([("maxmemory_policy", "noeviction"), ("connected_slaves", "0")]);
        let info: HashMap<_, _> = well.chain(info.iter().copied()).collect();
        let config: HashMap<_, _> = SETTINGS.map(|(name, must, _)| (name.to_owned(), must.to_owned())).into();
        demands.wrong(&info, Some(&config)).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_no_installed_server_says_is_told_as_well() {
        let demands = Demands { cluster: false, copies: 1, accepted: Vec::new() };
        assert_eq!(wrong(&demands, &[]), [""; 0]);
        let old = wrong(&demands, &[("redis_version", "6.2.14")]);
        assert_eq!(old, ["redis_version is 6.2.14 and must be 7.0 or later"]);
        let failing = wrong(&demands, &[("aof_last_write_status", "err")]);
        assert_eq!(failing, ["aof_last_write_status is err and must be ok"]);
        let silent = demands.wrong(&HashMap::new(), None);
        let named: Vec<_> = silent.iter().map(|wrong| wrong.setting).collect();
        let all = ["redis_version", "redis_mode", "role", "maxmemory-policy", "aof_enabled", "CONFIG GET"];
        assert_eq!(named, all);
    }

    #[test]
    fn a_risk_is_accepted_by_name() {
        let demands = Demands { cluster: false, copies: 3, accepted: vec![Risk::MinReplicas] };
        assert_eq!(wrong(&demands, &[]), [""; 0]);
        let strict = Demands { accepted: Vec::new(), ..demands };
        let told = wrong(&strict, &[]);
        let named = "min-replicas-to-write is not told and must be at least 1, half of store.copies \
                     (or accept the risk: store.accept_risks = [\"min-replicas\"])";
        assert_eq!(told.first().map(String::as_str), Some(named));
    }
}
