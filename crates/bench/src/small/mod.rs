//! `make bench`: 100,000 keys of 100 bytes, kvstore beside Redis and beside a bare route.

mod closed_loops;
mod compaction;
mod idle;
mod reopen;

use std::path::Path;

use anyhow::Result;

use crate::{
    kvstore::{self, Setup},
    machine::Machine,
    progress::progress,
    report::Report,
    rounds::Schedule,
    settings::Settings,
    targets::{self, Target},
};

const SECONDS: u64 = 2;

/// The groups in the order in which they run, with the targets that each decides.
const GROUPS: &[(&str, &[Target])] = &[
    ("idle", &[targets::IDLE]),
    ("hot-get", &[targets::HOT_GET_BARE, targets::HOT_GET_REDIS]),
    ("random-get", &[]),
    ("put", &[targets::PUT_64, targets::PUT_1]),
    ("batch", &[targets::BATCH]),
    ("pages", &[targets::PAGES]),
    ("compaction", &[targets::COMPACTION]),
    ("reopen", &[targets::REOPEN]),
];

/// What every group needs.
struct Bench<'a> {
    binary: &'a Path,
    work: &'a Path,
    schedule: Schedule,
}

impl<'a> Bench<'a> {
    /// A server with its default settings.
    const fn setup(&self) -> Setup<'a> {
        Setup { binary: self.binary, work: self.work, memory_mb: None, cgroup: None }
    }
}

/// Measures. A group that fails is reported as not run, and the others go on.
pub(crate) async fn run(settings: &Settings) -> Result<Report> {
    let names: Vec<&str> = GROUPS.iter().map(|(name, _)| *name).collect();
    settings.check_only(&names)?;
    let binary = kvstore::binary(settings.server.as_deref())?;
    let work = settings.work_dir()?;
    let bench = Bench { binary: &binary, work: work.path(), schedule: settings.schedule(SECONDS) };
    let mut report = Report::new("bench", Machine::here(), settings.described(SECONDS));

    for (name, decided) in GROUPS.iter().filter(|(name, _)| settings.wants(name)) {
        progress!("{name}");
        if let Err(error) = run_group(name, &bench, &mut report).await {
            for target in *decided {
                report.not_run(*target, format!("{error:#}"));
            }
            if decided.is_empty() {
                progress!("{name} failed: {error:#}");
            }
        }
    }
    Ok(report)
}

async fn run_group(name: &str, bench: &Bench<'_>, report: &mut Report) -> Result<()> {
    match name {
        "idle" => idle::measure(bench, report).await,
        "compaction" => compaction::measure(bench, report).await,
        "reopen" => reopen::measure(bench, report).await,
        _ => closed_loops::measure(name, bench, report).await,
    }
}
