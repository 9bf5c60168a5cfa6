//! The verifier: a pure function from what was there before, what was asked for since, and what is there now, to broken promises.
//!
//! Revisions order the puts of a key; deletes have no revision in their answer, so real time orders them: a request that began
//! after another was answered comes after it. A request without an answer may have taken effect at any time up to the crash. Whether it
//! did is settled by each look at the store: after it, the next look starts from what was seen, so nothing may change by itself.

mod key;
mod order;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::time::Instant;

use bytes::Bytes;

use crate::journal::{self, Answer, Op};
use crate::value;

/// A key as it was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) revision: u64,
    pub(crate) value: Bytes,
    /// Whether it will expire by itself.
    pub(crate) expires: bool,
}

/// Every key that is there.
pub(crate) type Contents = BTreeMap<String, Seen>;

/// When the store was read, page by page: each key was seen at some moment in between, and which one is not known.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reading {
    pub(crate) began: Instant,
    pub(crate) ended: Instant,
}

/// What is known from before the requests.
#[derive(Debug, Clone, Default)]
pub(crate) struct Before {
    pub(crate) contents: Contents,
    /// The greatest revision ever seen of each key, those that are gone included.
    pub(crate) highest: BTreeMap<String, u64>,
}

/// A broken promise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) kind: FaultKind,
    pub(crate) key: String,
    pub(crate) detail: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FaultKind {
    /// An acknowledged write is gone.
    Lost,
    /// A deleted, replaced or expired value is back.
    Resurrected,
    /// Some items of a batch are there, and others are not.
    HalfBatch,
    /// A repeat of an idempotent request was applied once more.
    AppliedTwice,
    /// A write that was answered "not applied" was.
    NotAppliedIsThere,
    /// The bytes are not those that were written.
    Corrupt,
    /// A revision did not grow, or is not the one that was answered.
    Revision,
    /// A condition was answered as met though another write came between.
    Condition,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}: {}", self.kind, self.key, self.detail)
    }
}

impl Before {
    /// What the next look starts from.
    pub(crate) fn after(&self, ops: &[Op], now: &Contents) -> Before {
        let mut highest = self.highest.clone();
        let mut raise = |key: &str, revision: u64| {
            let known = highest.entry(key.to_owned()).or_default();
            *known = revision.max(*known);
        };
        for (key, seen) in now {
            raise(key, seen.revision);
        }
        for op in ops {
            if let Answer::Applied { revision: Some(revision), .. } = op.answer {
                op.writes.iter().for_each(|write| raise(&write.key, revision));
            }
        }
        Before { contents: now.clone(), highest }
    }
}

/// Compares what is there `now`, as it was read, with everything that was asked for since `before`.
pub(crate) fn verify(before: &Before, ops: &[Op], now: &Contents, during: Reading) -> Vec<Fault> {
    let mut faults = Vec::new();
    let settled = settle(before, ops, now, &mut faults);
    let keys: BTreeSet<&str> = journal::keys(ops).into_iter().chain(before.contents.keys().chain(now.keys()).map(String::as_str)).collect();
    let by_key = by_key(ops);
    for name in keys {
        let requests = by_key.get(name).map_or(&[][..], Vec::as_slice);
        let key = key::History { name, before, requests, settled: &settled, during };
        key.check_now(now.get(name), &mut faults);
        order::check(&key, &mut faults);
    }
    faults
}

/// One request as it touches one key.
pub(crate) struct Request<'a> {
    pub(crate) op: &'a Op,
    pub(crate) item: usize,
}

/// The revisions of all puts that took effect, as far as that is known: by their answers, or because their values are there.
pub(crate) type Settled = HashMap<u64, u64>;

fn by_key(ops: &[Op]) -> BTreeMap<&str, Vec<Request<'_>>> {
    let mut by_key: BTreeMap<&str, Vec<Request<'_>>> = BTreeMap::new();
    for op in ops {
        for (item, write) in op.writes.iter().enumerate() {
            by_key.entry(&write.key).or_default().push(Request { op, item });
        }
    }
    by_key
}

fn settle(before: &Before, ops: &[Op], now: &Contents, faults: &mut Vec<Fault>) -> Settled {
    let answered = ops.iter().filter_map(|op| match op.answer {
        Answer::Applied { revision: Some(revision), .. } => Some((op.id, revision)),
        _ => None,
    });
    let mut settled: Settled = answered.collect();
    let here: BTreeSet<u64> = ops.iter().map(|op| op.id).collect();
    for (key, seen) in now {
        let old = before.contents.get(key).is_some_and(|old| old.revision == seen.revision);
        let Some((op, _)) = value::author(&seen.value).filter(|(op, _)| !old && here.contains(op)) else {
            continue;
        };
        let known = *settled.entry(op).or_insert(seen.revision);
        if known != seen.revision {
            let detail = format!("operation {op} has revision {} here and revision {known} elsewhere or in its answer", seen.revision);
            faults.push(Fault { kind: FaultKind::Revision, key: key.clone(), detail });
        }
    }
    settled
}
