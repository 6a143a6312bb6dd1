//! The issuer's command line.

use std::path::PathBuf;

use clap::{Args as Options, Parser, Subcommand};
use common::runtime::{dial::Endpoint, manual::Manual, tls::TlsFiles};

use crate::commands::doctor::Trip;

/// Signs tokens, keeps projects, the ledger and the revocation log.
#[derive(Debug, Parser)]
#[command(name = "issuer", version)]
pub struct Args {
    /// The settings file (TOML). Every key can be overridden by a variable `ISSUER_…`.
    #[arg(long, global = true)]
    pub config: Option<PathBuf>,
    /// What to do; serves when nothing is named.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// What the program does.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serves until SIGTERM.
    Serve,
    /// Reads settings and keys, tells every mistake, and ends.
    CheckConfig,
    /// Looks at settings, keys, clocks, store, certificates and the issuer that runs; tells what to do about each failure.
    Doctor(DoctorOptions),
    /// Asks the running issuer's health. Ends with 0 when it is served, else with 1.
    Healthcheck {
        /// A name of `grpc.health.v1`, such as `ipms.token.v1.IssuerService`; the process itself when left out.
        #[arg(long, default_value = "")]
        service: String,
    },
    /// Prints completions and the man page.
    #[command(hide = true)]
    Manual {
        /// Which.
        #[command(subcommand)]
        manual: Manual,
    },
    /// Token keys.
    Keys {
        /// What to do with them.
        #[command(subcommand)]
        command: KeysCommand,
    },
    /// The audit trail.
    Audit {
        /// What to do with it.
        #[command(subcommand)]
        command: AuditCommand,
    },
    /// The store.
    Store {
        /// What to do with it.
        #[command(subcommand)]
        command: StoreCommand,
    },
}

/// How far the doctor goes.
#[derive(Debug, Options)]
pub struct DoctorOptions {
    /// Issues a token in a project of its own, has this verifier accept it, revokes it, has it refused, closes the project.
    #[arg(long, value_name = "VERIFIER")]
    pub round_trip: Option<Endpoint>,
    /// The issuer of the round trip; then nothing else is looked at, and no settings are read. Default: the one of the settings.
    #[arg(long, requires = "round_trip")]
    pub issuer: Option<Endpoint>,
    /// Who signs the certificates of both, for `https://`.
    #[arg(long, requires_all = ["certificate", "key"])]
    pub ca: Option<PathBuf>,
    /// As whom both are called: roles `portal` at the issuer and `component` at the verifier.
    #[arg(long, requires_all = ["ca", "key"])]
    pub certificate: Option<PathBuf>,
    /// Its key.
    #[arg(long, requires_all = ["ca", "certificate"])]
    pub key: Option<PathBuf>,
}

impl DoctorOptions {
    /// A round trip that needs no settings: both ends are named.
    pub fn elsewhere(&self) -> Option<Trip> {
        let (verifier, issuer) = self.round_trip.clone().zip(self.issuer.clone())?;
        Some(Trip { issuer, verifier, tls: self.tls() })
    }

    /// The files for `https://`, if all are named.
    pub fn tls(&self) -> Option<TlsFiles> {
        let ((ca, certificate), key) = self.ca.clone().zip(self.certificate.clone()).zip(self.key.clone())?;
        Some(TlsFiles { certificate, key, ca, crl: None })
    }
}

/// What is done with keys.
#[derive(Debug, Subcommand)]
pub enum KeysCommand {
    /// Writes a token key into `keys.directory`; and the log key and the sealing key where there are none.
    Generate {
        /// Writes the log key that is to follow the present one, instead of a token key.
        #[arg(long)]
        log_key: bool,
    },
    /// Makes the next log key the one that signs from the next start on. Every verifier must have it pinned already.
    SwitchLogKey,
    /// Tells the ids of the keys, and the public log keys that verifiers pin.
    Show,
}

/// What is done with the audit trail.
#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// Checks the chain of a trail's files, across files too, and the heads that the log key signed.
    Verify {
        /// The files, in any order: some or all of `audit.path` and the finished ones before it.
        #[arg(required = true)]
        files: Vec<PathBuf>,
        /// The public log key (PEM). Given again for a trail that older log keys signed.
        #[arg(long)]
        log_key: Vec<PathBuf>,
        /// A line that must be there, as an earlier check told it: its number and hash.
        #[arg(long, value_name = "LINE:HASH")]
        known: Option<String>,
    },
}

/// What is done with the store.
#[derive(Debug, Subcommand)]
pub enum StoreCommand {
    /// Compares the store with the audit trail and mends what the trail can mend. The issuer must not be running.
    Check {
        /// If entries are lost for good: opens a new epoch that refuses every token recorded before.
        #[arg(long)]
        new_epoch: bool,
    },
    /// Writes projects, ledger and log into a file that the log key signs. Every issuer of the realm must be stopped.
    Export {
        /// The file; it must not exist.
        file: PathBuf,
    },
    /// Takes an exported file into an empty store. Every issuer of the realm must be stopped.
    Import {
        /// The file.
        file: PathBuf,
    },
}
