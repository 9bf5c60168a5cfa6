//! One memory budget: how `--memory-mb` is divided, and the byte semaphore for what is in flight.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// How the memory budget is divided, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryPlan {
    /// RocksDB's block cache, in which the write buffers are counted too.
    pub block_cache: u64,
    /// The part of `block_cache` that write buffers may take.
    pub write_buffers: u64,
    /// The entry cache.
    pub entry_cache: u64,
    /// Bodies, queued batches, groups and pages in flight.
    pub in_flight: u64,
}

impl MemoryPlan {
    /// Divides a budget: a quarter for what is in flight, an eighth for entries, half for RocksDB less a share for the process
    /// itself (threads, compaction's buffers, what the allocator holds), which does not grow beyond 64 MiB.
    #[must_use]
    pub const fn from_mb(memory_mb: u64) -> Self {
        let total = memory_mb << 20;
        let process = if total / 8 < 64 << 20 { total / 8 } else { 64 << 20 };
        let block_cache = total / 2 - process;
        Self { block_cache, write_buffers: block_cache / 2, entry_cache: total / 8, in_flight: total / 4 }
    }
}

/// A byte semaphore that never waits: none left means the caller is told to come back.
#[derive(Debug, Clone)]
pub struct Budget(Arc<Counter>);

#[derive(Debug)]
struct Counter {
    limit: u64,
    used: AtomicU64,
}

impl Budget {
    /// A budget of this many bytes.
    #[must_use]
    pub fn new(limit: u64) -> Self {
        Self(Arc::new(Counter { limit, used: AtomicU64::new(0) }))
    }

    /// Takes bytes out of the budget until the reservation is dropped. `None` where not so many are left.
    #[must_use]
    pub fn reserve(&self, bytes: u64) -> Option<Reservation> {
        let mut reservation = Reservation { budget: self.clone(), bytes: 0 };
        reservation.grow(bytes).then_some(reservation)
    }

    /// Bytes that are taken.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.0.used.load(Ordering::Relaxed)
    }

    /// Bytes in all.
    #[must_use]
    pub fn limit(&self) -> u64 {
        self.0.limit
    }
}

/// Bytes that are taken out of a budget.
#[derive(Debug)]
pub struct Reservation {
    budget: Budget,
    bytes: u64,
}

impl Reservation {
    /// Takes more. `false`, and nothing is taken, where not so many are left.
    #[must_use]
    pub fn grow(&mut self, bytes: u64) -> bool {
        let counter = &self.budget.0;
        let taken = counter
            .used
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |used| used.checked_add(bytes).filter(|sum| *sum <= counter.limit));
        if taken.is_ok() {
            self.bytes += bytes;
        }
        taken.is_ok()
    }

    /// Holds this many bytes from now on. `false`, and nothing is changed, where it takes more and not so many are left.
    #[must_use]
    pub fn set(&mut self, bytes: u64) -> bool {
        if let Some(missing) = bytes.checked_sub(self.bytes) {
            return self.grow(missing);
        }
        self.budget.0.used.fetch_sub(self.bytes - bytes, Ordering::AcqRel);
        self.bytes = bytes;
        true
    }

    /// Bytes that it holds.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.budget.0.used.fetch_sub(self.bytes, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_made_larger_or_smaller_within_the_budget() {
        let budget = Budget::new(100);
        let mut share = budget.reserve(40).unwrap();
        assert!(!share.set(101), "more than there is");
        assert_eq!((share.bytes(), budget.used()), (40, 40), "a refused share stays as it was");
        assert!(share.set(100));
        assert!(budget.reserve(1).is_none());
        assert!(share.set(10));
        assert_eq!((share.bytes(), budget.used()), (10, 10));
        drop(share);
        assert_eq!(budget.used(), 0);
    }
}
