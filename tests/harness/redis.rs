//! A Redis server of a test's own, on a Unix socket in a folder of its own, and a line to it that can be cut. Ends every
//! process that it started.

use std::{
    fs,
    io::{Read as _, Write as _},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{UnixListener, UnixStream as AsyncStream},
    sync::watch,
};

/// The server, with the settings that the issuer asks for.
#[derive(Debug)]
pub struct Redis {
    folder: tempfile::TempDir,
    child: Child,
}

impl Redis {
    /// Starts one that holds nothing.
    pub fn start() -> Self {
        Self::over(tempfile::tempdir().unwrap())
    }

    /// As [`Redis::start`], with its files on the disk of that folder.
    pub fn start_in(folder: &Path) -> Self {
        Self::over(tempfile::tempdir_in(folder).unwrap())
    }

    fn over(folder: tempfile::TempDir) -> Self {
        let child = run(folder.path());
        let redis = Self { folder, child };
        redis.answers();
        redis
    }

    /// Its socket.
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("socket")
    }

    /// For `store.url`.
    pub fn url(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    /// Sends it a command as a person would type it, and tells its answer.
    pub fn tell(&self, command: &str) -> String {
        let mut stream = UnixStream::connect(self.socket()).unwrap();
        writeln!(stream, "{command}\r\nQUIT\r").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer.trim_end_matches("+OK\r\n").to_owned()
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it again over what is in its folder.
    pub fn start_again(&mut self) {
        self.child = run(self.folder.path());
        self.answers();
    }

    /// `kill -9`, its files gone, started again.
    pub fn restart_empty(&mut self) {
        self.kill();
        fs::remove_dir_all(self.folder.path().join("appendonlydir")).unwrap();
        self.start_again();
    }

    /// Its files, as a backup has them.
    pub fn backup(&self) -> tempfile::TempDir {
        let copy = tempfile::tempdir().unwrap();
        // Stopped meanwhile, so that no record is cut in two.
        let pid = Pid::from_child(&self.child);
        kill_process(pid, Signal::STOP).unwrap();
        copy_all(&self.folder.path().join("appendonlydir"), copy.path());
        kill_process(pid, Signal::CONT).unwrap();
        copy
    }

    /// `kill -9`, its files as they were then, started again.
    pub fn restore(&mut self, backup: &tempfile::TempDir) {
        self.kill();
        let files = self.folder.path().join("appendonlydir");
        fs::remove_dir_all(&files).unwrap();
        fs::create_dir(&files).unwrap();
        copy_all(backup.path(), &files);
        self.start_again();
    }

    fn answers(&self) {
        for _ in 0..3_000 {
            let asked = UnixStream::connect(self.socket()).and_then(|mut stream| {
                stream.write_all(b"PING\r\n")?;
                let mut answer = [0; 5];
                stream.read_exact(&mut answer)?;
                Ok(&answer == b"+PONG")
            });
            if asked.unwrap_or(false) {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("redis-server does not answer (tests/run installs it)");
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn run(folder: &Path) -> Child {
    let mut command = Command::new("redis-server");
    command.args(["--port", "0", "--save", "", "--appendonly", "yes", "--appendfsync", "always"]);
    command.args(["--aof-load-truncated", "no"]);
    command.arg("--unixsocket").arg(folder.join("socket")).arg("--dir").arg(folder);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().unwrap_or_else(|error| panic!("redis-server (tests/run installs it): {error}"))
}

fn copy_all(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
    }
}

/// A line to a server: cut, nothing arrives any more and nobody is told, as with a cable.
#[derive(Debug)]
pub struct Line {
    path: PathBuf,
    cut: watch::Sender<bool>,
    _folder: tempfile::TempDir,
}

impl Line {
    /// Listens, and passes everything on to `socket`.
    pub fn to(socket: PathBuf) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("line");
        let listener = UnixListener::bind(&path).unwrap();
        let (cut, seen) = watch::channel(false);
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let (socket, seen) = (socket.clone(), seen.clone());
                tokio::spawn(async move {
                    let Ok(far) = AsyncStream::connect(socket).await else { return };
                    let (near, far) = (near.into_split(), far.into_split());
                    tokio::select! {
                        () = carry(near.0, far.1, seen.clone()) => {}
                        () = carry(far.0, near.1, seen) => {}
                    }
                });
            }
        });
        Self { path, cut, _folder: folder }
    }

    /// For `store.url`.
    pub fn url(&self) -> String {
        format!("unix://{}", self.path.display())
    }

    /// Cuts it, or joins it again.
    pub fn cut(&self, cut: bool) {
        self.cut.send_replace(cut);
    }
}

async fn carry(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut cut: watch::Receiver<bool>,
) {
    let mut bytes = vec![0; 64 << 10];
    loop {
        let Ok(read @ 1..) = from.read(&mut bytes).await else { return };
        let Some(bytes) = bytes.get(..read) else { return };
        if cut.wait_for(|cut| !cut).await.is_err() || to.write_all(bytes).await.is_err() {
            return;
        }
    }
}
