//! `store.url`: which servers hold a realm, and as whom they are talked to. Never a password: it could reach a log.

use std::{fmt, path::PathBuf, str::FromStr};

/// Where the store is.
///
/// * `redis://[user@]host[:port][/db]`, `unix:///path`: one server.
/// * `redis-sentinel://[user@]host[:port],…/service[/db]`: the Sentinels that know the service's master.
/// * `redis-cluster://[user@]host[:port],…`: some nodes of a cluster.
///
/// With `rediss` instead of `redis` everything goes over TLS.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RedisUrl {
    pub(super) topology: Topology,
    pub(super) tls: bool,
    pub(super) user: Option<String>,
    pub(super) database: u32,
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Topology {
    Server(Node),
    Sentinel { sentinels: Vec<Node>, service: String },
    Cluster { seeds: Vec<Node> },
}

/// Where one server listens.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Node {
    Tcp { host: String, port: u16 },
    Socket(PathBuf),
}

/// It is not of any of those forms, or holds a password.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not an address of a store in Redis")]
pub struct NoRedisUrl;

impl RedisUrl {
    /// Whether connections are encrypted.
    pub const fn tls(&self) -> bool {
        self.tls
    }
}

impl FromStr for RedisUrl {
    type Err = NoRedisUrl;

    fn from_str(url: &str) -> Result<Self, NoRedisUrl> {
        let (scheme, rest) = url.split_once("://").ok_or(NoRedisUrl)?;
        if scheme == "unix" {
            let socket = rest.starts_with('/') && !rest.contains(['?', '#']);
            let topology = Topology::Server(Node::Socket(rest.into()));
            return if socket {
                Ok(Self { topology, tls: false, user: None, database: 0 })
            } else {
                Err(NoRedisUrl)
            };
        }
        let (tls, kind) = match scheme.strip_prefix("rediss") {
            Some(kind) => (true, kind),
            None => (false, scheme.strip_prefix("redis").ok_or(NoRedisUrl)?),
        };
        let (authority, path) =
            rest.split_once('/').map_or((rest, None), |(first, path)| (first, Some(path)));
        let (user, hosts) = match authority.rsplit_once('@') {
            Some((user, hosts)) => (Some(name(user)?), hosts),
            None => (None, authority),
        };
        let port = if kind == "-sentinel" { SENTINEL_PORT } else { PORT };
        let nodes = hosts.split(',').map(|host| node(host, port)).collect::<Result<Vec<_>, _>>()?;
        let (topology, database) = match (kind, path) {
            ("", path) => {
                let [server] = <[Node; 1]>::try_from(nodes).map_err(|_several| NoRedisUrl)?;
                (Topology::Server(server), database(path)?)
            }
            ("-sentinel", Some(path)) => {
                let (service, path) =
                    path.split_once('/').map_or((path, None), |(first, path)| (first, Some(path)));
                (Topology::Sentinel { sentinels: nodes, service: name(service)? }, database(path)?)
            }
            ("-cluster", None | Some("")) => (Topology::Cluster { seeds: nodes }, 0),
            _ => return Err(NoRedisUrl),
        };
        Ok(Self { topology, tls, user, database })
    }
}

impl Node {
    /// `host:port` as servers name each other, the host left out for that of `from`.
    pub(super) fn named(text: &str, from: &Self) -> Option<Self> {
        let (host, port) = text.rsplit_once(':')?;
        let host = match (host.trim_start_matches('[').trim_end_matches(']'), from) {
            ("" | "?", Self::Tcp { host, .. }) => host,
            ("" | "?", Self::Socket(_)) => return None,
            (host, _) => host,
        };
        Some(Self::Tcp { host: host.to_owned(), port: port.parse().ok()? })
    }
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Socket(path) => write!(f, "{}", path.display()),
        }
    }
}

fn node(text: &str, port: u16) -> Result<Node, NoRedisUrl> {
    let (host, port) = if let Some(rest) = text.strip_prefix('[') {
        let (host, after) = rest.split_once(']').ok_or(NoRedisUrl)?;
        host.parse::<std::net::Ipv6Addr>().map_err(|_none| NoRedisUrl)?;
        match after.strip_prefix(':') {
            Some(port) => (host, port.parse().map_err(|_none| NoRedisUrl)?),
            None if after.is_empty() => (host, port),
            None => return Err(NoRedisUrl),
        }
    } else {
        match text.split_once(':') {
            Some((host, port)) => (host, port.parse().map_err(|_none| NoRedisUrl)?),
            None => (text, port),
        }
    };
    let letters = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b':');
    let good = (1..=253).contains(&host.len()) && host.bytes().all(letters) && port != 0;
    if good { Ok(Node::Tcp { host: host.to_owned(), port }) } else { Err(NoRedisUrl) }
}

/// A user or a service.
fn name(text: &str) -> Result<String, NoRedisUrl> {
    let letters = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    let good = (1..=64).contains(&text.len()) && text.bytes().all(letters);
    if good { Ok(text.to_owned()) } else { Err(NoRedisUrl) }
}

fn database(path: Option<&str>) -> Result<u32, NoRedisUrl> {
    match path {
        None | Some("") => Ok(0),
        Some(number) => number.parse().map_err(|_none| NoRedisUrl),
    }
}

const PORT: u16 = 6379;
const SENTINEL_PORT: u16 = 26379;

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(host: &str, port: u16) -> Node {
        Node::Tcp { host: host.to_owned(), port }
    }

    #[test]
    fn each_form_says_where_the_store_is() {
        let read = |url: &str| url.parse::<RedisUrl>().unwrap();
        let server = read("redis://anna@[::1]:7000/2");
        assert_eq!(server.topology, Topology::Server(tcp("::1", 7000)));
        assert_eq!((server.tls, server.user.as_deref(), server.database), (false, Some("anna"), 2));
        assert_eq!(read("rediss://host").topology, Topology::Server(tcp("host", 6379)));
        assert!(read("rediss://host").tls());
        let socket = Topology::Server(Node::Socket("/run/redis.sock".into()));
        assert_eq!(read("unix:///run/redis.sock").topology, socket);
        let sentinels = vec![tcp("a", 26379), tcp("b", 1)];
        let known =
            |service: &str| Topology::Sentinel { sentinels: sentinels.clone(), service: service.to_owned() };
        assert_eq!(read("redis-sentinel://a,b:1/ipms").topology, known("ipms"));
        assert_eq!(read("rediss-sentinel://a,b:1/x/3").database, 3);
        let seeds = vec![tcp("a", 6379), tcp("b", 1)];
        assert_eq!(read("rediss-cluster://u@a,b:1/").topology, Topology::Cluster { seeds });
    }

    #[test]
    fn what_is_none_or_holds_a_password_is_refused() {
        for url in [
            "",
            "redis",
            "http://host",
            "redis+unix:///s",
            "redis://",
            "redis://a,b",
            "redis://host:0",
            "redis://host:x",
            "redis://host/x",
            "redis://user:secret@host",
            "redis://:secret@host",
            "redis://host?pass=secret",
            "unix://relative",
            "unix:///s?pass=secret",
            "redis-sentinel://a",
            "redis-sentinel://a/",
            "redis-sentinel://a/b/x",
            "redis-cluster://a/1",
            "redis-cluster://a,,b",
            "redis-other://a",
            "redis://[::1",
            "redis://[x]",
            "redis://[::1]1",
        ] {
            assert_eq!(url.parse::<RedisUrl>(), Err(NoRedisUrl), "{url}");
        }
    }

    #[test]
    fn servers_name_each_other_with_or_without_a_host() {
        let from = tcp("here", 1);
        assert_eq!(Node::named("there:2", &from), Some(tcp("there", 2)));
        assert_eq!(Node::named("[::1]:2", &from), Some(tcp("::1", 2)));
        assert_eq!(Node::named("::1:2", &from), Some(tcp("::1", 2)));
        assert_eq!(Node::named(":2", &from), Some(tcp("here", 2)));
        assert_eq!(Node::named("there", &from), None);
        assert_eq!(tcp("::1", 2).to_string(), "[::1]:2");
    }
}
