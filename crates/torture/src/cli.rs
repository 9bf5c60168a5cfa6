//! The command line, and which parts each form runs. What a part does lies in the part.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Parser, Subcommand, ValueEnum};

use crate::summary::{Report, Summary, say};
use crate::{full_disk, ha, histories, io_errors, kill, postgres, power_loss, sync_order};

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
    /// Two nodes over one PostgreSQL and one Redis, all of which are killed and restarted.
    Postgres(postgres::Wanted),
    /// Three PostgreSQL under Patroni, whose primary is killed.
    Ha(ha::Wanted),
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

pub(crate) async fn run(cli: &Cli) -> anyhow::Result<Summary> {
    let scratch = tempfile::Builder::new().prefix("kvstore-torture-").tempdir().context("no temporary directory")?;
    let setup = Setup { binary: binary(cli)?, scratch: scratch.path().to_owned() };
    let mut summary = Summary::default();
    let wanted = |part| cli.only.is_empty() || cli.only.contains(&part);
    match &cli.form {
        Form::Short => embedded(&setup, &mut summary, wanted, Times { kills: 5, power_cuts: None, histories: 1 }).await,
        Form::Full { cycles, power_cuts, histories } => {
            let times = Times { kills: *cycles, power_cuts: Some(*power_cuts), histories: *histories };
            embedded(&setup, &mut summary, wanted, times).await;
        }
        Form::Postgres(wanted) => postgres::run(&setup, wanted, &mut summary).await,
        Form::Ha(wanted) => summary.add("failover under Patroni", ha::run(&setup, wanted).await),
    }
    if summary.has_failed() {
        // What the servers said, and the data they left, are needed to find out why.
        say(&format!("kept for inspection: {}", scratch.keep().display()));
    }
    Ok(summary)
}

/// How often each thing is done.
struct Times {
    kills: u32,
    power_cuts: Option<u32>,
    histories: u32,
}

async fn embedded(setup: &Setup, summary: &mut Summary, wanted: impl Fn(Part) -> bool, times: Times) {
    if wanted(Part::Kill) {
        summary.add("kill -9", kill::run(setup, times.kills).await);
    }
    if wanted(Part::Histories) {
        summary.add("histories", histories::run(setup, times.histories).await);
    }
    if wanted(Part::SyncOrder) {
        summary.add("sync before answer", sync_order::run(setup).await);
    }
    if wanted(Part::IoErrors) {
        summary.add("I/O errors", io_errors::run(setup).await);
    }
    if wanted(Part::FullDisk) {
        summary.add("full disk", full_disk::run(setup).await);
    }
    if let Some(cuts) = times.power_cuts.filter(|_| wanted(Part::PowerLoss)) {
        summary.add("power loss", power_loss::run(setup, cuts).await);
    }
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
