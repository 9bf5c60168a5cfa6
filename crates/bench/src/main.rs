//! `kvstore-bench`: measures kvstore against its peers on this machine, and says whether it is as fast as it must be.
//!
//! It starts every peer in a process of its own, on loopback, over a temporary folder, and ends each by its own handle. It knows
//! kvstore by its command line and its REST API alone.

mod cgroup;
mod child;
mod disk;
mod http;
mod kvstore;
mod large;
mod load;
mod machine;
mod peers;
mod progress;
mod report;
mod rounds;
mod settings;
mod small;
mod targets;
mod usage;
mod workload;

use std::{io::Write, path::PathBuf, process::ExitCode};

use anyhow::{Context, Result, bail};
use clap::{Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};

use crate::{large::LargeSettings, peers::bare_rocksdb_process::BareRocksdb, report::Report, settings::Settings};

// The allocator of the server, so that the peers in this binary have no worse one.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Measure kvstore against its peers on this machine
///
/// Exit codes: 0 all floors are met, 1 one is not, 2 the benchmark failed, 3 something could not run.
#[derive(Debug, Parser)]
#[command(version)]
struct Cli {
    #[command(flatten)]
    settings: Settings,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Far more data than memory, under a memory cgroup
    Large(LargeSettings),
    /// A peer: one HTTP route that returns a file
    #[command(hide = true)]
    BareRoute {
        /// The port on loopback
        #[arg(long)]
        port: u16,
        /// The file
        #[arg(long)]
        entry: PathBuf,
    },
    /// A peer: RocksDB alone, commanded by lines on stdin
    #[command(hide = true)]
    BareRocksdb(BareRocksdb),
}

fn main() -> ExitCode {
    match run(&Cli::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("kvstore-bench: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn run(cli: &Cli) -> Result<ExitCode> {
    if let Some(Command::BareRocksdb(bare)) = &cli.command {
        bare.run(std::io::stdin().lock(), &mut std::io::stdout().lock())?;
        return Ok(ExitCode::SUCCESS);
    }
    let runtime = tokio::runtime::Runtime::new().context("the runtime can't be started")?;
    runtime.block_on(async {
        tokio::select! {
            done = measure(cli) => done,
            // Dropping the measurement ends its processes and removes its folders.
            name = interrupted() => bail!("ended by {}", name?),
        }
    })
}

async fn measure(cli: &Cli) -> Result<ExitCode> {
    let report = match &cli.command {
        None => small::run(&cli.settings).await?,
        Some(Command::Large(large)) => large::run(&cli.settings, large).await?,
        Some(Command::BareRoute { port, entry }) => {
            peers::bare_route::serve(*port, entry, &mut std::io::stdout()).await?;
            return Ok(ExitCode::SUCCESS);
        }
        Some(Command::BareRocksdb(_)) => bail!("this command needs no runtime"),
    };
    finish(&cli.settings, &report)
}

fn finish(settings: &Settings, report: &Report) -> Result<ExitCode> {
    let mut out = std::io::stdout().lock();
    report.print(&mut out)?;
    out.flush()?;
    if let Some(path) = &settings.json {
        report.save(path)?;
    }
    Ok(report.exit_code())
}

async fn interrupted() -> Result<&'static str> {
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        pressed = tokio::signal::ctrl_c() => pressed.map(|()| "SIGINT").map_err(Into::into),
        _ = terminate.recv() => Ok("SIGTERM"),
    }
}
