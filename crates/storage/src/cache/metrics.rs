//! Metrics of the cache: handles that are looked up once.

use metrics::{Counter, Gauge, counter, gauge};

/// How the cache is, as the gauge tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CacheState {
    /// Redis does not serve: all reads go to the authority.
    Off = 0,
    /// Redis serves, but the fence is closed: all reads go to the authority.
    Closed = 1,
    /// Hits are answered.
    On = 2,
}

impl CacheState {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Closed => "closed",
            Self::On => "on",
        }
    }
}

#[derive(Clone)]
pub(super) struct CacheMetrics {
    pub(super) hits: Counter,
    pub(super) misses: Counter,
    pub(super) bypassed: Counter,
    pub(super) outdated: Counter,
    pub(super) fills: Counter,
    pub(super) fills_refused: Counter,
    pub(super) errors: Counter,
    pub(super) compared: Counter,
    pub(super) mismatches: Counter,
    pub(super) closings: Counter,
    epoch: Gauge,
    state: Gauge,
}

impl Default for CacheMetrics {
    fn default() -> Self {
        Self {
            hits: counter!("kvstore_cache_hits_total"),
            misses: counter!("kvstore_cache_misses_total"),
            bypassed: counter!("kvstore_cache_bypassed_total"),
            outdated: counter!("kvstore_cache_outdated_total"),
            fills: counter!("kvstore_cache_fills_total"),
            fills_refused: counter!("kvstore_cache_fills_refused_total"),
            errors: counter!("kvstore_cache_errors_total"),
            compared: counter!("kvstore_cache_compared_total"),
            mismatches: counter!("kvstore_cache_mismatches_total"),
            closings: counter!("kvstore_cache_closings_total"),
            epoch: gauge!("kvstore_cache_epoch"),
            state: gauge!("kvstore_cache_state"),
        }
    }
}

impl CacheMetrics {
    pub(super) fn state(&self, state: CacheState) {
        self.state.set(f64::from(state as u8));
    }

    #[expect(clippy::cast_precision_loss, reason = "a gauge; an epoch grows by two at an outage")]
    pub(super) fn epoch(&self, epoch: u64) {
        self.epoch.set(epoch as f64);
    }
}
