//! The command line, and which parts each form runs. What a part does lies in the part.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Parser, Subcommand, ValueEnum};

use crate::summary::{Report, Summary, say};
use crate::{full_disk, histories, io_errors, kill, power_loss, sync_order};

#[derive(Debug, Parser)]
#[command(
    about = "Breaks kvstore and checks what it promised",
    after_help = "Exit codes: 0 all passed; 1 a promise was broken; 2 it could not go on; 3 something could not run here."
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    form: Form,
    /// The server's binary; default: `kvstore` beside this one.
    #[arg(long, global = true)]
    binary: Option<PathBuf>,
    /// Run this part only; may be repeated.
    #[arg(long, global = true)]
    only: Vec<Part>,
}

#[derive(Debug, Subcommand)]
enum Form {
    /// A minute: a few kills, a history, the order of sync and answer, I/O errors, a full disk.
    Short,
    /// Everything, power loss included.
    Full {
        /// How many times the server is killed.
        #[arg(long, default_value_t = 200)]
        cycles: u32,
        /// How many times the power is cut.
        #[arg(long, default_value_t = 10)]
        power_cuts: u32,
        /// How many histories are recorded and checked.
        #[arg(long, default_value_t = 20)]
        histories: u32,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    Kill,
    Histories,
    SyncOrder,
    PowerLoss,
    IoErrors,
    FullDisk,
}

/// What the parts share.
pub(crate) struct Setup {
    /// The server's binary.
    pub(crate) binary: PathBuf,
    /// A directory of our own; it is removed at the end.
    pub(crate) scratch: PathBuf,
}

const SHORT_CYCLES: u32 = 5;
const SHORT_HISTORIES: u32 = 1;

pub(crate) async fn run(cli: &Cli) -> anyhow::Result<Summary> {
    let scratch = tempfile::Builder::new().prefix("kvstore-torture-").tempdir().context("no temporary directory")?;
    let setup = Setup { binary: binary(cli)?, scratch: scratch.path().to_owned() };
    let (cycles, power_cuts, histories) = match cli.form {
        Form::Short => (SHORT_CYCLES, None, SHORT_HISTORIES),
        Form::Full { cycles, power_cuts, histories } => (cycles, Some(power_cuts), histories),
    };
    let wanted = |part| cli.only.is_empty() || cli.only.contains(&part);
    let mut summary = Summary::default();
    if wanted(Part::Kill) {
        summary.add("kill -9", kill::run(&setup, cycles).await);
    }
    if wanted(Part::Histories) {
        summary.add("histories", histories::run(&setup, histories).await);
    }
    if wanted(Part::SyncOrder) {
        summary.add("sync before answer", sync_order::run(&setup).await);
    }
    if wanted(Part::IoErrors) {
        summary.add("I/O errors", io_errors::run(&setup).await);
    }
    if wanted(Part::FullDisk) {
        summary.add("full disk", full_disk::run(&setup).await);
    }
    if let Some(cuts) = power_cuts.filter(|_| wanted(Part::PowerLoss)) {
        summary.add("power loss", power_loss::run(&setup, cuts).await);
    }
    if summary.has_failed() {
        // What the servers said, and the data they left, are needed to find out why.
        say(&format!("kept for inspection: {}", scratch.keep().display()));
    }
    Ok(summary)
}

fn binary(cli: &Cli) -> anyhow::Result<PathBuf> {
    let binary = match &cli.binary {
        Some(binary) => binary.clone(),
        None => std::env::current_exe()?.with_file_name("kvstore"),
    };
    anyhow::ensure!(binary.is_file(), "there is no server at {}; build it, or name it with --binary", binary.display());
    Ok(std::path::absolute(binary)?)
}

/// The result of a part that cannot run on this machine.
pub(crate) fn not_run(why: impl std::fmt::Display) -> anyhow::Result<Report> {
    Ok(Report::NotRun(why.to_string()))
}
