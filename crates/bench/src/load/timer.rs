//! A timer as fine as the kernel's: tokio's own rounds up to a millisecond, which would be most of what is measured.

use std::time::{Duration, Instant};

use anyhow::Result;
use rustix::{
    fd::OwnedFd,
    io::{Errno, read},
    time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime},
};
use tokio::io::unix::AsyncFd;

/// A timer of one task.
pub(super) struct Timer(AsyncFd<OwnedFd>);

impl Timer {
    pub(super) fn new() -> Result<Self> {
        let descriptor = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
        #[expect(deprecated, reason = "an owned descriptor stays open as long as its registration; the successor needs `unsafe`")]
        let registered = AsyncFd::new(descriptor)?;
        Ok(Self(registered))
    }

    /// Waits until then; returns at once where it has passed.
    pub(super) async fn wait_until(&self, at: Instant) -> Result<()> {
        let left = at.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        self.arm(left)?;
        loop {
            let mut guard = self.0.readable().await?;
            let mut count = [0_u8; 8];
            match read(guard.get_inner(), &mut count) {
                Err(Errno::AGAIN) => guard.clear_ready(),
                Err(error) => return Err(error.into()),
                Ok(_) => {
                    guard.clear_ready();
                    return Ok(());
                }
            }
        }
    }

    fn arm(&self, left: Duration) -> Result<()> {
        let none = Timespec { tv_sec: 0, tv_nsec: 0 };
        let value = Timespec { tv_sec: i64::try_from(left.as_secs())?, tv_nsec: i64::from(left.subsec_nanos()) };
        timerfd_settime(self.0.get_ref(), TimerfdTimerFlags::empty(), &Itimerspec { it_interval: none, it_value: value })?;
        Ok(())
    }
}
