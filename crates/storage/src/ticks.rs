//! `Ticks`: the node's monotonic clock. It counts the time for which the machine was suspended, which `Instant` does not: a lease
//! must not outlive a sleep.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// A moment, as time since the machine started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Ticks(Duration);

impl Ticks {
    pub(crate) fn now() -> Self {
        let time = clock_gettime(ClockId::Boottime);
        Self(Duration::new(u64::try_from(time.tv_sec).unwrap_or_default(), u32::try_from(time.tv_nsec).unwrap_or_default()))
    }

    /// The time from this moment to a later one.
    pub(crate) fn until(self, later: Self) -> Duration {
        later.0.saturating_sub(self.0)
    }

    /// This much later.
    pub(crate) fn after(self, time: Duration) -> Self {
        Self(self.0.saturating_add(time))
    }

    pub(crate) fn elapsed(self) -> Duration {
        self.until(Self::now())
    }
}
