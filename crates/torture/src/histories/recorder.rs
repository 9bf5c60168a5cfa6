//! `Recording`: tasks that ask kvstores for a few keys at the same time, and write down when they asked and what they were answered.
//! It judges nothing but answers that make no sense by themselves.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use kvstore_client::Client;
use kvstore_types::Key;
use parking_lot::Mutex;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::ask;
use super::choose::Chooser;
use crate::linear::{Answer, Operation};

/// Whom the tasks ask, and for what.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// The nodes. Each request goes to one of them at random.
    pub(crate) clients: Vec<Client>,
    pub(crate) keys: Vec<Key>,
    pub(crate) tasks: u32,
    /// A task waits up to this long between two requests.
    pub(crate) pause_max: Duration,
}

/// Tasks that are running. They end with it.
pub(crate) struct Recording {
    shared: Arc<Shared>,
    tasks: JoinSet<()>,
}

/// What was recorded.
#[derive(Debug, Default)]
pub(crate) struct Record {
    pub(crate) operations: Vec<Operation>,
    /// Answers that make no sense, whatever the others are.
    pub(crate) odd: Vec<String>,
}

pub(super) struct Shared {
    pub(super) plan: Plan,
    began: Instant,
    ended: AtomicBool,
    values: AtomicU64,
    record: Mutex<Record>,
}

/// Requests on their way when a recording ends have this long to be answered.
const END_MAX: Duration = Duration::from_secs(10);

impl Recording {
    pub(crate) fn start(plan: Plan) -> Recording {
        let tasks_wanted = plan.tasks;
        let shared = Arc::new(Shared {
            plan,
            began: Instant::now(),
            ended: AtomicBool::new(false),
            values: AtomicU64::new(0),
            record: Mutex::default(),
        });
        let mut tasks = JoinSet::new();
        for client in 0..tasks_wanted {
            let shared = Arc::clone(&shared);
            tasks.spawn(async move { ask_until_the_end(&shared, client).await });
        }
        Recording { shared, tasks }
    }

    /// The time by the recording's clock, in nanoseconds.
    pub(crate) fn now(&self) -> u64 {
        self.shared.now()
    }

    /// How many requests have had an answer that tells their outcome.
    pub(crate) fn answered(&self) -> usize {
        self.shared.record.lock().operations.iter().filter(|operation| is_success(operation)).count()
    }

    /// Ends the tasks and takes the record. What is not answered in time stays unknown.
    pub(crate) async fn end(mut self) -> Record {
        self.shared.ended.store(true, Ordering::Relaxed);
        let all = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(END_MAX, all).await.is_err() {
            self.tasks.shutdown().await;
        }
        std::mem::take(&mut self.shared.record.lock())
    }
}

/// Whether an operation was answered by a store that could do its work.
pub(crate) fn is_success(operation: &Operation) -> bool {
    !matches!(operation.answer, Answer::Unknown | Answer::NotApplied)
}

impl Shared {
    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    pub(super) fn odd(&self, what: String) {
        self.record.lock().odd.push(what);
    }
}

async fn ask_until_the_end(shared: &Shared, client: u32) {
    let mut chooser = Chooser::new(shared.plan.keys.len());
    while !shared.ended.load(Ordering::Relaxed) {
        let next_value = || shared.values.fetch_add(1, Ordering::Relaxed) + 1;
        let (key_place, call) = chooser.choose(next_value);
        let node = chooser.below(shared.plan.clients.len());
        let (Some(node), Some(key)) = (shared.plan.clients.get(node), shared.plan.keys.get(key_place)) else {
            return;
        };
        // It is written down before it is sent, so that it is there whatever becomes of this task.
        let place = {
            let mut record = shared.record.lock();
            let (key, invoked) = (key.as_str().to_owned(), shared.now());
            record.operations.push(Operation { client, key, call, answer: Answer::Unknown, invoked, returned: invoked });
            record.operations.len() - 1
        };
        let answer = ask::ask(shared, node, key, call).await;
        let returned = shared.now();
        if let Some(operation) = shared.record.lock().operations.get_mut(place) {
            operation.answer = answer;
            operation.returned = returned;
        }
        chooser.learn(key_place, answer);
        tokio::time::sleep(chooser.pause(shared.plan.pause_max, answer)).await;
    }
}
