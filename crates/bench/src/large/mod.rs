//! `make bench-large`: far more data than memory, under a memory cgroup, kvstore beside RocksDB with nothing around it.

mod memory;
mod puts;
mod reads;

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use clap::Args;

use crate::{
    cgroup::Cgroup,
    child::bytes_below,
    kvstore::{self, Kvstore, Setup},
    load::loader::Loader,
    machine::Machine,
    progress::progress,
    report::Report,
    rounds::Schedule,
    settings::{Settings, Usual, free_bytes},
    targets::{self, Target},
};

const USUAL: Usual = Usual { rounds: 3, seconds: 15 };
const VALUE_BYTES: usize = 200;
const LOAD_BATCH: u64 = 5_000;
const SMALL_KEYS: u64 = 100_000;
const ALL_ENTRIES: u64 = 16_000_000;
/// What 16 million entries may take on disk, twice, with compaction under way.
const DISK_BYTES: u64 = 15 << 30;
/// Tables that do not change for so long are at rest.
const REST: Duration = Duration::from_secs(5);
const REST_MAX: Duration = Duration::from_secs(300);

/// What the disk gave where the targets were set.
const DISK_READS: u64 = 18_000;

const READS: &[Target] = &[targets::LARGE_READS, targets::LARGE_READS_P99, targets::LARGE_READS_DISK, targets::LARGE_READS_DISK_P99];
const MEMORY: &[Target] = &[targets::LARGE_OOM, targets::LARGE_MEMORY, targets::LARGE_GROWTH];
const PUTS: &[Target] = &[targets::LARGE_PUT, targets::LARGE_HOT_PUT];

/// Settings of this command alone.
#[derive(Debug, Args)]
pub(crate) struct LargeSettings {
    /// Entries to load; the targets hold for the default
    #[arg(long, value_name = "N", default_value_t = ALL_ENTRIES, value_parser = clap::value_parser!(u64).range(10_000..=1_000_000_000))]
    entries: u64,

    /// The server's memory budget
    #[arg(long, value_name = "MIB", default_value_t = 640)]
    memory_mb: u64,

    /// The limit of each peer's memory cgroup
    #[arg(long, value_name = "MIB", default_value_t = 1_024)]
    cap_mb: u64,

    /// Reads a second that the disk serves each peer at most, where random reads are measured a second time
    #[arg(long, value_name = "N", default_value_t = DISK_READS, value_parser = clap::value_parser!(u64).range(100..))]
    disk_reads: u64,

    /// Connections to kvstore, and threads that read bare RocksDB
    #[arg(long, value_name = "N", default_value_t = 32)]
    readers: usize,

    /// Stop loading after this
    #[arg(long, value_name = "SECONDS", default_value_t = 1_800)]
    load_seconds_max: u64,
}

/// What every part needs.
struct Bench<'a> {
    binary: &'a Path,
    work: &'a Path,
    schedule: Schedule,
    settings: &'a LargeSettings,
}

impl Bench<'_> {
    fn cgroup(&self, name: &str) -> Result<Arc<Cgroup>> {
        Ok(Arc::new(Cgroup::create(name, self.settings.cap_mb << 20, self.work)?))
    }

    fn load_max(&self) -> Duration {
        Duration::from_secs(self.settings.load_seconds_max)
    }

    /// A server under a cap with so many entries, at rest.
    async fn loaded<'a>(&'a self, cgroup: &'a Cgroup, entries: u64) -> Result<Kvstore<'a>> {
        let setup =
            Setup { binary: self.binary, work: self.work, memory_mb: Some(self.settings.memory_mb), cgroup: Some(cgroup), database: None };
        let mut server = Kvstore::start(setup).await?;
        progress!("loading {entries} entries into kvstore");
        let loader =
            Loader { port: server.port, entries, value_bytes: VALUE_BYTES, batch: LOAD_BATCH, connections: 4, limit: self.load_max() };
        let took = match loader.run().await {
            Ok(took) => took,
            Err(error) => {
                // A server that ended is the cause, a broken connection its sign.
                server.check_running()?;
                return Err(error);
            }
        };
        progress!("{:.0} entries a second", entries as f64 / took.as_secs_f64());
        rest(&server).await;
        server.check_operations(entries, VALUE_BYTES, 100, 100).await?;
        Ok(server)
    }
}

/// Measures, or says why it can't.
pub(crate) async fn run(settings: &Settings, large: &LargeSettings) -> Result<Report> {
    settings.check_only(&["reads", "puts"])?;
    let binary = kvstore::binary(settings.server.as_deref())?;
    let work = settings.work_dir()?;
    let bench = Bench { binary: &binary, work: work.path(), schedule: settings.schedule(USUAL), settings: large };
    let mut described = settings.described(USUAL);
    described.push(("entries", format!("{} of {VALUE_BYTES} bytes", large.entries)));
    described.push(("memory cap", format!("{} MiB, of which --memory-mb {}", large.cap_mb, large.memory_mb)));
    described.push(("random reads", format!("on the disk as it is, and limited to {} reads a second", large.disk_reads)));
    let mut report = Report::new("large", Machine::here(), settings.purpose(), described);
    if let Err(why) = check_disk(&bench).and_then(|()| bench.cgroup("trial").map(drop)) {
        not_run(&mut report, &[READS, MEMORY, PUTS].concat(), &why);
        return Ok(report);
    }
    let (before, wants) = (report.findings.len(), (settings.wants("reads"), settings.wants("puts")));
    if let Err(error) = measure(&bench, &mut report, wants).await {
        let judged: Vec<&str> = report.findings.iter().skip(before).map(|finding| finding.target.name).collect();
        let left: Vec<Target> = [READS, MEMORY, PUTS].concat().into_iter().filter(|target| !judged.contains(&target.name)).collect();
        not_run(&mut report, &left, &error);
    }
    Ok(report)
}

async fn measure(bench: &Bench<'_>, report: &mut Report, (reads, puts): (bool, bool)) -> Result<()> {
    let cgroup = bench.cgroup("kvstore")?;
    let mut memory = memory::Follow::start(Arc::clone(&cgroup));
    let outcome = async {
        let mut server = bench.loaded(&cgroup, bench.settings.entries).await?;
        memory.loaded();
        let measured = async {
            if reads {
                reads::measure(bench, (&server, &cgroup), &mut memory, report).await?;
            }
            if puts {
                puts::measure(bench, &server, &mut memory, report).await?;
            }
            Ok::<(), anyhow::Error>(())
        };
        let measured = measured.await;
        server.check_running()?;
        measured?;
        server.check_operations(bench.settings.entries, VALUE_BYTES, 100, 100).await?;
        server.stop().await
    };
    let outcome = outcome.await;
    // Also after a failure: a kill for want of memory is the first thing to know then.
    memory.judge(bench.settings.memory_mb, report)?;
    outcome
}

fn check_disk(bench: &Bench<'_>) -> Result<()> {
    let needed = (DISK_BYTES / ALL_ENTRIES * bench.settings.entries).max(2 << 30);
    let free = free_bytes(bench.work)?;
    ensure!(free >= needed, "{} GiB of disk are needed, {} GiB are free; name another folder with --work-dir", needed >> 30, free >> 30);
    Ok(())
}

fn not_run(report: &mut Report, targets: &[Target], why: &anyhow::Error) {
    for target in targets {
        report.not_run(*target, format!("{why:#}"));
    }
}

/// Waits until the tables stand still, or long enough.
async fn rest(server: &Kvstore<'_>) {
    progress!("waiting for compaction to come to rest");
    let (started, dir) = (Instant::now(), server.data_dir());
    let size = || bytes_below(&dir, &|name| name.ends_with(".sst"));
    let (mut last, mut since) = (size(), Instant::now());
    while since.elapsed() < REST && started.elapsed() < REST_MAX {
        tokio::time::sleep(Duration::from_millis(250)).await;
        let now = size();
        if now != last {
            (last, since) = (now, Instant::now());
        }
    }
}

/// A figure, which must be there.
fn finite(figure: f64, what: &str) -> Result<f64> {
    figure.is_finite().then_some(figure).with_context(|| format!("{what} was not measured"))
}
