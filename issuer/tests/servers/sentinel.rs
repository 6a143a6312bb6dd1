//! A master, two replicas and three Sentinels on loopback, and ways to lose the master.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use issuer::adapters::store::redis::RedisSettings;
use rustix::process::{Pid, Signal};

use super::until;
use crate::server::{REDIS, RedisServer, free_port};

/// The set-up. The store's user goes on where servers and Sentinels are shut out (see [`Group::cut`]).
pub(crate) struct Group {
    pub(crate) servers: Vec<(RedisServer, String)>,
    pub(crate) sentinels: Vec<Sentinel>,
    folder: tempfile::TempDir,
}

pub(crate) struct Sentinel {
    _folder: tempfile::TempDir,
    child: Child,
    pub(crate) port: String,
}

impl Group {
    pub(crate) fn start() -> Self {
        Self::of(Path::new(REDIS))
    }

    pub(crate) fn of(program: &Path) -> Self {
        let options = [
            &["--repl-diskless-sync-delay", "0", "--repl-ping-replica-period", "1"][..],
            &["--min-replicas-to-write", "1"],
            &["--user", "store", "on", ">secret", "~*", "&*", "+@all"],
        ];
        let options = options.concat();
        let (master, port) = RedisServer::listening(program, &options);
        let mut servers = vec![(master, port.clone())];
        for _ in 0..2 {
            let following = [&options[..], &["--replicaof", "127.0.0.1", &port]].concat();
            servers.push(RedisServer::listening(program, &following));
        }
        let sentinels = (0..3).map(|_| Sentinel::start(program, &port)).collect();
        let group = Self { servers, sentinels, folder: tempfile::tempdir().unwrap() };
        group.whole();
        group
    }

    /// Waits until every Sentinel knows everybody, and everybody is well.
    pub(crate) fn whole(&self) {
        until("all Sentinels know all", || {
            self.sentinels.iter().all(|sentinel| {
                let knows = |field: &str, value: &str| sentinel.says(field).as_deref() == Some(value);
                knows("num-slaves", "2") && knows("num-other-sentinels", "2") && knows("flags", "master")
            })
        });
        until("the master has both replicas", || {
            self.servers.iter().any(|(server, _)| {
                let info = server.tell(&as_store("INFO replication"));
                info.contains("role:master") && info.matches("state=online").count() == 2
            })
        });
    }

    /// As the store's user, from these Sentinels.
    pub(crate) fn settings_of(&self, sentinels: &[usize]) -> RedisSettings {
        let password = self.folder.path().join("password");
        if !password.exists() {
            super::tls::private(&password, "secret\n");
        }
        let nodes: Vec<_> =
            sentinels.iter().map(|one| format!("127.0.0.1:{}", self.sentinels[*one].port)).collect();
        RedisSettings {
            url: format!("redis-sentinel://store@{}/ipms", nodes.join(",")).parse().unwrap(),
            password_file: Some(password),
            copies: 3,
            ..self.servers[0].0.settings()
        }
    }

    pub(crate) fn settings(&self) -> RedisSettings {
        self.settings_of(&[0, 1, 2])
    }

    /// Which server the last Sentinel that runs names as master.
    pub(crate) fn master(&self) -> usize {
        let mut found = None;
        until("a Sentinel names a master", || {
            let port = self.sentinels[2].says("port");
            found = self.servers.iter().position(|(_, known)| Some(known) == port.as_ref());
            found.is_some()
        });
        found.unwrap()
    }

    /// Waits until another server than this is master, and says so itself.
    pub(crate) fn promoted(&self, before: usize) -> usize {
        until("another server is promoted", || {
            let now = self.master();
            now != before && self.servers[now].0.tell(&as_store("ROLE")).contains("master")
        });
        self.master()
    }

    /// Replicas and Sentinels lose their connections to this server and get no new ones. The store's user does.
    pub(crate) fn cut(&self, server: usize) {
        let told =
            self.servers[server].0.tell(&as_store("ACL SETUSER default off\r\nCLIENT KILL USER default"));
        assert!(!told.contains("-ERR"), "{told}");
    }

    pub(crate) fn heal(&self, server: usize) {
        self.servers[server].0.tell(&as_store("ACL SETUSER default on"));
    }
}

/// A command by the user that is never shut out.
pub(crate) fn as_store(command: &str) -> String {
    format!("AUTH store secret\r\n{command}")
}

impl Sentinel {
    fn start(program: &Path, master: &str) -> Self {
        loop {
            let (folder, port) = (tempfile::tempdir().unwrap(), free_port());
            let file = folder.path().join("sentinel.conf");
            let settings = [
                format!("port {port}"),
                format!("dir {}", folder.path().display()),
                format!("sentinel monitor ipms 127.0.0.1 {master} 2"),
                "sentinel down-after-milliseconds ipms 1000".to_owned(),
                "sentinel failover-timeout ipms 6000".to_owned(),
            ];
            std::fs::write(&file, settings.join("\n")).unwrap();
            let mut command = Command::new(program);
            command.arg(&file).arg("--sentinel").stdin(Stdio::null()).stdout(Stdio::null());
            let child = command.spawn().unwrap();
            let mut sentinel = Self { _folder: folder, child, port };
            let mut ended = false;
            until("a Sentinel answers", || {
                ended = sentinel.child.try_wait().unwrap().is_some();
                ended || sentinel.ask("PING").is_some_and(|answer| answer.starts_with("+PONG"))
            });
            if !ended {
                return sentinel;
            }
        }
    }

    /// A field of what it knows of the master.
    pub(crate) fn says(&self, field: &str) -> Option<String> {
        let answer = self.ask("SENTINEL MASTER ipms")?;
        let mut lines = answer.lines().filter(|line| !line.starts_with(['*', '$']));
        lines.find(|line| *line == field)?;
        lines.next().map(str::to_owned)
    }

    /// `None`: no answer.
    pub(crate) fn ask(&self, command: &str) -> Option<String> {
        let mut stream = TcpStream::connect(format!("127.0.0.1:{}", self.port)).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(2))).ok()?;
        // A Sentinel knows no QUIT: what it says to PING is the end.
        write!(stream, "{command}\r\nPING\r\n").ok()?;
        let (mut answer, mut buffer) = (String::new(), [0; 4_096]);
        while !answer.ends_with("+PONG\r\n") {
            let count = stream.read(&mut buffer).ok().filter(|count| *count > 0)?;
            answer += std::str::from_utf8(&buffer[..count]).ok()?;
        }
        Some(answer)
    }

    pub(crate) fn freeze(&self) {
        rustix::process::kill_process(Pid::from_child(&self.child), Signal::STOP).unwrap();
    }

    pub(crate) fn thaw(&self) {
        rustix::process::kill_process(Pid::from_child(&self.child), Signal::CONT).unwrap();
    }
}

impl Drop for Sentinel {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
