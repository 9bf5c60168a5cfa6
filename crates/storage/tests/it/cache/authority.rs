//! An authority in memory: the specification, with a fence beside it. Shared by several caches, it is the database of several nodes.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use kvstore_storage::{
    Authority, Capabilities, Checkpoint, Clock, FIRST_EPOCH, Fence, ManualClock, NodeId, Status, Store, StoreError, Turn, open_memory,
};
use kvstore_types::{Consistency, Entry, Key, Outcome, Page, Projection, RestoreBatch, RestoreOutcome, Revision, Scan, WriteBatch};
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::fixtures::START;

/// The store and its fence.
pub(crate) struct MemoryAuthority {
    pub(crate) clock: Arc<ManualClock>,
    store: Arc<dyn Store>,
    fence: Mutex<Fence>,
    /// Reads of single keys, with their values or without.
    pub(crate) reads: AtomicUsize,
    /// Queries of revisions.
    pub(crate) checks: AtomicUsize,
    /// While this is true, writes that came in wait before they are applied.
    pub(crate) writes_wait: watch::Sender<bool>,
    /// While this is true, reads that have their answer wait before they give it.
    pub(crate) reads_wait: watch::Sender<bool>,
}

impl MemoryAuthority {
    pub(crate) fn new() -> Arc<Self> {
        let clock = Arc::new(ManualClock::at(START));
        let store = open_memory(clock.clone(), None).expect("a thread for the committer");
        let fence = Fence { store: 7, epoch: FIRST_EPOCH, open: false, instance: String::new(), now: START, nodes: Vec::new() };
        Arc::new(Self {
            clock,
            store,
            fence: Mutex::new(fence),
            reads: AtomicUsize::new(0),
            checks: AtomicUsize::new(0),
            writes_wait: watch::Sender::new(false),
            reads_wait: watch::Sender::new(false),
        })
    }

    pub(crate) fn reads(&self) -> usize {
        self.reads.load(Ordering::SeqCst)
    }

    pub(crate) fn checks(&self) -> usize {
        self.checks.load(Ordering::SeqCst)
    }

    pub(crate) fn epoch(&self) -> (u64, bool) {
        let fence = self.fence.lock();
        (fence.epoch, fence.open)
    }

    pub(crate) fn nodes(&self) -> usize {
        self.fence.lock().nodes.len()
    }
}

async fn passes(gate: &watch::Sender<bool>) {
    gate.subscribe().wait_for(|waits| !waits).await.expect("the gate is there");
}

#[async_trait]
impl Authority for MemoryAuthority {
    async fn revisions(&self, keys: &[Key]) -> Result<Vec<Option<Revision>>, StoreError> {
        self.checks.fetch_add(1, Ordering::SeqCst);
        let entries = self.store.read_many(keys, Consistency::Linearizable).await?;
        Ok(entries.into_iter().map(|entry| entry.map(|entry| entry.header.revision)).collect())
    }

    async fn fence(&self, node: NodeId, turn: &Turn) -> Result<Fence, StoreError> {
        let mut fence = self.fence.lock();
        fence.take(node, turn);
        fence.now = self.clock.now();
        Ok(fence.clone())
    }
}

#[async_trait]
impl Store for MemoryAuthority {
    async fn read(&self, key: &Key, projection: Projection, consistency: Consistency) -> Result<Option<Entry>, StoreError> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        let answer = self.store.read(key, projection, consistency).await;
        passes(&self.reads_wait).await;
        answer
    }

    async fn read_many(&self, keys: &[Key], consistency: Consistency) -> Result<Vec<Option<Entry>>, StoreError> {
        self.store.read_many(keys, consistency).await
    }

    async fn scan(&self, scan: &Scan, consistency: Consistency) -> Result<Page, StoreError> {
        self.store.scan(scan, consistency).await
    }

    async fn write(&self, batch: Arc<WriteBatch>) -> Result<Outcome, StoreError> {
        passes(&self.writes_wait).await;
        self.store.write(batch).await
    }

    async fn checkpoint(&self) -> Result<Checkpoint, StoreError> {
        self.store.checkpoint().await
    }

    async fn restore(&self, batch: Arc<RestoreBatch>) -> Result<RestoreOutcome, StoreError> {
        self.store.restore(batch).await
    }

    fn capabilities(&self) -> Capabilities {
        self.store.capabilities()
    }

    fn applied_revision(&self) -> Revision {
        self.store.applied_revision()
    }

    fn status(&self) -> Status {
        self.store.status()
    }

    async fn probe(&self) -> Result<Duration, StoreError> {
        self.store.probe().await
    }

    async fn shutdown(&self) -> Result<(), StoreError> {
        self.store.shutdown().await
    }

    async fn failed(&self) -> String {
        self.store.failed().await
    }
}
