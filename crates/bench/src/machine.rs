//! The machine that figures hold for.

use std::{fmt, path::Path, time::Duration};

use serde::Serialize;
use tokio::process::Command;

/// A program that takes longer has no version.
const VERSION_MAX: Duration = Duration::from_secs(5);

/// What a reader must know of the machine.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Machine {
    cores: usize,
    processor: String,
    memory_mb: u64,
    kernel: String,
}

impl Machine {
    /// This machine.
    pub(crate) fn here() -> Self {
        let field = |path: &str, name: &str| -> Option<String> {
            let text = std::fs::read_to_string(path).ok()?;
            let line = text.lines().find_map(|line| line.strip_prefix(name))?;
            Some(line.trim_start_matches([' ', '\t', ':']).trim().to_owned())
        };
        let memory = field("/proc/meminfo", "MemTotal").and_then(|text| text.trim_end_matches(" kB").parse::<u64>().ok());
        Self {
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            processor: field("/proc/cpuinfo", "model name").unwrap_or_else(|| "unknown processor".to_owned()),
            memory_mb: memory.unwrap_or(0) / 1024,
            kernel: field("/proc/sys/kernel/osrelease", "").unwrap_or_else(|| "unknown kernel".to_owned()),
        }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "machine: {} cores, {}, {} MB of memory, Linux {}", self.cores, self.processor, self.memory_mb, self.kernel)
    }
}

/// What a program says when it is asked for its version.
pub(crate) async fn version_of(program: &Path) -> Option<String> {
    let asked = Command::new(program).arg("--version").kill_on_drop(true).output();
    let output = tokio::time::timeout(VERSION_MAX, asked).await.ok()?.ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines().next().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty())
}
