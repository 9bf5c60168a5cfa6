//! Opening a store: the one place of this crate that names concrete backends.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use kvstore_types::limits::{FREE_SPACE_FLOOR_BYTES_DEFAULT, MEMORY_MB_DEFAULT, RECLAIM_INTERVAL_MS};

pub use crate::rocks::DATA_FORMAT;
use crate::{
    Authority, BackupDir, BackupError, CacheConfig, CheckObserver, Checked, Clock, Engine, MemoryPlan, OpenError, Position, Store,
    cache::{self, Cached, RedisFacts},
    embedded::Embedded,
    memory::MemoryEngine,
    postgres::{self, DatabaseFacts, Distributed, PostgresConfig, PostgresStore, TimeSource},
    rocks::{self, RocksEngine},
};

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

/// Connects to a database and makes its tables where they are missing. A database that is away does not stop it: the store tells that
/// it is unreachable, until it is not.
///
/// # Errors
/// [`OpenError::Database`]: what does not heal by itself, such as a wrong password or the tables of a newer version.
pub async fn open_postgres(config: PostgresConfig) -> Result<Arc<dyn Authority>, OpenError> {
    PostgresStore::open(config, TimeSource::Database).await
}

/// Makes or changes the tables of a database. Says how many migrations ran.
///
/// # Errors
/// [`OpenError::Database`]: it can't be reached, or refuses.
pub async fn migrate_postgres(config: PostgresConfig) -> Result<usize, OpenError> {
    postgres::migrate(config).await
}

/// The same, and shards the table of entries by its key over the workers of a Citus. Says how many migrations ran, and whether the table
/// was sharded before.
///
/// # Errors
/// As for [`migrate_postgres`]; or the database has no Citus, or it refuses.
pub async fn distribute_postgres(config: PostgresConfig) -> Result<(usize, Distributed), OpenError> {
    postgres::distribute(config).await
}

/// Asks a database how it is. Nothing is changed.
///
/// # Errors
/// [`OpenError::Database`]: it can't be reached, or refuses.
pub async fn examine_postgres(config: &PostgresConfig) -> Result<DatabaseFacts, OpenError> {
    postgres::examine(config).await
}

/// Asks a Redis how it is. Nothing is changed.
///
/// # Errors
/// [`OpenError::Cache`]: the URL can't be used, or it can't be reached, or refuses.
pub async fn examine_redis(config: &CacheConfig) -> Result<RedisFacts, OpenError> {
    cache::examine(config).await
}

/// [`open_postgres`] with a clock that stands in for the database's: for tests that own time.
///
/// # Errors
/// As for [`open_postgres`].
pub async fn open_postgres_at(config: PostgresConfig, clock: Arc<dyn Clock>) -> Result<Arc<dyn Authority>, OpenError> {
    PostgresStore::open(config, TimeSource::Injected(clock)).await
}

/// Opens, or makes, the engine in a data directory, for whoever orders writes by other means than the embedded store.
///
/// # Errors
/// See [`OpenError`]; nothing is changed on disk then.
pub fn open_engine(config: &EmbeddedConfig) -> Result<Arc<dyn Engine>, OpenError> {
    Ok(Arc::new(RocksEngine::open(config)?))
}

/// What a restore made.
#[derive(Debug)]
pub struct Restored {
    /// The identity of the new store: it is not the one that the backup was taken from.
    pub identity: String,
    /// The position of its contents.
    pub position: Position,
}

/// The position of a database that lies in this directory, such as a checkpoint's. It is opened to find out, for reading alone:
/// nothing in the directory changes. Blocks.
///
/// # Errors
/// See [`OpenError`].
pub fn read_position(database: &Path) -> Result<Position, OpenError> {
    rocks::position(database)
}

/// Makes a data directory from a backup. `progress` is told the bytes of each piece. Blocks.
///
/// # Errors
/// The backup is damaged, the directory holds data or is in use, or it can't be written. What was made is removed then.
pub fn restore_embedded(backup: &BackupDir, data_dir: &Path, progress: &mut dyn FnMut(u64)) -> Result<Restored, BackupError> {
    let restoring = rocks::Restoring::begin(data_dir)?;
    let position = rocks::position(&backup.files()).map_err(damaged_backup)?;
    if position.revision < backup.manifest().revision() {
        let (found, promised) = (position.revision, backup.manifest().revision());
        return Err(BackupError::Damaged(format!("it ends at revision {found}, and was written with {promised}")));
    }
    backup.copy_to(&restoring.database(), progress)?;
    let identity = restoring
        .finish(&backup.manifest().identity, position)
        .map_err(|source| BackupError::Write { path: data_dir.to_owned(), source })?;
    Ok(Restored { identity, position })
}

/// The identity of the store in a data directory that no process uses. Nothing is changed.
///
/// # Errors
/// See [`OpenError`].
pub fn identify(data_dir: &Path) -> Result<String, OpenError> {
    rocks::identify(data_dir)
}

/// Reads everything in a data directory that no process uses, and changes nothing. Damage is a finding, not an error. Blocks.
///
/// # Errors
/// The directory is in use, not ours, or of a newer version.
pub fn check_embedded(data_dir: &Path, observer: &mut dyn CheckObserver) -> Result<Checked, OpenError> {
    rocks::check_data_dir(data_dir, observer)
}

/// The same for a database that lies in this directory, such as a checkpoint's.
pub fn check_database(database: &Path, observer: &mut dyn CheckObserver) -> Checked {
    rocks::check_database(database, observer)
}

/// A damaged database in a backup is a damaged backup.
fn damaged_backup(error: OpenError) -> BackupError {
    match error {
        OpenError::Damaged(reason) | OpenError::Other(reason) => BackupError::Damaged(reason),
        error => error.into(),
    }
}

/// A cache over Redis before a store. Redis need not be there: it is used from when on it is. Must be called inside a runtime.
///
/// # Errors
/// [`OpenError::Cache`]: the URL can't be used.
pub fn open_cached(authority: Arc<dyn Authority>, config: &CacheConfig) -> Result<Arc<dyn Store>, OpenError> {
    Ok(Arc::new(Cached::start(authority, config)?))
}

/// An engine in memory alone.
#[must_use]
pub fn open_memory_engine() -> Arc<dyn Engine> {
    Arc::new(MemoryEngine::default())
}
