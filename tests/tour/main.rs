//! The tour: a client that walks through everything the pair does, shows it and checks it. Starts and stops nothing.

mod clients;
mod component;
mod journey;
mod kept;
mod picture;
mod refusals;
mod revocation;
mod show;
mod unmet;
mod walk;

use std::{path::Path, process::ExitCode};

use self::{clients::Clients, component::Component, unmet::Outcome};

const USAGE: &str = "usage: tour ready ISSUER VERIFIER
       tour walk ISSUER VERIFIER FILE
       tour journey ISSUER VERIFIER COMPONENT FILE
       tour refused-still VERIFIER FILE
       tour picture FILE SVG
       tour picture-check FILE SVG

Addresses are host:port. `walk` keeps in FILE what `refused-still` asks about, `journey` what it saw: `picture` draws it,
and `picture-check` compares a picture that was drawn of another run.";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
        eprintln!("tour: no runtime");
        return ExitCode::FAILURE;
    };
    let outcome = match arguments.as_slice() {
        ["ready", issuer, verifier] => runtime.block_on(ready(issuer, verifier)),
        ["walk", issuer, verifier, file] => runtime.block_on(walk(issuer, verifier, Path::new(file))),
        ["journey", issuer, verifier, component, file] => {
            runtime.block_on(journey(issuer, verifier, component, Path::new(file)))
        }
        ["picture", file, svg] => picture::draw(Path::new(file), Path::new(svg)),
        ["picture-check", file, svg] => picture::check(Path::new(file), Path::new(svg)),
        ["refused-still", verifier, file] => runtime.block_on(refused_still(verifier, Path::new(file))),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(64);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(unmet) => {
            eprintln!("tour: {unmet}");
            ExitCode::FAILURE
        }
    }
}

/// Ends when the issuer answers and the verifier can decide every type.
async fn ready(issuer: &str, verifier: &str) -> Outcome {
    let mut clients = Clients::new(issuer, verifier)?;
    clients.ready().await
}

async fn walk(issuer: &str, verifier: &str, file: &Path) -> Outcome {
    let mut clients = Clients::new(issuer, verifier)?;
    let projects = walk::projects(&mut clients).await?;
    let tokens = walk::tokens(&mut clients, &projects).await?;
    walk::verdicts(&mut clients, &tokens).await?;
    refusals::of_the_verifier(&mut clients, &projects, &tokens).await?;
    refusals::of_the_issuer(&mut clients, &projects).await?;
    revocation::revoked(&mut clients, &tokens).await?;
    revocation::confirmed_again(&mut clients).await?;
    kept::Kept::of(&tokens).write(file)
}

async fn journey(issuer: &str, verifier: &str, component: &str, file: &Path) -> Outcome {
    let mut clients = Clients::new(issuer, verifier)?;
    let journey = journey::walked(&mut clients, &Component::at(component)).await?;
    journey.write(file)
}

async fn refused_still(verifier: &str, file: &Path) -> Outcome {
    let kept = kept::Kept::read(file)?;
    // The issuer is stopped: nobody is asked at this address.
    let mut clients = Clients::new(verifier, verifier)?;
    revocation::refused_still(&mut clients, &kept).await
}
