//! The verifier's settings, checked all at once. The public log keys are read here, and no other file.

mod authz;

use std::{fs, path::PathBuf, sync::Arc, time::Duration};

use common::{
    clock::Clock,
    jws::Algorithm,
    keys::PublicKey,
    runtime::{
        service_settings::{Defaults, ServiceSettings, holder_required},
        settings_file::{Mistakes, SettingsFile},
        tls::{ClientTls, TlsFiles},
    },
    token::kind::{PerType, TokenType},
    trust::{InvalidLogKeys, LogKeys},
    verification::{InvalidPolicy, Policy},
};

pub use self::authz::{AuthzSettings, TrustedPeers};
use crate::adapters::follow_client::{Endpoint, InvalidEndpoint};

/// What every variable of ours begins with.
pub const PREFIX: &str = "VERIFIER_";

/// Everything that can be set, and good.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Listeners and logs.
    pub service: ServiceSettings,
    /// Whose tokens are taken.
    pub policy: Policy,
    /// The `iss` of the realm, which its signed heads name too.
    pub issuer: String,
    /// The realm that is followed.
    pub realm: String,
    /// Where issuers are, at least one.
    pub endpoints: Vec<Endpoint>,
    /// As whom issuers are called, and whom they must be signed by; for `https://`.
    pub issuer_tls: Option<TlsFiles>,
    /// The pinned log keys.
    pub log_keys: LogKeys,
    /// Under which name the issuers know this verifier.
    pub follower_id: String,
    /// Where what was heard is kept over a restart; nowhere, if absent.
    pub snapshot: Option<PathBuf>,
    /// Own staleness limits; they only tighten what is announced.
    pub limits: PerType<Option<Duration>>,
    /// What proxies may ask.
    pub authz: AuthzSettings,
}

impl Settings {
    /// Takes all settings. `host` is the machine's name, which stands in for `follower.id`.
    ///
    /// # Errors
    /// Every mistake at once.
    pub fn read(mut file: SettingsFile, host: &str) -> Result<Self, InvalidSettings> {
        let service = ServiceSettings::read(&mut file, Defaults::VERIFIER);
        let issuer = file.string_or("token.issuer", "ipms");
        let audience = file.string_or("token.audience", "incert");
        let realm = realm(&mut file);
        let endpoints = endpoints(&mut file);
        let issuer_tls = issuer_tls(&mut file, &endpoints);
        let holder_required = holder_required(&mut file);
        let log_keys = log_keys(&mut file, service.insecure_loopback);
        let follower_id = follower_id(&mut file, host);
        let snapshot = file.optional_path("snapshot.path");
        let limits = PerType::from_fn(|kind| staleness(&mut file, kind));
        let authz = AuthzSettings::read(&mut file, &service);
        file.finish()?;
        Ok(Self {
            service,
            policy: Policy::new(issuer.clone(), audience, Policy::DEFAULT_LEEWAY)?
                .with_holder_required(holder_required),
            issuer,
            realm,
            endpoints,
            issuer_tls,
            log_keys: LogKeys::new(log_keys)?,
            follower_id,
            snapshot,
            limits,
            authz,
        })
    }
}

impl Settings {
    /// Reads the TLS files that a start would read, and keeps nothing of them.
    ///
    /// # Errors
    /// All mistakes, one a line.
    pub fn check_files(&self, clock: Arc<dyn Clock>) -> Result<(), String> {
        let own = self.service.check_files(Arc::clone(&clock)).err().map(|mistake| format!("tls: {mistake}"));
        let towards = self.issuer_tls.clone().and_then(|files| ClientTls::open(files, clock).err());
        let towards = towards.map(|mistake| format!("issuer: {mistake}"));
        let mistakes: Vec<_> = own.into_iter().chain(towards).collect();
        if mistakes.is_empty() { Ok(()) } else { Err(mistakes.join("\n")) }
    }
}

/// Settings that are not taken.
#[derive(Debug, thiserror::Error)]
pub enum InvalidSettings {
    /// What is wrong with each key.
    #[error(transparent)]
    Mistakes(#[from] Mistakes),
    /// `token.issuer` or `token.audience`.
    #[error("token: {0}")]
    Policy(#[from] InvalidPolicy),
    /// `issuer.log_keys`.
    #[error("issuer.log_keys: {0}")]
    LogKeys(#[from] InvalidLogKeys),
}

fn realm(file: &mut SettingsFile) -> String {
    let realm = file.string_or("realm", "default");
    let plain = realm.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    if realm.len() > 64 || !plain {
        file.refuse("realm", "be 1 to 64 characters of [a-z0-9-]");
    }
    realm
}

fn endpoints(file: &mut SettingsFile) -> Vec<Endpoint> {
    let given = file.list("issuer.endpoints");
    let given = if given.is_empty() { vec!["http://127.0.0.1:50051".to_owned()] } else { given };
    let read: Vec<_> = given.iter().map(|text| endpoint(text)).collect();
    // Each way of being wrong is told once, however many are.
    for wrong in [NoEndpoint::User, NoEndpoint::Form] {
        if read.contains(&Err(wrong)) {
            file.refuse("issuer.endpoints", &wrong.to_string());
        }
    }
    read.into_iter().filter_map(Result::ok).collect()
}

fn endpoint(text: &str) -> Result<Endpoint, NoEndpoint> {
    if text.starts_with("http") && text.contains('@') {
        // Endpoints are logged: no password may stand in one.
        Err(NoEndpoint::User)
    } else {
        Ok(text.parse()?)
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
enum NoEndpoint {
    #[error("not name a user")]
    User,
    #[error("be a list of https://host:port, http://host:port or unix:/path")]
    Form,
}

impl From<InvalidEndpoint> for NoEndpoint {
    fn from(_form: InvalidEndpoint) -> Self {
        Self::Form
    }
}

/// All of `issuer.{ca,certificate,key}` or nothing; all, when an endpoint needs them.
fn issuer_tls(file: &mut SettingsFile, endpoints: &[Endpoint]) -> Option<TlsFiles> {
    let ca = file.optional_path("issuer.ca");
    let certificate = file.optional_path("issuer.certificate");
    let key = file.optional_path("issuer.key");
    let needed = endpoints.iter().any(|endpoint| matches!(endpoint, Endpoint::Https(_)));
    let any = needed || ca.is_some() || certificate.is_some() || key.is_some();
    for (name, given) in [("issuer.ca", &ca), ("issuer.certificate", &certificate), ("issuer.key", &key)] {
        if any && given.is_none() {
            file.refuse(name, "be given for https://: ca, certificate and key go together");
        }
    }
    let ((ca, certificate), key) = ca.zip(certificate).zip(key)?;
    Some(TlsFiles { certificate, key, ca, crl: None })
}

/// One whose private half is published lets anybody un-revoke and add keys: it is for development only.
fn log_keys(file: &mut SettingsFile, published_keys: bool) -> Vec<PublicKey> {
    let algorithms = [("PS256", Algorithm::Ps256), ("RS256", Algorithm::Rs256)];
    let algorithm = file.choice_or("token.algorithm", Algorithm::Ps256, &algorithms);
    let paths = file.list("issuer.log_keys");
    let paths = if paths.is_empty() { vec!["keys/log.public.pem".to_owned()] } else { paths };
    if paths.len() > 2 {
        file.refuse("issuer.log_keys", "be one file, or two while the key is exchanged");
    }
    let mut keys = Vec::new();
    for path in paths {
        let read = fs::read_to_string(&path).map_err(|error| error.to_string());
        match read.and_then(|pem| PublicKey::from_pem(&pem, algorithm).map_err(|error| error.to_string())) {
            Ok(key) => {
                if let Some(publication) = key.published_in().filter(|_| !published_keys) {
                    let must = format!("name no key whose private half is published: {path}: {publication}");
                    file.refuse("issuer.log_keys", &must);
                }
                keys.push(key);
            }
            Err(why) => file.refuse("issuer.log_keys", &format!("name public PEM files: {path}: {why}")),
        }
    }
    keys
}

fn follower_id(file: &mut SettingsFile, host: &str) -> String {
    let bounded =
        |id: &str| (1..=128).contains(&id.len()) && id.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    let given = file.optional_string("follower.id");
    let id = given.clone().unwrap_or_else(|| host.to_owned());
    if !bounded(&id) {
        let must = match given {
            Some(_) => "be 1 to 128 printable ASCII characters",
            None => "be given: the name of this machine is none",
        };
        file.refuse("follower.id", must);
    }
    id
}

/// Absent is no limit of one's own.
fn staleness(file: &mut SettingsFile, kind: TokenType) -> Option<Duration> {
    let key = format!("limits.{}.staleness", kind.as_str().to_ascii_lowercase());
    let given = file.duration_or(&key, Duration::MAX, Duration::from_secs(1)..=Duration::from_hours(24));
    (given < Duration::MAX).then_some(given)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::key;

    fn read(host: &str, variables: &[(&str, &str)]) -> Result<Settings, String> {
        let owned = variables.iter().map(|(name, value)| (format!("{PREFIX}{name}"), (*value).to_owned()));
        let file = SettingsFile::new(toml::Table::new(), owned, PREFIX);
        Settings::read(file, host).map_err(|mistakes| mistakes.to_string())
    }

    fn log_key() -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), key(2).public().to_pem().unwrap()).unwrap();
        file
    }

    #[test]
    fn only_the_log_key_must_be_there() {
        let pem = log_key();
        let path = pem.path().to_str().unwrap();
        let settings = read("host-a", &[("ISSUER__LOG_KEYS", path)]).unwrap();
        assert_eq!(settings.service.grpc_listen.to_string(), "127.0.0.1:50052");
        assert_eq!(settings.endpoints, ["http://127.0.0.1:50051".parse().unwrap()]);
        assert_eq!(
            (&*settings.issuer, &*settings.realm, &*settings.follower_id),
            ("ipms", "default", "host-a")
        );
        assert_eq!((settings.snapshot, settings.limits), (None, PerType::default()));
        assert_eq!(read("host-a", &[]).err().unwrap().lines().count(), 1);
    }

    #[test]
    fn every_mistake_is_told_at_once() {
        let told = read(
            "",
            &[
                ("GRPC__LISTEN", "0.0.0.0:1"),
                ("ISSUER__ENDPOINTS", "https://a:1,b"),
                ("ISSUER__LOG_KEYS", "/nowhere/1.pem,/nowhere/2.pem,/nowhere/3.pem"),
                ("ISSUER__CA", "ca.pem"),
                ("LIMITS__REVERSE__STALENESS", "0s"),
                ("REALM", "{a}"),
                ("TOKEN__ALGORITHM", "none"),
                ("TOKEN__HOLDER_REQUIRED", "reverse"),
                ("TOKEN__ISSUER", ""),
            ],
        );
        let told = told.err().unwrap();
        let keys: Vec<_> = told.lines().filter_map(|line| line.split(' ').next()).collect();
        assert_eq!(
            keys,
            [
                "follower.id",
                "grpc.listen",
                "issuer.certificate",
                "issuer.endpoints",
                "issuer.key",
                "issuer.log_keys",
                "issuer.log_keys",
                "issuer.log_keys",
                "issuer.log_keys",
                "limits.reverse.staleness",
                "realm",
                "token.algorithm",
                "token.holder_required",
                "token.issuer",
            ],
            "{told}"
        );
    }

    #[test]
    fn own_limits_and_names_are_taken() {
        let pem = log_key();
        let path = pem.path().to_str().unwrap();
        let settings = read(
            "host-a",
            &[
                ("ISSUER__LOG_KEYS", &format!("{path},{path}")),
                ("ISSUER__ENDPOINTS", "http://a.test:1, unix:/run/issuer.sock"),
                ("LIMITS__REVERSE__STALENESS", "3s"),
                ("FOLLOWER__ID", "sidecar 7"),
                ("SNAPSHOT__PATH", "/var/lib/verifier/view"),
            ],
        )
        .unwrap();
        assert_eq!(settings.endpoints.get(1), Some(&Endpoint::Unix("/run/issuer.sock".into())));
        assert_eq!(settings.limits.reverse, Some(Duration::from_secs(3)));
        assert_eq!((settings.limits.secondary, &*settings.follower_id), (None, "sidecar 7"));
        assert!(settings.snapshot.is_some());
    }

    #[test]
    fn an_endpoint_is_a_host_and_a_port_or_a_path() {
        for good in ["https://a.test:1", "http://127.0.0.1:50051", "http://[::1]:1/", "unix:/a", "unix:///a"]
        {
            assert!(endpoint(good).is_ok(), "{good}");
        }
        for bad in ["", "a:1", "http://a", "http://a:1/b", "http://a:1/?q", "unix:a", "ftp://a:1"] {
            assert_eq!(endpoint(bad), Err(NoEndpoint::Form), "{bad}");
        }
        assert_eq!(endpoint("http://user:password@a:1"), Err(NoEndpoint::User));
        assert_eq!(endpoint("https://user:password@a:1"), Err(NoEndpoint::User));
    }
}
