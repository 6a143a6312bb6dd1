//! The settings that issuer and verifier share, and where settings come from. Binds nothing.

use std::{
    fs, io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::Arc,
};

use toml::Table;

use super::{
    caller::Callers,
    dial::Endpoint,
    settings_file::SettingsFile,
    tls::{ServerTls, TlsError, TlsFiles},
};
use crate::{
    clock::Clock,
    token::kind::{PerType, TokenType},
};

/// Where the program listens and how it logs.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ServiceSettings {
    /// gRPC over TCP. A loopback address, unless there is TLS.
    pub grpc_listen: SocketAddr,
    /// Plaintext callers on loopback hold every role. For development.
    pub insecure_loopback: bool,
    /// gRPC over a Unix socket too.
    pub unix_socket: Option<PathBuf>,
    /// HTTP for probes and metrics.
    pub admin_listen: SocketAddr,
    /// The admin port may leave loopback without TLS.
    pub admin_insecure: bool,
    /// Plaintext `grpc.health.v1` and nothing else.
    pub health_listen: Option<SocketAddr>,
    /// With them, gRPC over TCP and the admin port speak TLS 1.3 and nothing else.
    pub tls: Option<TlsFiles>,
    /// Who may do what, by certificate.
    pub callers: Callers,
    /// What is logged, and how.
    pub log: LogSettings,
    /// A collector of traces and metrics, over OTLP/gRPC. Off this machine with TLS, as whoever `tls` says that we are.
    pub otlp: Option<Endpoint>,
}

/// What differs between the programs.
#[derive(Clone, Copy, Debug)]
pub struct Defaults {
    /// Port of gRPC on loopback.
    pub grpc_port: u16,
    /// Port of the admin HTTP on loopback.
    pub admin_port: u16,
    /// Whether `grpc.unix_socket` is a setting at all.
    pub unix_socket: bool,
}

impl Defaults {
    /// The issuer's.
    pub const ISSUER: Self = Self { grpc_port: 50_051, admin_port: 50_061, unix_socket: false };
    /// The verifier's.
    pub const VERIFIER: Self = Self { grpc_port: 50_052, admin_port: 50_062, unix_socket: true };
}

/// `log.format` and `log.level`.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct LogSettings {
    /// How a line looks.
    pub format: LogFormat,
    /// Down to which level our own lines are kept.
    pub level: LogLevel,
}

/// How a log line looks.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Down to which level lines are kept.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum LogLevel {
    /// Something is lost or refused.
    Error,
    /// Something is wrong, service goes on.
    Warn,
    /// Changes of state.
    #[default]
    Info,
    /// One line per call.
    Debug,
    /// Everything.
    Trace,
}

impl ServiceSettings {
    /// Takes its keys; mistakes are told by [`SettingsFile::finish`].
    pub fn read(file: &mut SettingsFile, defaults: Defaults) -> Self {
        let loopback = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let grpc_listen = address(file, "grpc.listen").unwrap_or(loopback(defaults.grpc_port));
        let tls = tls(file);
        if !grpc_listen.ip().is_loopback() && tls.is_none() {
            file.refuse(
                "grpc.listen",
                "be a loopback address, unless tls.certificate, key and client_ca are given",
            );
        }
        let insecure_loopback = file.bool_or("grpc.insecure_loopback", false);
        if insecure_loopback && tls.is_some() {
            file.refuse("grpc.insecure_loopback", "be false: with TLS there is no plaintext caller to trust");
        }
        let admin_listen = address(file, "admin.listen").unwrap_or(loopback(defaults.admin_port));
        let admin_insecure = file.bool_or("admin.insecure", false);
        if !admin_listen.ip().is_loopback() && !admin_insecure && tls.is_none() {
            file.refuse(
                "admin.listen",
                "be a loopback address, unless there is TLS or admin.insecure = true",
            );
        }
        let otlp = otlp(file, tls.is_some());
        Self {
            grpc_listen,
            insecure_loopback,
            unix_socket: defaults.unix_socket.then(|| file.optional_path("grpc.unix_socket")).flatten(),
            admin_listen,
            admin_insecure,
            health_listen: address(file, "health.listen"),
            tls,
            callers: Callers::read(file),
            log: LogSettings::read(file),
            otlp,
        }
    }
}

impl ServiceSettings {
    /// Reads the files that a start would read, and keeps nothing of them.
    ///
    /// # Errors
    /// [`TlsError`]: why a start would fail.
    pub fn check_files(&self, clock: Arc<dyn Clock>) -> Result<(), TlsError> {
        self.tls.clone().map_or(Ok(()), |files| ServerTls::open(files, clock).map(drop))
    }
}

impl LogSettings {
    fn read(file: &mut SettingsFile) -> Self {
        let formats = [("text", LogFormat::Text), ("json", LogFormat::Json)];
        let levels = [
            ("error", LogLevel::Error),
            ("warn", LogLevel::Warn),
            ("info", LogLevel::Info),
            ("debug", LogLevel::Debug),
            ("trace", LogLevel::Trace),
        ];
        Self {
            format: file.choice_or("log.format", LogFormat::default(), &formats),
            level: file.choice_or("log.level", LogLevel::default(), &levels),
        }
    }
}

/// `telemetry.otlp_endpoint`.
fn otlp(file: &mut SettingsFile, tls: bool) -> Option<Endpoint> {
    const KEY: &str = "telemetry.otlp_endpoint";
    let given = file.optional_string(KEY)?;
    match given.parse() {
        Err(_) => {
            file.refuse(KEY, "be https://host:port, http://host:port or unix:/absolute/path");
            None
        }
        Ok(Endpoint::Https(_)) if !tls => {
            file.refuse(
                KEY,
                "not be https:// without tls.certificate, key and client_ca: as whom, and whom to trust?",
            );
            None
        }
        Ok(Endpoint::Http(uri)) if !is_loopback(uri.host().unwrap_or_default()) => {
            file.refuse(KEY, "be on loopback, unless it is https://");
            None
        }
        Ok(endpoint) => Some(endpoint),
    }
}

fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

/// All of `tls.*` but the revocation lists, or nothing.
fn tls(file: &mut SettingsFile) -> Option<TlsFiles> {
    let certificate = file.optional_path("tls.certificate");
    let key = file.optional_path("tls.key");
    let ca = file.optional_path("tls.client_ca");
    let crl = file.optional_path("tls.crl");
    let any = certificate.is_some() || key.is_some() || ca.is_some() || crl.is_some();
    for (name, given) in [("tls.certificate", &certificate), ("tls.key", &key), ("tls.client_ca", &ca)] {
        if any && given.is_none() {
            file.refuse(name, "be given: certificate, key and client_ca go together");
        }
    }
    let ((certificate, key), ca) = certificate.zip(key).zip(ca)?;
    Some(TlsFiles { certificate, key, ca, crl })
}

/// `token.holder_required`: the types whose tokens must be bound to a holder's certificate.
pub fn holder_required(file: &mut SettingsFile) -> PerType<bool> {
    let mut required = PerType::default();
    for text in file.list("token.holder_required") {
        match TokenType::parse(&text) {
            Some(kind) => *required.get_mut(kind) = true,
            None => {
                file.refuse("token.holder_required", "be a list of PSEUDONYMISATION, REVERSE and SECONDARY");
            }
        }
    }
    required
}

fn address(file: &mut SettingsFile, key: &str) -> Option<SocketAddr> {
    let given = file.optional_string(key)?;
    let parsed = given.parse().ok();
    if parsed.is_none() {
        file.refuse(key, "be an address and a port, such as 127.0.0.1:50051");
    }
    parsed
}

/// Reads the file, if one is named, and lays the environment over it. A program without a file runs on defaults.
///
/// # Errors
///
/// The file cannot be read or is not TOML.
pub fn load(config: Option<&Path>, prefix: &str) -> Result<SettingsFile, LoadError> {
    let file = config.map_or_else(|| Ok(Table::new()), read_table)?;
    // A variable that is not UTF-8 is not ours: our names are ASCII, and a value that is not text fails its taker.
    let environment = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.to_string_lossy().into_owned())));
    Ok(SettingsFile::new(file, environment, prefix))
}

/// Why there are no settings. Never quotes the file: it might hold a secret.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// Not there, or not ours to read.
    #[error("{}: {source}", path.display())]
    Unreadable {
        /// The settings file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Not TOML.
    #[error("{}, line {line}: is not TOML: {reason}", path.display())]
    NotToml {
        /// The settings file.
        path: PathBuf,
        /// Counted from one.
        line: usize,
        /// What the parser said, without the text it met.
        reason: String,
    },
}

fn read_table(path: &Path) -> Result<Table, LoadError> {
    let text =
        fs::read_to_string(path).map_err(|source| LoadError::Unreadable { path: path.to_owned(), source })?;
    text.parse().map_err(|error: toml::de::Error| {
        let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
        LoadError::NotToml {
            path: path.to_owned(),
            line: before.bytes().filter(|byte| *byte == b'\n').count() + 1,
            reason: error.message().to_owned(),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, defaults: Defaults) -> Result<ServiceSettings, String> {
        let mut file = SettingsFile::new(text.parse().unwrap(), [], "ISSUER_");
        let settings = ServiceSettings::read(&mut file, defaults);
        file.finish().map(|()| settings).map_err(|mistakes| mistakes.to_string())
    }

    #[test]
    fn defaults_are_loopback_and_nobody_is_trusted() {
        let settings = read("", Defaults::ISSUER).unwrap();
        assert_eq!(settings.grpc_listen.to_string(), "127.0.0.1:50051");
        assert_eq!(settings.admin_listen.to_string(), "127.0.0.1:50061");
        assert!(!settings.insecure_loopback && !settings.admin_insecure);
        assert_eq!((settings.unix_socket, settings.health_listen), (None, None));
        assert_eq!(settings.log, LogSettings { format: LogFormat::Text, level: LogLevel::Info });
        assert_eq!(read("", Defaults::VERIFIER).unwrap().grpc_listen.port(), 50_052);
    }

    #[test]
    fn a_plaintext_port_off_loopback_is_refused() {
        let text = "grpc.listen = '0.0.0.0:1'\nadmin.listen = '[::]:2'\nhealth.listen = '0.0.0.0:3'";
        assert_eq!(
            read(text, Defaults::ISSUER).unwrap_err(),
            "admin.listen must be a loopback address, unless there is TLS or admin.insecure = true\n\
             grpc.listen must be a loopback address, unless tls.certificate, key and client_ca are given"
        );
        assert!(read("admin.listen = '0.0.0.0:2'\nadmin.insecure = true", Defaults::ISSUER).is_ok());
    }

    #[test]
    fn tls_is_whole_or_absent_and_leaves_no_plaintext_caller() {
        let files = "tls.certificate = 'c'\ntls.key = 'k'\ntls.client_ca = 'a'\n";
        let listen = "grpc.listen = '0.0.0.0:1'\nadmin.listen = '[::]:2'\n";
        let settings = read(&format!("{files}{listen}"), Defaults::VERIFIER).unwrap();
        let expected = TlsFiles { certificate: "c".into(), key: "k".into(), ca: "a".into(), crl: None };
        assert_eq!((settings.tls, settings.callers), (Some(expected), Callers::default()));
        let told = read("tls.crl = 'l'\ntls.key = 'k'", Defaults::ISSUER).unwrap_err();
        assert!(
            told.contains("tls.certificate must be given") && told.contains("tls.client_ca must be given")
        );
        let told = read(&format!("{files}grpc.insecure_loopback = true"), Defaults::ISSUER).unwrap_err();
        assert!(told.starts_with("grpc.insecure_loopback must be false"), "{told}");
    }

    #[test]
    fn telemetry_leaves_the_machine_with_tls_only() {
        let files = "tls.certificate = 'c'\ntls.key = 'k'\ntls.client_ca = 'a'\n";
        let told = |endpoint: &str, files: &str| {
            read(&format!("{files}telemetry.otlp_endpoint = '{endpoint}'"), Defaults::ISSUER)
                .map(|read| read.otlp.is_some())
        };
        for local in ["http://127.0.0.1:4317", "http://[::1]:4317", "http://localhost:4317", "unix:/run/otel"]
        {
            assert_eq!(told(local, ""), Ok(true), "{local}");
        }
        assert_eq!(told("https://collector:4317", files), Ok(true));
        let must = |rest: &str| Err(format!("telemetry.otlp_endpoint must {rest}"));
        assert_eq!(told("http://collector:4317", files), must("be on loopback, unless it is https://"));
        assert!(told("https://collector:4317", "").unwrap_err().contains("must not be https:// without"));
        let form = "be https://host:port, http://host:port or unix:/absolute/path";
        assert_eq!(told("collector:4317", ""), must(form));
    }

    #[test]
    fn only_who_may_have_a_unix_socket_may_set_it() {
        let text = "grpc.unix_socket = '/run/s'";
        assert_eq!(read(text, Defaults::VERIFIER).unwrap().unix_socket, Some("/run/s".into()));
        assert!(read(text, Defaults::ISSUER).unwrap_err().contains("no such setting"));
    }

    #[test]
    fn a_bad_address_is_told() {
        let told = read("health.listen = 'localhost'", Defaults::ISSUER).unwrap_err();
        assert_eq!(told, "health.listen must be an address and a port, such as 127.0.0.1:50051");
    }

    #[test]
    fn a_file_that_is_not_toml_is_told_by_name_and_line_without_its_text() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("issuer.toml");
        fs::write(&path, "a = 1\nb = hidden\n").unwrap();
        let told = load(Some(&path), "NOT_SET_").err().unwrap().to_string();
        assert!(told.starts_with(&format!("{}, line 2: is not TOML", path.display())), "{told}");
        assert!(!told.contains("hidden"), "{told}");
        let missing = load(Some(&folder.path().join("none")), "NOT_SET_").err().unwrap();
        assert!(matches!(missing, LoadError::Unreadable { .. }));
    }
}
