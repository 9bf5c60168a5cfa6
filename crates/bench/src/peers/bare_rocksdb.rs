//! The process of bare RocksDB as seen from the benchmark.

use std::{path::Path, process::Stdio, time::Duration};

use anyhow::{Context, Result, bail};
use serde::de::DeserializeOwned;
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout},
    time::timeout,
};

use super::bare_rocksdb_process::Loaded;
use crate::{cgroup::Cgroup, child::reap, load::Sample};

/// A running process. Its folder goes with it.
pub(crate) struct BareRocksdb {
    child: Child,
    commands: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
    _dir: TempDir,
}

impl BareRocksdb {
    /// Starts it in a cgroup over an empty folder below `work`.
    pub(crate) fn start(work: &Path, cgroup: &Cgroup, cache_mb: u64, value_bytes: usize) -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("rocksdb-").tempdir_in(work)?;
        let mut command = cgroup.command(&std::env::current_exe()?)?;
        command.arg("bare-rocksdb").arg("--dir").arg(dir.path());
        command.arg("--cache-mb").arg(cache_mb.to_string()).arg("--value-bytes").arg(value_bytes.to_string());
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true).spawn()?;
        let commands = child.stdin.take().context("no pipe to bare RocksDB")?;
        let answers = BufReader::new(child.stdout.take().context("no pipe from bare RocksDB")?).lines();
        Ok(Self { child, commands, answers, _dir: dir })
    }

    /// Loads so many entries.
    pub(crate) async fn load(&mut self, entries: u64, limit: Duration) -> Result<Loaded> {
        self.ask(&format!("load {entries}\n"), limit).await
    }

    /// Reads random entries.
    pub(crate) async fn read(&mut self, seconds: u64, threads: usize) -> Result<Sample> {
        self.ask(&format!("read {seconds} {threads}\n"), Duration::from_secs(seconds + 60)).await
    }

    async fn ask<T: DeserializeOwned>(&mut self, command: &str, limit: Duration) -> Result<T> {
        self.commands.write_all(command.as_bytes()).await?;
        let line = timeout(limit, self.answers.next_line()).await.with_context(|| format!("bare RocksDB: {}", command.trim()))??;
        let Some(line) = line else { bail!("bare RocksDB ended: {}", self.child.wait().await?) };
        Ok(serde_json::from_str(&line)?)
    }

    /// Ends it.
    pub(crate) async fn stop(mut self) -> Result<()> {
        self.commands.write_all(b"quit\n").await?;
        timeout(Duration::from_secs(20), self.child.wait()).await.context("bare RocksDB did not end")??;
        Ok(())
    }
}

impl Drop for BareRocksdb {
    fn drop(&mut self) {
        reap(&mut self.child);
    }
}
