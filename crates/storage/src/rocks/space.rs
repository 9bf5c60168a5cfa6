//! Free disk space: asked of the system ten times a second at most, compared with the floor at every write.

use std::{
    path::PathBuf,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use crate::Room;

/// How long an answer of the system counts.
const FRESH: Duration = Duration::from_millis(100);

/// The disk that holds the data directory.
pub(super) struct Space {
    path: PathBuf,
    floor_bytes: u64,
    /// The database could only be opened for reading.
    read_only: bool,
    started: Instant,
    /// The last answer; before the first one, as much as could be.
    free: AtomicU64,
    /// When `free` was asked, in milliseconds since `started`; 0 for never.
    asked: AtomicU64,
}

impl Space {
    pub(super) fn new(path: PathBuf, floor_bytes: u64, read_only: bool) -> Self {
        Self { path, floor_bytes, read_only, started: Instant::now(), free: AtomicU64::new(u64::MAX), asked: AtomicU64::new(0) }
    }

    pub(super) fn room(&self) -> Room {
        let floor_bytes = self.floor_bytes;
        if self.read_only {
            Room::ReadOnly
        } else if self.free_bytes() < floor_bytes {
            Room::Low { floor_bytes }
        } else {
            Room::Enough
        }
    }

    pub(super) fn free_bytes(&self) -> u64 {
        let now = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX).saturating_add(1);
        let asked = self.asked.load(Ordering::Relaxed);
        let is_fresh = asked != 0 && now.saturating_sub(asked) < FRESH.as_millis() as u64;
        // Of several that find it stale, one asks.
        if is_fresh || self.asked.compare_exchange(asked, now, Ordering::AcqRel, Ordering::Relaxed).is_err() {
            return self.free.load(Ordering::Relaxed);
        }
        match rustix::fs::statvfs(&self.path) {
            Ok(disk) => {
                let free = disk.f_bavail.saturating_mul(disk.f_frsize);
                self.free.store(free, Ordering::Relaxed);
                free
            }
            Err(error) => {
                tracing::warn!(%error, path = %self.path.display(), "free disk space can't be read");
                self.free.load(Ordering::Relaxed)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes that came while the first answer was still awaited were refused: the disk was taken for full.
    #[test]
    fn a_disk_that_another_write_is_asking_about_is_not_taken_for_full() {
        let space = Space::new("/".into(), 1, false);
        // Another thread has begun to ask, and has no answer yet.
        space.asked.store(1, Ordering::Relaxed);
        assert_eq!(space.room(), Room::Enough);
    }
}
