//! `make bench`: 100,000 keys of 100 bytes, kvstore beside Redis, etcd and a bare route; and kvstore over PostgreSQL
//! beside pgbench.

mod closed_loops;
mod compaction;
mod idle;
mod latency;
mod postgres;
mod reopen;
mod servers;
mod transfers;

use std::path::Path;

use anyhow::Result;

use self::servers::Servers;
use crate::{
    kvstore::{self, Setup},
    machine::Machine,
    progress::progress,
    report::{Purpose, Report},
    rounds::Schedule,
    settings::{Settings, Usual},
    targets::{self, Target},
};

/// A shared machine is slow for some seconds at a time: five rounds have a middle that one such phase does not decide.
const USUAL: Usual = Usual { rounds: 5, seconds: 2 };

/// The groups in the order in which they run, with the targets that each decides.
const GROUPS: &[(&str, &[Target])] = &[
    ("idle", &[targets::IDLE]),
    ("hot-get", &[targets::HOT_GET_BARE, targets::HOT_GET_REDIS]),
    ("random-get", &[]),
    ("put", &[targets::PUT_64, targets::PUT_1]),
    ("batch", &[targets::BATCH]),
    ("pages", &[targets::PAGES]),
    ("mixed", &[]),
    ("latency", &[]),
    ("compaction", &[targets::COMPACTION]),
    ("reopen", &[targets::REOPEN]),
    ("transfers", transfers::TARGETS),
    ("postgres", postgres::TARGETS),
];

/// What every group needs.
struct Bench<'a> {
    binary: &'a Path,
    work: &'a Path,
    schedule: Schedule,
    purpose: Purpose,
}

impl<'a> Bench<'a> {
    /// Whether only that everything works is to be shown.
    fn is_quick(&self) -> bool {
        self.purpose == Purpose::Try
    }

    /// A server with its default settings.
    const fn setup(&self) -> Setup<'a> {
        Setup { binary: self.binary, work: self.work, memory_mb: None, cgroup: None, database: None }
    }
}

/// Measures. A group that fails is reported as not run, and the others go on.
pub(crate) async fn run(settings: &Settings) -> Result<Report> {
    let names: Vec<&str> = GROUPS.iter().map(|(name, _)| *name).collect();
    settings.check_only(&names)?;
    let binary = kvstore::binary(settings.server.as_deref())?;
    let work = settings.work_dir()?;
    let purpose = settings.purpose();
    let bench = Bench { binary: &binary, work: work.path(), schedule: settings.schedule(USUAL), purpose };
    let described = [settings.described(USUAL), servers::versions(&binary).await].concat();
    let mut report = Report::new("bench", Machine::here(), purpose, described);
    let mut servers = None;

    for (name, decided) in GROUPS.iter().filter(|(name, _)| settings.wants(name)) {
        progress!("{name}");
        if let Err(error) = run_group(name, &bench, &mut servers, &mut report).await {
            for target in *decided {
                report.not_run(*target, format!("{error:#}"));
            }
            if decided.is_empty() {
                report.miss(name, format!("{error:#}"));
            }
        }
    }
    if let Some(servers) = servers {
        servers.stop().await?;
    }
    Ok(report)
}

async fn run_group<'a>(name: &str, bench: &'a Bench<'a>, kept: &mut Option<Servers<'a>>, report: &mut Report) -> Result<()> {
    match name {
        "idle" => idle::measure(bench, report).await,
        "compaction" => compaction::measure(bench, report).await,
        "reopen" => reopen::measure(bench, report).await,
        "transfers" => transfers::measure(bench, report).await,
        "postgres" => postgres::measure(bench, report).await,
        _ => {
            let mut servers = match kept.take() {
                Some(servers) => servers,
                None => Servers::start(bench, report).await?,
            };
            if name == "latency" {
                latency::measure(bench, &mut servers, report).await?;
            } else {
                closed_loops::measure(name, bench, &mut servers, report).await?;
            }
            // Each group begins with new servers, so that none pays for what another wrote; a try takes less time without.
            if bench.is_quick() {
                *kept = Some(servers);
                return Ok(());
            }
            servers.stop().await
        }
    }
}
