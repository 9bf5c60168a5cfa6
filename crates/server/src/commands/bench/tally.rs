//! The tally: what became of the operations, by kind, and how long they took.

use std::{collections::BTreeMap, time::Duration};

use anyhow::Context;
use hdrhistogram::Histogram;

use super::{operation::Failure, workload::Kind};

/// The longest latency that is told apart, in microseconds.
const LATENCY_US_MAX: u64 = 600_000_000;
const DIGITS: u8 = 3;

/// All operations of a run.
#[derive(Debug, Clone)]
pub(super) struct Tally {
    kinds: BTreeMap<Kind, Lane>,
    /// Since the last look.
    recent: Histogram<u64>,
}

/// The operations of one kind.
#[derive(Debug, Clone)]
pub(super) struct Lane {
    /// Latencies of those that succeeded, in microseconds.
    pub(super) latencies: Histogram<u64>,
    pub(super) errors: BTreeMap<String, Errors>,
    /// Read-modify-writes that were done again as another write came between.
    pub(super) retries: u64,
    /// Entries that scans read.
    pub(super) entries: u64,
}

/// Errors of one kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Errors {
    pub(super) count: u64,
    /// What the first one said.
    pub(super) first: String,
}

/// What an operation did, beside its time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Done {
    pub(super) retries: u64,
    pub(super) entries: u64,
}

impl Tally {
    pub(super) fn new(mix: &[(Kind, u32)]) -> anyhow::Result<Self> {
        let empty = Histogram::new_with_bounds(1, LATENCY_US_MAX, DIGITS).context("no room for latencies")?;
        let lane = Lane { latencies: empty.clone(), errors: BTreeMap::new(), retries: 0, entries: 0 };
        Ok(Self { kinds: mix.iter().map(|(kind, _)| (*kind, lane.clone())).collect(), recent: empty })
    }

    pub(super) fn add(&mut self, kind: Kind, took: Duration, result: Result<Done, Failure>) {
        let Some(lane) = self.kinds.get_mut(&kind) else { return };
        match result {
            Ok(done) => {
                let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
                lane.latencies.saturating_record(micros);
                self.recent.saturating_record(micros);
                lane.retries += done.retries;
                lane.entries += done.entries;
            }
            Err(failure) => {
                lane.retries += failure.retries;
                lane.errors.entry(failure.kind).or_insert(Errors { count: 0, first: failure.text }).count += 1;
            }
        }
    }

    pub(super) fn lanes(&self) -> impl Iterator<Item = (Kind, &Lane)> {
        self.kinds.iter().map(|(kind, lane)| (*kind, lane))
    }

    /// Operations that succeeded.
    pub(super) fn done(&self) -> u64 {
        self.kinds.values().map(|lane| lane.latencies.len()).sum()
    }

    /// Operations that did not.
    pub(super) fn failed(&self) -> u64 {
        self.kinds.values().map(Lane::failed).sum()
    }

    /// How many succeeded since the last call, and their 99th percentile in microseconds.
    pub(super) fn take_recent(&mut self) -> (u64, u64) {
        let recent = (self.recent.len(), self.recent.value_at_quantile(0.99));
        self.recent.reset();
        recent
    }
}

impl Lane {
    /// How many latencies lie at or above each power of two of microseconds and below the next, from the shortest on.
    pub(super) fn octaves(&self) -> Vec<(u64, u64)> {
        let mut octaves = BTreeMap::new();
        for value in self.latencies.iter_recorded() {
            *octaves.entry(value.value_iterated_to().max(1).ilog2()).or_insert(0) += value.count_at_value();
        }
        let (Some((first, _)), Some((last, _))) = (octaves.first_key_value(), octaves.last_key_value()) else { return Vec::new() };
        (*first..=*last).map(|octave| (1 << octave, octaves.get(&octave).copied().unwrap_or_default())).collect()
    }

    pub(super) fn failed(&self) -> u64 {
        self.errors.values().map(|errors| errors.count).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_counted_by_kind_and_have_no_latency() {
        let mut tally = Tally::new(&[(Kind::Read, 100)]).expect("room");
        let failure = |text: &str| Failure { kind: "HTTP 503".into(), text: text.into(), retries: 2 };
        tally.add(Kind::Read, Duration::from_micros(100), Ok(Done { retries: 1, entries: 0 }));
        tally.add(Kind::Read, Duration::from_micros(300), Ok(Done::default()));
        tally.add(Kind::Read, Duration::from_secs(9), Err(failure("first")));
        tally.add(Kind::Read, Duration::from_secs(9), Err(failure("second")));
        assert_eq!((tally.done(), tally.failed()), (2, 2));
        let (_, lane) = tally.lanes().next().expect("a lane");
        assert_eq!(lane.errors["HTTP 503"], Errors { count: 2, first: "first".into() });
        assert_eq!((lane.latencies.max(), lane.retries), (300, 5));
        assert_eq!(lane.octaves(), [(64, 1), (128, 0), (256, 1)]);
        assert_eq!(tally.take_recent(), (2, 300));
        assert_eq!(tally.take_recent(), (0, 0));
    }
}
