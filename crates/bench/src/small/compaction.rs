//! PUT at half the peak rate, from an open loop, while a stream of larger values keeps compaction busy.

use std::{
    fmt,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use hdrhistogram::Histogram;

use super::{Bench, closed_loops::plan, servers::loaded};
use crate::{
    disk::Stalls,
    kvstore::Kvstore,
    load::{BatchAnswer, Keys, Load, Operation, Pace, Plan, Stop, loader::Loader},
    progress::progress,
    report::Report,
    rounds::median,
    targets,
    workload::KEYS,
};

/// What the server counts as written by compaction.
const COMPACTED: &str = "kvstore_engine_compaction_bytes_total";
/// What is under way. The preload is in the tables once there are no flushes.
const FLUSHING: &str = "kvstore_engine_running_flushes";
const COMPACTING: &str = "kvstore_engine_running_compactions";
const GIB: f64 = (1_u64 << 30) as f64;
const CONNECTIONS: usize = 64;
const PEAK_TIME: Duration = Duration::from_secs(3);
const WARM_UP: Duration = Duration::from_secs(10);
const TIME_MIN: Duration = Duration::from_secs(10);
const TIME_MAX: Duration = Duration::from_secs(120);
const COUNT_LAG_MAX: Duration = Duration::from_secs(3);
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// How long a plain program has the disk for itself before a round, and how often at most.
const DISK_TIME: Duration = Duration::from_secs(10);
const DISK_TRIES: usize = 6;
/// Beside the load it only looks now and then.
const PROBE_PAUSE: Duration = Duration::from_millis(10);

/// The stream beside: batches of values that are small enough to lie in the tables that PUT changes too.
const STREAM_KEYS: u64 = 150_000;
const STREAM_VALUE_BYTES: usize = 4_000;
const STREAM_ITEMS: usize = 16;
const STREAM_PER_SECOND: f64 = 128.0;

/// One round: PUT until enough was compacted.
struct Round {
    /// Half of what the server took just before.
    rate: f64,
    /// From the intended times.
    p99_ms: f64,
    /// From the sending.
    p50_ms: f64,
    sent_p99_ms: f64,
    compacted: f64,
    seconds: f64,
    /// What a plain program met on the disk, time after time, before it; and beside it.
    before: Vec<Stalls>,
    beside: Stalls,
}

pub(super) async fn measure(bench: &Bench<'_>, report: &mut Report) -> Result<()> {
    let mut server = loaded(bench).await?;
    progress!("loading {STREAM_KEYS} values of {STREAM_VALUE_BYTES} bytes, so that there is something to compact");
    let preload =
        Loader { port: server.port, entries: STREAM_KEYS, value_bytes: STREAM_VALUE_BYTES, batch: 500, connections: 2, limit: TIME_MAX };
    preload.run().await?;
    settled(&server, &[FLUSHING]).await?;

    // The preload has pushed the small keys out of the caches.
    progress!("warming up");
    small_puts(&server, Pace::Closed).run_for(WARM_UP).await.context("warming up")?;

    let mut rounds = Vec::new();
    for index in 1..=bench.schedule.rounds {
        match round(bench, &mut server, index).await {
            Ok(round) => rounds.push(round),
            // What was measured before is not lost.
            Err(error) => {
                server.check_running()?;
                report.miss(&format!("compaction, round {index}"), format!("{error:#}"));
            }
        }
    }
    judge(report, &rounds);
    server.stop().await
}

async fn round(bench: &Bench<'_>, server: &mut Kvstore<'_>, index: usize) -> Result<Round> {
    progress!("the peak of PUT, round {index}");
    settled(server, &[FLUSHING, COMPACTING]).await?;
    // Just before: half of what a fast machine took is nearly all that it takes when others use it too.
    let rate = small_puts(server, Pace::Closed).run_for(PEAK_TIME).await?.sample()?.per_second / 2.0;
    settled(server, &[FLUSHING, COMPACTING]).await?;
    let before = calm(bench).await?;
    progress!("PUT at {rate:.0} a second while 1 GiB is compacted, round {index}");
    let (stop, started) = (Stop::after(TIME_MAX), Instant::now());
    let puts = small_puts(server, Pace::Open(rate));
    let stream = large_batches(server);
    let (found, _, beside, compacted) = tokio::try_join!(
        async { puts.run(stop.clone()).await.context("PUT") },
        async { stream.run(stop.clone()).await.context("the stream beside") },
        Stalls::meet(bench.work, PROBE_PAUSE, stop.clone()),
        watch(server, &stop)
    )?;
    server.check_running()?;
    let ms = |latencies: &Histogram<u64>, share| latencies.value_at_quantile(share) as f64 / 1e3;
    Ok(Round {
        rate,
        p99_ms: ms(&found.writes, 0.99),
        p50_ms: ms(&found.from_sent, 0.5),
        sent_p99_ms: ms(&found.from_sent, 0.99),
        compacted,
        seconds: started.elapsed().as_secs_f64(),
        before,
        beside,
    })
}

/// Waits for a disk that does not stall while only a plain program uses it: others may share it, and what is to be shown is what
/// compaction does. A disk that never is calm is measured all the same; what the plain program met tells it.
async fn calm(bench: &Bench<'_>) -> Result<Vec<Stalls>> {
    let (time, tries) = if bench.is_quick() { (bench.schedule.time, 1) } else { (DISK_TIME, DISK_TRIES) };
    let mut met = Vec::new();
    for _ in 0..tries {
        progress!("the disk by itself");
        let stalls = Stalls::meet(bench.work, Duration::ZERO, Stop::after(time)).await?;
        let is_calm = stalls.is_calm();
        met.push(stalls);
        if is_calm {
            break;
        }
    }
    Ok(met)
}

/// The median of the rounds counts: a round in which the disk stalled of itself is told by what stands beside it.
fn judge(report: &mut Report, rounds: &[Round]) {
    let each: Vec<String> = rounds.iter().map(Round::to_string).collect();
    let detail = each.join("; ");
    if rounds.is_empty() {
        report.not_run(targets::COMPACTION, "no round came to its end");
    } else if rounds.iter().any(|round| round.compacted < GIB) {
        report.not_run(targets::COMPACTION, format!("less than 1 GiB was compacted: {detail}"));
    } else {
        let ratios: Vec<f64> = rounds.iter().map(Round::ratio).collect();
        report.judge(targets::COMPACTION, median(&ratios), detail);
    }
}

impl Round {
    /// The median is that of the service itself, from the actual sending: were it from the intended times, a server that falls
    /// further and further behind would have a large median and so a good ratio.
    fn ratio(&self) -> f64 {
        self.p99_ms / self.p50_ms
    }
}

impl fmt::Display for Round {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rate, p99_ms, p50_ms, sent_p99_ms, compacted, seconds, before, beside } = self;
        let (ratio, compacted) = (self.ratio(), compacted / GIB);
        write!(f, "{ratio:.1}: {rate:.0} a second, p99 {p99_ms:.2} ms from the intended times ({sent_p99_ms:.2} from the sending), ")?;
        write!(f, "p50 {p50_ms:.2}, {compacted:.2} GiB compacted in {seconds:.0} s; overwriting a block by itself before: ")?;
        for stalls in before {
            write!(f, "{stalls}; ")?;
        }
        write!(f, "beside: {beside}")
    }
}

/// Waits until the server does none of this by itself. What the preload left in the write buffers would be measured otherwise: a
/// server that still holds writers back for its sake is slow for that, and not for what compaction does.
async fn settled(server: &Kvstore<'_>, running: &[&str]) -> Result<()> {
    let started = Instant::now();
    loop {
        // The server brings its counts up to date now and then.
        tokio::time::sleep(COUNT_LAG_MAX).await;
        let mut busy = 0.0;
        for name in running {
            busy += server.metric(name).await?.with_context(|| format!("the server has no metric {name}"))?;
        }
        if busy == 0.0 {
            return Ok(());
        }
        ensure!(started.elapsed() < TIME_MAX, "{} did not end within {TIME_MAX:?}", running.join(" and "));
    }
}

/// Ends the loads once enough was compacted, and says how much it was.
async fn watch(server: &Kvstore<'_>, stop: &Stop) -> Result<f64> {
    let volume = watch_to_the_end(server).await;
    stop.now();
    volume
}

async fn watch_to_the_end(server: &Kvstore<'_>) -> Result<f64> {
    let started = Instant::now();
    // The server brings its count up to date now and then: only what it says later was compacted since the start.
    tokio::time::sleep(COUNT_LAG_MAX).await;
    let before = compacted(server).await?;
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let volume = compacted(server).await? - before;
        if (volume >= GIB && started.elapsed() >= TIME_MIN) || started.elapsed() >= TIME_MAX {
            return Ok(volume);
        }
    }
}

async fn compacted(server: &Kvstore<'_>) -> Result<f64> {
    server.metric(COMPACTED).await?.with_context(|| format!("the server has no metric {COMPACTED}"))
}

fn small_puts(server: &Kvstore<'_>, pace: Pace) -> Load {
    let plan = plan(Operation::Put, Keys::Uniform(KEYS));
    Load { server: server.server(), plan, connections: CONNECTIONS, pace }
}

fn large_batches(server: &Kvstore<'_>) -> Load {
    let operation = Operation::Batch { items: STREAM_ITEMS, answer: BatchAnswer::Entries };
    let plan = Plan { operation, keys: Keys::Scattered(STREAM_KEYS), value_bytes: STREAM_VALUE_BYTES };
    Load { server: server.server(), plan, connections: 2, pace: Pace::Open(STREAM_PER_SECOND) }
}
