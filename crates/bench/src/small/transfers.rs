//! What moves whole stores: import beside a loader that sends the same batches, export, and backups while PUT goes on; and the time
//! from starting the binary to its first answer.

use std::{
    fs::File,
    io::{BufWriter, Write},
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};

use super::{Bench, closed_loops::plan};
use crate::{
    child::{peak_resident, run_watched},
    kvstore::Kvstore,
    load::{Keys, Load, Operation, Pace, Stop, loader::Loader},
    peers::bare_route::BareRoute,
    progress::progress,
    report::Report,
    rounds::median,
    targets::{self, Target},
    workload::{HOT_KEY, KEYS, VALUE_BYTES, key, scattered, value},
};

pub(super) const TARGETS: &[Target] =
    &[targets::IMPORT, targets::EXPORT, targets::EXPORT_CLIENT, targets::EXPORT_SERVER, targets::BACKUP, targets::START];

const ENTRIES: u64 = 1_000_000;
const QUICK_ENTRIES: u64 = 20_000;
/// How `kvstore import` sends: so many items a batch, so many batches under way.
const BATCH: u64 = 1_000;
const UNDER_WAY: usize = 4;
const CONNECTIONS: usize = 64;
const TOOL_MAX: Duration = Duration::from_secs(300);
const MB: f64 = 1e6;

pub(super) async fn measure(bench: &Bench<'_>, report: &mut Report) -> Result<()> {
    let entries = if bench.is_quick() { QUICK_ENTRIES } else { ENTRIES };
    let mut server = import(bench, entries, report).await?;

    // As a server is found: it was started some time ago, and not filled in the same moment.
    let started = server.restart(HOT_KEY).await?;
    report.judge(targets::START, started.as_secs_f64(), format!("from exec to the first read, over {entries} entries"));
    export(bench, &server, entries, report).await?;
    backups(bench, &server, entries, report).await?;
    server.check_running()?;
    server.stop().await
}

/// Gives the last server that was filled by an import.
async fn import<'a>(bench: &Bench<'a>, entries: u64, report: &mut Report) -> Result<Kvstore<'a>> {
    let file = bench.work.join("entries.ndjson");
    write_lines(&file, entries).with_context(|| format!("writing {}", file.display()))?;
    let (mut ours, mut bare, mut last) = (Vec::new(), Vec::new(), None);
    for round in 1..=bench.schedule.rounds {
        progress!("filling by a bare loader and by an import, round {round}");
        // Nothing else is to run beside either.
        if let Some(before) = last.take() {
            Kvstore::stop(before).await?;
        }
        let server = Kvstore::start(bench.setup()).await?;
        let loader = Loader { port: server.port, entries, value_bytes: VALUE_BYTES, batch: BATCH, connections: UNDER_WAY, limit: TOOL_MAX };
        bare.push(entries as f64 / loader.run().await?.as_secs_f64());
        server.stop().await?;

        let server = Kvstore::start(bench.setup()).await?;
        let mut tool = server.tool("import");
        let state = bench.work.join("import-state");
        tool.arg(&file).arg("--state").arg(state).args(["--progress", "none"]);
        let ran = run_watched("kvstore import", tool, TOOL_MAX).await?;
        ours.push(entries as f64 / ran.took.as_secs_f64());
        server.check_entry(entries - 1, VALUE_BYTES).await?;
        last = Some(server);
    }
    std::fs::remove_file(&file)?;
    let (ours, bare) = (median(&ours), median(&bare));
    report.judge(targets::IMPORT, ours / bare, format!("{ours:.0} against {bare:.0} entries a second, of {entries}"));
    last.context("no round was run")
}

/// The same keys and values in the same order as the loader's.
fn write_lines(file: &Path, entries: u64) -> Result<()> {
    let mut lines = BufWriter::new(File::create(file)?);
    for number in (0..entries).map(|position| scattered(position, entries)) {
        writeln!(lines, r#"{{"key":"{}","value":"{}"}}"#, key(number), value(number, VALUE_BYTES))?;
    }
    Ok(lines.into_inner()?.sync_all()?)
}

async fn export(bench: &Bench<'_>, server: &Kvstore<'_>, entries: u64, report: &mut Report) -> Result<()> {
    let bare_route = BareRoute::start(bench.work, &server.check_entry(HOT_KEY, VALUE_BYTES).await?).await?;
    let gets = plan(Operation::Get, Keys::One(HOT_KEY));
    let gets = Load { server: bare_route.server(), plan: gets, connections: CONNECTIONS, pace: Pace::Closed };
    let (mut ours, mut bare, mut client_peak) = (Vec::new(), Vec::new(), 0);
    for round in 1..=bench.schedule.rounds {
        progress!("export, round {round}");
        let file = bench.work.join("exported.ndjson");
        let mut tool = server.tool("export");
        tool.arg(&file).args(["--progress", "none"]);
        let ran = run_watched("kvstore export", tool, TOOL_MAX).await?;
        ours.push(entries as f64 / ran.took.as_secs_f64());
        client_peak = client_peak.max(ran.peak_resident);
        let lines = std::fs::read(&file)?.iter().filter(|byte| **byte == b'\n').count();
        ensure!(lines as u64 == entries, "{lines} lines were exported, not {entries}");
        std::fs::remove_file(&file)?;
        bare.push(gets.run_for(bench.schedule.time).await?.sample()?.per_second);
    }
    bare_route.stop().await?;
    let (ours, bare) = (median(&ours), median(&bare));
    report.judge(targets::EXPORT, ours / bare, format!("{ours:.0} entries against {bare:.0} requests a second"));
    report.judge(targets::EXPORT_CLIENT, client_peak as f64 / MB, "of `kvstore export` at its highest, mapped files included");
    let detail = "at its highest since its start, mapped files included";
    report.judge(targets::EXPORT_SERVER, peak_resident(server.pid())? as f64 / MB, detail);
    Ok(())
}

/// PUT alone, and beside one backup after the other.
async fn backups(bench: &Bench<'_>, server: &Kvstore<'_>, entries: u64, report: &mut Report) -> Result<()> {
    let puts = plan(Operation::Put, Keys::Uniform(entries.min(KEYS)));
    let puts = Load { server: server.server(), plan: puts, connections: CONNECTIONS, pace: Pace::Closed };
    let (mut alone, mut beside, mut made) = (Vec::new(), Vec::new(), 0);
    for round in 1..=bench.schedule.rounds {
        progress!("PUT alone and beside backups, round {round}");
        alone.push(puts.run_for(bench.schedule.time).await?.sample()?.per_second);
        let stop = Stop::after(TOOL_MAX);
        let (found, copied) = tokio::join!(puts.run(stop.clone()), async {
            let copied = copy(bench, server).await;
            stop.now();
            copied
        });
        beside.push(found?.sample()?.per_second);
        made += copied?;
    }
    let (alone, beside) = (median(&alone), median(&beside));
    let detail = format!("{beside:.0} against {alone:.0} a second, while {made} backups were made");
    report.judge(targets::BACKUP, (1.0 - beside / alone) * 100.0, detail);
    Ok(())
}

/// Makes backups for the time of a measurement, and at least one. Says how many.
async fn copy(bench: &Bench<'_>, server: &Kvstore<'_>) -> Result<usize> {
    let (started, mut made) = (Instant::now(), 0);
    while made == 0 || started.elapsed() < bench.schedule.time {
        let dir = bench.work.join("backup");
        let mut tool = server.tool("backup");
        tool.arg(&dir);
        run_watched("kvstore backup", tool, TOOL_MAX).await?;
        std::fs::remove_dir_all(&dir)?;
        made += 1;
    }
    Ok(made)
}
