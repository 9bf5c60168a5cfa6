//! Runs Debian's wrk with a script of ours and reads the one line that the script prints at the end.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use tokio::process::Command;

use super::Sample;
use crate::child::run_tool;

/// A load: a script, and where it goes.
#[derive(Debug, Clone)]
pub(crate) struct Wrk {
    pub(crate) url: String,
    pub(crate) script: PathBuf,
}

impl Wrk {
    /// Runs the load. Any answer over 399, and any socket error, fails the run: error pages are never measured.
    pub(crate) async fn run(&self, connections: usize, seconds: u64) -> Result<Sample> {
        let limit = Duration::from_secs(seconds + 60);
        let text = run_tool("wrk", command(&self.url, &self.script, connections, seconds), limit).await?;
        parse(&text).with_context(|| format!("wrk on {}", self.url))
    }
}

/// One thread: the generator shares two cores with the server, and each peer gets the same.
fn command(url: &str, script: &Path, connections: usize, seconds: u64) -> Command {
    let mut command = Command::new("wrk");
    command.args(["-t", "1", "--timeout", "20s"]);
    command.arg("-c").arg(connections.to_string()).arg("-d").arg(format!("{seconds}s")).arg("-s").arg(script).arg(url);
    command
}

/// Reads the script's line: `RESULT name=number ...`.
fn parse(text: &str) -> Result<Sample> {
    let line = text.lines().find_map(|line| line.strip_prefix("RESULT ")).with_context(|| format!("no result in: {}", text.trim()))?;
    let field = |name: &str| -> Result<f64> {
        let pair = line.split_whitespace().find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
        pair.and_then(|number| number.parse().ok()).with_context(|| format!("no {name} in: {line}"))
    };
    for error in ["status", "connect", "read", "write", "timeout"] {
        let count = field(error)?;
        if count > 0.0 {
            bail!("{count} {error} errors: {line}");
        }
    }
    let (requests, duration_us) = (field("requests")?, field("duration_us")?);
    ensure!(requests > 0.0 && duration_us > 0.0, "nothing was answered: {line}");
    Ok(Sample { requests: requests as u64, per_second: requests * 1e6 / duration_us, p50_us: field("p50_us")?, p99_us: field("p99_us")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "Running 1s test @ http://127.0.0.1:1/\n  1 threads and 2 connections\n\
        RESULT requests=5000 duration_us=2000000 status=0 connect=0 read=0 write=0 timeout=0 p50_us=80 p99_us=900\n";

    #[test]
    fn a_result_is_a_rate_and_two_percentiles() {
        let sample = parse(GOOD).unwrap();
        assert_eq!(sample, Sample { requests: 5000, per_second: 2500.0, p50_us: 80.0, p99_us: 900.0 });
    }

    #[test]
    fn every_kind_of_error_fails_the_run() {
        for error in ["status", "connect", "read", "write", "timeout"] {
            let text = GOOD.replace(&format!("{error}=0"), &format!("{error}=3"));
            let message = parse(&text).unwrap_err().to_string();
            assert!(message.contains(&format!("3 {error} errors")), "{message}");
        }
    }

    #[test]
    fn a_run_without_answers_or_without_a_result_fails() {
        assert!(parse(&GOOD.replace("requests=5000", "requests=0")).is_err());
        assert!(parse("Running 1s test\n").is_err());
        assert!(parse(&GOOD.replace("p99_us=900", "")).is_err());
    }
}
