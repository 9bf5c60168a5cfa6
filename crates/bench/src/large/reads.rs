//! Random reads of data that memory can't hold: kvstore over HTTP, and bare RocksDB by as many threads. On the disk as it is, where a
//! fast one lets the processors set the pace, and HTTP shares them with its generator; and on one that serves no more reads than the
//! disk for which the targets were set. Then beside the same RocksDB behind a plain axum route, which shows what HTTP takes of any store.

use anyhow::Result;

use super::{Bench, VALUE_BYTES, finite, memory::Follow};
use crate::{
    cgroup::Cgroup,
    kvstore::Kvstore,
    load::{Keys, Load, Operation, Pace, Plan, Sample},
    peers::bare_rocksdb::{BareRocksdb, Setup},
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
    let setup = Setup { cgroup: &bare_group, cache_mb: bench.settings.memory_mb * 5 / 8, value_bytes: VALUE_BYTES };
    let mut bare = BareRocksdb::start(bench.work, &setup)?;
    progress!("loading {entries} entries into bare RocksDB");
    let loaded = bare.load(entries, bench.load_max()).await?;
    progress!("{:.0} entries a second", entries as f64 / loaded.seconds);

    let plan = Plan { operation: Operation::Get, keys: Keys::Uniform(entries), value_bytes: VALUE_BYTES };
    let load = Load { server: server.server(), plan, connections: bench.settings.readers, pace: Pace::Closed };
    let mut peers = Peers { bench, load, beside: Beside::Threads(&mut bare) };
    progress!("warming both");
    peers.round().await?;
    memory.begin("reads");
    peers.compare(LOAD, Some([targets::LARGE_READS, targets::LARGE_READS_P99]), memory, report).await?;

    let (reads, limited) = (bench.settings.disk_reads, [targets::LARGE_READS_DISK, targets::LARGE_READS_DISK_P99]);
    // The server's last: it goes on to other loads where the limit can't be set.
    let limit = |reads| bare_group.limit_disk_reads(reads).and_then(|()| group.limit_disk_reads(reads));
    if let Err(why) = limit(Some(reads)) {
        limited.iter().for_each(|target| report.not_run(*target, format!("{why:#}")));
    } else {
        memory.begin("reads of the slower disk");
        peers.compare(&format!("{LOAD}, {reads} disk reads a second"), Some(limited), memory, report).await?;
        limit(None)?;
    }

    bare.restart(&setup).await?;
    let route = Load { server: bare.serve().await?, ..load };
    let mut peers = Peers { bench, load, beside: Beside::Route(route) };
    progress!("warming both");
    peers.round().await?;
    memory.begin("reads beside a route");
    peers.compare(&format!("{LOAD}, both over HTTP"), None, memory, report).await?;
    bare.stop().await
}

/// The same load on kvstore and on RocksDB.
struct Peers<'a> {
    bench: &'a Bench<'a>,
    load: Load,
    beside: Beside<'a>,
}

/// How RocksDB is called.
enum Beside<'a> {
    /// By its own threads, as many as kvstore has connections.
    Threads(&'a mut BareRocksdb),
    /// Through a plain axum route.
    Route(Load),
}

impl Peers<'_> {
    /// What kvstore did, and then RocksDB.
    async fn round(&mut self) -> Result<[Sample; 2]> {
        let time = self.bench.schedule.time;
        let ours = self.load.run_for(time).await?.sample()?;
        let theirs = match &mut self.beside {
            Beside::Threads(bare) => bare.read(time.as_secs().max(1), self.bench.settings.readers).await?,
            Beside::Route(load) => load.run_for(time).await?.sample()?,
        };
        Ok([ours, theirs])
    }

    async fn compare(&mut self, load: &str, judged: Option<[Target; 2]>, memory: &mut Follow, report: &mut Report) -> Result<()> {
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for round in 1..=self.bench.schedule.rounds {
            progress!("{load}, round {round}");
            let [our, their] = self.round().await?;
            memory.round();
            ours.push(our);
            theirs.push(their);
        }
        let readers = self.bench.settings.readers;
        let peer = match self.beside {
            Beside::Threads(_) => "bare RocksDB",
            Beside::Route(_) => "RocksDB by axum",
        };
        let ours = Measurement::of(load, "kvstore", readers, REQUESTS, &ours);
        let theirs = Measurement::of(load, peer, readers, REQUESTS, &theirs);
        if let Some(targets) = judged {
            judge(targets, &ours, &theirs, report)?;
        }
        report.measurements.extend([ours, theirs]);
        Ok(())
    }
}

/// The rate and p99 of reads.
fn judge([rate, p99]: [Target; 2], ours: &Measurement, theirs: &Measurement, report: &mut Report) -> Result<()> {
    let ratio = ours.over(theirs);
    report.judge(rate, finite(ratio.median(), "the rate of reads")?, ratio.to_string());
    let times = format!("{:.2} ms against {:.2} ms", ours.p99_us / 1e3, theirs.p99_us / 1e3);
    report.judge(p99, finite(ours.p99_us / theirs.p99_us, "p99 of reads")?, times);
    Ok(())
}
