//! Debian's etcd, one member, asked through its JSON gateway. As it comes, it syncs its log before it answers a write.

use std::{path::Path, time::Duration};

use anyhow::{Context, Result, ensure};
use base64::{Engine, prelude::BASE64_STANDARD};
use serde::Deserialize;
use tempfile::TempDir;
use tokio::process::Command;

use crate::{
    child::{Child, free_port},
    http::Http,
    load::{BatchAnswer, Dialect, Keys, Load, Operation, Pace, Plan, Server, Stop},
    workload::{HOT_KEY, KEYS, VALUE_BYTES, key},
};

/// What etcd takes in one transaction unless told otherwise.
pub(crate) const BATCH_ITEMS: usize = 128;
const LOADING_CONNECTIONS: usize = 8;
/// More than any run writes: old revisions count too, and nothing is compacted here.
const QUOTA_BYTES: u64 = 8 << 30;
const LOADING_MAX: Duration = Duration::from_secs(60);

/// A running server. Its folder goes with it.
pub(crate) struct Etcd {
    child: Child,
    port: u16,
    dir: TempDir,
}

/// The answer to a range; numbers are text.
#[derive(Debug, Deserialize)]
struct Range {
    #[serde(default)]
    kvs: Vec<Pair>,
    #[serde(default)]
    count: String,
}

#[derive(Debug, Deserialize)]
struct Pair {
    value: String,
}

impl Etcd {
    /// Starts a server below `work`, loads the keys, and checks that they are there.
    pub(crate) async fn start(work: &Path) -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("etcd-").tempdir_in(work)?;
        let (child, port) = spawn(dir.path()).await?;
        let mut etcd = Self { child, port, dir };
        etcd.load().await?;
        // Reads copy a buffer that loading has enlarged and that does not shrink again: a server that was not just loaded is faster.
        etcd.child.stop().await?;
        (etcd.child, etcd.port) = spawn(etcd.dir.path()).await?;
        etcd.check().await?;
        Ok(etcd)
    }

    /// Where loads go.
    pub(crate) const fn server(&self) -> Server {
        Server { port: self.port, pid: self.child.pid(), dialect: Dialect::Etcd }
    }

    /// Writes each key at least once: after so many batches the draws begin anew.
    async fn load(&self) -> Result<()> {
        let operation = Operation::Batch { items: BATCH_ITEMS, answer: BatchAnswer::Minimal };
        let plan = Plan { operation, keys: Keys::Scattered(KEYS), value_bytes: VALUE_BYTES };
        let load = Load { server: self.server(), plan, connections: LOADING_CONNECTIONS, pace: Pace::Closed };
        let stop = Stop::after_requests(LOADING_MAX, KEYS.div_ceil(BATCH_ITEMS as u64));
        load.run(stop).await.context("loading etcd").map(drop)
    }

    /// Fails unless it holds all keys, each with a value of the right size.
    pub(crate) async fn check(&self) -> Result<()> {
        let mut http = Http::connect(self.port).await?;
        let encoded = |text: &str| BASE64_STANDARD.encode(text);
        let all = format!(r#"{{"key":"{}","range_end":"AA==","count_only":true}}"#, encoded(&key(0)));
        let found: Range = http.post_json("/v3/kv/range", all).await?;
        ensure!(found.count == KEYS.to_string(), "etcd holds {} keys instead of {KEYS}", found.count);
        let one = format!(r#"{{"key":"{}"}}"#, encoded(&key(HOT_KEY)));
        let found: Range = http.post_json("/v3/kv/range", one).await?;
        let value = found.kvs.first().context("etcd does not have the hot key")?;
        let bytes = BASE64_STANDARD.decode(&value.value)?.len();
        ensure!(bytes == VALUE_BYTES, "etcd has a value of {bytes} bytes");
        Ok(())
    }

    /// Ends it.
    pub(crate) async fn stop(mut self) -> Result<()> {
        self.child.stop().await
    }
}

/// Starts the process and waits until it answers.
async fn spawn(dir: &Path) -> Result<(Child, u16)> {
    let (port, peer_port) = (free_port()?, free_port()?);
    let (url, peer_url) = (format!("http://127.0.0.1:{port}"), format!("http://127.0.0.1:{peer_port}"));
    let mut command = Command::new("etcd");
    command.args(["--name", "bench", "--logger", "zap", "--log-level", "error"]);
    command.arg("--data-dir").arg(dir.join("data")).current_dir(dir);
    command.args(["--listen-client-urls", &url, "--advertise-client-urls", &url, "--listen-peer-urls", &peer_url]);
    command.args(["--initial-advertise-peer-urls", &peer_url, "--initial-cluster", &format!("bench={peer_url}")]);
    command.arg("--quota-backend-bytes").arg(QUOTA_BYTES.to_string());
    // Settings of whoever runs the benchmark must not leak into it.
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| name.starts_with("ETCD_")) {
            command.env_remove(&name);
        }
    }
    let mut child = Child::spawn("etcd", command, dir.join("output.txt"))?;
    child
        .wait_ready(|| async {
            let answer = async { Http::connect(port).await?.get("/health").await };
            answer.await.is_ok_and(|answer| answer.status.is_success())
        })
        .await?;
    Ok((child, port))
}
