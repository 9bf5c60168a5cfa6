//! `Server`: one `kvstore serve` process, from its start to its end. It ends with its handle, whatever happens.

use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail};
use kvstore_client::Client;
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};
use tokio::time::{Instant, timeout};

/// How a server is started.
#[derive(Debug, Clone)]
pub(crate) struct Launch {
    pub(crate) binary: PathBuf,
    pub(crate) data_dir: PathBuf,
    /// Where it listens. A server that clients must find again after a restart has a port of its own.
    pub(crate) listen: String,
    /// Where the server's own messages go. It must not lie in the data directory.
    pub(crate) log: PathBuf,
    /// A command that runs the server (a tracer), with its arguments.
    pub(crate) under: Vec<OsString>,
    /// Further arguments of `serve`.
    pub(crate) arguments: Vec<OsString>,
    pub(crate) environment: Vec<(OsString, OsString)>,
}

/// A running server.
pub(crate) struct Server {
    child: Child,
    pub(crate) client: Client,
    /// How long it took from its start until it answered.
    pub(crate) started_in: Duration,
}

/// A start longer than this is a hang.
const START_MAX: Duration = Duration::from_secs(60);

/// An end longer than this is a hang.
const END_MAX: Duration = Duration::from_secs(30);

const POLL: Duration = Duration::from_millis(5);

impl Launch {
    pub(crate) fn new(binary: &Path, data_dir: PathBuf, log: PathBuf) -> Launch {
        let listen = "127.0.0.1:0".to_owned();
        Launch { binary: binary.to_owned(), data_dir, listen, log, under: Vec::new(), arguments: Vec::new(), environment: Vec::new() }
    }

    pub(crate) fn argument(mut self, name: &str, value: impl Into<OsString>) -> Launch {
        self.arguments.extend([name.into(), value.into()]);
        self
    }

    pub(crate) fn environment(mut self, name: &str, value: impl Into<OsString>) -> Launch {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// Starts a server and waits until it listens.
    pub(crate) async fn start(&self) -> anyhow::Result<Server> {
        let log = File::create(&self.log).with_context(|| format!("{} cannot be written", self.log.display()))?;
        let mut words = self.under.iter().cloned().chain([self.binary.clone().into_os_string()]);
        let program = words.next().context("no program")?;
        let started = Instant::now();
        let mut child = Command::new(program)
            .args(words)
            .args(["serve", "--listen", &self.listen, "--data-dir"])
            .arg(&self.data_dir)
            .args(&self.arguments)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("{} cannot be started", self.binary.display()))?;
        let url = self.wait_until_listening(&mut child, started + START_MAX).await?;
        let client = Client::new(&url, None)?;
        Ok(Server { child, client, started_in: started.elapsed() })
    }

    async fn wait_until_listening(&self, child: &mut Child, deadline: Instant) -> anyhow::Result<String> {
        loop {
            let said = String::from_utf8_lossy(&std::fs::read(&self.log)?).into_owned();
            if let Some(url) = banner_url(&said) {
                return Ok(url);
            }
            if let Some(status) = child.try_wait()? {
                bail!("the server ended at its start ({status}): {}", said.trim());
            }
            if Instant::now() > deadline {
                bail!("the server did not listen after {START_MAX:?}; it said: {}", said.trim());
            }
            tokio::time::sleep(POLL).await;
        }
    }
}

impl Server {
    /// SIGKILL, and the end.
    pub(crate) async fn kill(mut self) -> anyhow::Result<()> {
        self.child.start_kill()?;
        self.ended().await.map(|_| ())
    }

    /// SIGTERM, and the end.
    pub(crate) async fn stop(mut self) -> anyhow::Result<ExitStatus> {
        self.signal(Signal::TERM)?;
        self.ended().await
    }

    /// SIGSTOP: it stands still until it is resumed.
    pub(crate) fn pause(&self) -> anyhow::Result<()> {
        self.signal(Signal::STOP)
    }

    /// SIGCONT.
    pub(crate) fn resume(&self) -> anyhow::Result<()> {
        self.signal(Signal::CONT)
    }

    fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let pid = self.child.id().and_then(|id| Pid::from_raw(id.cast_signed())).context("the server has ended")?;
        Ok(kill_process(pid, signal)?)
    }

    /// Waits for the end.
    pub(crate) async fn ended(&mut self) -> anyhow::Result<ExitStatus> {
        match timeout(END_MAX, self.child.wait()).await {
            Ok(status) => Ok(status?),
            Err(_) => bail!("the server did not end within {END_MAX:?}"),
        }
    }
}

/// The URL in the banner's line `API http://host:port/...`.
fn banner_url(said: &str) -> Option<String> {
    let line = said.lines().find_map(|line| line.trim().strip_prefix("API "))?;
    // The rest of the banner may not be written yet, so the address must have its end.
    let (address, _) = line.trim().strip_prefix("http://")?.split_once('/')?;
    Some(format!("http://{address}"))
}

#[cfg(test)]
mod tests {
    use super::banner_url;

    #[test]
    fn the_banner_names_the_port() {
        let banner = "kvstore 0.1.0 is serving\n  API      http://127.0.0.1:4711/kv-store/v1/\n  schema   http://x/";
        assert_eq!(banner_url(banner).as_deref(), Some("http://127.0.0.1:4711"));
        assert_eq!(banner_url("kvstore 0.1.0 is serving\n  API      http://127.0.0.1:47"), None, "half a line");
    }
}
