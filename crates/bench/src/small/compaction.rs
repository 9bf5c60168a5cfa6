//! PUT at half the peak rate, from an open loop, while a stream of larger values keeps compaction busy.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use http::Method;
use rand::Rng;

use super::{
    Bench,
    closed_loops::{PUT, loaded},
};
use crate::{
    kvstore::Kvstore,
    load::{
        loader::Loader,
        open_loop::{Make, OpenLoop, Stop},
        wrk::Wrk,
        wrk_scripts,
    },
    progress::progress,
    report::Report,
    targets,
    workload::{BASE, KEYS, VALUE_BYTES, batch_body, key_path, value},
};

/// What the server counts as written by compaction.
const COMPACTED: &str = "kvstore_engine_compaction_bytes_total";
/// Flushes under way. The preload is in the tables once there are none.
const FLUSHING: &str = "kvstore_engine_running_flushes";
const GIB: f64 = (1_u64 << 30) as f64;
const CONNECTIONS: usize = 64;
const WARM_UP: Duration = Duration::from_secs(10);
const TIME_MIN: Duration = Duration::from_secs(10);
const TIME_MAX: Duration = Duration::from_secs(120);
const COUNT_LAG_MAX: Duration = Duration::from_secs(3);
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// The stream beside: batches of values that are small enough to lie in the tables that PUT changes too.
const STREAM_KEYS: u64 = 150_000;
const STREAM_VALUE_BYTES: usize = 4_000;
const STREAM_ITEMS: u64 = 16;
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
    let warm_up = OpenLoop { port: server.port, connections: CONNECTIONS, per_second: peak / 2.0, limit: WARM_UP };
    warm_up.run(Stop::after(WARM_UP), small_puts()).await.context("warming up")?;

    progress!("PUT at {:.0} a second while 1 GiB is compacted", peak / 2.0);
    let (stop, started) = (Stop::after(TIME_MAX), Instant::now());
    let puts = OpenLoop { port: server.port, connections: CONNECTIONS, per_second: peak / 2.0, limit: TIME_MAX };
    let stream = OpenLoop { port: server.port, connections: 2, per_second: STREAM_PER_SECOND, limit: TIME_MAX };
    let (found, beside, watched) =
        tokio::join!(puts.run(stop.clone(), small_puts()), stream.run(stop.clone(), large_batches()), watch(&server, &stop));
    let (found, volume) = (found.context("PUT")?, watched?);
    beside.context("the stream beside")?;
    server.check_running()?;

    // The median is that of the service itself, from the actual sending: were it from the intended times, a server that falls
    // further and further behind would have a large median and so a good ratio.
    let (p50, p99) = (found.from_sent.value_at_quantile(0.5) as f64, found.percentile_us(99.0));
    let detail = format!(
        "p99 {:.2} ms from the intended times (p50 {:.2} ms), p50 {:.2} ms from the sending (p99 {:.2} ms), of {} PUT at {:.0} a second; {:.2} GiB compacted in {:.0} s",
        p99 / 1e3,
        found.percentile_us(50.0) / 1e3,
        p50 / 1e3,
        found.from_sent.value_at_quantile(0.99) as f64 / 1e3,
        found.from_intended.len(),
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
    let script = wrk_scripts::save(bench.work, "peak", &wrk_scripts::random_put())?;
    let sample = Wrk { url: server.url(""), script }.run(CONNECTIONS, bench.schedule.seconds.max(3)).await?;
    Ok(sample.per_second)
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

fn small_puts() -> Arc<Make> {
    Arc::new(|number| {
        let body = format!(r#"{{"value":"{}"}}"#, value(number, VALUE_BYTES));
        (Method::PUT, key_path(rand::rng().random_range(0..KEYS)), Bytes::from(body))
    })
}

fn large_batches() -> Arc<Make> {
    Arc::new(|number| {
        // Neighbours in number, strangers in key order, and never twice the same in one batch.
        let keys = (0..STREAM_ITEMS).map(|item| crate::workload::scattered(number * STREAM_ITEMS + item, STREAM_KEYS));
        (Method::POST, format!("{BASE}/kv/batch/"), Bytes::from(batch_body(keys, STREAM_VALUE_BYTES)))
    })
}
