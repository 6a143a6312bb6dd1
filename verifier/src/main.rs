//! The verifier's process: arguments, settings, telemetry, then everything else. No rule lives here.

use std::{process::ExitCode, sync::Arc};

use clap::Parser as _;
use common::{
    clock::SystemClock,
    runtime::{hardening::keep_memory_private, service_settings, telemetry},
};
use verifier::{
    args::{Args, Command},
    settings::{PREFIX, Settings},
    wiring,
};

/// Answers are made by the hundred thousand a second.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(told) => {
            // It may be the help or the version that was asked for.
            let _ = told.print();
            return if told.use_stderr() { ExitCode::from(MISUSED) } else { ExitCode::SUCCESS };
        }
    };
    if keep_memory_private().is_err() {
        eprintln!("this process's memory cannot be kept private");
        return ExitCode::FAILURE;
    }
    let settings = match read(&args) {
        Ok(settings) => settings,
        Err(mistakes) => {
            eprintln!("{mistakes}");
            return ExitCode::from(MISUSED);
        }
    };
    match args.command.unwrap_or(Command::Serve) {
        Command::CheckConfig => match settings.check_files(Arc::new(SystemClock)) {
            Ok(()) => ExitCode::SUCCESS,
            Err(mistakes) => {
                eprintln!("{mistakes}");
                ExitCode::from(MISUSED)
            }
        },
        Command::Serve => serve(settings),
    }
}

fn read(args: &Args) -> Result<Settings, Box<dyn std::error::Error>> {
    let file = service_settings::load(args.config.as_deref(), PREFIX)?;
    let machine = rustix::system::uname();
    Ok(Settings::read(file, machine.nodename().to_str().unwrap_or_default())?)
}

fn serve(settings: Settings) -> ExitCode {
    if let Err(error) = telemetry::start(&settings.service.log) {
        eprintln!("{error}");
        return ExitCode::FAILURE;
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(%error, "no runtime");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(wiring::run(settings)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(%error, "ended");
            ExitCode::FAILURE
        }
    }
}

/// `EX_USAGE` of sysexits(3).
const MISUSED: u8 = 64;
