//! The issuer's command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

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
