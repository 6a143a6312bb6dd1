//! A Redis server of a test's own, on a Unix socket in a folder of its own. Gone when it is dropped.

use std::{
    io::{Read as _, Write as _},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    thread,
    time::Duration,
};

use common::clock::SystemClock;
use issuer::adapters::{
    store::{
        redis::{OpenError, RedisSettings, RedisStore},
        seal::Seal,
    },
    system_entropy::SystemEntropy,
};
use rustix::process::{Pid, Signal};

use crate::ports;

/// The server. Its settings are the allowed ones, unless told otherwise.
pub(crate) struct RedisServer {
    folder: tempfile::TempDir,
    program: PathBuf,
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
        Self::listening(Path::new(REDIS), &["--repl-diskless-sync-delay", "0"])
    }

    /// A program that is Redis or its compatible, on a port of loopback, with these options in addition.
    pub(crate) fn listening(program: &Path, options: &[&str]) -> (Self, String) {
        loop {
            let port = free_port();
            if let Some(server) = Self::of(program, &[&["--port", &port], options].concat()) {
                return (server, port);
            }
        }
    }

    fn started(options: &[&str]) -> Option<Self> {
        Self::of(Path::new(REDIS), options)
    }

    /// `None`: it has ended, for somebody took its port.
    pub(crate) fn of(program: &Path, options: &[&str]) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let options: Vec<_> = options.iter().map(|option| (*option).to_owned()).collect();
        let child = run(program, &folder, &options);
        let mut server = Self { folder, program: program.to_owned(), options, child };
        server.answers().then_some(server)
    }

    pub(crate) async fn open(&self) -> RedisStore {
        self.try_open(self.settings()).await.unwrap()
    }

    pub(crate) async fn try_open(&self, settings: RedisSettings) -> Result<RedisStore, OpenError> {
        open(&settings, "test").await
    }

    pub(crate) fn settings(&self) -> RedisSettings {
        RedisSettings {
            url: format!("unix://{}", self.socket().display()).parse().unwrap(),
            tls: None,
            password_file: None,
            copies: 1,
            deadline: DEADLINE,
            issuer: "1".to_owned(),
            accept_risks: Vec::new(),
        }
    }

    /// Where it keeps its files.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.path().join("socket")
    }

    /// Sends it a command as a person would type it, and tells its answer.
    pub(crate) fn tell(&self, command: &str) -> String {
        let mut stream = UnixStream::connect(self.socket()).unwrap();
        writeln!(stream, "{command}\r\nQUIT\r").unwrap();
        let mut answer = String::new();
        // A server that is told to close connections may close this one: what it said until then is the answer.
        stream.read_to_string(&mut answer).ok();
        // The answer to QUIT, if it came to that.
        answer.strip_suffix("+OK\r\n").unwrap_or(&answer).to_owned()
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it again over the same files.
    pub(crate) fn start_again(&mut self) {
        self.child = run(&self.program, &self.folder, &self.options);
        assert!(self.answers(), "redis-server does not answer");
    }

    /// Starts it over the same files with these options in addition, and does not wait for it.
    pub(crate) fn start_slowly(&mut self, options: &[&str]) {
        let mut all = self.options.clone();
        all.extend(options.iter().map(|option| (*option).to_owned()));
        self.child = run(&self.program, &self.folder, &all);
    }

    /// Waits until it has ended by itself.
    pub(crate) fn ended(&mut self) {
        self.child.wait().unwrap();
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
                // Whoever asks for a name answers as well.
                Ok(&answer == b"+PONG" || &answer == b"-NOAU")
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

/// Opens the store of a realm.
pub(crate) async fn open(settings: &RedisSettings, realm: &str) -> Result<RedisStore, OpenError> {
    let (seal, entropy) = (Seal::new(&[1; 32]), SystemEntropy::default());
    RedisStore::open(settings, realm, seal, &entropy, Arc::new(SystemClock)).await
}

/// A port that nobody listens on, and that no other test is given.
pub(crate) fn free_port() -> String {
    ports::free_address().port().to_string()
}

fn run(program: &Path, folder: &tempfile::TempDir, options: &[String]) -> Child {
    let mut command = Command::new(program);
    command.args(["--port", "0", "--save", "", "--appendonly", "yes", "--appendfsync", "always"]);
    command.args(["--aof-load-truncated", "no"]);
    command.arg("--unixsocket").arg(folder.path().join("socket")).arg("--dir").arg(folder.path());
    command.args(options).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().unwrap_or_else(|error| panic!("{}: {error} (tests/run installs it)", program.display()))
}

pub(crate) const REDIS: &str = "redis-server";
/// Long enough for a loaded machine.
pub(crate) const DEADLINE: Duration = Duration::from_secs(2);
