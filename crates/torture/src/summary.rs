//! What each part found, as a table at the end and as an exit code.

use std::io::Write as _;
use std::process::ExitCode;

/// How a part ended.
pub(crate) enum Report {
    /// It ran and everything held; the text says what was counted.
    Passed(String),
    /// It ran, and these promises were broken.
    Broken(Vec<String>),
    /// It cannot run here, and why.
    NotRun(String),
}

/// The parts so far, in order.
#[derive(Default)]
pub(crate) struct Summary {
    rows: Vec<(&'static str, Report)>,
}

/// Faults that are shown of one part.
const FAULTS_SHOWN: usize = 20;

impl Summary {
    /// Adds a part. An error of the part itself counts as a broken promise: nothing was shown to hold.
    pub(crate) fn add(&mut self, part: &'static str, result: anyhow::Result<Report>) {
        let report = result.unwrap_or_else(|error| Report::Broken(vec![format!("the part could not go on: {error:#}")]));
        say(&format!("{part}: {}", report.line()));
        if let Report::Broken(faults) = &report {
            for fault in faults.iter().take(FAULTS_SHOWN) {
                say(&format!("  - {fault}"));
            }
        }
        self.rows.push((part, report));
    }

    pub(crate) fn has_failed(&self) -> bool {
        self.rows.iter().any(|(_, report)| matches!(report, Report::Broken(_)))
    }

    /// Prints the table and says how to exit.
    pub(crate) fn print(&self) -> ExitCode {
        say("\n| Part | Result |\n|---|---|");
        for (part, report) in &self.rows {
            say(&format!("| {part} | {} |", report.line()));
        }
        for (part, report) in &self.rows {
            if let Report::NotRun(why) = report {
                say(&format!("NOT RUN: {part}: {why}"));
            }
        }
        ExitCode::from(self.code())
    }

    fn code(&self) -> u8 {
        let not_run = self.rows.iter().any(|(_, report)| matches!(report, Report::NotRun(_)));
        match (self.has_failed(), not_run || self.rows.is_empty()) {
            (true, _) => 1,
            (false, true) => 3,
            (false, false) => 0,
        }
    }
}

impl Report {
    /// Passed with `counted`, unless there are faults.
    pub(crate) fn of(faults: Vec<String>, counted: String) -> Report {
        if faults.is_empty() { Report::Passed(counted) } else { Report::Broken(faults) }
    }

    /// The same, with more faults, if there are any.
    pub(crate) fn with(self, more: Vec<String>) -> Report {
        match self {
            Report::Broken(mut faults) => {
                faults.extend(more);
                Report::Broken(faults)
            }
            report if more.is_empty() => report,
            _ => Report::Broken(more),
        }
    }

    fn line(&self) -> String {
        match self {
            Report::Passed(counted) => format!("passed: {counted}"),
            Report::Broken(faults) => format!("BROKEN: {} faults", faults.len()),
            Report::NotRun(why) => format!("NOT RUN: {why}"),
        }
    }
}

/// Prints a line. A reader that has gone away is no reason to stop breaking things.
pub(crate) fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(reports: Vec<Report>) -> u8 {
        Summary { rows: reports.into_iter().map(|report| ("part", report)).collect() }.code()
    }

    #[test]
    fn the_exit_code_tells_broken_from_not_run() {
        let passed = || Report::Passed(String::new());
        assert_eq!(code(vec![passed(), passed()]), 0);
        assert_eq!(code(vec![passed(), Report::NotRun(String::new())]), 3);
        assert_eq!(code(vec![Report::NotRun(String::new()), Report::Broken(vec![String::new()])]), 1);
        assert_eq!(code(vec![]), 3, "nothing ran");
    }
}
