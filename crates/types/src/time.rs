//! `Timestamp`: UTC in microseconds. Where it comes from is decided elsewhere; this crate never reads a clock.

/// Microseconds since 1970-01-01T00:00:00Z, without leap seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The epoch: earlier than any stamp of a store.
    pub const ZERO: Self = Self(0);

    /// A timestamp from microseconds since the epoch.
    #[must_use]
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Microseconds since the epoch.
    #[must_use]
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// This many seconds later; at the end of time it stays there.
    #[must_use]
    pub const fn plus_seconds(self, seconds: u64) -> Self {
        let micros = seconds.saturating_mul(1_000_000);
        Self(if micros > i64::MAX as u64 { i64::MAX } else { self.0.saturating_add(micros as i64) })
    }

    /// One microsecond later: the least by which two stamps differ.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}
