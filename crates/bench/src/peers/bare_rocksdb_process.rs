//! RocksDB with nothing around it, in a process of its own that takes one command a line and answers with one line of JSON:
//! `load ENTRIES`, `read SECONDS THREADS`, `serve` and `quit`. The settings that decide what a read costs are those of kvstore's engine,
//! the least size of the block cache's shards too.

use std::{
    io::{BufRead, Write},
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use hdrhistogram::Histogram;
use rand::{Rng, SeedableRng, rngs::SmallRng};
use rocksdb::{BlockBasedIndexType, BlockBasedOptions, Cache, DB, DBCompressionType, LruCacheOptions, Options, WriteBatch, WriteOptions};
use serde::{Deserialize, Serialize};
use tokio::runtime::{Builder, Runtime};

use super::rocksdb_route;
use crate::{
    load::Sample,
    workload::{key, scattered, value},
};

const LOAD_BATCH: u64 = 1_000;
const SHARD_MB_MIN: usize = 8;
const SHARDS_MAX: usize = 64;
const SETTLE_MAX: Duration = Duration::from_secs(300);
/// Longer than any run: a thread that ends leaves memory behind that the next one does not use.
const THREADS_KEPT: Duration = Duration::from_secs(24 * 3600);
/// One value in so many is compared byte for byte; the others by their length.
const COMPARE_EVERY: u64 = 1_000;

/// The settings of the process.
#[derive(Debug, Args)]
pub(crate) struct BareRocksdb {
    /// Where the data lies.
    #[arg(long)]
    dir: PathBuf,
    /// The block cache, in MiB.
    #[arg(long)]
    cache_mb: usize,
    /// Bytes of a value.
    #[arg(long)]
    value_bytes: usize,
}

/// The answer to `load`.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Loaded {
    pub(crate) seconds: f64,
}

impl BareRocksdb {
    /// Obeys commands until there are no more.
    pub(crate) fn run(&self, commands: impl BufRead, out: &mut dyn Write) -> Result<()> {
        let db = Arc::new(DB::open(&self.options(), &self.dir)?);
        let runtime = Builder::new_multi_thread().enable_all().thread_keep_alive(THREADS_KEPT).build()?;
        let (mut entries, mut seeds) = (0, 0..);
        for line in commands.lines() {
            let line = line?;
            let words: Vec<&str> = line.split_whitespace().collect();
            let answer = match words.as_slice() {
                ["load", count] => {
                    entries = count.parse()?;
                    serde_json::to_string(&self.load(&db, entries)?)?
                }
                ["read", seconds, threads] => {
                    let time = Duration::from_secs(seconds.parse()?);
                    let reads = Reads { db: Arc::clone(&db), entries, value_bytes: self.value_bytes, until: Instant::now() + time };
                    serde_json::to_string(&reads.run(&runtime, seeds.by_ref().take(threads.parse()?))?)?
                }
                ["serve"] => serde_json::to_string(&rocksdb_route::serve(&runtime, Arc::clone(&db))?)?,
                ["quit"] => return Ok(()),
                _ => bail!("unknown command: {line}"),
            };
            writeln!(out, "{answer}")?;
            out.flush()?;
        }
        Ok(())
    }

    fn options(&self) -> Options {
        let mut cache = LruCacheOptions::default();
        cache.set_capacity(self.cache_mb << 20);
        let shards = (self.cache_mb / SHARD_MB_MIN).clamp(1, SHARDS_MAX);
        cache.set_num_shard_bits(shards.ilog2().cast_signed());
        let mut table = BlockBasedOptions::default();
        table.set_block_cache(&Cache::new_lru_cache_opts(&cache));
        table.set_cache_index_and_filter_blocks(true);
        table.set_cache_index_and_filter_blocks_with_high_priority(true);
        table.set_pin_l0_filter_and_index_blocks_in_cache(true);
        table.set_index_type(BlockBasedIndexType::TwoLevelIndexSearch);
        table.set_partition_filters(true);
        table.set_bloom_filter(10.0, false);
        table.set_optimize_filters_for_memory(true);
        table.set_format_version(6);
        table.set_block_size(4 << 10);
        let mut options = Options::default();
        options.create_if_missing(true);
        options.set_block_based_table_factory(&table);
        options.set_compression_type(DBCompressionType::Lz4);
        options.set_bottommost_compression_type(DBCompressionType::Zstd);
        options.set_max_background_jobs(2);
        options.set_bytes_per_sync(1 << 20);
        options
    }

    /// Loads in the order in which kvstore is loaded, each batch synced, and waits until compaction has nothing left to do.
    fn load(&self, db: &DB, entries: u64) -> Result<Loaded> {
        let started = Instant::now();
        let mut synced = WriteOptions::default();
        synced.set_sync(true);
        let mut position = 0;
        while position < entries {
            let end = entries.min(position + LOAD_BATCH);
            let mut batch = WriteBatch::default();
            for number in (position..end).map(|position| scattered(position, entries)) {
                batch.put(key(number), value(number, self.value_bytes));
            }
            db.write_opt(batch, &synced)?;
            position = end;
        }
        db.flush()?;
        let seconds = started.elapsed().as_secs_f64();
        settle(db)?;
        Ok(Loaded { seconds })
    }
}

/// Random reads by some threads, until an instant.
#[derive(Clone)]
struct Reads {
    db: Arc<DB>,
    entries: u64,
    value_bytes: usize,
    until: Instant,
}

impl Reads {
    /// Reads by as many threads as there are seeds. Those of another run must be others, or it finds in memory what that one read.
    fn run(&self, runtime: &Runtime, seeds: impl Iterator<Item = u64>) -> Result<Sample> {
        ensure!(self.entries > 0, "nothing to read");
        let started = Instant::now();
        let threads: Vec<_> = seeds
            .map(|seed| {
                let reads = self.clone();
                runtime.spawn_blocking(move || reads.alone(seed))
            })
            .collect();
        ensure!(!threads.is_empty(), "no thread to read");
        let mut all = histogram()?;
        for thread in threads {
            all.add(&runtime.block_on(thread)??)?;
        }
        let elapsed = started.elapsed().as_secs_f64();
        let percentile = |share| all.value_at_quantile(share) as f64 / 1e3;
        Ok(Sample {
            requests: all.len(),
            per_second: all.len() as f64 / elapsed,
            p50_us: percentile(0.5),
            p99_us: percentile(0.99),
            p90_us: Some(percentile(0.9)),
            p999_us: Some(percentile(0.999)),
            usage: None,
        })
    }

    fn alone(&self, seed: u64) -> Result<Histogram<u64>> {
        let mut random = SmallRng::seed_from_u64(seed);
        let mut found = histogram()?;
        while Instant::now() < self.until {
            let number = random.random_range(0..self.entries);
            let start = Instant::now();
            let got = self.db.get(key(number))?.with_context(|| format!("{} is not there", key(number)))?;
            found.saturating_record(u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX));
            ensure!(got.len() == self.value_bytes, "{} holds {} bytes", key(number), got.len());
            if found.len() % COMPARE_EVERY == 0 {
                ensure!(got == value(number, self.value_bytes).as_bytes(), "{} holds another value", key(number));
            }
        }
        Ok(found)
    }
}

/// Nanoseconds, up to ten minutes.
fn histogram() -> Result<Histogram<u64>> {
    Ok(Histogram::new_with_bounds(1, 600_000_000_000, 3)?)
}

fn settle(db: &DB) -> Result<()> {
    let deadline = Instant::now() + SETTLE_MAX;
    let is_busy = || -> Result<bool> {
        for name in ["rocksdb.num-running-compactions", "rocksdb.compaction-pending", "rocksdb.num-running-flushes"] {
            if db.property_int_value(name)?.unwrap_or(0) > 0 {
                return Ok(true);
            }
        }
        Ok(false)
    };
    while is_busy()? && Instant::now() < deadline {
        std::thread::park_timeout(Duration::from_millis(100));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_loads_and_reads_on_command() {
        let dir = tempfile::tempdir().unwrap();
        let bare = BareRocksdb { dir: dir.path().to_path_buf(), cache_mb: 8, value_bytes: 200 };
        let mut out = Vec::new();
        bare.run(&b"load 5000\nread 1 2\n"[..], &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        let sample: Sample = serde_json::from_str(text.lines().nth(1).unwrap()).unwrap();
        assert!(sample.requests > 100 && sample.p99_us >= sample.p50_us, "{sample:?}");
    }

    #[test]
    fn reading_what_was_not_loaded_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let bare = BareRocksdb { dir: dir.path().to_path_buf(), cache_mb: 8, value_bytes: 200 };
        assert!(bare.run(&b"read 1 1\n"[..], &mut Vec::new()).is_err());
        assert!(bare.run(&b"dance\n"[..], &mut Vec::new()).is_err());
    }
}
