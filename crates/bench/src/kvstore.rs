//! kvstore itself, as its users run it: the binary that lies beside this one, with a data directory of its own.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use http::Method;
use tempfile::TempDir;
use tokio::process::Command;

use crate::{
    cgroup::Cgroup,
    child::{Child, free_port},
    http::Http,
    load::{Dialect, Server},
    workload::{BASE, Entry, Page, batch_body, key, key_path},
};

/// How a server is to run.
#[derive(Clone, Copy)]
pub(crate) struct Setup<'a> {
    /// The binary.
    pub(crate) binary: &'a Path,
    /// The folder in which the data directory is made.
    pub(crate) work: &'a Path,
    /// `--memory-mb`; the server's default where it is left out.
    pub(crate) memory_mb: Option<u64>,
    /// The cgroup that it runs in.
    pub(crate) cgroup: Option<&'a Cgroup>,
    /// The database that keeps the data, where that is not the data directory.
    pub(crate) database: Option<Database<'a>>,
}

/// A PostgreSQL, and a cache before it.
#[derive(Clone, Copy)]
pub(crate) struct Database<'a> {
    pub(crate) url: &'a str,
    pub(crate) cache: Option<Cache<'a>>,
}

/// A Redis, and how its entries become answers (`--cache`).
#[derive(Clone, Copy)]
pub(crate) struct Cache<'a> {
    pub(crate) mode: &'static str,
    pub(crate) redis_url: &'a str,
}

/// A running server. Its data directory goes with it.
pub(crate) struct Kvstore<'a> {
    setup: Setup<'a>,
    child: Child,
    pub(crate) port: u16,
    dir: TempDir,
}

impl<'a> Kvstore<'a> {
    /// Starts a server over an empty data directory and waits until it answers.
    pub(crate) async fn start(setup: Setup<'a>) -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("kvstore-").tempdir_in(setup.work)?;
        let port = free_port()?;
        let child = spawn(&setup, dir.path(), port)?;
        let mut server = Self { setup, child, port, dir };
        server.wait_for(&format!("{BASE}/health/")).await?;
        Ok(server)
    }

    /// Where loads go.
    pub(crate) const fn server(&self) -> Server {
        Server { port: self.port, pid: self.child.pid(), dialect: Dialect::Kvstore }
    }

    /// The process id.
    pub(crate) const fn pid(&self) -> u32 {
        self.child.pid()
    }

    /// Whether it still runs, and what it said last where it does not.
    pub(crate) fn check_running(&mut self) -> Result<()> {
        ensure!(self.child.is_running()?, "kvstore ended: {}", self.child.last_words());
        Ok(())
    }

    /// The folder that holds what it stores.
    pub(crate) fn data_dir(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// Ends it as a crash would.
    pub(crate) async fn kill(&mut self) -> Result<()> {
        self.child.kill().await
    }

    /// Starts it again over the same data, and says how long it took from there until this key was read.
    pub(crate) async fn start_again(&mut self, known: u64) -> Result<Duration> {
        self.port = free_port()?;
        self.child = spawn(&self.setup, self.dir.path(), self.port)?;
        self.wait_for(&key_path(known)).await
    }

    /// Stops it in good order and starts it again.
    pub(crate) async fn restart(&mut self, known: u64) -> Result<Duration> {
        self.child.stop().await?;
        self.start_again(known).await
    }

    /// A command of the same binary that has this server as its own.
    pub(crate) fn tool(&self, verb: &str) -> Command {
        let mut command = Command::new(self.setup.binary);
        without_settings(&mut command);
        command.arg(verb).arg("--url").arg(format!("http://127.0.0.1:{}", self.port)).current_dir(self.dir.path());
        command
    }

    async fn wait_for(&mut self, path: &str) -> Result<Duration> {
        let port = self.port;
        self.child
            .wait_ready(|| async move {
                let answer = async { Http::connect(port).await?.get(path).await };
                answer.await.is_ok_and(|answer: crate::http::Answer| answer.status.is_success())
            })
            .await
    }

    /// A connection to it.
    pub(crate) async fn connect(&self) -> Result<Http> {
        Http::connect(self.port).await
    }

    /// Reads an entry, checks it, and gives its JSON.
    pub(crate) async fn check_entry(&self, number: u64, value_bytes: usize) -> Result<Bytes> {
        let answer = self.connect().await?.get(&key_path(number)).await?;
        let entry: Entry = answer.json()?;
        ensure!(
            entry.key == key(number) && entry.value.len() == value_bytes && entry.version >= 1,
            "unexpected entry under {}: {entry:?}",
            key(number)
        );
        Ok(answer.body)
    }

    /// Sends one request of each kind that is measured and checks the answers.
    pub(crate) async fn check_operations(&self, keys: u64, value_bytes: usize, page: usize, batch: usize) -> Result<()> {
        let mut http = self.connect().await?;
        let body = Bytes::from(format!(r#"{{"value":"{}"}}"#, crate::workload::value(1, value_bytes)));
        let request = http.request(Method::PUT, &key_path(1), body)?;
        let entry: Entry = http.send(request).await?.json()?;
        ensure!(entry.key == key(1) && entry.value.len() == value_bytes, "PUT answered {entry:?}");
        self.check_entry(keys - 1, value_bytes).await?;

        let found: Page = http.get_json(&format!("{BASE}/kv/?start={}&limit={page}", key(0))).await?;
        ensure!(found.count == page && found.results.len() == page, "a page of {page} held {}", found.results.len());
        for (number, entry) in found.results.iter().enumerate() {
            ensure!(entry.key == key(number as u64) && entry.value.len() == value_bytes, "a page held {entry:?}");
        }

        let body = Bytes::from(batch_body(0..batch as u64, value_bytes));
        let request = http.request(Method::POST, &format!("{BASE}/kv/batch/"), body)?;
        let entries: Vec<Entry> = http.send(request).await?.json()?;
        ensure!(entries.len() == batch, "a batch of {batch} answered with {} entries", entries.len());
        Ok(())
    }

    /// The sum of a metric over its labels; `None` where there is no such metric.
    pub(crate) async fn metric(&self, name: &str) -> Result<Option<f64>> {
        let answer = self.connect().await?.get("/metrics").await?;
        ensure!(answer.status.is_success(), "/metrics answered {}", answer.status);
        Ok(metric_sum(&String::from_utf8_lossy(&answer.body), name))
    }

    /// Stops it in good order.
    pub(crate) async fn stop(mut self) -> Result<()> {
        self.child.stop().await
    }
}

fn spawn(setup: &Setup<'_>, dir: &Path, port: u16) -> Result<Child> {
    let mut command = match setup.cgroup {
        Some(cgroup) => cgroup.command(setup.binary)?,
        None => Command::new(setup.binary),
    };
    command.arg("serve").arg("--listen").arg(format!("127.0.0.1:{port}")).arg("--data-dir").arg(dir.join("data"));
    if let Some(memory_mb) = setup.memory_mb {
        command.arg("--memory-mb").arg(memory_mb.to_string());
    }
    without_settings(&mut command);
    if let Some(Database { url, cache }) = setup.database {
        command.args(["--storage", "postgres"]).env("KVSTORE_DATABASE_URL", url);
        if let Some(Cache { mode, redis_url }) = cache {
            command.args(["--cache", mode]).env("REDIS_URL", redis_url);
        }
    }
    command.current_dir(dir);
    Child::spawn("kvstore", command, dir.join("output.txt"))
}

/// Settings of whoever runs the benchmark must not leak into it, nor a settings file of the folder it runs in.
fn without_settings(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| name.starts_with("KVSTORE_")) {
            command.env_remove(&name);
        }
    }
    command.env_remove("REDIS_URL");
}

/// The server's binary: as told, or the one beside this program.
pub(crate) fn binary(told: Option<&Path>) -> Result<PathBuf> {
    let path = match told {
        Some(path) => path.to_path_buf(),
        None => std::env::current_exe()?.with_file_name("kvstore"),
    };
    path.canonicalize().with_context(|| format!("no kvstore at {}; build it, or name it with --server", path.display()))
}

fn metric_sum(text: &str, name: &str) -> Option<f64> {
    let values = text.lines().filter_map(|line| {
        let rest = line.strip_prefix(name)?;
        rest.starts_with(['{', ' ']).then(|| rest.rsplit(' ').next()?.parse::<f64>().ok())?
    });
    values.fold(None, |sum, value| Some(sum.unwrap_or(0.0) + value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_is_summed_over_its_labels_and_no_other_is_taken_for_it() {
        let text = "# HELP a_total x\n# TYPE a_total counter\na_total{l=\"x y\"} 2\na_total{l=\"z\"} 3.5\na_total_more 100\n\nb 7\n";
        assert_eq!(metric_sum(text, "a_total"), Some(5.5));
        assert_eq!(metric_sum(text, "b"), Some(7.0));
        assert_eq!(metric_sum(text, "c"), None);
    }
}
