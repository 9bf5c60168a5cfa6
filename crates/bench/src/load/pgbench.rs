//! Runs PostgreSQL's own pgbench on a script, with prepared statements, and reads its rate and its log of transactions.

use std::{path::PathBuf, process::Command as Tool, time::Duration};

use anyhow::{Context, Result, ensure};
use hdrhistogram::Histogram;
use tokio::process::Command;

use super::Sample;
use crate::{child::run_tool, workload::VALUE_BYTES};

/// Threads of pgbench: on two cores one is not always enough, and more than two gain nothing.
const THREADS: &str = "2";
/// The share of transactions whose latency it logs: all of them would cost it time.
const LOGGED: &str = "0.1";
/// How much longer than asked it may take, to connect and to end.
const SPARE: Duration = Duration::from_secs(60);

/// A script and the database that it runs on.
#[derive(Debug, Clone)]
pub(crate) struct Pgbench {
    pub(crate) program: PathBuf,
    pub(crate) port: u16,
    pub(crate) database: String,
    pub(crate) script: &'static str,
    /// Keys are drawn from as many.
    pub(crate) keys: u64,
    /// Where its logs go meanwhile.
    pub(crate) work: PathBuf,
}

impl Pgbench {
    /// Runs the script for about so many seconds; pgbench counts whole ones.
    pub(crate) async fn run(&self, connections: usize, time: Duration) -> Result<Sample> {
        let dir = tempfile::Builder::new().prefix("pgbench-").tempdir_in(&self.work)?;
        let script = dir.path().join("script.sql");
        std::fs::write(&script, self.script)?;
        let seconds = time.as_secs_f64().ceil().max(1.0);
        let mut tool = Tool::new(&self.program);
        tool.args(["-h", "127.0.0.1", "-U", "postgres", "-n", "-M", "prepared", "-j", THREADS, "-l", "--sampling-rate", LOGGED]);
        tool.args(["-p", &self.port.to_string(), "-c", &connections.to_string(), "-T", &seconds.to_string()]);
        tool.args(["-D", &format!("keys={}", self.keys), "-D", &format!("value={}", crate::workload::value(0, VALUE_BYTES))]);
        tool.arg("--log-prefix").arg(dir.path().join("log")).arg("-f").arg(&script).arg(&self.database);
        let text = run_tool("pgbench", Command::from(tool), time + SPARE).await?;
        let mut latencies = Histogram::new_with_bounds(1, 60_000_000, 3)?;
        for file in std::fs::read_dir(dir.path())? {
            let path = file?.path();
            if path != script {
                read_log(&std::fs::read_to_string(path)?, &mut latencies)?;
            }
        }
        sample(&text, &latencies)
    }
}

/// Takes the latencies, the third number of a line.
fn read_log(text: &str, latencies: &mut Histogram<u64>) -> Result<()> {
    for line in text.lines() {
        let latency = line.split(' ').nth(2).and_then(|cell| cell.parse::<u64>().ok());
        latencies.saturating_record(latency.with_context(|| format!("pgbench logged {line:?}"))?.max(1));
    }
    Ok(())
}

fn sample(text: &str, latencies: &Histogram<u64>) -> Result<Sample> {
    let after = |label: &str| -> Result<&str> {
        let rest = text.lines().find_map(|line| line.trim().strip_prefix(label));
        rest.and_then(|rest| rest.split_whitespace().next()).with_context(|| format!("no {label:?} in: {}", text.trim()))
    };
    let requests = after("number of transactions actually processed:")?.parse()?;
    let failed: u64 = after("number of failed transactions:")?.parse()?;
    let per_second = after("tps =")?.parse()?;
    ensure!(failed == 0 && requests > 0, "transactions of pgbench failed: {}", text.trim());
    let at = |share: f64| latencies.value_at_quantile(share) as f64;
    Ok(Sample { requests, per_second, p50_us: at(0.5), p99_us: at(0.99), p90_us: Some(at(0.9)), p999_us: None, usage: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "number of clients: 64\nnumber of transactions actually processed: 41\nnumber of failed transactions: 0 (0.000%)\n\
        latency average = 4.1 ms\ninitial connection time = 80.1 ms\ntps = 15012.5 (without initial connection time)\n";

    #[test]
    fn a_run_is_a_rate_and_what_its_log_tells() {
        let mut latencies = Histogram::new_with_bounds(1, 60_000_000, 3).unwrap();
        read_log("0 1 4100 0 1700000000 5\n1 1 4102 0 1700000000 9\n", &mut latencies).unwrap();
        let sample = sample(GOOD, &latencies).unwrap();
        assert_eq!((sample.requests, sample.per_second), (41, 15012.5));
        assert!((4_090.0..4_110.0).contains(&sample.p50_us), "{}", sample.p50_us);
    }

    #[test]
    fn failed_transactions_and_damaged_logs_are_errors() {
        let mut latencies = Histogram::new_with_bounds(1, 60_000_000, 3).unwrap();
        assert!(sample(&GOOD.replace("transactions: 0", "transactions: 3"), &latencies).is_err());
        assert!(sample("", &latencies).is_err());
        assert!(read_log("0 1\n", &mut latencies).is_err());
    }
}
