//! The queue of writes, and who goes with whom: batches that wait are gathered into groups, and a few groups are under way at once.
//!
//! No two of these share a key. A batch that needs a key of a group under way waits for that group, and those behind it that need one
//! of its keys wait for it: writers of one key keep their order, and many of them become one group. It knows no SQL.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use foldhash::{HashSet, HashSetExt};
use kvstore_types::{
    IdempotencyKey, Key, Outcome, WriteBatch,
    limits::{
        COMMIT_WAIT_MS_MAX, DATABASE_CLOSE_MS_MAX, DATABASE_GROUPS_MAX, DATABASE_LIGHT_GROUPS_MAX, DATABASE_LIGHT_ITEMS_MAX,
        DATABASE_QUEUE_LOOK_MAX, GROUP_BATCHES_MAX, GROUP_BYTES_MAX, QUEUE_BATCHES_MAX, QUEUE_WAIT_MS_MAX,
    },
};
use parking_lot::Mutex;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot},
    task::{Id, JoinHandle, JoinSet},
    time::timeout,
};

use super::{Shared, group};
use crate::{
    StoreError,
    claim::{Claim, WithdrawOnDrop},
    metrics::CommitterMetrics,
    ticks::Ticks,
};

pub(super) type Written = Result<Outcome, StoreError>;

/// A batch whose turn has come, and who waits for it.
pub(super) struct Member {
    pub(super) batch: Arc<WriteBatch>,
    pub(super) reply: oneshot::Sender<Written>,
    /// After this it must not be written any more: others may have gone on without it.
    pub(super) until: Ticks,
}

impl Member {
    /// Whether nobody counts with it any more.
    pub(super) fn is_late(&self) -> bool {
        self.reply.is_closed() || self.until < Ticks::now()
    }
}

struct Pending {
    member: Member,
    weight: usize,
    claim: Arc<Claim>,
    _place: OwnedSemaphorePermit,
}

/// The handle by which batches reach the queue.
pub(super) struct Queue {
    jobs: mpsc::UnboundedSender<Pending>,
    /// As many as may wait.
    places: Arc<Semaphore>,
    is_stopping: AtomicBool,
    stop: Mutex<Option<oneshot::Sender<()>>>,
    worker: tokio::sync::Mutex<Option<JoinHandle<()>>>,
    write_max: Duration,
    metrics: CommitterMetrics,
}

impl Queue {
    pub(super) fn start(shared: Arc<Shared>, write_max: Duration) -> Self {
        let (jobs, received) = mpsc::unbounded_channel();
        let (stop, stopped) = oneshot::channel();
        let metrics = CommitterMetrics::default();
        let worker = Worker {
            shared,
            jobs: received,
            waiting: VecDeque::new(),
            busy: Names::default(),
            running: JoinSet::new(),
            held: HashMap::new(),
            metrics: metrics.clone(),
        };
        Self {
            jobs,
            places: Arc::new(Semaphore::new(QUEUE_BATCHES_MAX)),
            is_stopping: AtomicBool::new(false),
            stop: Mutex::new(Some(stop)),
            worker: tokio::sync::Mutex::new(Some(tokio::spawn(worker.run(stopped)))),
            write_max,
            metrics,
        }
    }

    /// Queues a batch and waits for its outcome.
    pub(super) async fn submit(&self, batch: Arc<WriteBatch>) -> Written {
        if self.is_stopping() {
            return Err(StoreError::Stopping);
        }
        let place = Arc::clone(&self.places).try_acquire_owned().map_err(|_| StoreError::Overloaded("too many writes are waiting"))?;
        let claim = Arc::new(Claim::default());
        let (reply, answer) = oneshot::channel();
        let weight = batch.weight();
        let pending = Pending {
            member: Member { batch, reply, until: Ticks::now().after(self.write_max) },
            weight,
            claim: Arc::clone(&claim),
            _place: place,
        };
        self.jobs.send(pending).map_err(|_| StoreError::Stopping)?;
        self.metrics.queued(1.0);
        let withdraw = WithdrawOnDrop { claim, metrics: &self.metrics };
        wait(answer, &withdraw.claim).await
    }

    /// How long a write is tried.
    pub(super) const fn write_max(&self) -> Duration {
        self.write_max
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.is_stopping.load(Ordering::Acquire)
    }

    /// Refuses new batches, and waits for a bounded time for those that were queued before.
    pub(super) async fn stop(&self) {
        self.is_stopping.store(true, Ordering::Release);
        drop(self.stop.lock().take());
        let Some(worker) = self.worker.lock().await.take() else { return };
        let abort = worker.abort_handle();
        match timeout(Duration::from_millis(DATABASE_CLOSE_MS_MAX), worker).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => tracing::error!("the task that orders writes panicked"),
            // They were answered "unknown" by the drain, or are in a moment.
            Err(_) => abort.abort(),
        }
    }
}

async fn wait(mut answer: oneshot::Receiver<Written>, claim: &Claim) -> Written {
    match timeout(Duration::from_millis(QUEUE_WAIT_MS_MAX), &mut answer).await {
        Ok(answered) => return answered.unwrap_or_else(|_| Err(gone(claim))),
        Err(_) if claim.withdraw() => return Err(StoreError::Overloaded("the write waited too long for its turn")),
        Err(_) => {}
    }
    match timeout(Duration::from_millis(COMMIT_WAIT_MS_MAX), answer).await {
        Ok(answered) => answered.unwrap_or_else(|_| Err(gone(claim))),
        Err(_) => Err(StoreError::Unknown("the database did not answer in time".into())),
    }
}

/// What is left to say where nobody answers any more.
fn gone(claim: &Claim) -> StoreError {
    if claim.is_taken() { StoreError::Unknown("the task that wrote it ended".into()) } else { StoreError::Stopping }
}

/// What batches may share: keys, and idempotency keys.
#[derive(Default)]
struct Names {
    keys: HashSet<Key>,
    requests: HashSet<IdempotencyKey>,
}

impl Names {
    fn has_any_of(&self, batch: &WriteBatch) -> bool {
        batch.items().iter().any(|item| self.keys.contains(&item.key))
            || batch.idempotency().is_some_and(|(key, _)| self.requests.contains(key))
    }

    fn add(&mut self, batch: &WriteBatch) {
        self.keys.extend(batch.items().iter().map(|item| item.key.clone()));
        self.requests.extend(batch.idempotency().map(|(key, _)| key.clone()));
    }

    fn remove(&mut self, batch: &WriteBatch) {
        for item in batch.items() {
            self.keys.remove(&item.key);
        }
        if let Some((key, _)) = batch.idempotency() {
            self.requests.remove(key);
        }
    }
}

/// The task's side.
struct Worker {
    shared: Arc<Shared>,
    jobs: mpsc::UnboundedReceiver<Pending>,
    waiting: VecDeque<Pending>,
    busy: Names,
    running: JoinSet<()>,
    /// What each group under way holds.
    held: HashMap<Id, Vec<Arc<WriteBatch>>>,
    metrics: CommitterMetrics,
}

impl Worker {
    async fn run(mut self, mut stopped: oneshot::Receiver<()>) {
        let mut is_stopped = false;
        loop {
            self.start_groups();
            if is_stopped && self.waiting.is_empty() && self.running.is_empty() && self.jobs.is_empty() {
                return;
            }
            tokio::select! {
                Some(ended) = self.running.join_next_with_id() => {
                    let id = match ended {
                        Ok((id, ())) => id,
                        // Those who wait are told that they do not know: the task dropped their replies.
                        Err(error) => { tracing::error!("a group of writes panicked"); error.id() }
                    };
                    for batch in self.held.remove(&id).unwrap_or_default() {
                        self.busy.remove(&batch);
                    }
                }
                received = self.jobs.recv(), if !self.jobs.is_closed() || !self.jobs.is_empty() => {
                    self.waiting.extend(received);
                    while let Ok(next) = self.jobs.try_recv() {
                        self.waiting.push_back(next);
                    }
                }
                _ = &mut stopped, if !is_stopped => {
                    is_stopped = true;
                    self.jobs.close();
                }
            }
        }
    }

    fn start_groups(&mut self) {
        while has_room(self.held.values()) {
            let group = self.gather();
            if group.is_empty() {
                return;
            }
            self.metrics.group(group.len());
            let batches: Vec<_> = group.iter().map(|member| Arc::clone(&member.batch)).collect();
            for batch in &batches {
                self.busy.add(batch);
            }
            let shared = Arc::clone(&self.shared);
            let id = self.running.spawn(async move { group::write(&shared, group).await }).id();
            self.held.insert(id, batches);
        }
    }

    /// Takes what can go now, in the order in which it came.
    fn gather(&mut self) -> Vec<Member> {
        let (mut group, mut bytes, mut passed) = (Vec::new(), 0, VecDeque::new());
        let mut passed_names = Names { keys: HashSet::new(), requests: HashSet::new() };
        while group.len() < GROUP_BATCHES_MAX && passed.len() < DATABASE_QUEUE_LOOK_MAX {
            let Some(next) = self.waiting.pop_front() else { break };
            if next.claim.is_withdrawn() {
                continue;
            }
            let batch = &next.member.batch;
            if self.busy.has_any_of(batch) || passed_names.has_any_of(batch) {
                passed_names.add(batch);
                passed.push_back(next);
            } else if !group.is_empty() && bytes + next.weight > GROUP_BYTES_MAX {
                passed.push_back(next);
                break;
            } else if next.claim.take() {
                bytes += next.weight;
                group.push(next.member);
            }
        }
        passed.append(&mut self.waiting);
        self.waiting = passed;
        group
    }
}

/// Whether another group may go beside these. A few of small batches keep the database busy, and the next one gathers meanwhile; those
/// with a large batch take long, so they do not count as one of the few.
fn has_room<'a>(under_way: impl ExactSizeIterator<Item = &'a Vec<Arc<WriteBatch>>>) -> bool {
    let all = under_way.len();
    let is_light = |batches: &&Vec<Arc<WriteBatch>>| batches.iter().all(|batch| batch.items().len() <= DATABASE_LIGHT_ITEMS_MAX);
    all < DATABASE_GROUPS_MAX && under_way.filter(is_light).count() < DATABASE_LIGHT_GROUPS_MAX
}

#[cfg(test)]
mod tests {
    use kvstore_types::{Item, Mutation};

    use super::*;

    /// A group of one batch with so many items.
    fn group(items: usize) -> Vec<Arc<WriteBatch>> {
        let item = |number| Item { key: Key::new(&format!("key-{number}")).unwrap(), mutation: Mutation::Delete, condition: None };
        vec![Arc::new(WriteBatch::new((0..items).map(item).collect(), None).unwrap())]
    }

    #[test]
    fn groups_of_small_batches_are_few_and_large_ones_do_not_keep_them_waiting() {
        let (small, large) = (group(1), group(DATABASE_LIGHT_ITEMS_MAX + 1));
        let room = |groups: &[&Vec<Arc<WriteBatch>>]| has_room(groups.iter().copied());
        assert!(room(&[]) && room(&[&small]), "the first two of small batches");
        assert!(!room(&[&small, &small]), "a third of small batches");
        assert!(room(&[&large, &large]) && room(&[&large, &large, &large]), "one more beside large ones");
        assert!(!room(&[&large, &large, &large, &large]), "a fifth of any kind");
    }
}
