//! RocksDB's settings, and what every generation shares: the block cache, the write buffers' manager, statistics.

use rocksdb::{
    BlockBasedIndexType, BlockBasedOptions, Cache, ColumnFamilyDescriptor, DBCompressionType, DBRecoveryMode, Env, LogLevel,
    LruCacheOptions, Options, WriteBufferManager, WriteOptions, statistics::StatsLevel,
};

use super::layout::{self, FAMILIES};
use crate::MemoryPlan;

/// The log is replayed in well under two seconds at this size.
const WAL_BYTES_MAX: u64 = 64 << 20;
/// Compaction and flushes together write no faster than this: a burst of them must not starve the log's syncs.
const BACKGROUND_WRITE_BYTES_PER_SECOND: i64 = 128 << 20;

/// What all generations of one engine share, so that swapping one for another does not double the memory.
pub(super) struct Shared {
    pub(super) cache: Cache,
    pub(super) plan: MemoryPlan,
    write_buffers: WriteBufferManager,
    /// The database-wide options; also the handle by which statistics are read.
    pub(super) options: Options,
}

impl Shared {
    /// `direct_writes`: whether the file system takes writes around the page cache.
    ///
    /// # Errors
    /// RocksDB gives no environment.
    pub(super) fn new(plan: MemoryPlan, direct_writes: bool) -> Result<Self, rocksdb::Error> {
        let mut env = Env::new()?;
        // Compaction takes the processor's idle time: whoever waits for an answer comes first. Flushes keep their priority, since
        // writes wait for them once the buffers are full.
        env.lower_thread_pool_cpu_priority();
        let cache = block_cache(plan.block_cache);
        // Where flushes fall behind, writes wait: otherwise what waits to be flushed outgrows its share, and the budget with it.
        let write_buffers = WriteBufferManager::new_write_buffer_manager_with_cache(bytes(plan.write_buffers), true, cache.clone());
        let mut options = Options::default();
        options.set_env(&env);
        options.create_if_missing(true);
        options.create_missing_column_families(true);
        options.set_write_buffer_manager(&write_buffers);
        options.set_max_total_wal_size(WAL_BYTES_MAX);
        // The log was checked, and cut where it was torn, before RocksDB sees it: what is left must be whole.
        options.set_wal_recovery_mode(DBRecoveryMode::AbsoluteConsistency);
        options.set_track_and_verify_wals_in_manifest(true);
        options.set_paranoid_checks(true);
        // One thread writes.
        options.set_allow_concurrent_memtable_write(false);
        options.set_enable_write_thread_adaptive_yield(false);
        options.set_max_background_jobs(2);
        // Not auto-tuned: that begins at a twentieth of the rate, and a flush held back by it stops all writes.
        options.set_ratelimiter(BACKGROUND_WRITE_BYTES_PER_SECOND, 10_000, 10);
        options.set_bytes_per_sync(1 << 20);
        // Written through the page cache, what a compaction writes is copied and then written back at full priority, and a sync of
        // the log waits for it.
        options.set_use_direct_io_for_flush_and_compaction(direct_writes);
        // Tables are written in pieces of this size, and a sync of the log waits for the piece that is under way.
        options.set_writable_file_max_buffer_size(256 << 10);
        // Each table that is merged has a buffer of this size, and there may be dozens.
        options.set_compaction_readahead_size(256 << 10);
        options.set_avoid_unnecessary_blocking_io(true);
        options.set_log_level(LogLevel::Warn);
        options.set_keep_log_file_num(3);
        options.set_max_log_file_size(1 << 20);
        options.enable_statistics();
        options.set_statistics_level(StatsLevel::ExceptHistogramOrTimers);
        Ok(Self { cache, plan, write_buffers, options })
    }

    /// The column families with their options.
    pub(super) fn families(&self) -> Vec<ColumnFamilyDescriptor> {
        FAMILIES.iter().map(|name| ColumnFamilyDescriptor::new(*name, self.family(name))).collect()
    }

    fn family(&self, name: &str) -> Options {
        let mut table = BlockBasedOptions::default();
        table.set_block_cache(&self.cache);
        // Filters and indexes are charged to the cache too: there is one budget.
        table.set_cache_index_and_filter_blocks(true);
        table.set_cache_index_and_filter_blocks_with_high_priority(true);
        table.set_pin_l0_filter_and_index_blocks_in_cache(true);
        // In parts of a block's size, which come and go one by one; level 0 and the lists of parts stay in the cache. Whole, those of a table take a megabyte, and where memory does
        // not hold those of all tables, which may be far larger than it, nearly every read would read and unpack such a megabyte.
        table.set_index_type(BlockBasedIndexType::TwoLevelIndexSearch);
        table.set_partition_filters(true);
        table.set_bloom_filter(10.0, false);
        table.set_optimize_filters_for_memory(true);
        table.set_format_version(6);
        table.set_block_size(4 << 10);
        let mut options = Options::default();
        options.set_block_based_table_factory(&table);
        options.set_compression_type(DBCompressionType::Lz4);
        options.set_bottommost_compression_type(DBCompressionType::Zstd);
        // Four buffers of the main family fill the write buffers' share.
        let buffer = (self.plan.write_buffers / 4).clamp(4 << 20, 64 << 20);
        options.set_write_buffer_size(bytes(if name == layout::ENTRIES { buffer } else { buffer.min(16 << 20) }));
        // Writes go on into another buffer while some are being flushed. Their manager bounds the memory of all.
        options.set_max_write_buffer_number(6);
        // With few threads for compaction, tables wait at level 0 for a while. Slowing writers down for that would show in every p99.
        options.set_level_zero_slowdown_writes_trigger(40);
        options.set_level_zero_stop_writes_trigger(80);
        options.set_memtable_whole_key_filtering(true);
        options.set_memtable_prefix_bloom_ratio(0.02);
        options.set_write_buffer_manager(&self.write_buffers);
        options
    }

    /// Options of a write that is on disk when it returns, or of one that a log above makes durable.
    pub(super) fn write_options(synced: bool) -> WriteOptions {
        let mut options = WriteOptions::default();
        options.set_sync(synced);
        options
    }
}

/// A shard evicts by itself, however empty the others are. Left to itself RocksDB makes shards as small as half a megabyte, which
/// two of its reservations for write buffers fill.
fn block_cache(capacity: u64) -> Cache {
    const SHARD_BYTES_MIN: u64 = 8 << 20;
    const SHARD_BITS_MAX: u32 = 6;
    let shards = (capacity / SHARD_BYTES_MIN).clamp(1, 1 << SHARD_BITS_MAX);
    let mut options = LruCacheOptions::default();
    options.set_capacity(bytes(capacity));
    options.set_num_shard_bits(shards.ilog2().cast_signed());
    Cache::new_lru_cache_opts(&options)
}

fn bytes(count: u64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}
