//! The clock that proposes stamps. It is injected, so that tests own time; safety never rests on it.

use std::{
    sync::atomic::{AtomicI64, Ordering},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use kvstore_types::{Timestamp, limits::CLOCK_JUMP_SECONDS_MAX};

/// Gives proposal times. It never goes back.
pub trait Clock: Send + Sync + 'static {
    /// The time now.
    fn now(&self) -> Timestamp;
}

/// The wall clock, carried on by the monotonic clock: small corrections are followed, a jump is reported and not adopted.
#[derive(Debug)]
pub struct SystemClock {
    /// What is added to the monotonic clock's microseconds.
    offset: AtomicI64,
    last: AtomicI64,
    started: Instant,
}

impl Default for SystemClock {
    fn default() -> Self {
        let clock = Self { offset: AtomicI64::new(0), last: AtomicI64::new(0), started: Instant::now() };
        clock.offset.store(wall_micros().saturating_sub(clock.elapsed_micros()), Ordering::Relaxed);
        clock
    }
}

impl SystemClock {
    fn elapsed_micros(&self) -> i64 {
        i64::try_from(self.started.elapsed().as_micros()).unwrap_or(i64::MAX)
    }
}

#[expect(clippy::disallowed_methods, reason = "the one place where the wall clock is read")]
fn wall_micros() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let elapsed = self.elapsed_micros();
        let wall = wall_micros();
        let offset = self.offset.load(Ordering::Relaxed);
        let expected = offset.saturating_add(elapsed);
        let jump = wall.saturating_sub(expected);
        let micros = if jump.unsigned_abs() > CLOCK_JUMP_SECONDS_MAX * 1_000_000 {
            report_jump(jump);
            expected
        } else {
            self.offset.store(wall.saturating_sub(elapsed), Ordering::Relaxed);
            wall
        };
        Timestamp::from_micros(self.last.fetch_max(micros, Ordering::Relaxed).max(micros))
    }
}

fn report_jump(jump_micros: i64) {
    static REPORTED: std::sync::Once = std::sync::Once::new();
    REPORTED.call_once(|| {
        tracing::error!(
            jump_seconds = jump_micros / 1_000_000,
            "the system clock jumped; kvstore goes on by the monotonic clock until it is restarted. Check the clock of this machine"
        );
    });
}

/// A clock that stands until it is moved: for tests.
#[derive(Debug, Default)]
pub struct ManualClock(AtomicI64);

impl ManualClock {
    /// A clock that stands at this time.
    #[must_use]
    pub const fn at(time: Timestamp) -> Self {
        Self(AtomicI64::new(time.as_micros()))
    }

    /// Sets the time, also back.
    pub fn set(&self, time: Timestamp) {
        self.0.store(time.as_micros(), Ordering::SeqCst);
    }

    /// Moves the time on.
    pub fn advance(&self, by: Duration) {
        self.0.fetch_add(i64::try_from(by.as_micros()).unwrap_or(i64::MAX), Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.0.load(Ordering::SeqCst))
    }
}
