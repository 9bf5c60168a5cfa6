//! Debian's Redis, set to the same promise as kvstore: an answer to a write comes after its fsync.

use std::{net::Ipv4Addr, path::Path, time::Duration};

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    process::Command,
    time::timeout,
};

use crate::{
    child::{Child, free_port},
    load::{Dialect, Server},
    workload::{HOT_KEY, KEYS, VALUE_BYTES, key, value},
};

const LOADING_MAX: Duration = Duration::from_secs(60);
/// Commands under way while loading.
const LOADING_CHUNK: u64 = 1_000;
/// The key that redis-benchmark uses where it is given no range of keys.
const BENCHMARK_HOT_KEY: &str = "key:__rand_int__";

/// A running server. Its folder goes with it.
pub(crate) struct Redis {
    child: Child,
    port: u16,
    _dir: TempDir,
}

impl Redis {
    /// Starts a server below `work`, loads the keys, and checks its settings.
    pub(crate) async fn start(work: &Path) -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("redis-").tempdir_in(work)?;
        let port = free_port()?;
        let mut command = Command::new("redis-server");
        command.args(["--bind", "127.0.0.1", "--port", &port.to_string()]).arg("--dir").arg(dir.path());
        command.args(["--appendonly", "yes", "--appendfsync", "always", "--save", ""]);
        // A rewrite of its log in the middle of a round would slow it down, and flatter us.
        command.args(["--auto-aof-rewrite-percentage", "0"]);
        let mut child = Child::spawn("redis-server", command, dir.path().join("output.txt"))?;
        child.wait_ready(|| async { Connection::open(port).await.is_ok() }).await?;
        timeout(LOADING_MAX, load(port)).await.context("Redis took too long to load")??;
        let redis = Self { child, port, _dir: dir };
        redis.check().await?;
        Ok(redis)
    }

    /// Where loads go.
    pub(crate) const fn server(&self) -> Server {
        Server { port: self.port, pid: self.child.pid(), dialect: Dialect::Redis }
    }

    /// Fails unless it syncs every write and holds what was loaded.
    pub(crate) async fn check(&self) -> Result<()> {
        let mut connection = Connection::open(self.port).await?;
        let setting = connection.ask("CONFIG GET appendfsync\r\n", 5).await?;
        ensure!(setting.contains("always"), "Redis does not sync every write: {setting}");
        let state = connection.ask("INFO persistence\r\n", 1).await?;
        for wanted in ["aof_enabled:1", "aof_last_write_status:ok"] {
            ensure!(state.contains(wanted), "Redis does not say {wanted}: {state}");
        }
        let answer = connection.ask(&format!("GET {}\r\n", key(HOT_KEY)), 1).await?;
        ensure!(answer.trim_end().len() == VALUE_BYTES, "Redis gave {answer} for a key that was loaded");
        let answer = connection.ask(&format!("GET {BENCHMARK_HOT_KEY}\r\n"), 1).await?;
        ensure!(answer.trim_end().len() == VALUE_BYTES, "Redis gave {answer} for the hot key");
        Ok(())
    }

    /// Ends it.
    pub(crate) async fn stop(mut self) -> Result<()> {
        self.child.stop().await
    }
}

async fn load(port: u16) -> Result<()> {
    let mut connection = Connection::open(port).await?;
    connection.set_all(std::iter::once((BENCHMARK_HOT_KEY.to_owned(), value(0, VALUE_BYTES)))).await?;
    let numbers: Vec<u64> = (0..KEYS).collect();
    for chunk in numbers.chunks(usize::try_from(LOADING_CHUNK)?) {
        connection.set_all(chunk.iter().map(|number| (key(*number), value(*number, VALUE_BYTES)))).await?;
    }
    Ok(())
}

/// A connection that speaks just enough of the protocol to load and to check.
struct Connection(BufReader<TcpStream>);

impl Connection {
    async fn open(port: u16) -> Result<Self> {
        let mut connection = Self(BufReader::new(TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?));
        connection.0.write_all(b"PING\r\n").await?;
        let line = connection.line().await?;
        ensure!(line == "+PONG", "Redis answered {line} to PING");
        Ok(connection)
    }

    async fn set_all(&mut self, pairs: impl Iterator<Item = (String, String)>) -> Result<()> {
        let mut text = String::new();
        let mut count = 0;
        for (key, value) in pairs {
            text.push_str(&format!("SET {key} {value}\r\n"));
            count += 1;
        }
        self.0.write_all(text.as_bytes()).await?;
        for _ in 0..count {
            let line = self.line().await?;
            ensure!(line == "+OK", "Redis answered {line} to SET");
        }
        Ok(())
    }

    /// Sends a command and reads the text of its answer: so many bulk strings, or array lines around them.
    async fn ask(&mut self, command: &str, parts: usize) -> Result<String> {
        self.0.write_all(command.as_bytes()).await?;
        if parts > 1 {
            let mut lines = Vec::new();
            for _ in 0..parts {
                lines.push(self.line().await?);
            }
            return Ok(lines.join(" "));
        }
        let head = self.line().await?;
        let length: usize = head.strip_prefix('$').and_then(|text| text.parse().ok()).with_context(|| format!("Redis answered {head}"))?;
        let mut bytes = vec![0; length + 2];
        self.0.read_exact(&mut bytes).await?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    async fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        ensure!(self.0.read_line(&mut line).await? > 0, "Redis closed the connection");
        Ok(line.trim_end().to_owned())
    }
}
