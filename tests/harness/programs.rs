//! The real programs as processes of their own, on the machine's clocks. Ends every process that it started.

use std::{
    fs::File,
    net::SocketAddr,
    ops::Deref,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::OnceLock,
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::{calls::Calls, keys, ports::free_address, until};

/// An issuer and a verifier that serve, and callers for them.
#[derive(Debug)]
pub struct Programs {
    /// The issuer's process.
    pub issuer: Program,
    /// The verifier's process.
    pub verifier: Program,
    calls: Calls,
    folder: TempDir,
}

impl Deref for Programs {
    type Target = Calls;

    fn deref(&self) -> &Calls {
        &self.calls
    }
}

/// What can differ at the start.
#[derive(Debug, Default)]
pub struct Start {
    /// Settings of the issuer besides those of every pair, as environment without its prefix.
    pub issuer: Vec<(&'static str, String)>,
    /// Settings of the verifier besides those of every pair.
    pub verifier: Vec<(&'static str, String)>,
    /// Bounds of both processes, as a shell sets them: `ulimit -n 64`.
    pub limits: &'static str,
}

impl Programs {
    /// Starts both over a new folder; both are ready when this returns.
    pub async fn start() -> Self {
        Self::set_up(Start::default()).await
    }

    /// As [`Programs::start`], with more variables of the issuer, and of the verifier, who is told where the issuer
    /// listens. A later one of a name stands.
    pub async fn with(
        issuer_variables: &[(&str, &str)],
        verifier_variables: impl FnOnce(SocketAddr) -> Vec<(&'static str, String)>,
    ) -> Self {
        let (folder, mut issuer, mut verifier) = Self::pair();
        let more = issuer_variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        issuer.settings.extend(more);
        let more = verifier_variables(issuer.grpc);
        verifier.settings.extend(more.into_iter().map(|(name, value)| (name.to_owned(), value)));
        Self::launch(folder, issuer, verifier).await
    }

    /// As [`Programs::start`], differently.
    pub async fn set_up(start: Start) -> Self {
        let (folder, mut issuer, mut verifier) = Self::pair();
        for (program, settings) in [(&mut issuer, start.issuer), (&mut verifier, start.verifier)] {
            for (key, value) in settings {
                program.set(key, &value);
            }
            program.limits = start.limits;
        }
        Self::launch(folder, issuer, verifier).await
    }

    /// As [`Programs::start`], with issuer and verifier made ready by `prepare` in the folder of both.
    pub async fn prepared(prepare: impl FnOnce(&mut Program, &mut Program, &Path)) -> Self {
        let (folder, mut issuer, mut verifier) = Self::pair();
        prepare(&mut issuer, &mut verifier, folder.path());
        Self::launch(folder, issuer, verifier).await
    }

    fn pair() -> (TempDir, Program, Program) {
        let folder = tempfile::tempdir().unwrap();
        keys::copy_into(&folder.path().join("keys"), 1);
        let issuer = Program::new("issuer", folder.path(), &[("KEYS__DIRECTORY", "keys")]);
        let verifier_settings = [
            ("ISSUER__ENDPOINTS", &*format!("http://{}", issuer.grpc)),
            ("ISSUER__LOG_KEYS", "keys/log.public.pem"),
            ("FOLLOWER__ID", "follower-a"),
            ("SNAPSHOT__PATH", "view"),
        ];
        let verifier = Program::new("verifier", folder.path(), &verifier_settings);
        (folder, issuer, verifier)
    }

    async fn launch(folder: TempDir, issuer: Program, verifier: Program) -> Self {
        let calls = Calls::new(issuer.grpc, verifier.grpc);
        let mut programs = Self { issuer, verifier, calls, folder };
        programs.issuer.start().await;
        programs.verifier.start().await;
        programs.fresh().await;
        programs
    }

    /// Callers of both.
    pub const fn calls(&self) -> &Calls {
        &self.calls
    }

    /// A file of the folder in which both work: `issuer.redb`, `audit.jsonl`, `view`, `issuer.log`, `verifier.log`.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Over new connections from now on.
    pub fn call_anew(&mut self) {
        self.calls = Calls::new(self.issuer.grpc, self.verifier.grpc);
    }

    /// Starts the issuer again over what it left.
    pub async fn restart_issuer(&mut self) {
        self.issuer.start().await;
        self.calls = Calls::new(self.issuer.grpc, self.verifier.grpc);
    }

    /// Starts the verifier again over what it left.
    pub async fn restart_verifier(&mut self) {
        self.verifier.start().await;
        self.calls = Calls::new(self.issuer.grpc, self.verifier.grpc);
    }
}

/// One program, running or not.
#[derive(Debug)]
pub struct Program {
    name: &'static str,
    folder: PathBuf,
    settings: Vec<(String, String)>,
    grpc: SocketAddr,
    admin: SocketAddr,
    limits: &'static str,
    config: Option<&'static str>,
    player: Option<&'static str>,
    child: Option<Child>,
}

impl Program {
    /// Where its admin port is.
    pub const fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// Whether the process that was started is still the one that runs.
    pub fn runs(&mut self) -> bool {
        self.child.as_mut().is_some_and(|child| child.try_wait().unwrap().is_none())
    }

    /// A line of its `/proc/<pid>/status`, in bytes: `VmRSS`, `VmHWM`, `VmData`.
    pub fn memory(&self, field: &str) -> u64 {
        let pid = self.child.as_ref().unwrap().id();
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':')).unwrap();
        line.split_whitespace().next().unwrap().parse::<u64>().unwrap() << 10
    }

    /// How many file descriptors it has open.
    pub fn files(&self) -> usize {
        let pid = self.child.as_ref().unwrap().id();
        std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count()
    }

    /// One that is to run in this folder with these settings, as environment without its prefix, on free ports.
    pub fn new(name: &'static str, folder: &Path, settings: &[(&str, &str)]) -> Self {
        let (grpc, admin) = (free_address(), free_address());
        let prefix = name.to_uppercase();
        let addresses = [("GRPC__LISTEN", &*grpc.to_string()), ("ADMIN__LISTEN", &*admin.to_string())];
        let all = [("GRPC__INSECURE_LOOPBACK", "true"), ("LOG__LEVEL", "trace")];
        let settings = addresses.iter().chain(&all).chain(settings);
        let settings =
            settings.map(|(key, value)| (format!("{prefix}_{key}"), (*value).to_owned())).collect();
        Self {
            name,
            folder: folder.to_owned(),
            settings,
            grpc,
            admin,
            limits: "",
            config: None,
            player: None,
            child: None,
        }
    }

    /// Where it listens.
    pub const fn grpc(&self) -> SocketAddr {
        self.grpc
    }

    /// Another value for a setting, from the next start on.
    pub fn set(&mut self, key: &str, value: &str) {
        let name = format!("{}_{key}", self.name.to_uppercase());
        self.settings.retain(|(held, _)| *held != name);
        self.settings.push((name, value.to_owned()));
    }

    /// What the shell does that becomes the program, from the next start on: bounds, or a place of its own.
    pub const fn limits(&mut self, commands: &'static str) {
        self.limits = commands;
    }

    /// Another variable of its environment, from the next start on.
    pub fn environment(&mut self, (name, value): (&str, String)) {
        self.settings.push((name.to_owned(), value));
    }

    /// Another program serves in its place, from the next start on, and is told whose place it is.
    pub const fn played_by(&mut self, player: &'static str) {
        self.player = Some(player);
    }

    /// Settings in a file of its folder too, from the next start on: names of callers make no variables.
    pub const fn read(&mut self, file: &'static str) {
        self.config = Some(file);
    }

    /// Its process, if it runs.
    pub fn id(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Starts it and waits until it is ready.
    pub async fn start(&mut self) {
        self.spawn();
        let (log, child) = (self.log(), self.child.as_mut().unwrap());
        until("the program is ready", async || {
            if let Some(ended) = child.try_wait().unwrap() {
                let said = std::fs::read_to_string(&log).unwrap();
                let last: Vec<_> = said.lines().rev().take(5).collect();
                panic!("the {} has ended ({ended}): {last:#?}", self.name);
            }
            let ready = page(self.admin, "/readyz", "").await?.starts_with("HTTP/1.1 200");
            ready.then_some(())
        })
        .await;
    }

    /// Starts it and waits for nothing.
    pub fn spawn(&mut self) {
        let log = || File::options().append(true).create(true).open(self.log()).unwrap();
        let mut command = Command::new("sh");
        // The shell becomes the program, under the same process id.
        command
            .args(["-c", &format!("{}\nexec \"$0\" \"$@\"", self.limits)])
            .arg(path(self.player.unwrap_or(self.name)));
        command.args(self.player.map(|_| self.name));
        command.args(self.config.iter().flat_map(|file| ["--config", file]));
        command.env_clear().envs(self.settings.iter().cloned()).current_dir(&self.folder);
        command.stdin(Stdio::null()).stdout(log()).stderr(log());
        self.child = Some(command.spawn().unwrap());
    }

    /// Runs one of its commands with the same settings, to its end.
    pub fn run(&self, arguments: &[&str]) -> Output {
        self.run_with(arguments, &[])
    }

    /// As [`Program::run`], with more variables, named in full.
    pub fn run_with(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
        self.command(arguments).envs(variables.iter().copied()).output().unwrap()
    }

    /// As [`Program::run`], its output going elsewhere.
    pub fn run_into(&self, arguments: &[&str], output: File) -> Output {
        self.command(arguments).stdout(output).output().unwrap()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(built().join(self.name));
        command.args(arguments).env_clear().envs(self.settings.iter().cloned()).current_dir(&self.folder);
        command.stdin(Stdio::null());
        command
    }

    /// What its admin port answers, with its headers.
    pub async fn page(&self, path: &str) -> String {
        self.page_with(path, "").await
    }

    /// As [`Program::page`], asked with more headers, each ending in CR LF.
    pub async fn page_with(&self, path: &str, headers: &str) -> String {
        page(self.admin, path, headers).await.unwrap()
    }

    /// Where its output goes.
    pub fn log(&self) -> PathBuf {
        self.folder.join(format!("{}.log", self.name))
    }

    /// Its number, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// It dies of a fault of its own, as far as the system can tell.
    pub fn crash(&mut self) {
        if let Some(mut child) = self.child.take() {
            kill_process(Pid::from_child(&child), Signal::ABORT).unwrap();
            child.wait().unwrap();
        }
    }

    /// SIGKILL: it can do nothing about it.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// SIGTERM; whether it ended with success.
    pub async fn terminate(&mut self) -> bool {
        let Some(child) = &mut self.child else { return false };
        kill_process(Pid::from_child(child), Signal::TERM).unwrap();
        // Not blocking: the callers' connections have to hear of it too.
        until("the program ends", async || child.try_wait().unwrap()).await.success()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Where a program of ours is, built and up to date.
pub fn path(name: &str) -> PathBuf {
    built().join(name)
}

/// What the admin port answers, with its headers; nothing when nobody listens.
async fn page(admin: SocketAddr, path: &str, headers: &str) -> Option<String> {
    let mut stream = TcpStream::connect(admin).await.ok()?;
    let asked = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{headers}\r\n");
    stream.write_all(asked.as_bytes()).await.ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.ok()?;
    Some(answer)
}

/// A program's file.
pub fn path_of(name: &str) -> PathBuf {
    built().join(name)
}

/// The folder of the programs, which are built if they are not up to date.
fn built() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let tests = std::env::current_exe().unwrap();
        let programs = tests.parent().unwrap().parent().unwrap();
        let profile = match programs.file_name().unwrap().to_str().unwrap() {
            "debug" => "dev",
            named => named,
        };
        let mut command = Command::new(env!("CARGO"));
        command.current_dir(env!("CARGO_MANIFEST_DIR")).stdin(Stdio::null());
        // What cargo told this test about itself is not for the build.
        for (name, _) in std::env::vars_os() {
            let told = name.to_string_lossy();
            let about_us = told.starts_with("CARGO_PKG") || told.starts_with("CARGO_BIN");
            if about_us || told == "CARGO_MANIFEST_DIR" || told == "CARGO_MANIFEST_PATH" {
                command.env_remove(&name);
            }
        }
        command.args(["build", "--quiet", "--workspace", "--bins", "--profile", profile, "--target-dir"]);
        let built = command.arg(programs.parent().unwrap()).status().unwrap();
        assert!(built.success(), "the programs do not build");
        programs.to_owned()
    })
}
