//! The mixed load: tasks that write at random over one set of keys, and write down in the journal what they ask for and what they
//! are answered. It judges only what one answer shows by itself; the rest is for `verify`.

mod choose;
mod counts;
pub(crate) mod request;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use kvstore_client::{Client, ClientError, WriteOutcome};
use parking_lot::Mutex;
use rand::Rng as _;
use tokio::task::JoinSet;

use crate::journal::{Answer, Change, Journal, Op};
use choose::Chooser;
pub(crate) use choose::PREFIX;
pub(crate) use counts::{Counts, Kind};

/// Tasks that write at the same time.
const TASKS: usize = 16;

/// An answer takes less than this, whatever became of the request: the client's own time-outs and repeats included.
const DRAIN_MAX: Duration = Duration::from_secs(120);

/// How long a task waits after an error that may pass, so that a failing server is not flooded.
const AFTER_ERROR: Duration = Duration::from_millis(20);

/// What the tasks share.
pub(crate) struct Shared {
    /// The nodes of the store. Each request goes to one of them at random.
    clients: Vec<Client>,
    ended: AtomicBool,
    pub(crate) journal: Arc<Journal>,
    pub(crate) counts: Counts,
    /// What single answers showed to be wrong.
    pub(crate) faults: Mutex<Vec<String>>,
    /// The statuses of answers of 500 and above, and of broken connections (0), with the request's id.
    pub(crate) failures: Mutex<Vec<(u64, u16)>>,
}

/// A load that is running. It ends with its handle.
pub(crate) struct Load {
    pub(crate) shared: Arc<Shared>,
    tasks: JoinSet<()>,
}

impl Load {
    /// Starts the tasks.
    pub(crate) fn start(clients: &[Client], journal: &Arc<Journal>) -> Load {
        let shared = Arc::new(Shared {
            clients: clients.to_vec(),
            ended: AtomicBool::new(false),
            journal: Arc::clone(journal),
            counts: Counts::default(),
            faults: Mutex::default(),
            failures: Mutex::default(),
        });
        let mut tasks = JoinSet::new();
        for _ in 0..TASKS {
            let shared = Arc::clone(&shared);
            tasks.spawn(async move { write_until_the_end(&shared).await });
        }
        Load { shared, tasks }
    }

    /// Ends the tasks. Requests on their way stay without an answer.
    pub(crate) async fn end(mut self) -> Arc<Shared> {
        self.tasks.shutdown().await;
        self.shared
    }

    /// Ends the tasks once their requests are answered: those of a store whose servers live on, and may still do what was asked.
    pub(crate) async fn drain(mut self) -> anyhow::Result<Arc<Shared>> {
        self.shared.ended.store(true, Ordering::Relaxed);
        let all = async { while self.tasks.join_next().await.is_some() {} };
        tokio::time::timeout(DRAIN_MAX, all).await.with_context(|| format!("requests without any answer for {DRAIN_MAX:?}"))?;
        Ok(self.shared)
    }
}

impl Shared {
    fn client(&self) -> anyhow::Result<&Client> {
        self.clients.get(rand::rng().random_range(0..self.clients.len().max(1))).context("a load without nodes")
    }
}

async fn write_until_the_end(shared: &Shared) {
    let mut chooser = Chooser::new();
    while !shared.ended.load(Ordering::Relaxed) {
        let Ok(client) = shared.client() else {
            return;
        };
        let choice = chooser.choose();
        let ticket = shared.journal.begin(None, choice.writes, choice.if_match, choice.idempotency);
        let Some(op) = shared.journal.op(ticket) else {
            return;
        };
        match request::send(client, &op).await {
            Ok(answered) => {
                let deleted = op.writes.iter().all(|write| write.change == Change::Delete);
                match (deleted, answered.created) {
                    // A delete that found nothing changed nothing.
                    (true, false) => shared.journal.not_applied(ticket),
                    (true, true) => shared.journal.applied(ticket, None),
                    (false, _) => shared.journal.applied(ticket, Some(answered.revision)),
                }
                shared.counts.add(choice.kind, &answered);
                chooser.learn(&op, &answered);
                if op.idempotency.is_some() {
                    repeat_now(shared, &op, answered.revision).await;
                }
            }
            Err(error) => {
                // The client repeats idempotent requests by itself, so its last error says nothing of the tries before.
                if error.outcome() == WriteOutcome::NotApplied && op.idempotency.is_none() {
                    shared.journal.not_applied(ticket);
                }
                note_failure(shared, &op, &error).await;
            }
        }
    }
}

/// An answered idempotent request is repeated at once: it must be answered in the same way.
async fn repeat_now(shared: &Shared, op: &Op, revision: u64) {
    let Ok(client) = shared.client() else {
        return;
    };
    if let Ok(again) = request::send(client, op).await {
        if again.replayed && again.revision == revision {
            shared.counts.add(Kind::Repeat, &again);
        } else {
            let fault =
                format!("operation {}: answered revision {revision}, its repeat {} (replayed: {})", op.id, again.revision, again.replayed);
            shared.faults.lock().push(fault);
        }
    }
}

async fn note_failure(shared: &Shared, op: &Op, error: &ClientError) {
    match error {
        ClientError::ConditionFailed { .. } => return,
        ClientError::Refused { .. } | ClientError::Address(_) => {
            shared.faults.lock().push(format!("operation {} was refused: {error}", op.id));
        }
        ClientError::Connect { .. } | ClientError::Interrupted { .. } | ClientError::Failed { .. } | ClientError::BadAnswer(_) => {
            shared.failures.lock().push((op.id, error.status().unwrap_or_default()));
        }
    }
    tokio::time::sleep(AFTER_ERROR).await;
}

/// Whether a request was answered as applied.
pub(crate) fn is_applied(op: &Op) -> bool {
    matches!(op.answer, Answer::Applied { .. })
}
