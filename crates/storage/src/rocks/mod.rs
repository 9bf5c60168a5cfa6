//! The embedded engine on RocksDB. Each part is a file: the data directory, the check of the log, options, the layout of records,
//! the exact entry cache, reading, applying, reclaiming, free space, gauges.
//!
//! It orders nothing: whoever calls `apply` does that. What it serves from is one `Generation`, swapped as a whole by `replace`.

mod apply;
mod changes;
mod check;
mod directory;
mod entry_cache;
mod freeing;
mod from_backup;
mod generation;
mod layout;
mod options;
mod read;
mod read_only;
mod recent;
mod reclaim;
mod requests;
mod restore;
mod space;
mod stats;
mod wal;

pub use self::directory::DATA_FORMAT;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use arc_swap::ArcSwap;
use bytes::Bytes;
use kvstore_types::{
    Entry, Key, Outcome, Page, Projection, RestoreBatch, RestoreOutcome, Scan, Timestamp, WriteBatch, limits::RESTORED_REVISIONS_SKIPPED,
};
use parking_lot::Mutex;

pub(crate) use self::{
    check::{check_data_dir, check_database},
    directory::identify,
    from_backup::Restoring,
    read_only::position,
};
use self::{directory::DataDirectory, generation::Generation, options::Shared, space::Space};
use crate::{
    Disk, Durability, EmbeddedConfig, Engine, EngineError, EngineStats, Hints, OpenError, Position, Proposal, ReadTier, Reclaimable, Room,
};

/// The engine.
pub(crate) struct RocksEngine {
    generation: ArcSwap<Generation>,
    /// Held by `apply`, `reclaim`, `restore` and `replace`: contents are not swapped under a write.
    writing: Mutex<()>,
    directory: DataDirectory,
    shared: Shared,
    space: Space,
}

impl RocksEngine {
    /// Opens the data directory, or makes it. Damage in the log's tail is cut and logged, any other damage refused.
    pub(crate) fn open(config: &EmbeddedConfig) -> Result<Self, OpenError> {
        let directory = DataDirectory::open(&config.data_dir)?;
        let direct_writes = directory.takes_direct_writes();
        if !direct_writes {
            tracing::warn!("the file system takes no direct writes (O_DIRECT): writes wait longer while tables are compacted");
        }
        let shared = Shared::new(config.memory, direct_writes).map_err(|error| OpenError::Other(error.to_string()))?;
        let generation = Generation::open(&directory.current(), &directory.damaged(), &shared)?;
        if !generation.read_only && directory.restored_at().is_some_and(|at| at.0 > 0 && at == generation.position().revision) {
            generation.skip_revisions(RESTORED_REVISIONS_SKIPPED)?;
        }
        directory.opened().map_err(|error| OpenError::Unusable { path: config.data_dir.clone(), reason: error.to_string() })?;
        let space = Space::new(config.data_dir.clone(), config.free_space_floor_bytes, generation.read_only);
        Ok(Self { generation: ArcSwap::from_pointee(generation), writing: Mutex::new(()), directory, shared, space })
    }
}

impl Engine for RocksEngine {
    fn name(&self) -> &'static str {
        "embedded"
    }

    fn apply(
        &self,
        group: &[Proposal],
        proposed: Timestamp,
        meta: &[(&str, &[u8])],
        durability: Durability,
    ) -> Result<Vec<Result<Outcome, EngineError>>, EngineError> {
        let _turn = self.writing.lock();
        apply::apply(&self.generation.load(), group, proposed, meta, durability)
    }

    fn reclaim(
        &self,
        due: &[Reclaimable],
        proposed: Timestamp,
        meta: &[(&str, &[u8])],
        durability: Durability,
    ) -> Result<usize, EngineError> {
        let _turn = self.writing.lock();
        reclaim::reclaim(&self.generation.load(), due, proposed, meta, durability)
    }

    fn restore(
        &self,
        batch: &RestoreBatch,
        proposed: Timestamp,
        meta: &[(&str, &[u8])],
        durability: Durability,
    ) -> Result<RestoreOutcome, EngineError> {
        let _turn = self.writing.lock();
        restore::restore(&self.generation.load(), batch, proposed, meta, durability)
    }

    fn due(&self, now: Timestamp, limit: usize) -> Result<Vec<Reclaimable>, EngineError> {
        reclaim::due(&self.generation.load(), now, limit)
    }

    fn get(&self, key: &Key, projection: Projection, now: Timestamp, tier: ReadTier) -> Result<Option<Entry>, EngineError> {
        self.generation.load().get(key, projection, now, tier)
    }

    fn hints(&self, batch: &WriteBatch, tier: ReadTier) -> Result<Hints, EngineError> {
        self.generation.load().hints(batch, tier)
    }

    fn get_many(&self, keys: &[Key], now: Timestamp) -> Result<Vec<Option<Entry>>, EngineError> {
        self.generation.load().get_many(keys, now)
    }

    fn scan(&self, scan: &Scan, now: Timestamp, tier: ReadTier) -> Result<Page, EngineError> {
        self.generation.load().scan(scan, now, tier)
    }

    fn position(&self) -> Position {
        self.generation.load().position()
    }

    fn meta(&self, key: &str) -> Result<Option<Bytes>, EngineError> {
        self.generation.load().meta(key)
    }

    fn flush(&self) -> Result<(), EngineError> {
        self.generation.load().flush()
    }

    fn checkpoint(&self, dir: &Path) -> Result<(), EngineError> {
        self.generation.load().checkpoint(dir)
    }

    fn checkpoints(&self) -> Option<PathBuf> {
        Some(self.directory.checkpoints())
    }

    fn identity(&self) -> Option<String> {
        Some(self.directory.identity().to_owned())
    }

    fn replace(&self, dir: &Path) -> Result<(), EngineError> {
        let _turn = self.writing.lock();
        let next = self.directory.adopt(dir).map_err(|error| EngineError::Write(error.to_string()))?;
        let generation = Generation::open(&next, &self.directory.damaged(), &self.shared).map_err(|error| {
            self.directory.discard(&next);
            EngineError::Damaged(error.to_string())
        })?;
        let before = self.directory.current();
        self.directory.switch_to(&next).map_err(|error| EngineError::Write(error.to_string()))?;
        let old = self.generation.swap(Arc::new(generation));
        // Readers may still hold the old contents: the last of them removes the files.
        old.remove_when_dropped(before);
        Ok(())
    }

    fn room(&self) -> Room {
        self.space.room()
    }

    fn disk(&self) -> Option<Disk> {
        Some(Disk { free_bytes: self.space.free_bytes(), used_bytes: self.generation.load().used_bytes() })
    }

    fn stats(&self) -> EngineStats {
        stats::collect(&self.generation.load(), &self.shared, &self.space)
    }
}
