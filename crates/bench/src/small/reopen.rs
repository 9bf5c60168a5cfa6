//! Opening again after kill -9 with as much in the log as the server lets it hold.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use http::Method;

use super::Bench;
use crate::{
    child::bytes_below,
    kvstore::Kvstore,
    progress::progress,
    report::Report,
    targets,
    workload::{BASE, BATCH_ITEMS, VALUE_BYTES, batch_body, key, value},
};

const WAL_BYTES_WANTED: u64 = 64 << 20;
const FILL_MAX: Duration = Duration::from_secs(60);
/// How often it may be tried again when the log was emptied at the moment of the kill.
const TRIES: usize = 5;
/// Enough to be stored apart from its record: that part of the store is rarely full, and the log is kept as long as any part needs it.
const LARGE_VALUE_BYTES: usize = 8 << 10;
const LARGE_KEY: u64 = 999_999_999;

pub(super) async fn measure(bench: &Bench<'_>, report: &mut Report) -> Result<()> {
    let mut server = Kvstore::start(bench.setup()).await?;
    let mut slowest: Option<(Duration, u64)> = None;
    let (mut batches, mut reopened, mut tried) = (0, 0, 0);
    while reopened < bench.schedule.rounds {
        fill_log(&server, &mut batches).await?;
        server.kill().await?;
        let bytes = log_bytes(&server);
        // The last batch that was acknowledged must be there: what is timed is a recovery that recovers.
        let took = server.start_again(last_key(batches)).await?;
        server.check_entry(last_key(batches), VALUE_BYTES).await?;
        tried += 1;
        if bytes < WAL_BYTES_WANTED && tried < bench.schedule.rounds + TRIES {
            continue;
        }
        ensure!(bytes >= WAL_BYTES_WANTED, "the log held {bytes} bytes at most when the server was killed");
        progress!("{took:?} with {} MiB of log", bytes >> 20);
        slowest = slowest.max(Some((took, bytes)));
        reopened += 1;
    }
    let (took, bytes) = slowest.context("nothing was measured")?;
    let detail = format!(
        "slowest of {reopened}, from exec to the first read of the last acknowledged key; log files of {:.1} MiB",
        bytes as f64 / f64::from(1 << 20)
    );
    report.judge(targets::REOPEN, took.as_secs_f64(), detail);
    server.stop().await
}

/// Writes until the log holds what is wanted.
async fn fill_log(server: &Kvstore<'_>, batches: &mut u64) -> Result<()> {
    let (mut http, started) = (server.connect().await?, Instant::now());
    let mut highest = 0;
    while highest < WAL_BYTES_WANTED {
        ensure!(started.elapsed() < FILL_MAX, "the log held {highest} bytes at most in {FILL_MAX:?} of writing");
        let items = BATCH_ITEMS as u64;
        let numbers = *batches * items..(*batches + 1) * items;
        let mut body = batch_body(numbers, VALUE_BYTES);
        body.truncate(body.len() - 2);
        body.push_str(&format!(r#",{{"key":"{}","value":"{}"}}]}}"#, key(LARGE_KEY), value(*batches, LARGE_VALUE_BYTES)));
        let request = http.request(Method::POST, &format!("{BASE}/kv/batch/"), Bytes::from(body))?;
        let answer = http.send(request).await?;
        ensure!(answer.status.is_success(), "a batch answered {answer:?}");
        *batches += 1;
        highest = highest.max(log_bytes(server));
    }
    Ok(())
}

const fn last_key(batches: u64) -> u64 {
    batches * BATCH_ITEMS as u64 - 1
}

/// RocksDB's log files are the ones whose names end so.
fn log_bytes(server: &Kvstore<'_>) -> u64 {
    bytes_below(&server.data_dir(), &|name| name.ends_with(".log"))
}
