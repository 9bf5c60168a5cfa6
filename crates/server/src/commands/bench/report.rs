//! The report: what was measured, as a table for a person or as JSON.

use std::{collections::BTreeMap, time::Duration};

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use indicatif::HumanCount;
use serde::Serialize;

use super::{super::output::harmless, distribution::Distribution, run::Outcome, tally::Lane, workload::Workload};

/// Columns of the longest bar of the histogram.
const BAR_COLUMNS: u64 = 40;
/// What a run is told by.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    #[serde(flatten)]
    head: Head,
    seconds: f64,
    operations: u64,
    per_second: f64,
    errors: u64,
    /// Operations that were due and never sent.
    unsent: u64,
    kinds: BTreeMap<&'static str, KindReport>,
    #[serde(skip)]
    first_errors: Vec<String>,
}

/// What was asked for, and how it began.
#[derive(Debug, Serialize)]
pub(super) struct Head {
    pub(super) url: String,
    pub(super) workload: Workload,
    pub(super) distribution: Distribution,
    pub(super) records: u64,
    pub(super) value_bytes: usize,
    pub(super) connections: usize,
    pub(super) seed: u64,
    #[serde(rename = "loop")]
    pub(super) pacing: Pacing,
    /// What an open loop was to do per second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) rate: Option<u32>,
    pub(super) interrupted: bool,
    /// How loading went, where it was done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) load: Option<Load>,
}

/// How operations were paced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Pacing {
    Closed,
    Open,
}

/// How loading went.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Load {
    records: u64,
    seconds: f64,
    per_second: f64,
}

#[derive(Debug, Serialize)]
struct KindReport {
    count: u64,
    per_second: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    latency_us: Option<Latency>,
    /// The histogram, one bucket after the other.
    buckets: Vec<Bucket>,
    errors: u64,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    errors_by_kind: BTreeMap<String, u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retries: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    entries: Option<u64>,
}

#[derive(Debug, Serialize)]
struct Latency {
    p50: u64,
    p95: u64,
    p99: u64,
    p999: u64,
    max: u64,
}

/// Operations that took at least `from_us` microseconds, and less than `to_us`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
struct Bucket {
    from_us: u64,
    to_us: u64,
    count: u64,
}

impl Load {
    pub(super) fn new(records: u64, took: Duration) -> Self {
        Self { records, seconds: rounded(took.as_secs_f64()), per_second: per_second(records, took) }
    }
}

impl Report {
    pub(super) fn new(head: Head, outcome: &Outcome) -> Self {
        let Outcome { tally, took, unsent } = outcome;
        let lanes = || tally.lanes();
        let kinds = lanes().map(|(kind, lane)| (kind.name(), KindReport::new(kind.name(), lane, *took))).collect();
        let first_errors = lanes().flat_map(|(kind, lane)| {
            lane.errors.iter().map(move |(error, errors)| {
                // What a server says, and so what others stored.
                let first = harmless(&errors.first);
                format!("{} × {error} ({}), first: {first}", HumanCount(errors.count), kind.name())
            })
        });
        Self {
            head,
            seconds: rounded(took.as_secs_f64()),
            operations: tally.done(),
            per_second: per_second(tally.done(), *took),
            errors: tally.failed(),
            unsent: *unsent,
            kinds,
            first_errors: first_errors.collect(),
        }
    }

    /// Whether nothing succeeded of what was tried.
    pub(super) const fn all_failed(&self) -> bool {
        self.operations == 0 && self.errors > 0
    }

    /// The report as text.
    pub(super) fn text(&self) -> String {
        let mut lines = vec![self.headline()];
        if let Some(load) = self.head.load {
            lines.push(format!(
                "loaded {} records in {:.1} s ({}/s)",
                HumanCount(load.records),
                load.seconds,
                HumanCount(load.per_second as u64)
            ));
        }
        lines.push(format!(
            "{} operations in {:.1} s ({}/s), {} errors{}",
            HumanCount(self.operations),
            self.seconds,
            HumanCount(self.per_second as u64),
            HumanCount(self.errors),
            if self.head.interrupted { ", interrupted" } else { "" }
        ));
        lines.push(self.table());
        lines.extend(self.notes());
        lines.extend(self.kinds.iter().filter_map(|(name, kind)| kind.histogram(name)));
        lines.push(match self.head.pacing {
            Pacing::Closed => {
                "closed loop: a connection waits for its answer before it asks again, which hides queueing; --rate shows it".to_owned()
            }
            Pacing::Open => "open loop: latency counts from the time at which an operation was due".to_owned(),
        });
        lines.join("\n") + "\n"
    }

    fn headline(&self) -> String {
        let pacing = self.head.rate.map_or_else(|| "as fast as they are answered".to_owned(), |rate| format!("{rate} operations/s"));
        format!(
            "workload {} on {}: {} records of {} bytes, {}, {} connections, {pacing}, seed {}",
            self.head.workload.letter(),
            self.head.url,
            HumanCount(self.head.records),
            self.head.value_bytes,
            self.head.distribution.name(),
            self.head.connections,
            self.head.seed
        )
    }

    fn table(&self) -> String {
        let mut table = Table::new();
        // Columns of numbers are never broken into lines.
        table.load_style(presets::UTF8_HORIZONTAL_ONLY).set_content_arrangement(ContentArrangement::Disabled);
        table.set_header(["OPERATION", "COUNT", "PER S", "P50", "P95", "P99", "P99.9", "MAX", "ERRORS"]);
        table.add_rows(self.kinds.iter().map(|(name, kind)| kind.row(name)));
        for column in table.column_iter_mut().skip(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        table.to_string()
    }

    fn notes(&self) -> Vec<String> {
        let mut notes = self.first_errors.clone();
        for kind in self.kinds.values() {
            if let Some(retries) = kind.retries {
                notes.push(format!("{} retries: another write came between the read and the write", HumanCount(retries)));
            }
            if let Some(entries) = kind.entries {
                notes.push(format!("{} entries scanned", HumanCount(entries)));
            }
        }
        if self.unsent > 0 {
            notes.push(format!(
                "{} operations were due and never sent: the rate is more than the server, or {} connections, can do",
                HumanCount(self.unsent),
                self.head.connections
            ));
        }
        notes
    }
}

impl KindReport {
    fn new(name: &str, lane: &Lane, took: Duration) -> Self {
        let latencies = &lane.latencies;
        let at = |quantile| latencies.value_at_quantile(quantile);
        let latency = Latency { p50: at(0.5), p95: at(0.95), p99: at(0.99), p999: at(0.999), max: latencies.max() };
        Self {
            count: latencies.len(),
            per_second: per_second(latencies.len(), took),
            latency_us: (!latencies.is_empty()).then_some(latency),
            buckets: lane.octaves().into_iter().map(|(from_us, count)| Bucket { from_us, to_us: from_us * 2, count }).collect(),
            errors: lane.failed(),
            errors_by_kind: lane.errors.iter().map(|(kind, errors)| (kind.clone(), errors.count)).collect(),
            retries: (name == "read-modify-write").then_some(lane.retries),
            entries: (name == "scan").then_some(lane.entries),
        }
    }

    /// A bar for each bucket; nothing where nothing succeeded.
    fn histogram(&self, name: &str) -> Option<String> {
        let most = self.buckets.iter().map(|bucket| bucket.count).max().filter(|most| *most > 0)?;
        let bars = self.buckets.iter().map(|bucket| {
            let columns = (bucket.count * BAR_COLUMNS).div_ceil(most);
            let percent = bucket.count as f64 * 100.0 / self.count.max(1) as f64;
            let range = format!("{} to {}", micros(bucket.from_us), micros(bucket.to_us));
            format!("{range:>18}  {:<40}  {percent:.2} %", "█".repeat(columns as usize))
        });
        Some(format!("latency of {name}:\n{}", bars.collect::<Vec<_>>().join("\n")))
    }

    fn row(&self, name: &str) -> Vec<String> {
        let latencies = self.latency_us.as_ref().map(|found| [found.p50, found.p95, found.p99, found.p999, found.max]);
        let latencies = latencies.map_or_else(|| vec!["-".to_owned(); 5], |found| found.map(micros).to_vec());
        let mut row = vec![name.to_owned(), HumanCount(self.count).to_string(), HumanCount(self.per_second as u64).to_string()];
        row.extend(latencies);
        row.push(HumanCount(self.errors).to_string());
        row
    }
}

/// A time in the unit that suits it.
pub(super) fn micros(micros: u64) -> String {
    match micros {
        0..1_000 => format!("{micros} µs"),
        1_000..10_000 => format!("{:.2} ms", micros as f64 / 1_000.0),
        10_000..1_000_000 => format!("{:.0} ms", micros as f64 / 1_000.0),
        _ => format!("{:.2} s", micros as f64 / 1_000_000.0),
    }
}

fn per_second(count: u64, took: Duration) -> f64 {
    rounded(count as f64 / took.as_secs_f64().max(0.000_001))
}

fn rounded(number: f64) -> f64 {
    (number * 1_000.0).round() / 1_000.0
}

#[cfg(test)]
mod tests {
    use super::{
        super::{
            operation::Failure,
            tally::{Done, Tally},
            workload::Kind,
        },
        *,
    };

    fn report(results: Vec<Result<Done, Failure>>) -> Report {
        let mut tally = Tally::new(Workload::F.mix()).expect("room");
        for result in results {
            tally.add(Kind::ReadModifyWrite, Duration::from_millis(3), result);
        }
        let head = Head {
            url: "http://here".into(),
            workload: Workload::F,
            distribution: Distribution::Zipfian,
            records: 10,
            value_bytes: 100,
            connections: 4,
            seed: 1,
            pacing: Pacing::Closed,
            rate: None,
            interrupted: false,
            load: None,
        };
        Report::new(head, &Outcome { tally, took: Duration::from_secs(2), unsent: 7 })
    }

    #[test]
    fn a_run_in_which_all_failed_is_told_apart_and_says_why() {
        let failure = || Err(Failure { kind: "HTTP 503".into(), text: "too busy".into(), retries: 0 });
        let failed = report(vec![failure(), failure()]);
        let text = failed.text();
        assert!(failed.all_failed() && text.contains("2 × HTTP 503 (read-modify-write), first: too busy"), "{text}");
        assert!(text.contains("7 operations were due and never sent"), "{text}");
        let some = report(vec![failure(), Ok(Done { retries: 3, entries: 0 })]);
        let text = some.text();
        assert!(!some.all_failed() && text.contains("3 retries"), "{text}");
        assert!(text.contains("latency of read-modify-write:\n2.05 ms to 4.10 ms  █") && text.matches("latency of").count() == 1, "{text}");
        let json = serde_json::to_value(&some).expect("JSON");
        let buckets = json.pointer("/kinds/read-modify-write/buckets").expect("buckets");
        assert_eq!(*buckets, serde_json::json!([{"from_us": 2048, "to_us": 4096, "count": 1}]), "{json}");
        assert!(!report(Vec::new()).all_failed(), "nothing was tried");
    }

    #[test]
    fn times_have_the_unit_that_suits_them() {
        let shown = [0, 999, 1_000, 9_990, 12_345, 2_345_000].map(micros);
        assert_eq!(shown, ["0 µs", "999 µs", "1.00 ms", "9.99 ms", "12 ms", "2.35 s"]);
    }
}
