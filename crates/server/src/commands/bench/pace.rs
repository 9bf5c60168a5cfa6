//! The pace: when the next operation begins, and when none does any more.
//!
//! In a closed loop each connection begins an operation when its last one ended: a server that stalls is asked less, so a stall is seen
//! by few operations. In an open loop operations are due at a fixed rate whatever the server does, and one that had to wait for a free
//! connection has waited since it was due (Gil Tene, "How NOT to Measure Latency").

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::Context;
use tokio::sync::Semaphore;

/// How long operations that were due in time may be sent after the end.
const GRACE: Duration = Duration::from_secs(10);

/// When a run ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Limit {
    Operations(u64),
    Time(Duration),
}

/// The pace of a run that began with it.
#[derive(Debug)]
pub(super) struct Pace {
    start: Instant,
    limit: Limit,
    /// Operations per second in an open loop.
    rate: Option<f64>,
    next: AtomicU64,
    /// In an open loop a permit for each operation that is due and not begun.
    due: Semaphore,
    /// How many were due.
    released: AtomicU64,
    /// How many of those began.
    begun: AtomicU64,
}

impl Pace {
    /// Starts now. In an open loop a thread lets the operations go, since the runtime's timer is no finer than a millisecond.
    pub(super) fn start(limit: Limit, rate: Option<f64>, workers: usize) -> anyhow::Result<Arc<Self>> {
        let (start, due) = (Instant::now(), Semaphore::new(0));
        let (next, released, begun) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
        let pace = Arc::new(Self { start, limit, rate, next, due, released, begun });
        if let Some(rate) = rate {
            let pace = Arc::clone(&pace);
            let release = move || pace.release(rate, workers);
            thread::Builder::new().name("pace".into()).spawn(release).context("a thread can't be started")?;
        }
        Ok(pace)
    }

    /// Waits for the next operation, and gives the time from which it counts; `None` at the end.
    pub(super) async fn next(&self) -> Option<Instant> {
        let Some(rate) = self.rate else {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            return (!self.is_past(number, self.start.elapsed())).then(Instant::now);
        };
        self.due.acquire().await.ok()?.forget();
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let due = at(number, rate);
        if self.is_past(number, due) || self.is_too_late() {
            return None;
        }
        self.begun.fetch_add(1, Ordering::Relaxed);
        Some(self.start + due)
    }

    /// Nothing begins from now on.
    pub(super) fn stop(&self) {
        self.due.close();
    }

    /// Operations that were due and never sent.
    pub(super) fn unsent(&self) -> u64 {
        self.released.load(Ordering::Relaxed).saturating_sub(self.begun.load(Ordering::Relaxed))
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    fn is_past(&self, number: u64, at: Duration) -> bool {
        self.due.is_closed()
            || match self.limit {
                Limit::Operations(operations) => number >= operations,
                Limit::Time(time) => at >= time,
            }
    }

    fn is_too_late(&self) -> bool {
        matches!(self.limit, Limit::Time(time) if self.start.elapsed() > time + GRACE)
    }

    /// Lets operations go when they are due, and in the end the workers too.
    fn release(&self, rate: f64, workers: usize) {
        let mut number = 0;
        while !self.is_past(number, at(number, rate)) {
            let left = at(number, rate).saturating_sub(self.start.elapsed());
            if left.is_zero() {
                self.released.fetch_add(1, Ordering::Relaxed);
                self.due.add_permits(1);
                number += 1;
            } else {
                // It may wake early; then the loop comes by again. A run that is stopped is seen within this time.
                thread::park_timeout(left.min(Duration::from_millis(100)));
            }
        }
        self.due.add_permits(workers);
    }
}

fn at(number: u64, rate: f64) -> Duration {
    Duration::from_secs_f64(number as f64 / rate)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(pace: &Pace) -> Vec<Instant> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(async {
            let mut begun = Vec::new();
            while let Some(from) = pace.next().await {
                begun.push(from);
            }
            begun
        })
    }

    #[test]
    fn a_number_of_operations_is_kept_exactly() {
        for rate in [None, Some(50_000.0)] {
            let pace = Pace::start(Limit::Operations(1_000), rate, 1).expect("a thread");
            assert_eq!((count(&pace).len(), pace.unsent()), (1_000, 0), "{rate:?}");
        }
    }

    #[test]
    fn in_an_open_loop_operations_count_from_when_they_were_due() {
        let pace = Pace::start(Limit::Operations(100), Some(1_000.0), 1).expect("a thread");
        let begun = count(&pace);
        for (number, from) in (0..).zip(&begun) {
            assert_eq!(*from, pace.start + at(number, 1_000.0), "{number}");
        }
        assert!(pace.elapsed() >= at(99, 1_000.0), "the last one began before it was due");
    }

    #[test]
    fn nothing_begins_once_it_is_stopped() {
        for rate in [None, Some(1.0)] {
            let pace = Pace::start(Limit::Time(Duration::from_secs(3_600)), rate, 1).expect("a thread");
            pace.stop();
            assert!(count(&pace).is_empty(), "{rate:?}");
        }
    }
}
