//! The committer: the one thread that orders writes over an engine.
//!
//! It drains its queue into a group, has the engine evaluate and write the group with one sync, then answers every waiter. Each
//! queued batch has one claim: either the committer takes it, or a time-out, a shutdown or a caller that went away withdraws it.
//! It must not know what an engine is made of, and it never reads the disk for a batch that brought valid hints.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    },
    thread::JoinHandle,
    time::Duration,
};

use kvstore_types::{
    Outcome, RestoreBatch, RestoreOutcome,
    limits::{COMMIT_WAIT_MS_MAX, GROUP_BATCHES_MAX, GROUP_BYTES_MAX, QUEUE_BATCHES_MAX, QUEUE_WAIT_MS_MAX, RECLAIM_ITEMS_MAX},
};
use parking_lot::Mutex;
use tokio::{
    sync::{oneshot, watch},
    time::timeout,
};

use crate::{
    Durability, Engine, EngineError, Proposal, StoreError,
    claim::{Claim, WithdrawOnDrop},
    embedded::StoreTime,
    metrics::CommitterMetrics,
};

/// The handle by which batches reach the committer's thread.
pub(crate) struct Committer {
    queue: SyncSender<Job>,
    stopping: AtomicBool,
    reclaim_is_queued: Arc<AtomicBool>,
    /// Why the store can't go on, once it can't.
    failure: watch::Receiver<Option<String>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    metrics: CommitterMetrics,
}

enum Job {
    Write(Box<Pending>),
    Restore(PendingRestore),
    Reclaim,
    Stop,
}

struct Pending {
    proposal: Proposal,
    weight: usize,
    claim: Arc<Claim>,
    reply: oneshot::Sender<Answer>,
}

/// Entries to restore. It goes alone: nothing else is written to a store that is being filled.
struct PendingRestore {
    batch: Arc<RestoreBatch>,
    claim: Arc<Claim>,
    reply: oneshot::Sender<Result<RestoreOutcome, StoreError>>,
}

type Written = Result<Outcome, StoreError>;

/// A batch's outcome. The first of a group brings those of the others along: waking them is then done by its task, on an async
/// worker, where it costs a push to a queue, and not by the committer, where each costs a system call. The batch goes back to the
/// task that made it, since memory is cheapest to free where it was taken.
struct Answer {
    outcome: Written,
    /// Dropped first: the others must not wait until a large batch is freed.
    _others: Deliveries,
    _proposal: Proposal,
}

/// Outcomes on their way to their waiters. They are delivered when this is dropped, by whomever.
#[derive(Default)]
struct Deliveries(Vec<(oneshot::Sender<Answer>, Written, Proposal)>);

impl Drop for Deliveries {
    fn drop(&mut self) {
        for (waiter, outcome, proposal) in self.0.drain(..) {
            // A caller that went away does not need its answer.
            let _ = waiter.send(Answer { outcome, _proposal: proposal, _others: Self::default() });
        }
    }
}

/// Brings outcomes to those who wait for them.
fn deliver(waiters: Vec<oneshot::Sender<Answer>>, outcomes: impl Iterator<Item = Written>, proposals: Vec<Proposal>) {
    let all = waiters.into_iter().zip(outcomes).zip(proposals);
    Deliveries(all.map(|((waiter, outcome), proposal)| (waiter, outcome, proposal)).collect()).deliver();
}

impl Deliveries {
    fn deliver(mut self) {
        if let Some((first, outcome, proposal)) = self.0.pop() {
            let _ = first.send(Answer { outcome, _proposal: proposal, _others: self });
        }
    }
}

impl Committer {
    pub(crate) fn start<E: Engine>(engine: Arc<E>, time: Arc<StoreTime>) -> Result<Self, std::io::Error> {
        let (queue, jobs) = sync_channel(QUEUE_BATCHES_MAX);
        let (fail, failure) = watch::channel(None);
        let metrics = CommitterMetrics::default();
        let reclaim_is_queued = Arc::new(AtomicBool::new(false));
        let worker =
            Worker { engine, time, jobs, fail, metrics: metrics.clone(), reclaim_is_queued: Arc::clone(&reclaim_is_queued), carried: None };
        let thread = std::thread::Builder::new().name("committer".into()).spawn(move || worker.run())?;
        Ok(Self { queue, stopping: AtomicBool::new(false), reclaim_is_queued, failure, thread: Mutex::new(Some(thread)), metrics })
    }

    /// Queues a batch and waits for its outcome.
    pub(crate) async fn submit(&self, proposal: Proposal) -> Result<Outcome, StoreError> {
        self.check_open()?;
        let claim = Arc::new(Claim::default());
        let (reply, answer) = oneshot::channel();
        let weight = proposal.batch.weight();
        let pending = Pending { proposal, weight, claim: Arc::clone(&claim), reply };
        let withdraw = self.queue(Job::Write(Box::new(pending)), claim)?;
        self.wait(answer, &withdraw.claim).await?.outcome
    }

    /// Queues entries to restore and waits for what becomes of them.
    pub(crate) async fn submit_restore(&self, batch: Arc<RestoreBatch>) -> Result<RestoreOutcome, StoreError> {
        self.check_open()?;
        let claim = Arc::new(Claim::default());
        let (reply, answer) = oneshot::channel();
        let withdraw = self.queue(Job::Restore(PendingRestore { batch, claim: Arc::clone(&claim), reply }), claim)?;
        self.wait(answer, &withdraw.claim).await?
    }

    fn queue(&self, job: Job, claim: Arc<Claim>) -> Result<WithdrawOnDrop<'_>, StoreError> {
        match self.queue.try_send(job) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => return Err(StoreError::Overloaded("too many writes are waiting")),
            Err(TrySendError::Disconnected(_)) => return Err(self.refusal()),
        }
        self.metrics.queued(1.0);
        Ok(WithdrawOnDrop { claim, metrics: &self.metrics })
    }

    async fn wait<A>(&self, mut answer: oneshot::Receiver<A>, claim: &Claim) -> Result<A, StoreError> {
        match timeout(Duration::from_millis(QUEUE_WAIT_MS_MAX), &mut answer).await {
            Ok(answered) => return self.outcome(answered, claim),
            Err(_) if claim.withdraw() => return Err(StoreError::Overloaded("the write waited too long for its turn")),
            Err(_) => {}
        }
        match timeout(Duration::from_millis(COMMIT_WAIT_MS_MAX), answer).await {
            Ok(answered) => self.outcome(answered, claim),
            Err(_) => Err(StoreError::Unknown("the disk did not answer in time".into())),
        }
    }

    fn outcome<A>(&self, answered: Result<A, oneshot::error::RecvError>, claim: &Claim) -> Result<A, StoreError> {
        match answered {
            Ok(answer) => Ok(answer),
            // The committer went away without an answer: what that means depends on whether it had taken the batch.
            Err(_) if claim.is_taken() => Err(StoreError::Unknown("the committer stopped".into())),
            Err(_) => Err(self.refusal()),
        }
    }

    fn check_open(&self) -> Result<(), StoreError> {
        if self.stopping.load(Ordering::Acquire) || self.failure.borrow().is_some() { Err(self.refusal()) } else { Ok(()) }
    }

    fn refusal(&self) -> StoreError {
        match self.failure() {
            Some(reason) => StoreError::Unavailable(reason),
            None => StoreError::Stopping,
        }
    }

    /// Has the engine delete expired entries, in turn with the writes. A full queue has better things to do: the next call will.
    pub(crate) fn reclaim_soon(&self) {
        // One at a time: where reclaiming is slower than its interval, more of them would only delay the writes.
        if !self.reclaim_is_queued.swap(true, Ordering::AcqRel) && self.queue.try_send(Job::Reclaim).is_err() {
            self.reclaim_is_queued.store(false, Ordering::Release);
        }
    }

    /// Why the store can't go on, if it can't.
    pub(crate) fn failure(&self) -> Option<String> {
        self.failure.borrow().clone()
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    /// Waits until the store can't go on.
    pub(crate) async fn failed(&self) -> String {
        let mut failure = self.failure.clone();
        let reason = failure.wait_for(Option::is_some).await.ok().and_then(|reason| reason.clone());
        match reason {
            Some(reason) => reason,
            // The committer ended in order: there will be no failure.
            None => std::future::pending().await,
        }
    }

    /// Refuses new batches, lets those that were queued before finish, and ends the thread. Blocks.
    pub(crate) fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
        let Some(thread) = self.thread.lock().take() else { return };
        // A full queue is being drained; a closed one belongs to a thread that has ended.
        let _ = self.queue.send(Job::Stop);
        if thread.join().is_err() {
            tracing::error!("the committer panicked");
        }
    }
}

/// The thread's side.
struct Worker<E> {
    engine: Arc<E>,
    time: Arc<StoreTime>,
    jobs: Receiver<Job>,
    fail: watch::Sender<Option<String>>,
    metrics: CommitterMetrics,
    reclaim_is_queued: Arc<AtomicBool>,
    /// A job that was received but did not fit the last group.
    carried: Option<Job>,
}

impl<E: Engine> Worker<E> {
    fn run(mut self) {
        // A panic inside the engine leaves the outcome of a group open: the store must not go on.
        let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| self.serve()));
        match ended {
            Ok(Ok(())) => {}
            Ok(Err(reason)) => drop(self.fail.send(Some(reason))),
            Err(_) => drop(self.fail.send(Some("the committer panicked".into()))),
        }
    }

    fn serve(&mut self) -> Result<(), String> {
        loop {
            let Some(job) = self.carried.take().or_else(|| self.jobs.recv().ok()) else { return Ok(()) };
            match job {
                Job::Write(first) => {
                    let group = self.gather(*first);
                    self.commit(group)?;
                }
                Job::Restore(pending) => self.restore(pending)?,
                Job::Reclaim => {
                    self.reclaim_is_queued.store(false, Ordering::Release);
                    self.reclaim()?;
                }
                Job::Stop => return Ok(()),
            }
        }
    }

    /// Takes what is queued, up to the limits of a group.
    fn gather(&mut self, first: Pending) -> Vec<Pending> {
        let mut bytes = first.weight;
        let mut group = Vec::with_capacity(64);
        take(&mut group, first);
        while group.len() < GROUP_BATCHES_MAX {
            match self.jobs.try_recv() {
                Ok(Job::Write(next)) if bytes + next.weight <= GROUP_BYTES_MAX => {
                    bytes += next.weight;
                    take(&mut group, *next);
                }
                Ok(other) => {
                    self.carried = Some(other);
                    break;
                }
                Err(_) => break,
            }
        }
        group
    }

    fn commit(&self, group: Vec<Pending>) -> Result<(), String> {
        if group.is_empty() {
            return Ok(());
        }
        self.metrics.group(group.len());
        let (proposals, waiters): (Vec<_>, Vec<_>) = group.into_iter().map(|pending| (pending.proposal, pending.reply)).unzip();
        match self.engine.apply(&proposals, self.time.now(), &[], Durability::Synced) {
            Ok(outcomes) => {
                self.time.reached(self.engine.position().stamp);
                let outcomes = outcomes.into_iter().map(|outcome| outcome.map_err(StoreError::from));
                deliver(waiters, outcomes, proposals);
                Ok(())
            }
            Err(error) => {
                let reason = error.to_string();
                deliver(waiters, std::iter::repeat_with(|| Err(StoreError::Unknown(reason.clone()))), proposals);
                Err(reason)
            }
        }
    }

    fn restore(&self, PendingRestore { batch, claim, reply }: PendingRestore) -> Result<(), String> {
        if !claim.take() {
            return Ok(());
        }
        let outcome = self.engine.restore(&batch, self.time.clock(), &[], Durability::Synced);
        self.time.reached(self.engine.position().stamp);
        let failure = outcome.as_ref().err().filter(|error| matches!(error, EngineError::Write(_))).map(ToString::to_string);
        // A caller that went away does not need its answer.
        let _ = reply.send(outcome.map_err(StoreError::from));
        failure.map_or(Ok(()), Err)
    }

    fn reclaim(&self) -> Result<(), String> {
        let now = self.time.now();
        let due = match self.engine.due(now, RECLAIM_ITEMS_MAX) {
            Ok(due) => due,
            Err(error) => {
                tracing::warn!(%error, "expired entries can't be read, so their space is not freed");
                return Ok(());
            }
        };
        match self.engine.reclaim(&due, now, &[], Durability::Synced) {
            Ok(reclaimed) => {
                self.time.reached(self.engine.position().stamp);
                self.metrics.reclaimed(reclaimed);
            }
            Err(error @ EngineError::Write(_)) => return Err(error.to_string()),
            Err(error) => tracing::warn!(%error, "expired entries can't be read, so their space is not freed"),
        }
        Ok(())
    }
}

fn take(group: &mut Vec<Pending>, pending: Pending) {
    if pending.claim.take() {
        group.push(pending);
    }
}
