//! Processes that the benchmark starts: each is ended by its own handle, and by nothing else.

use std::{
    fs::File,
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::Command;

/// How long a process may take to become ready, and to stop.
const START_MAX: Duration = Duration::from_secs(60);
const STOP_MAX: Duration = Duration::from_secs(20);
const REAP_MAX: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(2);
const FOLLOW_EVERY: Duration = Duration::from_millis(20);

/// A process and the file that holds what it printed.
pub(crate) struct Child {
    name: &'static str,
    inner: tokio::process::Child,
    pid: u32,
    log: PathBuf,
    started: Instant,
}

impl Child {
    /// Starts a command whose output goes to `log`. It is killed when this value is dropped.
    pub(crate) fn spawn(name: &'static str, mut command: Command, log: PathBuf) -> Result<Self> {
        let out = File::options().create(true).append(true).open(&log).with_context(|| format!("opening {}", log.display()))?;
        command.stdin(Stdio::null()).stdout(out.try_clone()?).stderr(out).kill_on_drop(true);
        let started = Instant::now();
        let inner = command.spawn().with_context(|| format!("starting {name}"))?;
        let pid = inner.id().context("the process ended at once")?;
        Ok(Self { name, inner, pid, log, started })
    }

    /// The process id.
    pub(crate) const fn pid(&self) -> u32 {
        self.pid
    }

    /// Time since the process was started.
    pub(crate) fn age(&self) -> Duration {
        self.started.elapsed()
    }

    /// Waits until `ready` says so, and says how long that took since the start. Fails when the process ends first.
    pub(crate) async fn wait_ready<F: Future<Output = bool>>(&mut self, mut ready: impl FnMut() -> F) -> Result<Duration> {
        while self.age() < START_MAX {
            if ready().await {
                return Ok(self.age());
            }
            if let Some(status) = self.inner.try_wait()? {
                bail!("{} ended with {status}: {}", self.name, self.last_words());
            }
            tokio::time::sleep(POLL).await;
        }
        bail!("{} was not ready after {START_MAX:?}: {}", self.name, self.last_words())
    }

    /// Whether it still runs.
    pub(crate) fn is_running(&mut self) -> Result<bool> {
        Ok(self.inner.try_wait()?.is_none())
    }

    /// Ends it with SIGKILL, as a crash would.
    pub(crate) async fn kill(&mut self) -> Result<()> {
        self.inner.kill().await.with_context(|| format!("killing {}", self.name))
    }

    /// Ends it with SIGTERM, or with SIGKILL where that does not do.
    pub(crate) async fn stop(&mut self) -> Result<()> {
        if self.is_running()? {
            let pid = i32::try_from(self.pid).ok().and_then(Pid::from_raw).context("a process id")?;
            kill_process(pid, Signal::TERM)?;
        }
        match tokio::time::timeout(STOP_MAX, self.inner.wait()).await {
            Ok(ended) => ended.map(drop).context("waiting for the process"),
            Err(_) => self.kill().await,
        }
    }

    /// The end of what it printed.
    pub(crate) fn last_words(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().rev().take(5).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join(" | ")
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        reap(&mut self.inner);
    }
}

/// Ends a process and waits a little until it has: its folder and its cgroup go next.
pub(crate) fn reap(child: &mut tokio::process::Child) {
    let deadline = Instant::now() + REAP_MAX;
    // It may have ended already.
    let _ = child.start_kill();
    while matches!(child.try_wait(), Ok(None)) && Instant::now() < deadline {
        std::thread::park_timeout(POLL);
    }
}

/// Memory of a process, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ProcessMemory {
    /// All resident pages, mapped files included.
    pub(crate) resident: u64,
    /// Anonymous resident pages.
    pub(crate) anonymous: u64,
}

impl ProcessMemory {
    /// Reads `/proc/PID/status`.
    pub(crate) fn of(pid: u32) -> Result<Self> {
        let text = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
        Self::parse(&text).context("no VmRSS and RssAnon in the process's status")
    }

    fn parse(status: &str) -> Option<Self> {
        Some(Self { resident: kib_field(status, "VmRSS:")?, anonymous: kib_field(status, "RssAnon:")? })
    }
}

/// The most memory that a process had resident so far, in bytes, mapped files included.
pub(crate) fn peak_resident(pid: u32) -> Result<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    kib_field(&text, "VmHWM:").context("no VmHWM in the process's status")
}

fn kib_field(status: &str, name: &str) -> Option<u64> {
    let rest = status.lines().find_map(|line| line.strip_prefix(name))?;
    rest.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024)
}

/// A port on loopback that nothing listens on now.
pub(crate) fn free_port() -> Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

/// What a tool took.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ran {
    pub(crate) took: Duration,
    /// Bytes, looked at every 20 ms.
    pub(crate) peak_resident: u64,
}

/// Runs a tool to its end within a time limit, and follows its memory.
pub(crate) async fn run_watched(name: &'static str, mut command: Command, limit: Duration) -> Result<Ran> {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
    let started = Instant::now();
    let child = command.spawn().with_context(|| format!("starting {name}"))?;
    let pid = child.id().context("the process ended at once")?;
    let mut peak = 0;
    let follow = async {
        loop {
            // It is gone at the end.
            peak = peak_resident(pid).unwrap_or(peak);
            tokio::time::sleep(FOLLOW_EVERY).await;
        }
    };
    let output = tokio::select! {
        output = child.wait_with_output() => output?,
        () = follow => bail!("nothing is followed for ever"),
        () = tokio::time::sleep(limit) => bail!("{name} did not end within {limit:?}"),
    };
    ensure!(output.status.success(), "{name} failed with {}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim());
    Ok(Ran { took: started.elapsed(), peak_resident: peak })
}

/// Runs a tool to its end within a time limit, and gives what it printed on stdout. A failure shows its stderr.
pub(crate) async fn run_tool(name: &str, mut command: Command, limit: Duration) -> Result<String> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let child = command.spawn().with_context(|| format!("starting {name}; is it installed?"))?;
    let output =
        tokio::time::timeout(limit, child.wait_with_output()).await.with_context(|| format!("{name} did not end within {limit:?}"))??;
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        bail!("{name} failed with {}: {} {}", output.status, stdout.trim(), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(stdout)
}

/// Bytes of the files below a directory whose names `wanted` accepts. Files that vanish meanwhile count as nothing.
pub(crate) fn bytes_below(dir: &Path, wanted: &dyn Fn(&str) -> bool) -> u64 {
    let Ok(entries) = std::fs::read_dir(dir) else { return 0 };
    entries
        .flatten()
        .map(|entry| match entry.metadata() {
            Ok(found) if found.is_dir() => bytes_below(&entry.path(), wanted),
            Ok(found) if entry.file_name().to_str().is_some_and(wanted) => found.len(),
            _ => 0,
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_from_a_status_file() {
        let status = "Name:\tx\nVmRSS:\t    2048 kB\nRssAnon:\t    1024 kB\nRssFile:\t 1024 kB\n";
        assert_eq!(ProcessMemory::parse(status), Some(ProcessMemory { resident: 2 << 20, anonymous: 1 << 20 }));
        assert_eq!(ProcessMemory::parse("Name:\tx\n"), None);
    }

    #[test]
    fn own_memory_is_more_than_nothing() {
        let memory = ProcessMemory::of(std::process::id()).unwrap();
        assert!(memory.resident >= memory.anonymous && memory.anonymous > 0, "{memory:?}");
    }

    #[test]
    fn only_wanted_files_are_counted_in_all_folders() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("db")).unwrap();
        std::fs::write(dir.path().join("db/000012.log"), [0; 10]).unwrap();
        std::fs::write(dir.path().join("db/000013.sst"), [0; 100]).unwrap();
        assert_eq!(bytes_below(dir.path(), &|name| name.ends_with(".log")), 10);
    }

    #[tokio::test]
    async fn a_tool_that_fails_says_why() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo broken >&2; exit 3"]);
        let error = run_tool("sh", command, Duration::from_secs(10)).await.unwrap_err().to_string();
        assert!(error.contains("broken"), "{error}");
    }
}
