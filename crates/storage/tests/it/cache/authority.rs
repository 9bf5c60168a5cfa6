//! An authority in memory: the specification, with a fence beside it. Shared by several caches, it is the database of several nodes.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use kvstore_storage::{
    Agreement, Authority, Capabilities, Checkpoint, Clock, FIRST_EPOCH, Fence, FenceNode, ManualClock, NodeId, Status, Store, StoreError,
    Turn, open_memory,
};
use kvstore_types::{Consistency, Entry, Key, Outcome, Page, Projection, RestoreBatch, RestoreOutcome, Revision, Scan, WriteBatch};
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::fixtures::START;

/// The store and its fence.
pub(crate) struct MemoryAuthority {
    pub(crate) clock: Arc<ManualClock>,
    store: Arc<dyn Store>,
    fence: Mutex<FenceRecord>,
    /// Reads of single keys, with their values or without.
    pub(crate) reads: AtomicUsize,
    /// Queries of revisions.
    pub(crate) checks: AtomicUsize,
    /// While this is true, writes that came in wait before they are applied.
    pub(crate) writes_wait: watch::Sender<bool>,
    /// While this is true, reads that have their answer wait before they give it.
    pub(crate) reads_wait: watch::Sender<bool>,
}

struct FenceRecord {
    epoch: u64,
    open: bool,
    instance: String,
    nodes: BTreeMap<NodeId, (u64, Option<Agreement>)>,
}

impl MemoryAuthority {
    pub(crate) fn new() -> Arc<Self> {
        let clock = Arc::new(ManualClock::at(START));
        let store = open_memory(clock.clone(), None).expect("a thread for the committer");
        let fence = FenceRecord { epoch: FIRST_EPOCH, open: false, instance: String::new(), nodes: BTreeMap::new() };
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

impl FenceRecord {
    fn beat(&mut self, node: NodeId, agreed: Option<Agreement>) {
        let row = self.nodes.entry(node).or_default();
        *row = (row.0 + 1, agreed);
    }

    fn take(&mut self, node: NodeId, turn: &Turn) {
        match turn {
            Turn::Look => {}
            Turn::Beat { agreed } => self.beat(node, agreed.clone()),
            Turn::Close => {
                self.epoch += 1;
                self.open = false;
                self.beat(node, None);
            }
            Turn::Open(agreement) => {
                let all = self.nodes.values().all(|(_, agreed)| agreed.as_ref() == Some(agreement));
                if !self.open && self.epoch == agreement.epoch && all {
                    self.epoch += 1;
                    self.open = true;
                    self.instance.clone_from(&agreement.instance);
                }
            }
            Turn::Remove { node, beats } => {
                if self.nodes.get(node).is_some_and(|(seen, _)| seen == beats) {
                    self.nodes.remove(node);
                }
            }
            Turn::Leave => {
                self.nodes.remove(&node);
            }
        }
    }
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
        let row = |(node, (beats, agreed)): (&NodeId, &(u64, Option<Agreement>))| FenceNode {
            node: *node,
            beats: *beats,
            agreed: agreed.clone(),
        };
        Ok(Fence {
            store: 7,
            epoch: fence.epoch,
            open: fence.open,
            instance: fence.instance.clone(),
            now: self.clock.now(),
            nodes: fence.nodes.iter().map(row).collect(),
        })
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

    fn applied_revision(&self) -> Revision {
        self.store.applied_revision()
    }

    fn capabilities(&self) -> Capabilities {
        self.store.capabilities()
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
