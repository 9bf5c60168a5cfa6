//! When requests are due: as soon as a connection is free, or at a fixed rate whatever the server does.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// How requests follow each other.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Pace {
    /// Each connection sends again once it is answered. Latency counts from the sending.
    Closed,
    /// So many a second. Latency counts from the intended time, so that a stall is charged to every request that it delayed, and not
    /// to the one that met it alone (Gil Tene, "How NOT to Measure Latency").
    Open(f64),
}

/// The next request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// It should have been sent then.
    Due(Instant),
    /// It is to be sent then.
    Later(Instant),
    /// There is none.
    Never,
}

impl Pace {
    /// When the request with this number is due in a run that ends by `stop`.
    pub(super) fn next(self, number: u64, now: Instant, stop: &Stop) -> Next {
        match self {
            _ if number >= stop.requests_max => Next::Never,
            Self::Closed if stop.is_past(now) => Next::Never,
            Self::Closed => Next::Due(now),
            Self::Open(per_second) => {
                let due = stop.start + Duration::from_secs_f64(number as f64 / per_second);
                match (stop.is_past(due), due <= now) {
                    (true, _) => Next::Never,
                    (false, true) => Next::Due(due),
                    (false, false) => Next::Later(due),
                }
            }
        }
    }
}

/// When a run ends: nothing intended after that moment is sent, everything before it is.
#[derive(Debug, Clone)]
pub(crate) struct Stop {
    start: Instant,
    limit_nanos: u64,
    end_nanos: Arc<AtomicU64>,
    requests_max: u64,
}

impl Stop {
    /// A run that starts now and ends after `limit`, unless [`Stop::now`] is called.
    pub(crate) fn after(limit: Duration) -> Self {
        Self::after_requests(limit, u64::MAX)
    }

    /// The same, and not more than so many requests.
    pub(crate) fn after_requests(limit: Duration, requests_max: u64) -> Self {
        let limit_nanos = nanos(limit);
        Self { start: Instant::now(), limit_nanos, end_nanos: Arc::new(AtomicU64::new(limit_nanos)), requests_max }
    }

    /// The same time anew, from now on: connecting is no part of a run.
    pub(super) fn restarted(&self) -> Self {
        Self { start: Instant::now(), ..self.clone() }
    }

    /// Ends the run.
    pub(crate) fn now(&self) {
        self.end_nanos.fetch_min(nanos(self.start.elapsed()), Ordering::Relaxed);
    }

    /// Whether the run is over by then.
    pub(crate) fn is_past(&self, at: Instant) -> bool {
        nanos(at.saturating_duration_since(self.start)) >= self.end_nanos.load(Ordering::Relaxed)
    }

    /// Puts the end off to as long again as it took until then. `false`, and nothing is changed, where [`Stop::now`] ended the run.
    pub(super) fn put_off(&self, from: Instant) -> bool {
        let end = nanos(from.saturating_duration_since(self.start)).saturating_mul(2);
        self.end_nanos.compare_exchange(self.limit_nanos, end, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// From the start until the end that is planned now.
    pub(super) fn planned(&self) -> Duration {
        Duration::from_nanos(self.end_nanos.load(Ordering::Relaxed))
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_open_loop_has_its_times_whatever_happens() {
        let stop = Stop::after(Duration::from_secs(1));
        let at = |millis| stop.start + Duration::from_millis(millis);
        let pace = Pace::Open(100.0);
        assert_eq!(pace.next(5, at(300), &stop), Next::Due(at(50)));
        assert_eq!(pace.next(40, at(300), &stop), Next::Later(at(400)));
        assert_eq!(pace.next(99, at(5_000), &stop), Next::Due(at(990)), "what was intended before the end is sent after it");
        assert_eq!(pace.next(100, at(300), &stop), Next::Never);
    }

    #[test]
    fn a_closed_loop_sends_until_the_end() {
        let stop = Stop::after(Duration::from_secs(1));
        let at = |millis| stop.start + Duration::from_millis(millis);
        assert_eq!(Pace::Closed.next(7, at(999), &stop), Next::Due(at(999)));
        assert_eq!(Pace::Closed.next(7, at(1_000), &stop), Next::Never);
        stop.now();
        assert_eq!(Pace::Closed.next(7, at(999), &stop), Next::Never);
    }

    #[test]
    fn an_end_is_put_off_where_time_was_up_and_not_where_the_run_was_ended() {
        let stop = Stop::after(Duration::from_secs(1));
        let at = |millis| stop.start + Duration::from_millis(millis);
        assert!(stop.put_off(at(1_500)));
        assert!(!stop.is_past(at(2_999)) && stop.is_past(at(3_000)), "as long again as it took");
        let stop = Stop::after(Duration::from_secs(1));
        stop.now();
        assert!(!stop.put_off(stop.start + Duration::from_millis(1_500)));
        assert!(stop.is_past(stop.start + Duration::from_millis(1_500)), "it stays ended");
    }
}
