//! Opening a store: the one place of this crate that names concrete backends.

use std::{path::PathBuf, sync::Arc};

use crate::{Clock, MemoryPlan, OpenError, Store, embedded::Embedded, memory::MemoryEngine, rocks::RocksEngine};

/// What an embedded store needs to know.
#[derive(Debug, Clone)]
pub struct EmbeddedConfig {
    /// Where the data lies.
    pub data_dir: PathBuf,
    /// How memory is divided.
    pub memory: MemoryPlan,
    /// Below this much free space, writes other than deletes are refused.
    pub free_space_floor_bytes: u64,
}

/// Opens, or makes, the embedded store in a data directory. Blocks while the log is checked and replayed.
///
/// # Errors
/// See [`OpenError`]; nothing is changed on disk then.
pub fn open_embedded(config: &EmbeddedConfig, clock: Arc<dyn Clock>) -> Result<Arc<dyn Store>, OpenError> {
    let engine = RocksEngine::open(config)?;
    Ok(Embedded::start(engine, clock))
}

/// A store in memory alone: the executable specification. For tests and trials; it forgets everything.
#[must_use]
pub fn open_memory(clock: Arc<dyn Clock>) -> Arc<dyn Store> {
    Embedded::start(MemoryEngine::default(), clock)
}
