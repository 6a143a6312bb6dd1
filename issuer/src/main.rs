//! The issuer's program: arguments, settings, telemetry, wiring, serving. Nothing is bound before settings are good.

use std::{process::ExitCode, sync::Arc};

use clap::{CommandFactory as _, Parser as _};
use common::{
    clock::SystemClock,
    runtime::{
        doctor::{Report, healthcheck},
        hardening::keep_memory_private,
        service_settings,
        shutdown::Shutdown,
        telemetry,
    },
};
use issuer::{
    args::{Args, AuditCommand, Command, KeysCommand, StoreCommand},
    commands::{self, doctor},
    settings::Settings,
    wiring,
};

fn main() -> ExitCode {
    let Args { config, command } = Args::parse();
    let command = command.unwrap_or(Command::Serve);
    if let Command::Audit { command: AuditCommand::Verify { files, log_key, known } } = &command {
        return told(commands::verify_audit(files, log_key, known.as_deref()));
    }
    if let Command::Manual { manual } = command {
        return told(manual.print(Args::command(), &mut std::io::stdout()).map(|()| String::new()));
    }
    if keep_memory_private().is_err() {
        return failed("this process's memory cannot be kept private");
    }
    let Ok(runtime) = tokio::runtime::Builder::new_multi_thread().enable_all().build() else {
        return failed("the system starts no more threads");
    };
    if let Command::Doctor(options) = &command
        && let Some(trip) = options.elsewhere()
    {
        return examined(&runtime.block_on(doctor::round_trip_alone(&trip, Arc::new(SystemClock))));
    }
    let settings = match service_settings::load(config.as_deref(), "ISSUER_") {
        Ok(file) => Settings::read(file).map_err(|mistakes| mistakes.to_string()),
        Err(mistake) => Err(mistake.to_string()),
    };
    let settings = match settings {
        Ok(settings) => settings,
        Err(mistakes) if matches!(command, Command::Doctor(_)) => {
            return refused(Report::of_mistakes(&mistakes).to_string().trim_end());
        }
        Err(mistakes) => return refused(&mistakes),
    };
    if telemetry::start(&settings.service.log).is_err() {
        return failed("logging could not be started");
    }
    let code = match command {
        Command::Keys { command: KeysCommand::Generate { log_key: false } } => {
            told(commands::generate_keys(&settings))
        }
        Command::Keys { command: KeysCommand::Generate { log_key: true } } => {
            told(commands::generate_log_key(&settings))
        }
        Command::Keys { command: KeysCommand::SwitchLogKey } => told(commands::switch_log_key(&settings)),
        Command::Keys { command: KeysCommand::Show } => told(commands::show_keys(&settings)),
        Command::CheckConfig => match commands::check_config(&settings) {
            Ok(text) => told::<&str>(Ok(text)),
            Err(mistakes) => refused(&mistakes),
        },
        Command::Store { command: StoreCommand::Check { new_epoch } } => {
            match runtime.block_on(commands::check_store(&settings, new_epoch)) {
                Ok((text, true)) => told::<&str>(Ok(text)),
                Ok((text, false)) => failed(text.trim_end()),
                Err(error) => failed(&error.to_string()),
            }
        }
        Command::Store { command: StoreCommand::Export { file } } => {
            told(runtime.block_on(commands::transfer::export(&settings, &file)))
        }
        Command::Store { command: StoreCommand::Import { file } } => {
            told(runtime.block_on(commands::transfer::import(&settings, &file)))
        }
        Command::Doctor(options) => {
            examined(&runtime.block_on(doctor::examine_all(&settings, &options, Arc::new(SystemClock))))
        }
        Command::Healthcheck { service } => {
            told(runtime.block_on(healthcheck(&settings.service, &service)).map(|()| String::new()))
        }
        Command::Audit { .. } | Command::Manual { .. } | Command::Serve => serve(&runtime, settings),
    };
    // A device that does not answer keeps its thread, and must not keep the process.
    runtime.shutdown_background();
    code
}

fn serve(runtime: &tokio::runtime::Runtime, settings: Settings) -> ExitCode {
    let outcome = runtime.block_on(async {
        let shutdown = Shutdown::on_signals().map_err(|error| error.to_string())?;
        let bound = wiring::start(settings, Arc::new(SystemClock), shutdown).await;
        let bound = bound.map_err(|error| error.to_string())?;
        let address = bound.grpc_address().map_err(|error| error.to_string())?;
        tracing::info!(%address, "the issuer serves");
        Box::pin(bound.serve()).await.map_err(|error| error.to_string())
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

/// Says it, on standard output.
fn told<E: std::fmt::Display>(text: Result<String, E>) -> ExitCode {
    match text {
        Ok(text) => {
            print!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => failed(&error.to_string()),
    }
}

/// The doctor's word.
fn examined(report: &Report) -> ExitCode {
    print!("{report}");
    if report.failures() == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn failed(why: &str) -> ExitCode {
    eprintln!("issuer: {why}");
    ExitCode::FAILURE
}

/// `EX_USAGE`: every mistake at once, and nothing was touched.
fn refused(mistakes: &str) -> ExitCode {
    eprintln!("{mistakes}");
    ExitCode::from(64)
}
