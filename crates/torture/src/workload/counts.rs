//! How many requests of each kind were acknowledged: a run in which one kind never succeeded shows nothing.

use std::sync::atomic::{AtomicU64, Ordering};

use super::request::Answered;

/// The kinds of requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Put,
    Overwrite,
    Conditional,
    Delete,
    Batch,
    Idempotent,
    Repeat,
    Large,
    Expiring,
}

const KINDS: [(Kind, &str); 9] = [
    (Kind::Put, "creations"),
    (Kind::Overwrite, "overwrites"),
    (Kind::Conditional, "conditional"),
    (Kind::Delete, "deletes"),
    (Kind::Batch, "batches"),
    (Kind::Idempotent, "idempotent"),
    (Kind::Repeat, "repeats"),
    (Kind::Large, "large"),
    (Kind::Expiring, "expiring"),
];

/// Acknowledged requests by kind.
#[derive(Debug, Default)]
pub(crate) struct Counts([AtomicU64; KINDS.len()]);

impl Counts {
    /// Counts one acknowledgement.
    pub(crate) fn add(&self, kind: Kind, answered: &Answered) {
        let kind = match kind {
            Kind::Put if !answered.created => Kind::Overwrite,
            // A delete of nothing is no write.
            Kind::Delete if !answered.created => return,
            kind => kind,
        };
        self.raise(kind, 1);
    }

    /// Adds another run's counts.
    pub(crate) fn add_all(&self, other: &Counts) {
        for (kind, _) in KINDS {
            self.raise(kind, other.of(kind));
        }
    }

    pub(crate) fn of(&self, kind: Kind) -> u64 {
        self.0.get(kind as usize).map_or(0, |count| count.load(Ordering::Relaxed))
    }

    /// The kinds of which no more were acknowledged than `before`.
    pub(crate) fn missing_since(&self, before: &Counts) -> Vec<&'static str> {
        KINDS.iter().filter(|(kind, _)| self.of(*kind) <= before.of(*kind)).map(|(_, name)| *name).collect()
    }

    /// The counts as they are now.
    pub(crate) fn copy(&self) -> Counts {
        let copy = Counts::default();
        copy.add_all(self);
        copy
    }

    /// All requests.
    pub(crate) fn total(&self) -> u64 {
        KINDS.iter().map(|(kind, _)| self.of(*kind)).sum()
    }

    /// "12 creations, 7 overwrites, ..."
    pub(crate) fn text(&self) -> String {
        KINDS.map(|(kind, name)| format!("{} {name}", self.of(kind))).join(", ")
    }

    fn raise(&self, kind: Kind, by: u64) {
        if let Some(count) = self.0.get(kind as usize) {
            count.fetch_add(by, Ordering::Relaxed);
        }
    }
}
