//! What was found: tables for people, JSON for programs, and the exit code.

use std::{io::Write, path::Path, process::ExitCode};

use anyhow::{Context, Result};
use comfy_table::{CellAlignment, Table, presets::ASCII_MARKDOWN};
use serde::Serialize;

use crate::{
    machine::Machine,
    rounds::median,
    targets::{Target, Verdict},
};

/// One load on one peer at one number of connections.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Measurement {
    pub(crate) load: String,
    pub(crate) peer: &'static str,
    pub(crate) connections: usize,
    pub(crate) unit: &'static str,
    pub(crate) rounds: Vec<f64>,
    pub(crate) median: f64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
}

/// A target with its figure.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Finding {
    #[serde(flatten)]
    pub(crate) target: Target,
    pub(crate) figure: Option<f64>,
    pub(crate) verdict: Verdict,
    /// How the figure came about, or why there is none.
    pub(crate) detail: String,
}

/// All of a run.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) command: &'static str,
    pub(crate) machine: Machine,
    pub(crate) settings: Vec<(&'static str, String)>,
    pub(crate) measurements: Vec<Measurement>,
    pub(crate) findings: Vec<Finding>,
}

impl Report {
    pub(crate) const fn new(command: &'static str, machine: Machine, settings: Vec<(&'static str, String)>) -> Self {
        Self { command, machine, settings, measurements: Vec::new(), findings: Vec::new() }
    }

    /// The median of a load on a peer, where it was measured.
    pub(crate) fn median_of(&self, load: &str, peer: &str, connections: usize) -> Option<f64> {
        let same = |found: &&Measurement| found.load == load && found.peer == peer && found.connections == connections;
        self.measurements.iter().find(same).map(|found| found.median)
    }

    /// Judges a figure.
    pub(crate) fn judge(&mut self, target: Target, figure: f64, detail: impl Into<String>) {
        let verdict = target.judge(figure);
        self.findings.push(Finding { target, figure: Some(figure), verdict, detail: detail.into() });
    }

    /// Says why a target has no figure.
    pub(crate) fn not_run(&mut self, target: Target, why: impl Into<String>) {
        self.findings.push(Finding { target, figure: None, verdict: Verdict::NotRun, detail: why.into() });
    }

    /// 0: all floors are met. 3: something did not run. 1: a floor is not met.
    pub(crate) fn exit_code(&self) -> ExitCode {
        let any = |verdict| self.findings.iter().any(|finding| finding.verdict == verdict);
        if any(Verdict::NotMet) {
            ExitCode::from(1)
        } else if any(Verdict::NotRun) {
            ExitCode::from(3)
        } else {
            ExitCode::SUCCESS
        }
    }

    /// Writes the tables.
    pub(crate) fn print(&self, out: &mut dyn Write) -> Result<()> {
        writeln!(out, "{}", self.machine)?;
        for (name, value) in &self.settings {
            writeln!(out, "{name}: {value}")?;
        }
        if !self.measurements.is_empty() {
            writeln!(out, "\n{}", self.measurement_table())?;
        }
        writeln!(out, "\n{}", self.finding_table())?;
        Ok(())
    }

    /// Writes the JSON.
    pub(crate) fn save(&self, path: &Path) -> Result<()> {
        std::fs::write(path, serde_json::to_vec_pretty(self)?).with_context(|| format!("writing {}", path.display()))
    }

    fn measurement_table(&self) -> Table {
        let mut table = table(&["Load", "Connections", "Peer", "Per second", "Unit", "p50 us", "p99 us", "kvstore against it"]);
        for found in &self.measurements {
            let ours = self.median_of(&found.load, "kvstore", found.connections);
            let against = ours.filter(|_| found.peer != "kvstore").map_or(String::new(), |ours| format!("{:.3}", ours / found.median));
            table.add_row([
                found.load.clone(),
                found.connections.to_string(),
                found.peer.to_owned(),
                format!("{:.0}", found.median),
                found.unit.to_owned(),
                format!("{:.0}", found.p50_us),
                format!("{:.0}", found.p99_us),
                against,
            ]);
        }
        for number in [1, 3, 5, 6, 7] {
            if let Some(column) = table.column_mut(number) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        table
    }

    fn finding_table(&self) -> Table {
        let mut table = table(&["Must reach", "Measured", "At least", "Reach for", "Verdict", "How"]);
        for finding in &self.findings {
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
}

impl Measurement {
    /// Sums up the rounds of a load.
    pub(crate) fn of(load: &str, peer: &'static str, connections: usize, unit: Unit, samples: &[crate::load::Sample]) -> Self {
        let all = |of: fn(&crate::load::Sample) -> f64| samples.iter().map(of).collect::<Vec<f64>>();
        let rounds: Vec<f64> = all(|sample| sample.per_second).into_iter().map(|rate| rate * unit.per_request).collect();
        let (median, p50_us, p99_us) = (median(&rounds), median(&all(|sample| sample.p50_us)), median(&all(|sample| sample.p99_us)));
        Self { load: load.to_owned(), peer, connections, unit: unit.name, rounds, median, p50_us, p99_us }
    }
}

/// What a rate counts, and how many of it one request holds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Unit {
    pub(crate) name: &'static str,
    pub(crate) per_request: f64,
}

/// One per request.
pub(crate) const REQUESTS: Unit = Unit { name: "requests", per_request: 1.0 };

fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(ASCII_MARKDOWN);
    table.set_header(header.iter().copied());
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{load::Sample, targets};

    fn report() -> Report {
        let mut report = Report::new("bench", Machine::here(), vec![("rounds", "3".to_owned())]);
        for (peer, rates) in [("kvstore", [50.0, 80.0, 60.0]), ("redis", [100.0, 90.0, 120.0])] {
            let samples = rates.map(|per_second| Sample { requests: 1, per_second, p50_us: 10.0, p99_us: 20.0 });
            report.measurements.push(Measurement::of("put", peer, 64, REQUESTS, &samples));
        }
        report
    }

    #[test]
    fn a_ratio_is_that_of_the_medians() {
        let report = report();
        assert_eq!(report.median_of("put", "kvstore", 64), Some(60.0));
        assert_eq!(report.median_of("put", "kvstore", 1), None);
        let text = report.measurement_table().to_string();
        let redis = text.lines().find(|line| line.contains("redis")).unwrap();
        assert!(redis.contains("0.600"), "{text}");
    }

    #[test]
    fn the_exit_code_tells_the_worst() {
        let mut report = report();
        report.judge(targets::PUT_64, 0.8, "");
        assert_eq!(report.exit_code(), ExitCode::SUCCESS);
        report.not_run(targets::REOPEN, "no time");
        assert_eq!(report.exit_code(), ExitCode::from(3));
        report.judge(targets::PUT_1, 0.1, "");
        assert_eq!(report.exit_code(), ExitCode::from(1));
    }

    #[test]
    fn the_table_and_the_json_say_the_same() {
        let mut report = report();
        report.judge(targets::PUT_64, 0.8, "800 against 1000");
        report.not_run(targets::REOPEN, "no time");
        let mut text = Vec::new();
        report.print(&mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        for part in ["0.800 x", ">= 0.75 x", ">= 1 x", "800 against 1000", "NOT RUN", "no time"] {
            assert!(text.contains(part), "{part} in {text}");
        }
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["findings"][0]["name"], "put-64");
        assert_eq!(json["findings"][0]["verdict"], "met");
        assert_eq!(json["findings"][1]["figure"], serde_json::Value::Null);
    }
}
