//! Gateways as processes with the examples as their settings, and clients. Ends every process that it started.

use std::{
    fs::{self, File},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use harness::{
    orders::{self, OWNER},
    programs::Programs,
    until,
};
use tokio::net::TcpStream;

/// A gateway that runs.
#[derive(Debug)]
pub(crate) struct Gateway {
    child: Child,
    log: PathBuf,
}

impl Gateway {
    /// Starts it, and waits until it takes connections at `address`.
    pub(crate) async fn start(mut command: Command, folder: &Path, address: SocketAddr) -> Self {
        let name = Path::new(command.get_program()).file_name().unwrap().to_str().unwrap().to_owned();
        let log = folder.join(format!("{name}.log"));
        let file = || File::options().append(true).create(true).open(&log).unwrap();
        command.current_dir(folder).stdin(Stdio::null()).stdout(file()).stderr(file());
        let child = command.spawn().unwrap_or_else(|error| panic!("{name}: {error} (see tests/run)"));
        let mut gateway = Self { child, log };
        until("the gateway takes connections", async || {
            if let Some(ended) = gateway.child.try_wait().unwrap() {
                panic!("{ended}: {}", gateway.log());
            }
            TcpStream::connect(address).await.ok()
        })
        .await;
        gateway
    }

    /// What it wrote.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            // The folder may be gone.
            eprintln!("{}", fs::read_to_string(&self.log).unwrap_or_default());
        }
    }
}

/// A file of `deploy/`, with its addresses and paths changed; each of them must be there. Written into `folder`.
pub(crate) fn example(folder: &Path, name: &str, changes: &[(&str, &str)]) -> PathBuf {
    let mut text = fs::read_to_string(deploy().join(name)).unwrap();
    for (from, to) in changes {
        assert!(text.contains(from), "{from} is not in {name}");
        text = text.replace(from, to);
    }
    let path = folder.join(Path::new(name).file_name().unwrap());
    fs::write(&path, text).unwrap();
    path
}

/// The folder of the examples.
pub(crate) fn deploy() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("deploy")
}

/// A program that `tests/run` puts below `target/tools`.
pub(crate) fn tool(path: &str) -> PathBuf {
    let found = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("target/tools").join(path);
    assert!(found.exists(), "{} is not there: tests/run installs it", found.display());
    found
}

/// An answer over HTTP.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: String,
    pub(crate) body: String,
}

impl Answer {
    /// A header's value.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.lines().find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    /// What the upstream was sent under this name.
    pub(crate) fn sent(&self, name: &str) -> Option<&str> {
        self.body.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }
}

/// Asks with curl, as anybody would.
pub(crate) async fn curl(url: &str, arguments: &[&str]) -> Answer {
    let mut command = tokio::process::Command::new("curl");
    command.args(["--silent", "--include", "--max-time", "20"]).args(arguments).arg(url);
    let output = command.output().await.unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let (headers, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{url}: {}", output.status));
    let status = headers.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, headers: headers.to_owned(), body: body.to_owned() }
}

/// Asks with a token.
pub(crate) async fn bearing(token: &str, url: &str, arguments: &[&str]) -> Answer {
    let header = format!("authorization: Bearer {token}");
    curl(url, &[&["--header", &*header], arguments].concat()).await
}

/// A token of each type, of a project with a source project.
pub(crate) struct Tokens {
    pub(crate) pseudonymise: String,
    pub(crate) reverse: String,
    pub(crate) secondary: String,
}

impl Tokens {
    pub(crate) async fn issue(programs: &Programs) -> Self {
        for project in ["p1", "p2"] {
            programs.create(orders::reversible(project)).await.unwrap();
        }
        let source = orders::source("p2", OWNER);
        Self {
            pseudonymise: programs.token(orders::pseudonymise("p1", OWNER)).await,
            reverse: programs.token(orders::reverse("p1", OWNER)).await,
            secondary: programs.token(orders::secondary("p1", OWNER, source)).await,
        }
    }
}

/// `host:port` of an example's socket address, in YAML.
pub(crate) fn socket(address: &str, port: u16) -> String {
    format!("{{ address: {address}, port_value: {port} }}")
}
