//! Metrics of the data tier. The recorder is installed by the binary; without one these are no-ops.

use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};

use crate::EngineStats;

/// Handles that the committer's hot path uses: looked up once.
#[derive(Clone)]
pub(crate) struct CommitterMetrics {
    queue: Gauge,
    group_size: Histogram,
    groups: Counter,
    batches: Counter,
    reclaimed: Counter,
}

impl Default for CommitterMetrics {
    fn default() -> Self {
        Self {
            queue: gauge!("kvstore_committer_queue_batches"),
            group_size: histogram!("kvstore_committer_group_batches"),
            groups: counter!("kvstore_committer_groups_total"),
            batches: counter!("kvstore_committer_batches_total"),
            reclaimed: counter!("kvstore_reclaimed_entries_total"),
        }
    }
}

impl CommitterMetrics {
    pub(crate) fn queued(&self, change: f64) {
        self.queue.increment(change);
    }

    #[expect(clippy::cast_precision_loss, reason = "a group holds a few thousand batches at most")]
    pub(crate) fn group(&self, batches: usize) {
        self.groups.increment(1);
        self.batches.increment(batches as u64);
        self.group_size.record(batches as f64);
    }

    pub(crate) fn reclaimed(&self, entries: usize) {
        self.reclaimed.increment(entries as u64);
    }
}

/// Publishes an engine's gauges under `kvstore_<name>`.
pub(crate) fn publish(stats: EngineStats) {
    for (name, value) in stats {
        gauge!(format!("kvstore_{name}")).set(value);
    }
}
