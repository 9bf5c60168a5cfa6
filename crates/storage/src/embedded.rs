//! `Embedded`: a Store that is a committer over an Engine, on one node.
//!
//! Reads go from near to far: the cache of entries and the engine's memory on the async worker, then the disk on a reader's
//! thread. It knows no concrete engine.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, Instant},
};

use async_trait::async_trait;
use kvstore_types::{
    Consistency, Entry, Key, Outcome, Page, Projection, RestoreBatch, RestoreOutcome, Revision, Scan, Timestamp, WriteBatch,
    limits::{NEAR_ENTRIES_MAX, READ_THREADS, SCAN_THREADS},
};

use crate::{
    Capabilities, Checkpoint, Clock, Engine, EngineError, Hints, Proposal, ReadTier, Room, State, Status, Store, StoreError,
    committer::Committer, near::Near, readers::Readers, reclaim::Housekeeper,
};

/// Store time on this node: it never goes back, and is never behind the last stamp.
pub(crate) struct StoreTime {
    clock: Arc<dyn Clock>,
    seen: AtomicI64,
}

impl StoreTime {
    fn new(clock: Arc<dyn Clock>, last: Timestamp) -> Self {
        Self { clock, seen: AtomicI64::new(last.as_micros()) }
    }

    pub(crate) fn now(&self) -> Timestamp {
        let now = self.clock.now().as_micros();
        Timestamp::from_micros(self.seen.fetch_max(now, Ordering::AcqRel).max(now))
    }

    /// What the clock says, whatever stamps were given.
    pub(crate) fn clock(&self) -> Timestamp {
        self.clock.now()
    }

    /// Takes note of a stamp that was given: stamps run ahead of a clock that stands, and reads must not fall behind writes.
    pub(crate) fn reached(&self, stamp: Timestamp) {
        self.seen.fetch_max(stamp.as_micros(), Ordering::AcqRel);
    }
}

/// A committer over an engine.
pub(crate) struct Embedded<E> {
    engine: Arc<E>,
    committer: Arc<Committer>,
    time: Arc<StoreTime>,
    /// For single keys, and for pages, which hold more memory each.
    reads: Readers,
    scans: Readers,
    near_reads: Near,
    near_scans: Near,
    housekeeper: Housekeeper,
}

impl<E: Engine> Embedded<E> {
    /// Starts the committer and, if `reclaim_every` is set, the housekeeper that deletes expired entries.
    pub(crate) fn start(engine: E, clock: Arc<dyn Clock>, reclaim_every: Option<Duration>) -> std::io::Result<Arc<dyn Store>> {
        let engine = Arc::new(engine);
        let time = Arc::new(StoreTime::new(clock, engine.position().stamp));
        let committer = Arc::new(Committer::start(Arc::clone(&engine), Arc::clone(&time))?);
        let housekeeper = Housekeeper::start(&engine, &committer, reclaim_every)?;
        let (reads, scans) = (Readers::start("reader", READ_THREADS)?, Readers::start("scanner", SCAN_THREADS)?);
        let (near_reads, near_scans) = (Near::default(), Near::default());
        Ok(Arc::new(Self { engine, committer, time, reads, scans, near_reads, near_scans, housekeeper }))
    }

    /// Runs a read of single keys where it need not wait.
    fn near<T>(&self, read: impl Fn(ReadTier) -> Result<T, EngineError>) -> Result<T, EngineError> {
        match read(ReadTier::Cache) {
            Err(EngineError::WouldBlock) => ask(&self.near_reads, || read(ReadTier::Memory)),
            cached => cached,
        }
    }

    /// Runs a read on a reader's thread.
    async fn far<T: Send + 'static>(
        &self,
        readers: &Readers,
        read: impl FnOnce(&E) -> Result<T, EngineError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let engine = Arc::clone(&self.engine);
        readers.run(move || read(&engine)).await
    }

    /// What the committer would have to read, loaded by the request's own task.
    async fn hints(&self, batch: &Arc<WriteBatch>) -> Result<Hints, StoreError> {
        let near = if batch.items().len() <= NEAR_ENTRIES_MAX {
            self.near(|tier| self.engine.hints(batch, tier))
        } else {
            Err(EngineError::WouldBlock)
        };
        match near {
            Err(EngineError::WouldBlock) => {
                let batch = Arc::clone(batch);
                self.far(&self.reads, move |engine| engine.hints(&batch, ReadTier::Disk)).await
            }
            near => near.map_err(StoreError::from),
        }
    }

    fn check_room(&self, only_deletes: bool) -> Result<(), StoreError> {
        match self.engine.room() {
            Room::Enough => Ok(()),
            Room::Low { .. } if only_deletes => Ok(()),
            Room::Low { floor_bytes } => Err(StoreError::NoSpace { floor_bytes }),
            Room::ReadOnly => Err(StoreError::ReadOnly),
        }
    }
}

/// Asks memory where that is worth it.
fn ask<T>(near: &Near, read: impl FnOnce() -> Result<T, EngineError>) -> Result<T, EngineError> {
    if !near.is_worth_asking() {
        return Err(EngineError::WouldBlock);
    }
    let answer = read();
    near.note(!matches!(answer, Err(EngineError::WouldBlock)));
    answer
}

#[async_trait]
impl<E: Engine> Store for Embedded<E> {
    async fn read(&self, key: &Key, projection: Projection, _: Consistency) -> Result<Option<Entry>, StoreError> {
        let now = self.time.now();
        match self.near(|tier| self.engine.get(key, projection, now, tier)) {
            Err(EngineError::WouldBlock) => {
                let key = key.clone();
                self.far(&self.reads, move |engine| engine.get(&key, projection, now, ReadTier::Disk)).await
            }
            near => near.map_err(StoreError::from),
        }
    }

    async fn read_many(&self, keys: &[Key], _: Consistency) -> Result<Vec<Option<Entry>>, StoreError> {
        let (keys, now) = (keys.to_vec(), self.time.now());
        self.far(&self.scans, move |engine| engine.get_many(&keys, now)).await
    }

    async fn scan(&self, scan: &Scan, _: Consistency) -> Result<Page, StoreError> {
        let now = self.time.now();
        let near = if scan.limit <= NEAR_ENTRIES_MAX {
            ask(&self.near_scans, || self.engine.scan(scan, now, ReadTier::Memory))
        } else {
            Err(EngineError::WouldBlock)
        };
        match near {
            Err(EngineError::WouldBlock) => {
                let scan = scan.clone();
                self.far(&self.scans, move |engine| engine.scan(&scan, now, ReadTier::Disk)).await
            }
            near => near.map_err(StoreError::from),
        }
    }

    async fn write(&self, batch: Arc<WriteBatch>) -> Result<Outcome, StoreError> {
        self.check_room(batch.only_deletes())?;
        let hints = Some(self.hints(&batch).await?);
        self.committer.submit(Proposal { batch, hints }).await
    }

    async fn checkpoint(&self) -> Result<Checkpoint, StoreError> {
        match self.engine.room() {
            Room::Enough => {}
            // Before files are copied, memory is written to disk; and what a copy holds on to can't be freed meanwhile.
            Room::Low { floor_bytes } => return Err(StoreError::NoSpace { floor_bytes }),
            Room::ReadOnly => return Err(StoreError::ReadOnly),
        }
        let engine = Arc::clone(&self.engine);
        tokio::task::spawn_blocking(move || Checkpoint::make(&*engine)).await.map_err(|error| StoreError::Checkpoint(error.to_string()))?
    }

    async fn restore(&self, batch: Arc<RestoreBatch>) -> Result<RestoreOutcome, StoreError> {
        self.check_room(false)?;
        self.committer.submit_restore(batch).await
    }

    fn applied_revision(&self) -> Revision {
        self.engine.position().revision
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { store_wide_order: true, common_snapshot: true }
    }

    fn status(&self) -> Status {
        let state = if self.committer.failure().is_some() {
            State::Failed
        } else if self.committer.is_stopping() {
            State::Stopping
        } else {
            match self.engine.room() {
                Room::Enough => State::Ready,
                Room::Low { .. } => State::DiskFull,
                Room::ReadOnly => State::ReadOnly,
            }
        };
        let disk = self.engine.disk();
        Status {
            backend: self.engine.name(),
            state,
            applied: self.applied_revision(),
            disk_free_bytes: disk.map(|disk| disk.free_bytes),
            disk_used_bytes: disk.map(|disk| disk.used_bytes),
            cache: None,
        }
    }

    async fn probe(&self) -> Result<Duration, StoreError> {
        if let Some(reason) = self.committer.failure() {
            return Err(StoreError::Unavailable(reason));
        }
        let start = Instant::now();
        // Not through the readers' queue: an overloaded node is still healthy.
        let engine = Arc::clone(&self.engine);
        tokio::task::spawn_blocking(move || engine.meta("probe")).await.map_err(|error| StoreError::Read(error.to_string()))??;
        Ok(start.elapsed())
    }

    async fn shutdown(&self) -> Result<(), StoreError> {
        self.housekeeper.stop();
        let (committer, engine) = (Arc::clone(&self.committer), Arc::clone(&self.engine));
        tokio::task::spawn_blocking(move || {
            committer.stop();
            engine.flush()
        })
        .await
        .map_err(|error| StoreError::Unavailable(error.to_string()))?
        .map_err(StoreError::from)
    }

    async fn failed(&self) -> String {
        self.committer.failed().await
    }
}

impl<E> Drop for Embedded<E> {
    fn drop(&mut self) {
        self.housekeeper.stop();
        self.committer.stop();
    }
}
