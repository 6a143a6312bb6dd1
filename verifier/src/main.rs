//! The verifier's process: arguments, settings, telemetry, then everything else. No rule lives here.

use std::{process::ExitCode, sync::Arc};

use clap::{CommandFactory as _, Parser as _};
use common::{
    clock::SystemClock,
    runtime::{
        doctor::{Report, healthcheck},
        hardening::keep_memory_private,
        service_settings, telemetry,
    },
};
use verifier::{
    args::{Args, Command},
    doctor,
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
    let command = args.command.clone().unwrap_or(Command::Serve);
    if let Command::Manual { manual } = command {
        return ended(manual.print(Args::command(), &mut std::io::stdout()));
    }
    if keep_memory_private().is_err() {
        return ended(Err("this process's memory cannot be kept private"));
    }
    let settings = match read(&args) {
        Ok(settings) => settings,
        Err(mistakes) => {
            let mistakes = mistakes.to_string();
            let examined =
                matches!(command, Command::Doctor).then(|| Report::of_mistakes(&mistakes).to_string());
            eprintln!("{}", examined.as_deref().unwrap_or(&mistakes).trim_end());
            return ExitCode::from(MISUSED);
        }
    };
    match command {
        Command::CheckConfig => match settings.check_files(Arc::new(SystemClock)) {
            Ok(()) => ExitCode::SUCCESS,
            Err(mistakes) => {
                eprintln!("{mistakes}");
                ExitCode::from(MISUSED)
            }
        },
        Command::Doctor => match runtime() {
            Ok(runtime) => {
                let report = runtime.block_on(doctor::examine(&settings, Arc::new(SystemClock)));
                print!("{report}");
                if report.failures() == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
            }
            Err(error) => ended(Err(error)),
        },
        Command::Healthcheck { service } => match runtime() {
            Ok(runtime) => ended(runtime.block_on(healthcheck(&settings.service, &service))),
            Err(error) => ended(Err(error)),
        },
        Command::Manual { .. } | Command::Serve => serve(settings),
    }
}

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()
}

/// A command that says nothing when it went well.
fn ended<E: std::fmt::Display>(outcome: Result<(), E>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("verifier: {error}");
            ExitCode::FAILURE
        }
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
    let runtime = match runtime() {
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
