//! Store time on one node of several: the database's clock, which is one for all of them, kept from going back.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use kvstore_types::Timestamp;

use crate::Clock;

/// Where the time comes from.
#[derive(Clone)]
pub(crate) enum TimeSource {
    /// The database's clock, read by the statements themselves.
    Database,
    /// A clock that stands in for it, read when the answer of a statement is there: for tests.
    Injected(Arc<dyn Clock>),
}

/// The greatest time that this node has seen.
pub(super) struct StoreTime {
    source: TimeSource,
    seen: AtomicI64,
}

impl StoreTime {
    pub(super) const fn new(source: TimeSource) -> Self {
        Self { source, seen: AtomicI64::new(0) }
    }

    /// The time of a statement that read this from the database's clock, in microseconds.
    pub(super) fn at(&self, database: i64) -> Timestamp {
        let now = match &self.source {
            TimeSource::Database => database,
            TimeSource::Injected(clock) => clock.now().as_micros(),
        };
        self.reach(now);
        self.seen()
    }

    /// Takes note of a time that was saved.
    pub(super) fn reach(&self, micros: i64) {
        self.seen.fetch_max(micros, Ordering::AcqRel);
    }

    /// The greatest time seen, without asking.
    pub(super) fn seen(&self) -> Timestamp {
        Timestamp::from_micros(self.seen.load(Ordering::Acquire))
    }
}
