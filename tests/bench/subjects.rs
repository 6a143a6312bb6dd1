//! The servers that are held against each other, each on the first processor, and what one window of load cost them.
//! Makes no load and judges no figure.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use harness::ports::free_address;
use tokio::{net::TcpStream, process::Child};

use crate::{
    load::{self, Plan, Seen, Shape, To},
    stand::{Failure, Issuer, On, Program, computed},
};

/// A server under load.
pub(crate) struct Subject {
    pub(crate) name: &'static str,
    pub(crate) tcp: To,
    pub(crate) unix: Option<To>,
    pub(crate) kept: Kept,
}

/// Its process, killed when dropped.
pub(crate) enum Kept {
    /// Counts its answers itself.
    Program(Program, &'static str),
    /// Ours, or another project's.
    Child(Child),
}

/// What a window of load cost.
#[derive(Clone, Debug)]
pub(crate) struct Window {
    /// Processor time of the server per answer.
    pub(crate) cost: Duration,
    pub(crate) seen: Seen,
}

impl Subject {
    /// The verifier, following `issuer`.
    pub(crate) async fn verifier(issuer: &Issuer, name: &'static str) -> Result<Self, Failure> {
        Self::observed(issuer, name, None).await
    }

    /// The same, whose telemetry goes to a collector.
    pub(crate) async fn observed(
        issuer: &Issuer,
        name: &'static str,
        collector: Option<SocketAddr>,
    ) -> Result<Self, Failure> {
        let address = free_address();
        let program = issuer.verifier_on(name, On::Processor(0), address, collector).await?;
        let unix = Some(To::Unix(issuer.socket_path(name)));
        let counter = "ipms_verifications_total{outcome=\"accepted\"";
        Ok(Self { name: "verifier", tcp: To::Tcp(address), unix, kept: Kept::Program(program, counter) })
    }

    /// tonic alone, with an answer as long as ours.
    pub(crate) async fn bare(issuer: &Issuer, length: usize) -> Result<Self, Failure> {
        let (address, socket) = (free_address(), issuer.socket_path("bare"));
        let mut command = On::Processor(0).command("floor")?;
        command.args(["bare", &length.to_string(), &address.to_string()]).arg(&socket);
        Self::child("bare echo", command, address, Some(socket)).await
    }

    /// The verifier's server around the same answer.
    pub(crate) async fn layers(length: usize) -> Result<Self, Failure> {
        let (address, admin) = (free_address(), free_address());
        let mut command = On::Processor(0).command("floor")?;
        command.args(["layers", &length.to_string(), &address.to_string(), &admin.to_string()]);
        Self::child("echo, same layers", command, address, None).await
    }

    /// Any program that listens there once it is ready.
    pub(crate) async fn child(
        name: &'static str,
        mut command: tokio::process::Command,
        address: SocketAddr,
        socket: Option<PathBuf>,
    ) -> Result<Self, Failure> {
        let mut child = command.spawn()?;
        while TcpStream::connect(address).await.is_err() {
            if let Some(status) = child.try_wait()? {
                return Err(format!("{name} ended before it was ready: {status}").into());
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(Self { name, tcp: To::Tcp(address), unix: socket.map(To::Unix), kept: Kept::Child(child) })
    }

    pub(crate) fn pid(&self) -> Result<u32, Failure> {
        match &self.kept {
            Kept::Program(program, _) => program.pid(),
            Kept::Child(child) => Ok(child.id().ok_or("no such process")?),
        }
    }

    /// How many tokens it says that it has accepted; `None` when it does not count.
    pub(crate) async fn accepted(&self) -> Result<Option<u64>, Failure> {
        let Kept::Program(program, counter) = &self.kept else { return Ok(None) };
        let text = program.told("/metrics").await?;
        let lines = text.lines().filter(|line| line.starts_with(counter));
        let counts = lines.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok());
        Ok(Some(counts.sum()))
    }

    /// Sends `requests` in this shape, of which `good` in each hundred are to be accepted. That all of them were is
    /// checked by the generator, which saw a message in each answer, and by the server's own count.
    pub(crate) async fn window(
        &self,
        to: &To,
        shape: Shape,
        plan: &Plan,
        requests: usize,
        accepted: u64,
    ) -> Result<Window, Failure> {
        let (pid, before) = (self.pid()?, self.accepted().await?);
        let start = computed(pid)?;
        let seen = load::run(to, shape, plan, requests)?;
        let cost = computed(pid)?.saturating_sub(start);
        if seen.errors > 0 || seen.answers() != requests {
            return Err(format!("{}: {} of {requests} calls failed", self.name, seen.errors).into());
        }
        if let (Some(before), Some(after)) = (before, self.accepted().await?)
            && after - before != accepted
        {
            return Err(format!("{}: {} of {accepted} tokens accepted", self.name, after - before).into());
        }
        Ok(Window { cost: cost / u32::try_from(requests)?, seen })
    }

    pub(crate) async fn stop(self) -> Result<(), Failure> {
        match self.kept {
            Kept::Program(program, _) => program.stop().await,
            Kept::Child(mut child) => Ok(child.kill().await?),
        }
    }
}
