//! Gauges of the engine. Their names, with `kvstore_` before them, are what an operator sees.

use rocksdb::statistics::Ticker;

use super::{generation::Generation, layout::FAMILIES, options::Shared, space::Space};
use crate::EngineStats;

/// A gauge that RocksDB keeps per column family, and its name here.
const SUMMED: [(&str, &str); 4] = [
    ("engine_memtable_bytes", "rocksdb.cur-size-all-mem-tables"),
    ("engine_table_files_bytes", "rocksdb.total-sst-files-size"),
    ("engine_pending_compaction_bytes", "rocksdb.estimate-pending-compaction-bytes"),
    ("engine_table_readers_bytes", "rocksdb.estimate-table-readers-mem"),
];

/// Counts since the start.
const COUNTED: [(&str, Ticker); 7] = [
    ("engine_stall_microseconds_total", Ticker::StallMicros),
    ("engine_last_level_read_bytes_total", Ticker::LastLevelReadBytes),
    ("engine_compaction_read_bytes_total", Ticker::CompactReadBytes),
    ("engine_compaction_bytes_total", Ticker::CompactWriteBytes),
    ("engine_flush_bytes_total", Ticker::FlushWriteBytes),
    ("engine_wal_bytes_total", Ticker::WalFileBytes),
    ("engine_wal_syncs_total", Ticker::WalFileSynced),
];

#[expect(clippy::cast_precision_loss, reason = "gauges are floating point; bytes below 2^53 are exact")]
pub(super) fn collect(generation: &Generation, shared: &Shared, space: &Space) -> EngineStats {
    let db = &generation.db;
    let per_family =
        |property: &str| -> u64 { FAMILIES.iter().filter_map(|name| db.property_int_value_cf(db.cf_handle(name)?, property).ok()?).sum() };
    let mut stats: EngineStats = SUMMED.iter().map(|(name, property)| (*name, per_family(property) as f64)).collect();
    stats.extend(COUNTED.iter().map(|(name, ticker)| (*name, shared.options.get_ticker_count(*ticker) as f64)));
    let whole = |property: &str| db.property_int_value(property).ok().flatten().unwrap_or(0) as f64;
    stats.extend([
        ("engine_block_cache_bytes", shared.cache.get_usage() as f64),
        ("engine_block_cache_pinned_bytes", shared.cache.get_pinned_usage() as f64),
        ("engine_running_compactions", whole("rocksdb.num-running-compactions")),
        ("engine_running_flushes", whole("rocksdb.num-running-flushes")),
        ("engine_write_stopped", whole("rocksdb.is-write-stopped")),
        ("engine_delayed_write_bytes_per_second", whole("rocksdb.actual-delayed-write-rate")),
        ("engine_background_errors", whole("rocksdb.background-errors")),
        ("engine_wal_size_bytes", wal_bytes(db.path()) as f64),
        ("entry_cache_bytes", generation.cache.weight() as f64),
        ("idempotency_bytes", *generation.request_bytes.lock() as f64),
        ("disk_free_bytes", space.free_bytes() as f64),
        ("applied_revision", generation.position().revision.0 as f64),
    ]);
    stats
}

/// The size of the log's files.
fn wal_bytes(path: &std::path::Path) -> u64 {
    let Ok(files) = std::fs::read_dir(path) else { return 0 };
    files
        .flatten()
        .filter(|file| file.path().extension().is_some_and(|extension| extension == "log"))
        .filter_map(|file| Some(file.metadata().ok()?.len()))
        .sum()
}
