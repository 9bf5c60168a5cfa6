//! The client-side journal: what was asked for, when, and what was answered. It survives the server, for it lives in this process.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::Mutex;

use crate::value;

/// One request and its answer.
#[derive(Debug, Clone)]
pub(crate) struct Op {
    pub(crate) id: u64,
    pub(crate) writes: Vec<Write>,
    /// The revision that the key had to have.
    pub(crate) if_match: Option<u64>,
    /// The name under which it may be repeated.
    pub(crate) idempotency: Option<String>,
    /// Its place in the order of all starts and ends of requests.
    pub(crate) invoked: u64,
    pub(crate) invoked_at: Instant,
    pub(crate) answer: Answer,
}

/// A key and what becomes of it.
#[derive(Debug, Clone)]
pub(crate) struct Write {
    pub(crate) key: String,
    pub(crate) change: Change,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    Put { length: usize, ttl: Option<Duration> },
    Delete,
}

/// What is known of a request's outcome.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Answer {
    /// No answer, or one that says so.
    Unknown,
    /// It took no effect, and never will.
    NotApplied,
    Applied {
        /// `None` for a delete, whose answer has no revision.
        revision: Option<u64>,
        completed: u64,
        completed_at: Instant,
    },
}

impl Op {
    /// The value that it writes as item `item`.
    pub(crate) fn value(&self, item: usize) -> Option<Bytes> {
        match self.writes.get(item)?.change {
            Change::Put { length, .. } => Some(value::value(self.id, item, length)),
            Change::Delete => None,
        }
    }
}

/// The requests since the last restart, and the counters.
#[derive(Debug, Default)]
pub(crate) struct Journal {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    ops: Vec<Op>,
    next_id: u64,
    time: u64,
}

/// A request that was begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ticket {
    pub(crate) id: u64,
    place: usize,
}

impl Journal {
    /// Writes down what is about to be asked for. `again` keeps the id of an earlier request that is repeated.
    pub(crate) fn begin(&self, again: Option<u64>, writes: Vec<Write>, if_match: Option<u64>, idempotency: Option<String>) -> Ticket {
        let mut inner = self.inner.lock();
        let id = again.unwrap_or_else(|| {
            inner.next_id += 1;
            inner.next_id
        });
        inner.time += 1;
        let invoked = inner.time;
        let place = inner.ops.len();
        inner.ops.push(Op { id, writes, if_match, idempotency, invoked, invoked_at: Instant::now(), answer: Answer::Unknown });
        Ticket { id, place }
    }

    /// Writes down that it was done.
    pub(crate) fn applied(&self, ticket: Ticket, revision: Option<u64>) {
        let mut inner = self.inner.lock();
        inner.time += 1;
        let completed = inner.time;
        inner.set(ticket, Answer::Applied { revision, completed, completed_at: Instant::now() });
    }

    /// Writes down that it was not done.
    pub(crate) fn not_applied(&self, ticket: Ticket) {
        self.inner.lock().set(ticket, Answer::NotApplied);
    }

    /// The request, as begun.
    pub(crate) fn op(&self, ticket: Ticket) -> Option<Op> {
        self.inner.lock().ops.get(ticket.place).cloned()
    }

    /// Takes all requests out. Every task that writes here must have ended.
    pub(crate) fn take(&self) -> Vec<Op> {
        std::mem::take(&mut self.inner.lock().ops)
    }
}

impl Inner {
    fn set(&mut self, ticket: Ticket, answer: Answer) {
        if let Some(op) = self.ops.get_mut(ticket.place) {
            debug_assert_eq!(op.id, ticket.id, "a ticket outlived its journal");
            op.answer = answer;
        }
    }
}

/// Every key that the requests name.
pub(crate) fn keys(ops: &[Op]) -> BTreeSet<&str> {
    ops.iter().flat_map(|op| &op.writes).map(|write| write.key.as_str()).collect()
}
