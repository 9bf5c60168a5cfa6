//! The mixed load: tasks that write at random over one set of keys, and write down in the journal what they ask for and what they
//! are answered. It judges only what one answer shows by itself; the rest is for `verify`.

mod choose;
mod counts;
pub(crate) mod request;

use std::sync::Arc;
use std::time::Duration;

use kvstore_client::{Client, ClientError, WriteOutcome};
use parking_lot::Mutex;
use tokio::task::JoinSet;

use crate::journal::{Answer, Change, Journal, Op};
use choose::Chooser;
pub(crate) use counts::{Counts, Kind};

/// Tasks that write at the same time.
const TASKS: usize = 16;

/// How long a task waits after an error that may pass, so that a failing server is not flooded.
const AFTER_ERROR: Duration = Duration::from_millis(20);

/// What the tasks share.
pub(crate) struct Shared {
    pub(crate) client: Client,
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
    pub(crate) fn start(client: &Client, journal: &Arc<Journal>) -> Load {
        let shared = Arc::new(Shared {
            client: client.clone(),
            journal: Arc::clone(journal),
            counts: Counts::default(),
            faults: Mutex::default(),
            failures: Mutex::default(),
        });
        let mut tasks = JoinSet::new();
        for _ in 0..TASKS {
            let shared = Arc::clone(&shared);
            tasks.spawn(async move { write_for_ever(&shared).await });
        }
        Load { shared, tasks }
    }

    /// Ends the tasks. Requests on their way stay without an answer.
    pub(crate) async fn end(mut self) -> Arc<Shared> {
        self.tasks.shutdown().await;
        self.shared
    }
}

async fn write_for_ever(shared: &Shared) {
    let mut chooser = Chooser::new();
    loop {
        let choice = chooser.choose();
        let ticket = shared.journal.begin(None, choice.writes, choice.if_match, choice.idempotency);
        let Some(op) = shared.journal.op(ticket) else {
            return;
        };
        match request::send(&shared.client, &op).await {
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
    if let Ok(again) = request::send(&shared.client, op).await {
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
