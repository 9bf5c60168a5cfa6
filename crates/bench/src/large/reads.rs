//! Random reads of data that memory can't hold: kvstore over HTTP, and bare RocksDB by as many threads.

use anyhow::Result;

use super::{Bench, VALUE_BYTES, median_of, memory::Follow};
use crate::{
    kvstore::Kvstore,
    load::{Keys, Load, Operation, Pace, Plan},
    peers::bare_rocksdb::BareRocksdb,
    progress::progress,
    report::{Measurement, REQUESTS, Report},
    targets,
};

const LOAD: &str = "random GET under the cap";

pub(super) async fn measure(bench: &Bench<'_>, server: &Kvstore<'_>, memory: &mut Follow, report: &mut Report) -> Result<()> {
    let (entries, readers, time) = (bench.settings.entries, bench.settings.readers, bench.schedule.time);
    let seconds = time.as_secs().max(1);
    let cgroup = bench.cgroup("rocksdb")?;
    // The block cache and the entry cache of kvstore's plan together: half and an eighth of its budget.
    let cache_mb = bench.settings.memory_mb * 5 / 8;
    let mut bare = BareRocksdb::start(bench.work, &cgroup, cache_mb, VALUE_BYTES)?;
    progress!("loading {entries} entries into bare RocksDB");
    let loaded = bare.load(entries, bench.load_max()).await?;
    progress!("{:.0} entries a second", entries as f64 / loaded.seconds);

    let plan = Plan { operation: Operation::Get, keys: Keys::Uniform(entries), value_bytes: VALUE_BYTES };
    let load = Load { server: server.server(), plan, connections: readers, pace: Pace::Closed };
    progress!("warming both");
    load.run_for(time).await?;
    bare.read(seconds, readers).await?;
    memory.begin("reads");

    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for round in 1..=bench.schedule.rounds {
        progress!("{LOAD}, round {round}");
        ours.push(load.run_for(time).await?.sample()?);
        memory.round();
        theirs.push(bare.read(seconds, readers).await?);
    }
    bare.stop().await?;

    let ours = Measurement::of(LOAD, "kvstore", readers, REQUESTS, &ours);
    let theirs = Measurement::of(LOAD, "bare RocksDB", readers, REQUESTS, &theirs);
    let rate = median_of(&[ours.median / theirs.median], "the rate of reads")?;
    report.judge(targets::LARGE_READS, rate, format!("{:.0} against {:.0} a second", ours.median, theirs.median));
    let p99 = median_of(&[ours.p99_us / theirs.p99_us], "p99 of reads")?;
    let detail = format!("{:.2} ms against {:.2} ms", ours.p99_us / 1e3, theirs.p99_us / 1e3);
    report.judge(targets::LARGE_READS_P99, p99, detail);
    report.measurements.extend([ours, theirs]);
    Ok(())
}
