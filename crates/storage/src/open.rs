//! Opening a store: the one place of this crate that names concrete backends.

use std::{path::PathBuf, sync::Arc, time::Duration};

use kvstore_types::limits::{FREE_SPACE_FLOOR_BYTES_DEFAULT, MEMORY_MB_DEFAULT, RECLAIM_INTERVAL_MS};

pub use crate::rocks::DATA_FORMAT;
use crate::{Clock, Engine, MemoryPlan, OpenError, Store, embedded::Embedded, memory::MemoryEngine, rocks::RocksEngine};

/// What an embedded store needs to know.
#[derive(Debug, Clone)]
pub struct EmbeddedConfig {
    /// Where the data lies.
    pub data_dir: PathBuf,
    /// How memory is divided.
    pub memory: MemoryPlan,
    /// Below this much free space, writes other than deletes are refused.
    pub free_space_floor_bytes: u64,
    /// How often expired entries are deleted; `None` for never.
    pub reclaim_every: Option<Duration>,
}

impl EmbeddedConfig {
    /// The defaults, in this directory.
    #[must_use]
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self {
            data_dir: data_dir.into(),
            memory: MemoryPlan::from_mb(MEMORY_MB_DEFAULT),
            free_space_floor_bytes: FREE_SPACE_FLOOR_BYTES_DEFAULT,
            reclaim_every: Some(Duration::from_millis(RECLAIM_INTERVAL_MS)),
        }
    }
}

/// Opens, or makes, the embedded store in a data directory. Blocks while the log is checked and replayed.
///
/// # Errors
/// See [`OpenError`]; nothing is changed on disk then.
pub fn open_embedded(config: &EmbeddedConfig, clock: Arc<dyn Clock>) -> Result<Arc<dyn Store>, OpenError> {
    let engine = RocksEngine::open(config)?;
    Embedded::start(engine, clock, config.reclaim_every).map_err(|error| OpenError::Other(error.to_string()))
}

/// A store in memory alone: the executable specification. For tests and trials; it forgets everything.
///
/// # Errors
/// The system gives no thread.
pub fn open_memory(clock: Arc<dyn Clock>, reclaim_every: Option<Duration>) -> std::io::Result<Arc<dyn Store>> {
    Embedded::start(MemoryEngine::default(), clock, reclaim_every)
}

/// Opens, or makes, the engine in a data directory, for whoever orders writes by other means than the embedded store.
///
/// # Errors
/// See [`OpenError`]; nothing is changed on disk then.
pub fn open_engine(config: &EmbeddedConfig) -> Result<Arc<dyn Engine>, OpenError> {
    Ok(Arc::new(RocksEngine::open(config)?))
}

/// An engine in memory alone.
#[must_use]
pub fn open_memory_engine() -> Arc<dyn Engine> {
    Arc::new(MemoryEngine::default())
}
