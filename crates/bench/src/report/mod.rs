//! What was found: tables for people, JSON for programs, and the exit code.

mod measurement;
mod tables;

use std::{io::Write, path::Path, process::ExitCode};

use anyhow::{Context, Result};
use serde::Serialize;

pub(crate) use self::measurement::{Latency, Measurement, REQUESTS, Ratio, Unit};
use crate::{
    machine::Machine,
    progress::progress,
    targets::{Target, Verdict},
};

/// Something other than a target that could not run.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Missing {
    what: String,
    why: String,
}

/// What figures are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Purpose {
    /// Floors must be met.
    Judge,
    /// Everything must run; how fast is of no matter.
    Try,
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
    purpose: Purpose,
    pub(crate) measurements: Vec<Measurement>,
    pub(crate) latencies: Vec<Latency>,
    pub(crate) findings: Vec<Finding>,
    missing: Vec<Missing>,
}

impl Report {
    pub(crate) const fn new(command: &'static str, machine: Machine, purpose: Purpose, settings: Vec<(&'static str, String)>) -> Self {
        Self {
            command,
            machine,
            settings,
            purpose,
            measurements: Vec::new(),
            latencies: Vec::new(),
            findings: Vec::new(),
            missing: Vec::new(),
        }
    }

    /// The median of a load on a peer, where it was measured.
    pub(crate) fn median_of(&self, load: &str, peer: &str, connections: usize) -> Option<f64> {
        self.measurement(load, peer, connections).map(|found| found.median)
    }

    /// How many times as fast one peer was as another under a load, where both were measured.
    pub(crate) fn ratio(&self, load: &str, [peer, other]: [&str; 2], connections: usize) -> Option<Ratio> {
        Some(self.measurement(load, peer, connections)?.over(self.measurement(load, other, connections)?))
    }

    fn measurement(&self, load: &str, peer: &str, connections: usize) -> Option<&Measurement> {
        self.measurements.iter().find(|found| found.load == load && found.peer == peer && found.connections == connections)
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

    /// Says why something that no target depends on has no figures; once for each cause.
    pub(crate) fn miss(&mut self, what: &str, why: impl Into<String>) {
        let why = why.into();
        progress!("{what} NOT RUN: {why}");
        if !self.missing.iter().any(|missing| missing.what == what && missing.why == why) {
            self.missing.push(Missing { what: what.to_owned(), why });
        }
    }

    /// 0: all floors are met. 3: something did not run. 1: a floor is not met.
    pub(crate) fn exit_code(&self) -> ExitCode {
        let any = |verdict| self.findings.iter().any(|finding| finding.verdict == verdict);
        if any(Verdict::NotMet) && self.purpose == Purpose::Judge {
            ExitCode::from(1)
        } else if any(Verdict::NotRun) || !self.missing.is_empty() {
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
            writeln!(out, "\nAs fast as it answers\n{}", tables::measurements(&self.measurements, |of| self.ours(of)))?;
        }
        if !self.latencies.is_empty() {
            writeln!(out, "\nLatency from the intended time, at a fixed rate\n{}", tables::latencies(&self.latencies))?;
            if tables::is_any_busy(&self.latencies) {
                writeln!(out, "{}", tables::BUSY)?;
            }
        }
        if !self.findings.is_empty() {
            writeln!(out, "\n{}", tables::findings(&self.findings))?;
        }
        for Missing { what, why } in &self.missing {
            writeln!(out, "\nNOT RUN {what}: {why}")?;
        }
        Ok(())
    }

    /// Writes the JSON.
    pub(crate) fn save(&self, path: &Path) -> Result<()> {
        std::fs::write(path, serde_json::to_vec_pretty(self)?).with_context(|| format!("writing {}", path.display()))
    }

    /// How many times as fast kvstore was under the same load.
    fn ours(&self, of: &Measurement) -> Option<f64> {
        self.ratio(&of.load, ["kvstore", of.peer], of.connections).map(|ratio| ratio.median())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{load::Sample, targets, usage::Usage};

    fn report() -> Report {
        let mut report = Report::new("bench", Machine::here(), Purpose::Judge, vec![("rounds", "3".to_owned())]);
        for (peer, rates) in [("kvstore", [50.0, 80.0, 60.0]), ("redis", [100.0, 90.0, 120.0])] {
            let usage = Some(Usage { server_cores: 1.2, generator_cores: 0.6, resident: 70 << 20, anonymous: 50 << 20 });
            let sample = Sample { requests: 1, per_second: 0.0, p50_us: 10.0, p99_us: 20.0, p90_us: Some(15.0), p999_us: None, usage };
            let samples = rates.map(|per_second| Sample { per_second, ..sample });
            report.measurements.push(Measurement::of("put", peer, 64, REQUESTS, &samples));
        }
        report
    }

    #[test]
    fn a_ratio_is_that_of_the_rounds_and_not_of_the_medians() {
        let report = report();
        assert_eq!(report.median_of("put", "kvstore", 64), Some(60.0));
        let ratio = report.ratio("put", ["kvstore", "redis"], 64).unwrap();
        assert_eq!((ratio.median(), ratio.to_string().as_str()), (0.5, "60 against 100 a second; by rounds 0.50 0.89 0.50"));
        assert_eq!(report.median_of("put", "kvstore", 1), None);
        let text = tables::measurements(&report.measurements, |of| report.ours(of)).to_string();
        let redis = text.lines().find(|line| line.contains("redis")).unwrap();
        for cell in [" 0.50 ", " 1.20 ", " 73 ", " 0.020 ", " 12000.0 "] {
            assert!(redis.contains(cell), "{cell} in {text}");
        }
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
    fn a_peer_that_did_not_run_is_told_once_and_is_no_success() {
        let mut report = report();
        report.miss("etcd", "it is not installed");
        report.miss("etcd", "it is not installed");
        assert_eq!((report.exit_code(), report.missing.len()), (ExitCode::from(3), 1));
        let mut text = Vec::new();
        report.print(&mut text).unwrap();
        assert!(String::from_utf8(text).unwrap().contains("NOT RUN etcd: it is not installed"));
    }

    #[test]
    fn a_try_must_run_and_need_not_be_fast() {
        let mut report = Report { purpose: Purpose::Try, ..report() };
        report.judge(targets::PUT_1, 0.1, "");
        assert_eq!(report.exit_code(), ExitCode::SUCCESS);
        report.not_run(targets::REOPEN, "no time");
        assert_eq!(report.exit_code(), ExitCode::from(3));
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
