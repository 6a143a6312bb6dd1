//! A server that speaks TLS only, wants certificates, and knows one user with the rights that the guide names.

use std::{fs, os::unix::fs::OpenOptionsExt as _, path::Path};

use issuer::adapters::store::redis::{RedisSettings, StoreTls};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, SanType};

use crate::server::{REDIS, RedisServer, free_port};

/// The server, and the files that it and the store use.
pub(crate) struct Guarded {
    pub(crate) server: RedisServer,
    pub(crate) port: String,
    pub(crate) files: tempfile::TempDir,
}

/// A file that only we may read.
pub(crate) fn private(path: &Path, text: &str) {
    use std::io::Write as _;
    let mut options = fs::OpenOptions::new();
    let mut file = options.write(true).create_new(true).mode(0o600).open(path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

/// The rights that docs/REDIS.md gives the store's user.
pub(crate) fn documented_rights() -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let guide = fs::read_to_string(root.join("docs/REDIS.md")).unwrap();
    let line = guide.lines().find(|line| line.starts_with("user ipms ")).unwrap();
    line.replace("<password>", "secret").replace("<realm>", "*")
}

impl Guarded {
    /// `options` in addition.
    pub(crate) fn start(options: &[&str]) -> Self {
        let files = tempfile::tempdir().unwrap();
        let file = |name: &str| files.path().join(name);
        let mut authority = CertificateParams::default();
        // Without a name of its own it would be called as those that it signs.
        authority.distinguished_name.push(DnType::CommonName, "authority");
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        fs::write(file("ca.pem"), authority.self_signed(&key).unwrap().pem()).unwrap();
        let authority = Issuer::new(authority, key);
        for (name, address) in [("server", Some("127.0.0.1")), ("store", None)] {
            let mut params = CertificateParams::default();
            params.subject_alt_names.extend(address.map(|ip| SanType::IpAddress(ip.parse().unwrap())));
            let key = KeyPair::generate().unwrap();
            fs::write(file(&format!("{name}.pem")), params.signed_by(&key, &authority).unwrap().pem())
                .unwrap();
            private(&file(&format!("{name}.key")), &key.serialize_pem());
        }
        private(&file("password"), "secret");
        let acl = format!("user default off\n{}\nuser admin on >admin ~* &* +@all\n", documented_rights());
        fs::write(file("users.acl"), acl).unwrap();
        let path = |name: &str| file(name).display().to_string();
        loop {
            let port = free_port();
            let (certificate, key, ca, acl) =
                (path("server.pem"), path("server.key"), path("ca.pem"), path("users.acl"));
            let tls = ["--tls-port", &port, "--tls-cert-file", &certificate, "--tls-key-file", &key];
            let guard = ["--tls-ca-cert-file", &ca, "--tls-auth-clients", "yes", "--aclfile", &acl];
            let all = [&tls[..], &guard, options].concat();
            if let Some(server) = RedisServer::of(Path::new(REDIS), &all) {
                return Self { server, port, files };
            }
        }
    }

    pub(crate) fn settings(&self) -> RedisSettings {
        let file = |name: &str| self.files.path().join(name);
        RedisSettings {
            url: format!("rediss://ipms@127.0.0.1:{}", self.port).parse().unwrap(),
            tls: Some(StoreTls { ca: file("ca.pem"), own: Some((file("store.pem"), file("store.key"))) }),
            password_file: Some(file("password")),
            ..self.server.settings()
        }
    }

    /// Sends it a command as its administrator.
    pub(crate) fn tell(&self, command: &str) -> String {
        self.server.tell(&format!("AUTH admin admin\r\n{command}"))
    }
}
