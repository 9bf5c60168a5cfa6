//! Random reads of data that memory can't hold: kvstore over HTTP, and bare RocksDB by as many threads. On the disk as it is, where a
//! fast one lets the processors set the pace, and HTTP shares them with its generator; and on one that serves no more reads than the
//! disk for which the targets were set.

use anyhow::Result;

use super::{Bench, VALUE_BYTES, median_of, memory::Follow};
use crate::{
    cgroup::Cgroup,
    kvstore::Kvstore,
    load::{Keys, Load, Operation, Pace, Plan, Sample},
    peers::bare_rocksdb::BareRocksdb,
    progress::progress,
    report::{Measurement, REQUESTS, Report},
    targets::{self, Target},
};

const LOAD: &str = "random GET under the cap";

pub(super) async fn measure(
    bench: &Bench<'_>,
    (server, group): (&Kvstore<'_>, &Cgroup),
    memory: &mut Follow,
    report: &mut Report,
) -> Result<()> {
    let entries = bench.settings.entries;
    let bare_group = bench.cgroup("rocksdb")?;
    // The block cache and the entry cache of kvstore's plan together: half and an eighth of its budget.
    let cache_mb = bench.settings.memory_mb * 5 / 8;
    let mut bare = BareRocksdb::start(bench.work, &bare_group, cache_mb, VALUE_BYTES)?;
    progress!("loading {entries} entries into bare RocksDB");
    let loaded = bare.load(entries, bench.load_max()).await?;
    progress!("{:.0} entries a second", entries as f64 / loaded.seconds);

    let plan = Plan { operation: Operation::Get, keys: Keys::Uniform(entries), value_bytes: VALUE_BYTES };
    let load = Load { server: server.server(), plan, connections: bench.settings.readers, pace: Pace::Closed };
    let mut peers = Peers { bench, load, bare };
    progress!("warming both");
    peers.round().await?;
    memory.begin("reads");
    peers.compare(LOAD, [targets::LARGE_READS, targets::LARGE_READS_P99], memory, report).await?;

    let (reads, limited) = (bench.settings.disk_reads, [targets::LARGE_READS_DISK, targets::LARGE_READS_DISK_P99]);
    // The server's last: it goes on to other loads where the limit can't be set.
    let limit = |reads| bare_group.limit_disk_reads(reads).and_then(|()| group.limit_disk_reads(reads));
    if let Err(why) = limit(Some(reads)) {
        limited.iter().for_each(|target| report.not_run(*target, format!("{why:#}")));
    } else {
        memory.begin("reads of the slower disk");
        peers.compare(&format!("{LOAD}, {reads} disk reads a second"), limited, memory, report).await?;
        limit(None)?;
    }
    peers.bare.stop().await
}

/// The same load on both.
struct Peers<'a> {
    bench: &'a Bench<'a>,
    load: Load,
    bare: BareRocksdb,
}

impl Peers<'_> {
    /// What kvstore did, and then bare RocksDB.
    async fn round(&mut self) -> Result<[Sample; 2]> {
        let time = self.bench.schedule.time;
        let ours = self.load.run_for(time).await?.sample()?;
        Ok([ours, self.bare.read(time.as_secs().max(1), self.bench.settings.readers).await?])
    }

    async fn compare(&mut self, load: &str, [rate, p99]: [Target; 2], memory: &mut Follow, report: &mut Report) -> Result<()> {
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for round in 1..=self.bench.schedule.rounds {
            progress!("{load}, round {round}");
            let [our, their] = self.round().await?;
            memory.round();
            ours.push(our);
            theirs.push(their);
        }
        let readers = self.bench.settings.readers;
        let ours = Measurement::of(load, "kvstore", readers, REQUESTS, &ours);
        let theirs = Measurement::of(load, "bare RocksDB", readers, REQUESTS, &theirs);
        let rates = format!("{:.0} against {:.0} a second", ours.median, theirs.median);
        report.judge(rate, median_of(&[ours.median / theirs.median], "the rate of reads")?, rates);
        let times = format!("{:.2} ms against {:.2} ms", ours.p99_us / 1e3, theirs.p99_us / 1e3);
        report.judge(p99, median_of(&[ours.p99_us / theirs.p99_us], "p99 of reads")?, times);
        report.measurements.extend([ours, theirs]);
        Ok(())
    }
}
