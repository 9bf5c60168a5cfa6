//! PUT at half the peak rate, from an open loop, while a stream of larger values keeps compaction busy.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::{
    Bench,
    closed_loops::{PUT, plan},
    servers::loaded,
};
use crate::{
    kvstore::Kvstore,
    load::{BatchAnswer, Keys, Load, Operation, Pace, Plan, Stop, loader::Loader},
    progress::progress,
    report::Report,
    targets,
    workload::KEYS,
};

/// What the server counts as written by compaction.
const COMPACTED: &str = "kvstore_engine_compaction_bytes_total";
/// Flushes under way. The preload is in the tables once there are none.
const FLUSHING: &str = "kvstore_engine_running_flushes";
const GIB: f64 = (1_u64 << 30) as f64;
const CONNECTIONS: usize = 64;
const PEAK_TIME_MIN: Duration = Duration::from_secs(3);
const WARM_UP: Duration = Duration::from_secs(10);
const TIME_MIN: Duration = Duration::from_secs(10);
const TIME_MAX: Duration = Duration::from_secs(120);
const COUNT_LAG_MAX: Duration = Duration::from_secs(3);
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// The stream beside: batches of values that are small enough to lie in the tables that PUT changes too.
const STREAM_KEYS: u64 = 150_000;
const STREAM_VALUE_BYTES: usize = 4_000;
const STREAM_ITEMS: usize = 16;
const STREAM_PER_SECOND: f64 = 128.0;

pub(super) async fn measure(bench: &Bench<'_>, report: &mut Report) -> Result<()> {
    let mut server = loaded(bench).await?;
    let peak = peak(bench, report, &server).await?;
    progress!("loading {STREAM_KEYS} values of {STREAM_VALUE_BYTES} bytes, so that there is something to compact");
    let preload =
        Loader { port: server.port, entries: STREAM_KEYS, value_bytes: STREAM_VALUE_BYTES, batch: 500, connections: 2, limit: TIME_MAX };
    preload.run().await?;
    flushed(&server).await?;

    // The peak was that of keys that were written lately; the preload has pushed them out of the caches.
    progress!("warming up");
    let puts = small_puts(&server, Pace::Open(peak / 2.0));
    puts.run_for(WARM_UP).await.context("warming up")?;

    progress!("PUT at {:.0} a second while 1 GiB is compacted", peak / 2.0);
    let (stop, started) = (Stop::after(TIME_MAX), Instant::now());
    let (found, beside, watched) = tokio::join!(puts.run(stop.clone()), large_batches(&server).run(stop.clone()), watch(&server, &stop));
    let (found, volume) = (found.context("PUT")?, watched?);
    beside.context("the stream beside")?;
    server.check_running()?;

    // The median is that of the service itself, from the actual sending: were it from the intended times, a server that falls
    // further and further behind would have a large median and so a good ratio.
    let at = |share| found.writes.value_at_quantile(share) as f64;
    let (p50, p99) = (found.from_sent.value_at_quantile(0.5) as f64, at(0.99));
    let detail = format!(
        "p99 {:.2} ms from the intended times (p50 {:.2} ms), p50 {:.2} ms from the sending (p99 {:.2} ms), of {} PUT at {:.0} a second; {:.2} GiB compacted in {:.0} s",
        p99 / 1e3,
        at(0.5) / 1e3,
        p50 / 1e3,
        found.from_sent.value_at_quantile(0.99) as f64 / 1e3,
        found.writes.len(),
        peak / 2.0,
        volume / GIB,
        started.elapsed().as_secs_f64(),
    );
    if volume < GIB {
        report.not_run(targets::COMPACTION, format!("less than 1 GiB was compacted: {detail}"));
    } else {
        report.judge(targets::COMPACTION, p99 / p50, detail);
    }
    server.stop().await
}

/// Waits until the preload has left the write buffers: a server that still holds writers back for its sake would be measured for
/// that, and not for what compaction does. What the preload left to compact is still to be compacted.
async fn flushed(server: &Kvstore<'_>) -> Result<()> {
    let started = Instant::now();
    loop {
        tokio::time::sleep(COUNT_LAG_MAX).await;
        if server.metric(FLUSHING).await?.with_context(|| format!("the server has no metric {FLUSHING}"))? == 0.0 {
            return Ok(());
        }
        ensure!(started.elapsed() < TIME_MAX, "the preload was not flushed within {TIME_MAX:?}");
    }
}

/// The rate of PUT with 64 connections: from this run's measurement, or from one now.
async fn peak(bench: &Bench<'_>, report: &Report, server: &Kvstore<'_>) -> Result<f64> {
    if let Some(rate) = report.median_of(PUT, "kvstore", CONNECTIONS) {
        return Ok(rate);
    }
    Ok(small_puts(server, Pace::Closed).run_for(bench.schedule.time.max(PEAK_TIME_MIN)).await?.sample()?.per_second)
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
