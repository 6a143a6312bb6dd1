//! The issuer's program: arguments, settings, telemetry, wiring, serving. Nothing is bound before settings are good.

use std::{process::ExitCode, sync::Arc};

use clap::Parser as _;
use common::{
    clock::SystemClock,
    runtime::{hardening::keep_memory_private, service_settings, shutdown::Shutdown, telemetry},
};
use issuer::{
    args::{Args, AuditCommand, Command, KeysCommand, StoreCommand},
    commands,
    settings::Settings,
    wiring,
};

fn main() -> ExitCode {
    let args = Args::parse();
    if let Some(Command::Audit { command: AuditCommand::Verify { files, log_key, known } }) = &args.command {
        return told(commands::verify_audit(files, log_key, known.as_deref()));
    }
    if keep_memory_private().is_err() {
        return failed("this process's memory cannot be kept private");
    }
    let settings = match service_settings::load(args.config.as_deref(), "ISSUER_") {
        Ok(file) => Settings::read(file).map_err(|mistakes| mistakes.to_string()),
        Err(mistake) => Err(mistake.to_string()),
    };
    let settings = match settings {
        Ok(settings) => settings,
        Err(mistakes) => return refused(&mistakes),
    };
    if telemetry::start(&settings.service.log).is_err() {
        return failed("logging could not be started");
    }
    let Ok(runtime) = tokio::runtime::Builder::new_multi_thread().enable_all().build() else {
        return failed("the system starts no more threads");
    };
    let code = match args.command.unwrap_or(Command::Serve) {
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
        Command::Audit { .. } | Command::Serve => serve(&runtime, settings),
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

fn failed(why: &str) -> ExitCode {
    eprintln!("issuer: {why}");
    ExitCode::FAILURE
}

/// `EX_USAGE`: every mistake at once, and nothing was touched.
fn refused(mistakes: &str) -> ExitCode {
    eprintln!("{mistakes}");
    ExitCode::from(64)
}
