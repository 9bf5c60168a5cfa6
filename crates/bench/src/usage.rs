//! What a measurement takes of the machine: processor time of the server and of the generator, and the server's memory.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::{
    param::clock_ticks_per_second,
    time::{ClockId, clock_gettime},
};
use serde::{Deserialize, Serialize};

use crate::child::ProcessMemory;

/// The cost of one measurement. Cores are processor seconds in a second: 2 are all of a machine with two.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Usage {
    pub(crate) server_cores: f64,
    pub(crate) generator_cores: f64,
    /// Bytes at the end of the measurement, mapped files included.
    pub(crate) resident: u64,
    /// Those of them that are no pages of files.
    pub(crate) anonymous: u64,
}

/// Follows a server's process during one measurement.
pub(crate) struct Meter {
    pid: u32,
    started: Instant,
    server: Duration,
}

impl Meter {
    /// Begins.
    pub(crate) fn start(pid: u32) -> Result<Self> {
        Ok(Self { pid, started: Instant::now(), server: ProcessTime::of(pid)?.own })
    }

    /// Ends, with the processor time that the generator took meanwhile.
    pub(crate) fn stop(&self, generator: Duration) -> Result<Usage> {
        let elapsed = self.started.elapsed().as_secs_f64();
        let server = ProcessTime::of(self.pid)?.own.saturating_sub(self.server);
        let ProcessMemory { resident, anonymous } = ProcessMemory::of(self.pid)?;
        let cores = |time: Duration| time.as_secs_f64() / elapsed;
        Ok(Usage { server_cores: cores(server), generator_cores: cores(generator), resident, anonymous })
    }
}

/// Processor time of the calling thread.
pub(crate) fn thread_time() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default()
}

/// Processor time of tools that this process started and that have ended.
pub(crate) fn tools_time() -> Result<Duration> {
    Ok(ProcessTime::of(std::process::id())?.children)
}

/// Processor time of a process, user and system together.
#[derive(Debug, PartialEq, Eq)]
struct ProcessTime {
    own: Duration,
    /// Of children that it waited for.
    children: Duration,
}

impl ProcessTime {
    /// Reads `/proc/PID/stat`.
    fn of(pid: u32) -> Result<Self> {
        let text = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
        Self::parse(&text, clock_ticks_per_second()).context("no times in the process's stat")
    }

    fn parse(stat: &str, ticks_per_second: u64) -> Option<Self> {
        // The name of the program is in parentheses and may hold spaces; the fields after it may not.
        let (_, after) = stat.rsplit_once(") ")?;
        let fields: Vec<&str> = after.split_whitespace().collect();
        let sum = |first: usize| -> Option<Duration> {
            let ticks: u64 = fields.get(first)?.parse::<u64>().ok()? + fields.get(first + 1)?.parse::<u64>().ok()?;
            Some(Duration::from_secs_f64(ticks as f64 / ticks_per_second as f64))
        };
        Some(Self { own: sum(11)?, children: sum(13)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_found_behind_a_name_with_spaces() {
        let stat = "7 (a ) b) S 1 7 7 0 -1 4194304 100 0 0 0 150 50 20 10 20 0 9 0 100 1000 50";
        let seconds = |seconds: f64| Duration::from_secs_f64(seconds);
        assert_eq!(ProcessTime::parse(stat, 100), Some(ProcessTime { own: seconds(2.0), children: seconds(0.3) }));
        assert_eq!(ProcessTime::parse("7 (a) S 1", 100), None);
    }

    #[test]
    fn work_is_seen_in_the_process_and_in_the_thread() {
        let meter = Meter::start(std::process::id()).unwrap();
        let before = thread_time();
        let mut sum = 0_u64;
        while thread_time() - before < Duration::from_millis(60) {
            sum = std::hint::black_box(sum.wrapping_add(1));
        }
        let usage = meter.stop(thread_time() - before).unwrap();
        assert!(usage.server_cores > 0.0 && usage.generator_cores > 0.0, "{usage:?}");
        assert!(usage.resident >= usage.anonymous && usage.anonymous > 0, "{usage:?}");
    }
}
