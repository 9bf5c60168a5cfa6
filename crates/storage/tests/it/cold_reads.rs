//! Reads of data that memory does not hold: what one of them takes from the disk.

use std::{path::Path, sync::Arc};

use kvstore_storage::{EmbeddedConfig, Engine, ManualClock, MemoryPlan, ReadTier, open_embedded, open_engine};
use kvstore_types::{Item, Key, Mutation, Projection, WriteBatch};
use tempfile::TempDir;

use crate::{
    cache::node::eventually,
    fixtures::{START, config},
};

const ENTRIES: u32 = 60_000;
const PER_BATCH: u32 = 2_000;
const VALUE_BYTES: usize = 1_000;
/// A block, and a part each of the index and of the filter, as they lie on disk.
const BYTES_PER_READ_MAX: u64 = 16 << 10;
const READS: u32 = 500;

fn key(number: u32) -> Key {
    Key::new(&format!("key-{number:08}")).expect("a key")
}

/// Bytes that hardly compress.
fn value(number: u32) -> Vec<u8> {
    let mut state = u64::from(number) + 1;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33).to_le_bytes()[0]
    };
    (0..VALUE_BYTES).map(|_| next()).collect()
}

async fn fill(dir: &Path) {
    let store = open_embedded(&config(dir, None), Arc::new(ManualClock::at(START))).expect("a new store");
    for first in (0..ENTRIES).step_by(usize::try_from(PER_BATCH).expect("small")) {
        // In no order of the keys, so that tables overlap and are merged.
        let numbers = (first..first + PER_BATCH).map(|number| number * 7_919 % ENTRIES);
        let put = |number| Item { key: key(number), mutation: Mutation::Put { value: value(number).into(), ttl: None }, condition: None };
        store.write(Arc::new(WriteBatch::new(numbers.map(put).collect(), None).expect("a batch"))).await.expect("applied");
    }
    store.shutdown().await.expect("flushed");
}

fn stat(engine: &dyn Engine, name: &str) -> u64 {
    let found = engine.stats().into_iter().find(|(found, _)| *found == name).expect("such a gauge").1;
    format!("{found:.0}").parse().expect("a whole number")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_that_finds_nothing_in_memory_reads_blocks_and_not_the_index_of_a_whole_table() {
    let dir = TempDir::new().expect("a directory");
    fill(dir.path()).await;
    // Not even the index of one table fits into this block cache.
    let plan = MemoryPlan { block_cache: 128 << 10, entry_cache: 64 << 10, ..MemoryPlan::from_mb(64) };
    let engine = open_engine(&EmbeddedConfig { memory: plan, ..config(dir.path(), None) }).expect("the same store");
    eventually("compaction is at rest", async || {
        stat(&*engine, "engine_running_compactions") == 0 && stat(&*engine, "engine_pending_compaction_bytes") == 0
    })
    .await;

    let before = stat(&*engine, "engine_last_level_read_bytes_total");
    for read in 0..READS {
        let number = read * 104_729 % ENTRIES;
        let found = engine.get(&key(number), Projection::Full, START, ReadTier::Disk).expect("read").expect("an entry");
        assert_eq!(found.value.expect("a value"), value(number));
    }
    let each = (stat(&*engine, "engine_last_level_read_bytes_total") - before) / u64::from(READS);
    // Less than half a block each would mean that other tables or memory had the answers.
    assert!(each > 2_000, "{each} bytes of the last level: the reads went elsewhere");
    assert!(each <= BYTES_PER_READ_MAX, "{each} bytes are read for an entry of {VALUE_BYTES}");
}
