//! The two programs as processes in a folder of their own, and clients for them. Measures nothing but their memory.

use std::{
    error::Error,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use common::proto::v1 as pb;
use harness::ports::free_address;
use hyper_util::rt::TokioIo;
use pb::{
    issuer_service_client::IssuerServiceClient, project_service_client::ProjectServiceClient,
    revocation_service_client::RevocationServiceClient, revoke_request::Selector,
};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpStream, UnixStream},
    process::{Child, Command},
};
use tonic::transport::{Channel, Endpoint, Uri};

pub(crate) type Failure = Box<dyn Error + Send + Sync>;

/// Who owns the project of all tokens here.
pub(crate) const ORGANISATION: &str = "00000000-0000-4000-8000-000000000001";
pub(crate) const PROJECT: &str = "bench";

/// A running program. Killed when dropped.
pub(crate) struct Program {
    child: Child,
    admin: SocketAddr,
}

/// Where a program runs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum On {
    Any,
    /// One processor, before others that want it.
    Processor(usize),
}

impl On {
    /// The program of this name there.
    pub(crate) fn command(self, name: &str) -> Result<Command, Failure> {
        let program = beside_us()?.join(name);
        let mut command = match self {
            Self::Any => Command::new(program),
            Self::Processor(number) => {
                let mut command = Command::new("nice");
                // Without the right to be nicer to itself it runs all the same.
                command.args(["-n", "-10", "taskset", "-c", &number.to_string()]).arg(program);
                command
            }
        };
        command.stdin(Stdio::null()).kill_on_drop(true);
        Ok(command)
    }
}

impl Program {
    async fn start(name: &str, on: On, variables: &[(&str, String)]) -> Result<Self, Failure> {
        let admin = free_address();
        let prefix = name.to_ascii_uppercase();
        let mut command = on.command(name)?;
        let ours = [
            ("ADMIN__LISTEN", admin.to_string()),
            ("GRPC__INSECURE_LOOPBACK", String::from("true")),
            ("LOG__LEVEL", String::from("error")),
        ];
        for (variable, value) in ours.iter().chain(variables) {
            command.env(format!("{prefix}_{variable}"), value);
        }
        let child = command.spawn()?;
        let mut program = Self { child, admin };
        tokio::time::timeout(PATIENCE, program.ready()).await??;
        Ok(program)
    }

    /// Returns once `/readyz` says yes.
    async fn ready(&mut self) -> Result<(), Failure> {
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Err(format!("a program ended before it was ready: {status}").into());
            }
            if let Ok(answer) = get(self.admin, "/readyz").await
                && answer.starts_with("HTTP/1.1 200")
            {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// As SIGTERM ends it.
    pub(crate) async fn stop(mut self) -> Result<(), Failure> {
        let pid = self.child.id().and_then(|id| Pid::from_raw(id.try_into().ok()?));
        kill_process(pid.ok_or("no such process")?, Signal::TERM)?;
        self.child.wait().await?;
        Ok(())
    }

    /// Processor time of all its threads.
    pub(crate) fn computed(&self) -> Result<Duration, Failure> {
        computed(self.pid()?)
    }

    pub(crate) fn pid(&self) -> Result<u32, Failure> {
        Ok(self.child.id().ok_or("no such process")?)
    }

    /// What its admin port says.
    pub(crate) async fn told(&self, path: &str) -> Result<String, Failure> {
        get(self.admin, path).await
    }

    /// A line of `/proc/<pid>/status`, in bytes.
    pub(crate) fn memory(&self, field: &str) -> Result<u64, Failure> {
        let pid = self.child.id().ok_or("no such process")?;
        let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
        let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        let kibibytes = line.and_then(|line| line.split_whitespace().next()).ok_or("no such line")?;
        Ok(kibibytes.parse::<u64>()? << 10)
    }
}

/// An issuer with keys and, unless told otherwise, an embedded store on disk.
pub(crate) struct Issuer {
    pub(crate) folder: TempDir,
    pub(crate) address: SocketAddr,
    settings: Vec<(&'static str, String)>,
    program: Program,
}

/// What a caller talks to.
#[derive(Clone)]
pub(crate) struct Clients {
    pub(crate) projects: ProjectServiceClient<Channel>,
    pub(crate) tokens: IssuerServiceClient<Channel>,
    pub(crate) revocations: RevocationServiceClient<Channel>,
    pub(crate) channel: Channel,
}

impl Issuer {
    /// With new keys and nothing in its store.
    pub(crate) async fn start() -> Result<Self, Failure> {
        Self::start_with(Vec::new()).await
    }

    /// The same, with these settings in addition.
    pub(crate) async fn start_with(settings: Vec<(&'static str, String)>) -> Result<Self, Failure> {
        // Beside the programs: a temporary folder of the system may be no disk at all.
        let folder = tempfile::tempdir_in(beside_us()?)?;
        let mut generate = Command::new(beside_us()?.join("issuer"));
        let keys = folder.path().join("keys");
        generate.args(["keys", "generate"]).env("ISSUER_KEYS__DIRECTORY", keys).stdout(Stdio::null());
        if !generate.status().await?.success() {
            return Err("no keys were made".into());
        }
        let address = free_address();
        let program = issuer(folder.path(), address, &settings).await?;
        Ok(Self { folder, address, settings, program })
    }

    /// Stops it and starts it again over the same store.
    pub(crate) async fn again(self) -> Result<Self, Failure> {
        self.again_after(async |_| Ok(())).await
    }

    /// The same; what happens `between` is told the folder of its files.
    pub(crate) async fn again_after(
        self,
        between: impl AsyncFnOnce(&Path) -> Result<(), Failure>,
    ) -> Result<Self, Failure> {
        self.program.stop().await?;
        between(self.folder.path()).await?;
        let program = issuer(self.folder.path(), self.address, &self.settings).await?;
        Ok(Self { program, ..self })
    }

    pub(crate) async fn stop(self) -> Result<(), Failure> {
        self.program.stop().await
    }

    /// What its admin port says.
    pub(crate) async fn told(&self, path: &str) -> Result<String, Failure> {
        self.program.told(path).await
    }

    /// Processor time that it has used.
    pub(crate) fn computed(&self) -> Result<Duration, Failure> {
        self.program.computed()
    }

    pub(crate) fn log_key(&self) -> PathBuf {
        self.folder.path().join("keys/log.public.pem")
    }

    /// A verifier as a process; its socket and snapshot are named after it.
    pub(crate) async fn verifier(&self, name: &str) -> Result<Program, Failure> {
        self.verifier_on(name, On::Any, free_address(), None).await
    }

    /// The same, where it is told to run and to listen.
    pub(crate) async fn verifier_on(
        &self,
        name: &str,
        on: On,
        address: SocketAddr,
        collector: Option<SocketAddr>,
    ) -> Result<Program, Failure> {
        let path = |end: &str| self.folder.path().join(format!("{name}.{end}")).display().to_string();
        let collector = collector.map(|address| ("TELEMETRY__OTLP_ENDPOINT", format!("http://{address}")));
        let variables: Vec<_> = [
            ("GRPC__LISTEN", address.to_string()),
            ("GRPC__UNIX_SOCKET", path("sock")),
            ("ISSUER__ENDPOINTS", format!("http://{}", self.address)),
            ("ISSUER__LOG_KEYS", self.log_key().display().to_string()),
            ("FOLLOWER__ID", name.to_owned()),
            ("SNAPSHOT__PATH", path("snapshot")),
        ]
        .into_iter()
        .chain(collector)
        .collect();
        Program::start("verifier", on, &variables).await
    }

    /// Where that verifier's socket is.
    pub(crate) fn socket_path(&self, name: &str) -> PathBuf {
        self.folder.path().join(format!("{name}.sock"))
    }

    /// A connection to that verifier's socket.
    pub(crate) async fn socket(&self, name: &str) -> Result<Channel, Failure> {
        let path = self.socket_path(name);
        let connect = tower::service_fn(move |_: Uri| {
            let path = path.clone();
            async move { UnixStream::connect(path).await.map(TokioIo::new) }
        });
        Ok(Endpoint::from_static("http://verifier").connect_with_connector(connect).await?)
    }
}

impl Clients {
    pub(crate) async fn connect(issuer: SocketAddr) -> Result<Self, Failure> {
        let channel = Endpoint::from_shared(format!("http://{issuer}"))?;
        let channel = channel.tcp_nodelay(true).connect().await?;
        Ok(Self {
            projects: ProjectServiceClient::new(channel.clone()),
            tokens: IssuerServiceClient::new(channel.clone()),
            revocations: RevocationServiceClient::new(channel.clone()),
            channel,
        })
    }

    pub(crate) async fn create_project(&mut self) -> Result<(), Failure> {
        let method = pb::project_configuration::Method::NotReversible(pb::NotReversible {});
        let request = pb::CreateProjectRequest {
            project_id: PROJECT.into(),
            owner_organisation_id: ORGANISATION.into(),
            collaborators: Vec::new(),
            configuration: Some(pb::ProjectConfiguration {
                method: Some(method),
                treatment: pb::Treatment::AlwaysDifferent.into(),
                output_format: Some(pb::OutputFormat {
                    alphabet: pb::Alphabet::Alphanumeric.into(),
                    length: 32,
                }),
            }),
        };
        self.projects.create_project(request).await?;
        Ok(())
    }

    /// A new token, and its id.
    pub(crate) async fn issue(&mut self) -> Result<(String, String), Failure> {
        let (token, record) = self.issued().await?;
        Ok((token, record.token_id))
    }

    /// A new token, and the key that signed it.
    pub(crate) async fn issue_and_tell_key(&mut self) -> Result<(String, String), Failure> {
        let (token, record) = self.issued().await?;
        Ok((token, record.key_id))
    }

    async fn issued(&mut self) -> Result<(String, pb::TokenRecord), Failure> {
        let request = pb::IssueTokenRequest {
            project_id: PROJECT.into(),
            organisation_id: ORGANISATION.into(),
            token_type: pb::TokenType::Pseudonymisation.into(),
            approval: Some(pb::Approval {
                request_id: "request".into(),
                requested_by: "somebody".into(),
                approval: Some(pb::approval::Approval::Automatic(pb::AutomaticApproval {})),
                purpose: String::new(),
            }),
            ..Default::default()
        };
        let issued = self.tokens.issue_token(request).await?.into_inner();
        Ok((issued.token, issued.record.ok_or("no record")?))
    }

    pub(crate) async fn revoke(&mut self, token_ids: Vec<String>) -> Result<pb::Cursor, Failure> {
        self.revoke_as(Selector::TokenIds(pb::TokenIds { token_ids })).await
    }

    pub(crate) async fn revoke_as(&mut self, selector: Selector) -> Result<pb::Cursor, Failure> {
        let request = pb::RevokeRequest {
            selector: Some(selector),
            reason: pb::RevocationReason::Operator.into(),
            comment: String::new(),
        };
        Ok(self.revocations.revoke(request).await?.into_inner().cursor.ok_or("no cursor")?)
    }

    pub(crate) async fn await_visibility(&mut self, cursor: pb::Cursor) -> Result<(), Failure> {
        let timeout = Some(prost_types::Duration { seconds: 30, nanos: 0 });
        let request = pb::AwaitVisibilityRequest { cursor: Some(cursor), timeout };
        let answer = self.revocations.await_visibility(request).await?.into_inner();
        if answer.reached { Ok(()) } else { Err("not visible within 30 s".into()) }
    }
}

async fn issuer(
    folder: &Path,
    address: SocketAddr,
    settings: &[(&'static str, String)],
) -> Result<Program, Failure> {
    let path = |name: &str| folder.join(name).display().to_string();
    let variables = [
        ("GRPC__LISTEN", address.to_string()),
        ("STORE__PATH", path("issuer.redb")),
        ("KEYS__DIRECTORY", path("keys")),
        ("AUDIT__PATH", path("audit.jsonl")),
    ];
    Program::start("issuer", On::Any, &[&variables, settings].concat()).await
}

/// The folder that this program was built into: the others are there too.
pub(crate) fn beside_us() -> Result<PathBuf, Failure> {
    Ok(std::env::current_exe()?.parent().ok_or("no folder")?.to_owned())
}

/// Processor time of all threads of a process.
pub(crate) fn computed(pid: u32) -> Result<Duration, Failure> {
    let mut nanoseconds = 0;
    for task in std::fs::read_dir(format!("/proc/{pid}/task"))? {
        // A thread may end while we look.
        let Ok(line) = std::fs::read_to_string(task?.path().join("schedstat")) else { continue };
        let first = line.split_whitespace().next().ok_or("no such field")?;
        nanoseconds += first.parse::<u64>()?;
    }
    Ok(Duration::from_nanos(nanoseconds))
}

/// A program that is not ready by then never will be.
const PATIENCE: Duration = Duration::from_mins(2);

async fn get(address: SocketAddr, path: &str) -> Result<String, Failure> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}
