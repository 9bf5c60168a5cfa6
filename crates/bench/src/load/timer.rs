//! A timer as fine as the kernel's: a time-out of epoll counts in milliseconds, which would be most of what is measured.

use std::time::Instant;

use anyhow::Result;
use rustix::{
    fd::OwnedFd,
    time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime},
};

/// A descriptor that becomes readable at a time.
pub(super) struct Timer {
    descriptor: OwnedFd,
    armed: Option<Instant>,
}

impl Timer {
    pub(super) fn new() -> Result<Self> {
        let descriptor = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
        Ok(Self { descriptor, armed: None })
    }

    pub(super) const fn descriptor(&self) -> &OwnedFd {
        &self.descriptor
    }

    /// Lets it go off then, and not before.
    pub(super) fn arm(&mut self, at: Instant, now: Instant) -> Result<()> {
        if self.armed == Some(at) {
            return Ok(());
        }
        let left = at.saturating_duration_since(now);
        let none = Timespec { tv_sec: 0, tv_nsec: 0 };
        // Nothing left would disarm it.
        let value = Timespec { tv_sec: i64::try_from(left.as_secs())?, tv_nsec: i64::from(left.subsec_nanos()).max(1) };
        timerfd_settime(&self.descriptor, TimerfdTimerFlags::empty(), &Itimerspec { it_interval: none, it_value: value })?;
        self.armed = Some(at);
        Ok(())
    }

    /// Takes note that it went off. What it counts is not read: the next arming forgets it.
    pub(super) const fn went_off(&mut self) {
        self.armed = None;
    }
}
