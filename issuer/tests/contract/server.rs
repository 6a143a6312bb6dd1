//! A Redis server of a test's own, on a Unix socket in a folder of its own. Gone when it is dropped.

use std::{
    io::{Read as _, Write as _},
    net::TcpListener,
    os::unix::net::UnixStream,
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use issuer::adapters::{
    store::{
        redis::{OpenError, RedisSettings, RedisStore},
        seal::Seal,
    },
    system_entropy::SystemEntropy,
};
use rustix::process::{Pid, Signal};

/// The server. Its settings are the allowed ones, unless told otherwise.
pub(crate) struct RedisServer {
    folder: tempfile::TempDir,
    options: Vec<String>,
    child: Child,
}

impl RedisServer {
    pub(crate) fn start() -> Self {
        Self::with(&[])
    }

    /// With these options in addition.
    pub(crate) fn with(options: &[&str]) -> Self {
        Self::started(options).expect("redis-server does not answer")
    }

    /// With a port of loopback, for a replica to follow it. A port that somebody took meanwhile is given up for another.
    pub(crate) fn with_port() -> (Self, String) {
        loop {
            let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
            if let Some(server) = Self::started(&["--port", &port, "--repl-diskless-sync-delay", "0"]) {
                return (server, port);
            }
        }
    }

    fn started(options: &[&str]) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let options: Vec<_> = options.iter().map(|option| (*option).to_owned()).collect();
        let child = run(&folder, &options);
        let mut server = Self { folder, options, child };
        server.answers().then_some(server)
    }

    pub(crate) async fn open(&self) -> RedisStore {
        self.try_open(self.settings()).await.unwrap()
    }

    pub(crate) async fn try_open(&self, settings: RedisSettings) -> Result<RedisStore, OpenError> {
        RedisStore::open(&settings, "test", Seal::new(&[1; 32]), &SystemEntropy::default()).await
    }

    pub(crate) fn settings(&self) -> RedisSettings {
        RedisSettings {
            url: format!("unix://{}", self.socket().display()),
            password_file: None,
            copies: 1,
            deadline: DEADLINE,
            issuer: "1".to_owned(),
            accept_weaker_durability: false,
        }
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.path().join("socket")
    }

    /// Sends it a command as a person would type it, and tells its answer.
    pub(crate) fn tell(&self, command: &str) -> String {
        let mut stream = UnixStream::connect(self.socket()).unwrap();
        writeln!(stream, "{command}\r\nQUIT\r").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer.trim_end_matches("+OK\r\n").to_owned()
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it again over the same files.
    pub(crate) fn start_again(&mut self) {
        self.child = run(&self.folder, &self.options);
        assert!(self.answers(), "redis-server does not answer");
    }

    /// Stops it where it is, as if its machine slept.
    pub(crate) fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    pub(crate) fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        rustix::process::kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// `false`: it has ended.
    fn answers(&mut self) -> bool {
        for _ in 0..3_000 {
            let asked = UnixStream::connect(self.socket()).and_then(|mut stream| {
                stream.write_all(b"PING\r\n")?;
                let mut answer = [0; 5];
                stream.read_exact(&mut answer)?;
                Ok(&answer == b"+PONG")
            });
            if asked.unwrap_or(false) {
                return true;
            }
            if self.child.try_wait().unwrap().is_some() {
                return false;
            }
            thread::sleep(Duration::from_millis(10));
        }
        false
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn run(folder: &tempfile::TempDir, options: &[String]) -> Child {
    let mut command = Command::new("redis-server");
    command.args(["--port", "0", "--save", "", "--appendonly", "yes", "--appendfsync", "always"]);
    command.arg("--unixsocket").arg(folder.path().join("socket")).arg("--dir").arg(folder.path());
    command.args(options).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().expect("redis-server is installed (tests/run installs it)")
}

/// Long enough for a loaded machine.
pub(crate) const DEADLINE: Duration = Duration::from_secs(2);
