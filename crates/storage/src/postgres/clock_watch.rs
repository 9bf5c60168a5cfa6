//! `ClockWatch`: tells when the database's clock jumps. Store time follows it all the same, since the statements of all nodes read it; it
//! never goes back, so after a jump ahead that was undone it stands until the clock has caught up.

use std::time::Instant;

use kvstore_types::limits::CLOCK_JUMP_SECONDS_MAX;

/// What the database's clock showed, and when.
pub(super) struct ClockWatch(Option<(Instant, i64)>);

impl ClockWatch {
    pub(super) const fn new() -> Self {
        Self(None)
    }

    /// Compares a reading of the database's clock, in microseconds, with the one before. A failover to a server whose clock is another
    /// looks the same as a jump.
    pub(super) fn look(&mut self, database: i64) {
        if let Some(jump) = self.jump(Instant::now(), database) {
            tracing::error!(
                jump_seconds = jump / 1_000_000,
                "the database's clock jumped; expiry follows it. Check the clock of the database's machine"
            );
        }
    }

    /// How many microseconds further than this machine's monotonic clock the database's went, if that is too far.
    fn jump(&mut self, at: Instant, database: i64) -> Option<i64> {
        let (before_at, before) = self.0.replace((at, database))?;
        let elapsed = i64::try_from(at.saturating_duration_since(before_at).as_micros()).unwrap_or(i64::MAX);
        let jump = database.saturating_sub(before).saturating_sub(elapsed);
        (jump.unsigned_abs() > CLOCK_JUMP_SECONDS_MAX * 1_000_000).then_some(jump)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const HOUR: i64 = 3_600_000_000;

    #[test]
    fn a_jump_is_told_once_either_way_and_slow_looks_are_none() {
        let (mut watch, start) = (ClockWatch::new(), Instant::now());
        let after = |seconds: u64| start + Duration::from_secs(seconds);
        assert_eq!(watch.jump(start, 5 * HOUR), None, "nothing to compare with");
        assert_eq!(watch.jump(after(7_200), 7 * HOUR), None, "two hours on both clocks");
        assert_eq!(watch.jump(after(7_201), 9 * HOUR + 1_000_000), Some(2 * HOUR), "ahead");
        assert_eq!(watch.jump(after(7_202), 9 * HOUR + 2_000_000), None, "told before");
        assert_eq!(watch.jump(after(7_203), 3_000_000), Some(-9 * HOUR), "back");
        assert_eq!(watch.jump(after(7_204), HOUR + 4_000_000), None, "an hour exactly is not too far");
    }
}
