//! The issuer or the verifier as it serves, but for its clock: beneath the handler of a call it panics once, and says all that
//! is in a file. Tests only.
#![expect(clippy::print_stderr, reason = "a program")]

use std::{backtrace::Backtrace, error::Error, fs, process::ExitCode, sync::Arc};

use common::{
    clock::{Clock, Now, SystemClock},
    revocation::lease::BootId,
    runtime::{hardening::keep_memory_private, service_settings, shutdown::Shutdown, telemetry},
};

/// Nobody has asked it for the time yet.
#[derive(Debug)]
struct Bomb {
    /// What it panics with: the file goes first.
    file: &'static str,
    /// The file of the functions beneath which it does.
    beneath: &'static str,
}

impl Clock for Bomb {
    fn now(&self) -> Now {
        if let Ok(said) = fs::read_to_string(self.file)
            && Backtrace::force_capture().to_string().contains(self.beneath)
            && fs::remove_file(self.file).is_ok()
        {
            #[expect(clippy::panic, reason = "what it is for")]
            {
                panic!("{said}");
            }
        }
        SystemClock.now()
    }
}

fn main() -> ExitCode {
    let program = std::env::args().nth(1).unwrap_or_default();
    match run(&program) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run(program: &str) -> Result<(), Box<dyn Error>> {
    keep_memory_private()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    if program == "issuer" {
        let settings = issuer::settings::Settings::read(service_settings::load(None, "ISSUER_")?)?;
        telemetry::start(&settings.service.log)?;
        let clock = Arc::new(Bomb { file: "panic.issuer", beneath: "issuer/src/application/issue.rs:" });
        runtime.block_on(async {
            let running = issuer::wiring::start(settings, clock, Shutdown::on_signals()?).await?;
            Ok(Box::pin(running.serve()).await?)
        })
    } else {
        let settings =
            verifier::settings::Settings::read(service_settings::load(None, "VERIFIER_")?, "bomb")?;
        telemetry::start(&settings.service.log)?;
        let clock = Arc::new(Bomb { file: "panic.verifier", beneath: "verifier/src/transport/direct.rs:" });
        runtime.block_on(async {
            let boot = BootId([1; 16]);
            let running = verifier::wiring::start(settings, clock, boot, Shutdown::on_signals()?).await?;
            Ok(Box::pin(running.serve()).await?)
        })
    }
}
