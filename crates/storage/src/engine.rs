//! `Engine`: storage below whoever orders writes. The embedded store puts a committer over it, a replicated store puts a log.
//!
//! Its calls block. It decides nothing about concurrency of writers: `apply` and `replace` are called by one thread at a time.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use kvstore_types::{Entry, Header, Key, Outcome, Page, Projection, RestoreBatch, RestoreOutcome, Revision, Scan, Timestamp, WriteBatch};

use crate::EngineError;

/// A batch on its way into an engine.
#[derive(Debug, Clone)]
pub struct Proposal {
    /// The batch.
    pub batch: Arc<WriteBatch>,
    /// Headers loaded before it queued, so that ordering writes does not wait for the disk.
    pub hints: Option<Hints>,
}

/// Stored headers of a batch's keys as they were at a revision.
#[derive(Debug, Clone)]
pub struct Hints {
    /// The contents that they were read from: `replace` makes others.
    pub generation: u64,
    /// All changes up to this revision are in `headers`; later ones may be.
    pub as_of: Revision,
    /// What is stored under each item's key, expired entries included.
    pub headers: Vec<Option<Header>>,
}

/// How far a read may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadTier {
    /// The cache of entries only. [`EngineError::WouldBlock`] where it does not know the key.
    Cache,
    /// Memory only: fit for an async worker, as long as it is asked for a few entries. [`EngineError::WouldBlock`] where that does
    /// not do.
    Memory,
    /// The disk too: for a blocking thread.
    Disk,
}

/// Whether `apply` waits for the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// The group is on disk when `apply` returns.
    Synced,
    /// It may be lost in a crash, as a whole: for a state machine below a log that is synced itself. There every replica must do
    /// the same, so a read error fails the whole group before anything is written.
    Buffered,
}

/// Where an engine is in its history. Saved with each group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Position {
    /// The last revision that was used.
    pub revision: Revision,
    /// The last stamp that was given.
    pub stamp: Timestamp,
}

/// An expired entry that may be deleted, if the key still holds this revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reclaimable {
    /// The key.
    pub key: Key,
    /// The revision of the expired entry.
    pub revision: Revision,
}

/// Whether the disk has room for writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Room {
    /// Every write is taken.
    Enough,
    /// Free space is below the floor: deletes are taken, nothing else.
    Low {
        /// The floor.
        floor_bytes: u64,
    },
    /// The engine was opened on a full disk and can't write at all until it is opened again.
    ReadOnly,
}

/// The disk that holds the data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Disk {
    /// Bytes that are free to this process.
    pub free_bytes: u64,
    /// Bytes that the data takes.
    pub used_bytes: u64,
}

/// Gauges of an engine, for metrics: names as in the documentation, values as they are now.
pub type EngineStats = Vec<(&'static str, f64)>;

/// A storage engine that keeps clauses E1 to E3 of the [`contract`](crate::contract), and under a committer all others.
pub trait Engine: Send + Sync + 'static {
    /// The engine's name.
    fn name(&self) -> &'static str;

    /// Evaluates the batches in order, each against what the ones before it left, and applies those that pass in one atomic
    /// write, together with `meta`. An answer for each batch, in order. A group without batches that carries `meta` is a tick: it
    /// moves the stamp on to `proposed`.
    ///
    /// # Errors
    /// The outer error means that the write or sync failed: whether any of the group will be found after a restart is unknown.
    /// An inner error is that batch's alone, and it was not applied. With [`Durability::Buffered`] there is no inner error: a read
    /// error is the outer one, and nothing was written.
    fn apply(
        &self,
        group: &[Proposal],
        proposed: Timestamp,
        meta: &[(&str, &[u8])],
        durability: Durability,
    ) -> Result<Vec<Result<Outcome, EngineError>>, EngineError>;

    /// Deletes entries that are still the expired ones named, and idempotency records that have ended, in one atomic write with
    /// its own stamp, together with `meta`. Says how many entries went.
    ///
    /// # Errors
    /// As for `apply`.
    fn reclaim(
        &self,
        due: &[Reclaimable],
        proposed: Timestamp,
        meta: &[(&str, &[u8])],
        durability: Durability,
    ) -> Result<usize, EngineError>;

    /// Restores entries as [`kvstore_types::evaluate_restore`] decides, in one atomic write with `meta` and the new position.
    ///
    /// # Errors
    /// A read failed, and nothing was written; or the write or sync failed, as for `apply`.
    fn restore(
        &self,
        batch: &RestoreBatch,
        proposed: Timestamp,
        meta: &[(&str, &[u8])],
        durability: Durability,
    ) -> Result<RestoreOutcome, EngineError>;

    /// Expired entries at this store time, oldest first.
    ///
    /// # Errors
    /// A read failed.
    fn due(&self, now: Timestamp, limit: usize) -> Result<Vec<Reclaimable>, EngineError>;

    /// Reads a key as it is at this store time.
    ///
    /// # Errors
    /// A read failed, or would block.
    fn get(&self, key: &Key, projection: Projection, now: Timestamp, tier: ReadTier) -> Result<Option<Entry>, EngineError>;

    /// Loads what `apply` would otherwise read for this batch.
    ///
    /// # Errors
    /// A read failed, or would block.
    fn hints(&self, batch: &WriteBatch, tier: ReadTier) -> Result<Hints, EngineError>;

    /// Reads many keys from one snapshot.
    ///
    /// # Errors
    /// A read failed.
    fn get_many(&self, keys: &[Key], now: Timestamp) -> Result<Vec<Option<Entry>>, EngineError>;

    /// Reads a page from one snapshot, within the limits of a page.
    ///
    /// # Errors
    /// A read failed, or would block.
    fn scan(&self, scan: &Scan, now: Timestamp, tier: ReadTier) -> Result<Page, EngineError>;

    /// The position after the last applied group.
    fn position(&self) -> Position;

    /// A value that a group carried.
    ///
    /// # Errors
    /// A read failed.
    fn meta(&self, key: &str) -> Result<Option<Bytes>, EngineError>;

    /// Makes all that was applied durable in its final place.
    ///
    /// # Errors
    /// A write failed.
    fn flush(&self) -> Result<(), EngineError>;

    /// Writes a consistent copy to a directory that does not exist yet.
    ///
    /// # Errors
    /// A write failed, or the directory exists.
    fn checkpoint(&self, dir: &Path) -> Result<(), EngineError>;

    /// Where checkpoints that are not kept can be made; `None` for an engine without a disk.
    fn checkpoints(&self) -> Option<PathBuf> {
        None
    }

    /// What tells these data from all others, if they have a place of their own.
    fn identity(&self) -> Option<String> {
        None
    }

    /// Replaces the contents by a checkpoint's, cache included; readers see the old contents or the new.
    ///
    /// # Errors
    /// The checkpoint can't be opened (the old contents stay), or the switch can't be saved.
    fn replace(&self, dir: &Path) -> Result<(), EngineError>;

    /// Whether the disk has room for writes; cheap.
    fn room(&self) -> Room {
        Room::Enough
    }

    /// What the disk that holds the data has and gives, if there is one.
    fn disk(&self) -> Option<Disk> {
        None
    }

    /// Gauges for metrics.
    fn stats(&self) -> EngineStats;
}
