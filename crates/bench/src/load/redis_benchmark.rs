//! Runs Debian's redis-benchmark without pipelining and reads its CSV.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tokio::process::Command;

use super::{Sample, Server};
use crate::{
    child::run_tool,
    usage::{Meter, tools_time},
    workload::{KEYS, VALUE_BYTES},
};

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Test {
    /// GET of one key.
    HotGet,
    /// GET of random keys.
    RandomGet,
    /// SET of random keys.
    Set,
}

/// A load on a Redis server. It takes a number of requests and no duration, so the last rate seen decides how many.
#[derive(Debug, Clone)]
pub(crate) struct RedisBenchmark {
    server: Server,
    test: Test,
    rate: Option<f64>,
}

impl RedisBenchmark {
    /// A load on this server.
    pub(crate) const fn new(server: Server, test: Test) -> Self {
        Self { server, test, rate: None }
    }

    /// Runs the load for about so many seconds. The first run is preceded by a short one that finds the rate.
    pub(crate) async fn run(&mut self, connections: usize, time: Duration) -> Result<Sample> {
        let rate = match self.rate {
            Some(rate) => rate,
            None => self.run_requests(connections, 2_000.max(connections as u64 * 20)).await?.per_second,
        };
        let requests = (rate * time.as_secs_f64()).max(1_000.0) as u64;
        let sample = self.run_requests(connections, requests).await?;
        self.rate = Some(sample.per_second);
        Ok(sample)
    }

    async fn run_requests(&self, connections: usize, requests: u64) -> Result<Sample> {
        let mut command = Command::new("redis-benchmark");
        command.args(["-h", "127.0.0.1", "--csv", "-P", "1"]);
        command.arg("-p").arg(self.server.port.to_string()).arg("-d").arg(VALUE_BYTES.to_string());
        command.arg("-c").arg(connections.to_string()).arg("-n").arg(requests.to_string());
        let name = match self.test {
            Test::Set => "set",
            Test::HotGet | Test::RandomGet => "get",
        };
        command.args(["-t", name]);
        if self.test != Test::HotGet {
            command.arg("-r").arg(KEYS.to_string());
        }
        let (meter, before) = (Meter::start(self.server.pid)?, tools_time()?);
        let text = run_tool("redis-benchmark", command, Duration::from_secs(120)).await?;
        let usage = meter.stop(tools_time()?.saturating_sub(before))?;
        Ok(Sample { usage: Some(usage), ..parse(&text, name, requests)? })
    }
}

/// Finds the row of a test; columns are found by their names.
fn parse(text: &str, test: &str, requests: u64) -> Result<Sample> {
    let mut rows = text.lines().map(cells).skip_while(|row| row.first().is_none_or(|cell| *cell != "test"));
    let names = rows.next().with_context(|| format!("no header in: {}", text.trim()))?;
    let row = rows
        .find(|row| row.first().is_some_and(|cell| cell.eq_ignore_ascii_case(test)))
        .with_context(|| format!("no row for {test} in: {}", text.trim()))?;
    let column = |name: &str| -> Result<f64> {
        let cell = names.iter().position(|found| *found == name).and_then(|at| row.get(at));
        cell.and_then(|cell| cell.parse().ok()).with_context(|| format!("no {name} in: {}", text.trim()))
    };
    let per_second = column("rps")?;
    ensure!(per_second > 0.0, "nothing was answered: {}", text.trim());
    let (p50_us, p99_us) = (column("p50_latency_ms")? * 1e3, column("p99_latency_ms")? * 1e3);
    Ok(Sample { requests, per_second, p50_us, p99_us, p90_us: None, p999_us: None, usage: None })
}

fn cells(line: &str) -> Vec<&str> {
    line.split(',').map(|cell| cell.trim().trim_matches('"')).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "\"test\",\"rps\",\"avg_latency_ms\",\"min_latency_ms\",\"p50_latency_ms\",\"p95_latency_ms\",\"p99_latency_ms\",\"max_latency_ms\"\n\
        \"SET\",\"12345.50\",\"4.1\",\"0.5\",\"4.0\",\"5.0\",\"7.5\",\"9.0\"\n";

    #[test]
    fn a_row_is_a_rate_and_two_percentiles() {
        let sample = parse(GOOD, "set", 10).unwrap();
        assert_eq!((sample.requests, sample.per_second, sample.p50_us, sample.p99_us), (10, 12345.5, 4000.0, 7500.0));
    }

    #[test]
    fn warnings_before_the_table_do_not_matter() {
        let text = format!("WARNING: could not fetch server CONFIG\n{GOOD}");
        assert_eq!(parse(&text, "set", 10).unwrap().per_second, 12345.5);
    }

    #[test]
    fn another_test_or_a_missing_column_is_an_error() {
        assert!(parse(GOOD, "get", 10).is_err());
        assert!(parse(&GOOD.replace("p99_latency_ms", "p98_latency_ms"), "set", 10).is_err());
        assert!(parse(&GOOD.replace("12345.50", "0.00"), "set", 10).is_err());
        assert!(parse("", "set", 10).is_err());
    }
}
