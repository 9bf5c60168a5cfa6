//! `Store`: what the service tier calls. Every deployment is one.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use kvstore_types::{Consistency, Entry, Key, Outcome, Page, Projection, RestoreBatch, RestoreOutcome, Revision, Scan, WriteBatch};

use crate::{Checkpoint, StoreError};

/// A key-value store that keeps the [`contract`](crate::contract).
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// Reads one key.
    ///
    /// # Errors
    /// See [`StoreError`].
    async fn read(&self, key: &Key, projection: Projection, consistency: Consistency) -> Result<Option<Entry>, StoreError>;

    /// Reads many keys from one snapshot, in their order.
    ///
    /// # Errors
    /// See [`StoreError`].
    async fn read_many(&self, keys: &[Key], consistency: Consistency) -> Result<Vec<Option<Entry>>, StoreError>;

    /// Reads one page.
    ///
    /// # Errors
    /// See [`StoreError`].
    async fn scan(&self, scan: &Scan, consistency: Consistency) -> Result<Page, StoreError>;

    /// Applies a batch, and answers once its outcome is durable. Dropping the future withdraws a batch that is still waiting;
    /// one that was taken goes on.
    ///
    /// # Errors
    /// [`StoreError::is_not_applied`] tells whether the batch certainly took no effect.
    async fn write(&self, batch: Arc<WriteBatch>) -> Result<Outcome, StoreError>;

    /// Makes a consistent copy of all contents (C26), to be read in peace while writes go on. Each store says for itself whether it can; one that wraps another asks that one.
    ///
    /// # Errors
    /// [`StoreError::NotSupported`] where another system keeps the data, and makes the copies; [`StoreError::Checkpoint`] where the
    /// copy failed.
    async fn checkpoint(&self) -> Result<Checkpoint, StoreError>;
    /// Restores entries with all their metadata, and answers once that is durable.
    ///
    /// # Errors
    /// As for [`Store::write`].
    async fn restore(&self, batch: Arc<RestoreBatch>) -> Result<RestoreOutcome, StoreError>;

    /// The revision up to which a stale read on this node shows all changes.
    fn applied_revision(&self) -> Revision;

    /// What it can't do, or does in a weaker form. A store that wraps another asks that one.
    fn capabilities(&self) -> Capabilities;

    /// What the store says of itself; cheap, and it never waits for a write.
    fn status(&self) -> Status;

    /// Reads something small through the whole data tier and says how long it took.
    ///
    /// # Errors
    /// See [`StoreError`].
    async fn probe(&self) -> Result<Duration, StoreError>;

    /// Refuses new writes, finishes those that were taken, and releases the data. Can be called again.
    ///
    /// # Errors
    /// The last flush failed; what was acknowledged is safe in the log all the same.
    async fn shutdown(&self) -> Result<(), StoreError>;

    /// Resolves when the store can't go on (a write or sync failed): the process must exit, since what the failed write left
    /// behind is not known.
    async fn failed(&self) -> String;
}

/// What a store does, of what not every store can.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capabilities {
    /// Revisions and stamps follow the order of commits in the whole store, not only per key. So a revision says what a reader has seen,
    /// and a stamp moves store time on for all keys.
    pub store_wide_order: bool,
    /// Reads of several keys, and pages, show one moment (C1, C4, C5, C9). Without it, each entry is whole and as new as C4 says, but a batch
    /// may be seen in part while it is being committed, and so may what a write that changes nothing rests on.
    pub common_snapshot: bool,
}

/// Whether a store serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It reads and writes.
    Ready,
    /// It reads; puts are refused since the disk is nearly full.
    DiskFull,
    /// It was opened on a full disk and only reads.
    ReadOnly,
    /// What keeps the data can't be reached; it may come back.
    Unreachable,
    /// It is shutting down.
    Stopping,
    /// A write failed; the process is about to exit.
    Failed,
}

impl State {
    const ALL: [Self; 6] = [Self::Ready, Self::DiskFull, Self::ReadOnly, Self::Unreachable, Self::Stopping, Self::Failed];

    /// The state of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == name)
    }

    /// The state's name in answers and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::DiskFull => "disk_full",
            Self::ReadOnly => "read_only",
            Self::Unreachable => "unreachable",
            Self::Stopping => "stopping",
            Self::Failed => "failed",
        }
    }
}

/// What a store says of itself.
#[derive(Debug, Clone)]
pub struct Status {
    /// The backend's name: `embedded`, `memory`, `postgres`.
    pub backend: &'static str,
    /// Whether it serves.
    pub state: State,
    /// The last applied revision.
    pub applied: Revision,
    /// Free bytes on the disk that holds the data, where there is one.
    pub disk_free_bytes: Option<u64>,
    /// Bytes that the data takes on disk, where there is one.
    pub disk_used_bytes: Option<u64>,
    /// What the cache before it says of itself, where there is one.
    pub cache: Option<CacheStatus>,
}

/// What a cache says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheStatus {
    /// What keeps the entries: `redis`.
    pub backend: &'static str,
    /// `validate` or `fenced`.
    pub mode: &'static str,
    /// `on`, `closed` (it works, but entries do not count now) or `off`.
    pub state: &'static str,
    /// How long it took to answer when it was last asked.
    pub latency: Option<Duration>,
}
