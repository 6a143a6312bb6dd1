//! The real process: what it says of its settings, and how it ends. Listens on ports that the system chooses.

use std::{
    io::{BufRead as _, BufReader},
    os::unix::net::UnixListener,
    path::Path,
    process::{Child, Command, Output, Stdio},
};

use aws_lc_rs::{
    encoding::AsDer as _,
    rsa::{KeyPair, KeySize},
    signature::KeyPair as _,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

fn program(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_verifier"));
    command.env_clear().current_dir(folder).stdin(Stdio::null());
    command
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn told(output: &Output) -> (Option<i32>, String, String) {
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

/// The socket at which an issuer is expected.
const ISSUER: &str = "ISSUER";

/// A folder with a log key and settings that are good.
#[expect(clippy::unwrap_used, reason = "a folder that cannot be made must fail its test")]
fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let pair = KeyPair::generate(KeySize::Rsa2048).unwrap();
    let der = pair.public_key().as_der().unwrap();
    let body: Vec<char> = STANDARD.encode(der.as_ref()).chars().collect();
    let lines: Vec<String> = body.chunks(64).map(|line| line.iter().collect()).collect();
    let pem = format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", lines.join("\n"));
    std::fs::write(folder.path().join("log.pem"), pem).unwrap();
    let settings = "issuer = { log_keys = ['log.pem'], endpoints = ['unix:ISSUER'] }\n\
                    grpc = { listen = '127.0.0.1:0', unix_socket = 'verifier.sock' }\n\
                    admin.listen = '127.0.0.1:0'\n\
                    snapshot.path = 'view'\n\
                    follower.id = 'follower-a'\n";
    let issuer = folder.path().join(ISSUER);
    let settings = settings.replace(ISSUER, issuer.to_str().unwrap());
    std::fs::write(folder.path().join("verifier.toml"), settings).unwrap();
    folder
}

#[test]
fn bad_settings_end_with_64_and_every_mistake() {
    let folder = tempfile::tempdir().unwrap();
    for argument in ["serve", "check-config"] {
        let mut command = program(folder.path());
        command.env("VERIFIER_GRPC__LISTEN", "nonsense").env("VERIFIER_TOKEN__ALGORITM", "PS256");
        let (code, out, err) = told(&command.arg(argument).output().unwrap());
        let keys: Vec<_> = err.lines().filter_map(|line| line.split(' ').next()).collect();
        assert_eq!((code, &*out), (Some(64), ""));
        assert_eq!(keys, ["grpc.listen", "issuer.log_keys", "token.algoritm"], "{err}");
    }
}

#[test]
fn a_file_that_is_no_settings_is_told_by_name_and_never_quoted() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("bad.toml"), "a = 1\nsecret = = 'hidden'\n").unwrap();
    for (file, word) in [("bad.toml", "line 2"), ("none.toml", "none.toml")] {
        let (code, _, err) = told(&program(folder.path()).args(["--config", file]).output().unwrap());
        assert!(code == Some(64) && err.contains(word) && !err.contains("hidden"), "{err}");
    }
}

#[test]
fn good_settings_are_good_and_the_version_is_told() {
    let folder = folder();
    let run = |line: &str| told(&program(folder.path()).args(line.split(' ')).output().unwrap());
    assert_eq!(run("check-config --config verifier.toml"), (Some(0), String::new(), String::new()));
    let version = format!("verifier {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(run("--version"), (Some(0), version, String::new()));
    assert_eq!(run("dance").0, Some(64));
}

/// Ends the process whatever becomes of the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It has ended already when all went well.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn it_follows_and_serves_until_a_signal_and_ends_with_success() {
    let folder = folder();
    let issuer = UnixListener::bind(folder.path().join(ISSUER)).unwrap();
    let socket = folder.path().join("verifier.sock");
    let mut command = program(folder.path());
    let child = command.args(["--config", "verifier.toml"]).stderr(Stdio::piped()).spawn().unwrap();
    let mut running = Running(child);
    let mut lines = BufReader::new(running.0.stderr.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.any(|line| line.contains("listening") && line.contains("127.0.0.1:")));
    assert!(socket.exists() && folder.path().join("view").exists());
    let (code, _, second) = told(&command.stderr(Stdio::piped()).output().unwrap());
    assert!(code == Some(1) && second.contains("in use by another process"), "{second}");
    // Whoever connects is the verifier: nobody else knows the folder.
    let _connection = issuer.accept().unwrap();
    kill_process(Pid::from_child(&running.0), Signal::TERM).unwrap();
    assert!(running.0.wait().unwrap().success());
    assert!(lines.any(|line| line.contains("draining")) && !socket.exists());
}
