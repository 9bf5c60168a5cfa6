//! What the user asked for, and where the benchmark may put its files.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use clap::Args;
use tempfile::TempDir;

use crate::{report::Purpose, rounds::Schedule};

/// Connections of the loads that are measured at several numbers of them.
const CONNECTIONS: [usize; 3] = [1, 64, 256];
/// Those of a quick run.
const QUICK_CONNECTIONS: [usize; 1] = [64];
const QUICK_TIME: Duration = Duration::from_millis(250);

/// Settings of both commands.
#[derive(Debug, Args)]
pub(crate) struct Settings {
    /// Measure only this group; can be given several times
    #[arg(long, global = true, value_name = "NAME")]
    only: Vec<String>,

    /// Seconds of each measurement [default: 2, and 15 for `large`]
    #[arg(long, global = true, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: Option<u64>,

    /// Rounds of each measurement; the median counts [default: 5, and 3 for `large`]
    #[arg(long, global = true, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=99))]
    rounds: Option<u64>,

    /// A fraction of a second each, one round, 64 connections: shows that everything works, not how fast it is
    #[arg(long, global = true)]
    quick: bool,

    /// Write the results as JSON too
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,

    /// The kvstore binary [default: the one beside this program]
    #[arg(long, global = true, value_name = "PATH")]
    pub(crate) server: Option<PathBuf>,

    /// The folder for temporary data; it must be on a real disk [default: the system's]
    #[arg(long, global = true, value_name = "DIR")]
    work_dir: Option<PathBuf>,
}

/// How long and how often, where the user does not say.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Usual {
    pub(crate) rounds: u64,
    pub(crate) seconds: u64,
}

impl Settings {
    /// Whether this group is to be measured.
    pub(crate) fn wants(&self, group: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|name| name == group)
    }

    /// Fails on a name that no group has.
    pub(crate) fn check_only(&self, groups: &[&str]) -> Result<()> {
        for name in &self.only {
            ensure!(groups.contains(&name.as_str()), "there is no group {name:?}; there are {}", groups.join(", "));
        }
        Ok(())
    }

    /// How long and how often.
    pub(crate) fn schedule(&self, usual: Usual) -> Schedule {
        if self.quick {
            let time = self.seconds.map_or(QUICK_TIME, Duration::from_secs);
            return Schedule { rounds: 1, time, connections: &QUICK_CONNECTIONS };
        }
        let time = Duration::from_secs(self.seconds.unwrap_or(usual.seconds));
        Schedule { rounds: usize::try_from(self.rounds.unwrap_or(usual.rounds)).unwrap_or(1), time, connections: &CONNECTIONS }
    }

    /// What the figures are for.
    pub(crate) const fn purpose(&self) -> Purpose {
        if self.quick { Purpose::Try } else { Purpose::Judge }
    }

    /// The settings as the report shows them.
    pub(crate) fn described(&self, usual: Usual) -> Vec<(&'static str, String)> {
        let Schedule { rounds, time, .. } = self.schedule(usual);
        let mut all = vec![("rounds", rounds.to_string()), ("seconds of each", time.as_secs_f64().to_string())];
        if self.quick {
            all.push(("note", "a quick run: it shows that everything works, not how fast it is".to_owned()));
        }
        all
    }

    /// A folder for temporary data that goes when the value is dropped. Memory is refused: syncs cost nothing there.
    pub(crate) fn work_dir(&self) -> Result<TempDir> {
        let parent = self.work_dir.clone().unwrap_or_else(std::env::temp_dir);
        ensure!(!is_in_memory(&parent)?, "{} is in memory; name a folder on a disk with --work-dir", parent.display());
        tempfile::Builder::new()
            .prefix("kvstore-bench-")
            .tempdir_in(&parent)
            .with_context(|| format!("making a folder in {}", parent.display()))
    }
}

/// Whether a folder is in memory, where syncs cost nothing.
pub(crate) fn is_in_memory(path: &Path) -> Result<bool> {
    const TMPFS: i64 = 0x0102_1994;
    const RAMFS: u32 = 0x8584_58f6;
    let kind = rustix::fs::statfs(path).with_context(|| format!("asking for the file system of {}", path.display()))?.f_type;
    Ok(kind == TMPFS || kind == i64::from(RAMFS))
}

/// Free bytes on the disk that holds a folder.
pub(crate) fn free_bytes(path: &Path) -> Result<u64> {
    let found = rustix::fs::statvfs(path)?;
    Ok(found.f_bavail.saturating_mul(found.f_frsize))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_told_from_a_disk() {
        assert!(is_in_memory(Path::new("/dev/shm")).unwrap());
        assert!(!is_in_memory(Path::new("/proc")).unwrap());
    }
}
