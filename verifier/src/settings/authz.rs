//! The settings section `authz`: where proxies ask, and whose word counts. A word that is not understood is a mistake.

use std::net::SocketAddr;

use common::runtime::{
    caller::Caller, http::HttpAddress, service_settings::ServiceSettings, settings_file::SettingsFile,
    tls::is_identity,
};

/// What is set for proxies.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct AuthzSettings {
    /// Where `/authz` is served over HTTP; nowhere, if absent.
    pub listen: Option<HttpAddress>,
    /// Whose word about the holder's certificate is believed.
    pub trusted_peers: TrustedPeers,
}

impl AuthzSettings {
    /// Takes its keys; mistakes are told by [`SettingsFile::finish`].
    pub fn read(file: &mut SettingsFile, service: &ServiceSettings) -> Self {
        Self { listen: listen(file, service), trusted_peers: TrustedPeers::read(file) }
    }
}

/// As gRPC: over plaintext TCP nobody has a role, so nobody would be answered.
fn listen(file: &mut SettingsFile, service: &ServiceSettings) -> Option<HttpAddress> {
    let given = file.optional_string(LISTEN)?;
    if let Some(path) = given.strip_prefix("unix:") {
        let path = path.strip_prefix("//").unwrap_or(path);
        if !path.starts_with('/') {
            file.refuse(LISTEN, "be unix:/path or an address and a port, such as 127.0.0.1:50072");
        }
        return Some(HttpAddress::Unix(path.into()));
    }
    let Ok(address) = given.parse::<SocketAddr>() else {
        file.refuse(LISTEN, "be unix:/path or an address and a port, such as 127.0.0.1:50072");
        return None;
    };
    let trusted = service.insecure_loopback && address.ip().is_loopback();
    if service.tls.is_none() && !trusted {
        file.refuse(
            LISTEN,
            "be unix:/path, unless tls.certificate, key and client_ca are given, or it is loopback and \
             grpc.insecure_loopback = true",
        );
    }
    Some(HttpAddress::Tcp(address))
}

const LISTEN: &str = "authz.listen";

/// `authz.trusted_peers`: proxies that end TLS and say honestly which certificate was shown. The default is nobody.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct TrustedPeers(Vec<String>);

impl TrustedPeers {
    /// Whether `caller` is one of them.
    pub fn trust(&self, caller: &Caller) -> bool {
        self.0.iter().any(|name| name == caller.actor())
    }

    fn read(file: &mut SettingsFile) -> Self {
        let names = file.list("authz.trusted_peers");
        if !names.iter().all(|name| LOCAL.contains(&&**name) || is_identity(name)) {
            file.refuse(
                "authz.trusted_peers",
                "be a list of names in callers' certificates, unix-socket or loopback",
            );
        }
        Self(names)
    }
}

/// Callers without a certificate who can be told from others.
const LOCAL: [&str; 2] = ["unix-socket", "loopback"];

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use common::runtime::{caller::Callers, service_settings::Defaults};

    use super::*;

    fn settings(text: &str) -> Result<AuthzSettings, String> {
        let mut file = SettingsFile::new(text.parse().unwrap(), [], "VERIFIER_");
        let service = ServiceSettings::read(&mut file, Defaults::VERIFIER);
        let read = AuthzSettings::read(&mut file, &service);
        file.finish().map(|()| read).map_err(|mistakes| mistakes.to_string())
    }

    fn read(names: &str) -> Result<TrustedPeers, String> {
        let names: Vec<_> = names.split_terminator(',').collect();
        settings(&format!("authz.trusted_peers = {names:?}")).map(|read| read.trusted_peers)
    }

    #[test]
    fn http_is_off_and_where_nobody_could_have_a_role_it_is_refused() {
        let tls = "tls.certificate = 'c'\ntls.key = 'k'\ntls.client_ca = 'a'\n";
        let trusting = "grpc.insecure_loopback = true\n";
        assert_eq!(settings("").unwrap(), AuthzSettings::default());
        for (with, listen, taken) in [
            ("", "unix:/run/a", true),
            ("", "unix:///run/a", true),
            ("", "unix:a", false),
            ("", "127.0.0.1:1", false),
            ("", "localhost", false),
            (trusting, "127.0.0.1:1", true),
            (trusting, "0.0.0.0:1", false),
            (tls, "0.0.0.0:1", true),
        ] {
            let read = settings(&format!("{with}authz.listen = '{listen}'"));
            assert_eq!(read.is_ok(), taken, "{with}{listen}: {read:?}");
            assert!(read.err().is_none_or(|told| told.starts_with("authz.listen must be unix:/path")));
        }
    }

    #[test]
    fn nobody_is_believed_who_is_not_named() {
        let gateway = Callers::default().of(&Arc::from("spiffe://ipms.test/gateway"));
        let all = [Caller::Nobody, Caller::Loopback, Caller::UnixSocket, gateway];
        let trusted = |names: &str| {
            let peers = read(names).unwrap();
            all.iter().map(|caller| peers.trust(caller)).collect::<Vec<_>>()
        };
        assert_eq!(trusted(""), [false; 4]);
        assert_eq!(trusted("unix-socket"), [false, false, true, false]);
        assert_eq!(trusted("loopback,spiffe://ipms.test/gateway"), [false, true, false, true]);
        for bad in ["nobody", "*", "spiffe://ipms.test/*", "a"] {
            assert!(read(bad).unwrap_err().starts_with("authz.trusted_peers must be a list"), "{bad}");
        }
    }
}
