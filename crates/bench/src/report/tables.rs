//! The tables, for people. Absent figures are empty cells.

use comfy_table::{CellAlignment, Table, presets::ASCII_MARKDOWN};

use super::{Finding, Latency, Measurement};
use crate::usage::Usage;

pub(super) fn measurements(all: &[Measurement], ours: impl Fn(&Measurement) -> Option<f64>) -> Table {
    let names = ["Load", "Conns", "Server", "Per second", "Unit", "kvstore/it", "p50 ms", "p99 ms", "CPU us/req"];
    let mut table = table(&[&names[..], &USAGE].concat());
    let mut load = None;
    for found in all {
        let same = load.replace((&found.load, found.connections)) == Some((&found.load, found.connections));
        let against = ours(found).filter(|_| found.peer != "kvstore").map(|ratio| format!("{ratio:.2}"));
        let mut row = vec![
            if same { String::new() } else { found.load.clone() },
            found.connections.to_string(),
            found.peer.to_owned(),
            thousands(found.median),
            found.unit.to_owned(),
            against.unwrap_or_default(),
            millis(found.p50_us),
            millis(found.p99_us),
            found.server_us.map_or(String::new(), |us| format!("{us:.1}")),
        ];
        row.extend(usage(found.usage));
        table.add_row(row);
    }
    aligned(table, &[0, 2, 4])
}

pub(super) fn latencies(all: &[Latency]) -> Table {
    let names = ["Load", "Of peak", "Server", "Per second", "p50 ms", "p90 ms", "p99 ms", "p99.9 ms"];
    let mut table = table(&[&names[..], &USAGE].concat());
    let mut load = None;
    for found in all {
        let same = load.replace((&found.load, found.percent_of_peak)) == Some((&found.load, found.percent_of_peak));
        let sample = &found.sample;
        let mut row = vec![
            if same { String::new() } else { found.load.clone() },
            format!("{} %", found.percent_of_peak),
            found.peer.to_owned(),
            thousands(found.per_second),
            millis(sample.p50_us),
            sample.p90_us.map_or(String::new(), millis),
            millis(sample.p99_us),
            sample.p999_us.map_or(String::new(), millis),
        ];
        let mut cost = usage(sample.usage);
        if let (Some(usage), [_, generator, ..]) = (sample.usage.filter(|usage| is_busy(*usage)), &mut cost) {
            *generator = format!("{:.2} *", usage.generator_cores);
        }
        row.extend(cost);
        table.add_row(row);
    }
    aligned(table, &[0, 2])
}

pub(super) fn findings(all: &[Finding]) -> Table {
    let mut table = table(&["Must reach", "Measured", "At least", "Reach for", "Verdict", "How"]);
    for finding in all {
        let target = &finding.target;
        table.add_row([
            target.what.to_owned(),
            finding.figure.map_or("-".to_owned(), |figure| format!("{figure:.3} {}", target.unit).trim_end().to_owned()),
            target.show(target.floor),
            target.reach_for.map_or("-".to_owned(), |bound| target.show(bound)),
            finding.verdict.as_str().to_owned(),
            finding.detail.clone(),
        ]);
    }
    table
}

/// Processors of the server and of the generator, the server's memory, and what of it is no mapped file.
const USAGE: [&str; 4] = ["Cores", "Generator's", "RSS MB", "Anon. MB"];

/// A generator that has hardly a moment left in its one thread: latencies may be its own.
const GENERATOR_CORES_BUSY: f64 = 0.95;
/// What the mark means.
pub(super) const BUSY: &str = "* the generator itself, one thread, had hardly a moment left: the latencies may be its own";

/// Whether the mark is in the table.
pub(super) fn is_any_busy(all: &[Latency]) -> bool {
    all.iter().any(|found| found.sample.usage.is_some_and(is_busy))
}

fn is_busy(usage: Usage) -> bool {
    usage.generator_cores >= GENERATOR_CORES_BUSY
}

fn usage(usage: Option<Usage>) -> [String; 4] {
    let Some(usage) = usage else { return [const { String::new() }; 4] };
    let mb = |bytes: u64| format!("{:.0}", bytes as f64 / 1e6);
    [format!("{:.2}", usage.server_cores), format!("{:.2}", usage.generator_cores), mb(usage.resident), mb(usage.anonymous)]
}

/// Three digits that matter.
fn millis(us: f64) -> String {
    match us / 1e3 {
        ms if ms < 1.0 => format!("{ms:.3}"),
        ms if ms < 10.0 => format!("{ms:.2}"),
        ms => format!("{ms:.1}"),
    }
}

fn thousands(figure: f64) -> String {
    let digits = format!("{figure:.0}");
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at) % 3 == 0 {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

fn table<T: AsRef<str>>(header: &[T]) -> Table {
    let mut table = Table::new();
    table.load_style(ASCII_MARKDOWN);
    table.set_header(header.iter().map(AsRef::as_ref));
    table
}

/// Numbers to the right, the columns with words to the left.
fn aligned(mut table: Table, words: &[usize]) -> Table {
    for (at, column) in table.column_iter_mut().enumerate() {
        column.set_cell_alignment(if words.contains(&at) { CellAlignment::Left } else { CellAlignment::Right });
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_short() {
        assert_eq!([0.0, 12.0, 999.6, 1_000.0, 1_234_567.8].map(thousands), ["0", "12", "1,000", "1,000", "1,234,568"]);
        assert_eq!([85.0, 1_234.0, 12_345.0].map(millis), ["0.085", "1.23", "12.3"]);
    }
}
