//! The binary `kvstore`: the command line, settings, wiring and telemetry. What it does lies in the other crates.

mod app;
mod banner;
mod commands;
mod exit;
mod nodes;
mod resources;
mod settings;
mod shutdown;
mod telemetry;
mod told;

use std::process::ExitCode;

use clap::FromArgMatches;

/// The system's allocator gives memory back slowly under churn from many threads.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let parsed = commands::command().try_get_matches().and_then(|matches| Ok((commands::Cli::from_arg_matches(&matches)?, matches)));
    let (cli, matches) = match parsed {
        Ok(parsed) => parsed,
        Err(error) => return exit::refuse(&error).into(),
    };
    match commands::run(cli, &matches) {
        Ok(exit) => exit.into(),
        Err(error) if commands::wants_json(&matches) => exit::report_json(&error).into(),
        Err(error) => exit::report(&error).into(),
    }
}
