//! The command line. Reads no file and no setting.

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use common::runtime::manual::Manual;

/// Validates tokens from memory, beside every component that uses them.
#[derive(Clone, Debug, Eq, Parser, PartialEq)]
#[command(name = "verifier", version)]
pub struct Args {
    /// The settings, in TOML; variables that begin with `VERIFIER_` are laid over them.
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// What to do; serves when nothing is said.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// What the program can do.
#[derive(Clone, Debug, Eq, PartialEq, Subcommand)]
pub enum Command {
    /// Follows the issuer and answers.
    Serve,
    /// Reads all settings, tells every mistake, and ends.
    CheckConfig,
    /// Looks at settings, keys, clocks, certificates, the issuers and the verifier that runs; tells what to do about each
    /// failure.
    Doctor,
    /// Asks the running verifier's health. Ends with 0 when it is served, else with 1.
    Healthcheck {
        /// A name of `grpc.health.v1`, such as `ipms.token.v1.VerifierService/REVERSE`; the process itself when left out.
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
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_may_be_left_out_and_the_file_may_stand_on_either_side() {
        let parse = |line: &str| Args::try_parse_from(line.split(' ')).ok();
        let args = |command, config: Option<&str>| Some(Args { config: config.map(PathBuf::from), command });
        assert_eq!(parse("verifier"), args(None, None));
        assert_eq!(parse("verifier --config a.toml"), args(None, Some("a.toml")));
        assert_eq!(parse("verifier --config a.toml serve"), args(Some(Command::Serve), Some("a.toml")));
        assert_eq!(
            parse("verifier check-config --config a.toml"),
            args(Some(Command::CheckConfig), Some("a.toml"))
        );
        assert_eq!(parse("verifier dance"), None);
    }
}
