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

use super::{bare_rocksdb_process::Loaded, rocksdb_route::Serving};
use crate::{
    cgroup::Cgroup,
    child::reap,
    load::{Dialect, Sample, Server},
};

/// A running process and its folder, which goes with it.
pub(crate) struct BareRocksdb {
    process: Process,
    dir: TempDir,
}

struct Process {
    child: Child,
    commands: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

/// How it is started.
pub(crate) struct Setup<'a> {
    pub(crate) cgroup: &'a Cgroup,
    pub(crate) cache_mb: u64,
    pub(crate) value_bytes: usize,
}

impl BareRocksdb {
    /// Starts it in a cgroup over an empty folder below `work`.
    pub(crate) fn start(work: &Path, setup: &Setup<'_>) -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("rocksdb-").tempdir_in(work)?;
        Ok(Self { process: Process::start(dir.path(), setup)?, dir })
    }

    /// Another process over the same data, with nothing in memory.
    pub(crate) async fn restart(&mut self, setup: &Setup<'_>) -> Result<()> {
        self.process.stop().await?;
        self.process = Process::start(self.dir.path(), setup)?;
        Ok(())
    }

    /// Loads so many entries.
    pub(crate) async fn load(&mut self, entries: u64, limit: Duration) -> Result<Loaded> {
        self.process.ask(&format!("load {entries}\n"), limit).await
    }

    /// Reads random ones of the entries that were loaded.
    pub(crate) async fn read(&mut self, seconds: u64, threads: usize) -> Result<Sample> {
        self.process.ask(&format!("read {seconds} {threads}\n"), Duration::from_secs(seconds + 60)).await
    }

    /// Puts an axum route before it, which answers GET of one key as kvstore does.
    pub(crate) async fn serve(&mut self) -> Result<Server> {
        let Serving { port } = self.process.ask("serve\n", Duration::from_secs(20)).await?;
        Ok(Server { port, pid: self.process.child.id().context("bare RocksDB ended")?, dialect: Dialect::Kvstore })
    }

    /// Ends it.
    pub(crate) async fn stop(mut self) -> Result<()> {
        self.process.stop().await
    }
}

impl Process {
    fn start(dir: &Path, Setup { cgroup, cache_mb, value_bytes }: &Setup<'_>) -> Result<Self> {
        let mut command = cgroup.command(&std::env::current_exe()?)?;
        command.arg("bare-rocksdb").arg("--dir").arg(dir);
        command.arg("--cache-mb").arg(cache_mb.to_string()).arg("--value-bytes").arg(value_bytes.to_string());
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true).spawn()?;
        let commands = child.stdin.take().context("no pipe to bare RocksDB")?;
        let answers = BufReader::new(child.stdout.take().context("no pipe from bare RocksDB")?).lines();
        Ok(Self { child, commands, answers })
    }

    async fn ask<T: DeserializeOwned>(&mut self, command: &str, limit: Duration) -> Result<T> {
        self.commands.write_all(command.as_bytes()).await?;
        let line = timeout(limit, self.answers.next_line()).await.with_context(|| format!("bare RocksDB: {}", command.trim()))??;
        let Some(line) = line else { bail!("bare RocksDB ended: {}", self.child.wait().await?) };
        Ok(serde_json::from_str(&line)?)
    }

    async fn stop(&mut self) -> Result<()> {
        self.commands.write_all(b"quit\n").await?;
        timeout(Duration::from_secs(20), self.child.wait()).await.context("bare RocksDB did not end")??;
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        reap(&mut self.child);
    }
}
