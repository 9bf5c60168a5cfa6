//! `Redis`: a server in a temporary folder, which keeps nothing unless it is told to.

use std::{
    fs,
    io::{Read, Write},
    net::{Ipv4Addr, TcpStream},
    path::PathBuf,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use anyhow::{Context, Result, bail};

use crate::{
    guard::{Guarded, Signal},
    wait::{free_port, wait_until},
};

const START_MAX: Duration = Duration::from_secs(30);
const ANSWER_MAX: Duration = Duration::from_secs(2);

/// A running Redis.
#[derive(Debug)]
pub struct Redis {
    folder: PathBuf,
    port: u16,
    arguments: Vec<String>,
    server: Mutex<Option<Guarded>>,
}

impl Redis {
    /// Starts a server with more arguments, such as `--maxmemory 10mb`. Without any it keeps nothing on disk.
    ///
    /// # Errors
    /// Redis is not installed or does not start.
    pub fn start(arguments: &[&str]) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("kvstore-redis-").tempdir()?.keep();
        let arguments = arguments.iter().map(ToString::to_string).collect();
        let redis = Self { folder, port: free_port()?, arguments, server: Mutex::new(None) };
        redis.start_again()?;
        Ok(redis)
    }

    /// Starts it again, on the same port and in the same folder, after `stop` or `kill`.
    ///
    /// # Errors
    /// It does not start.
    pub fn start_again(&self) -> Result<()> {
        let mut command: Vec<String> =
            ["redis-server", "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--port"].map(Into::into).into();
        command.extend([self.port.to_string(), "--dir".into(), self.folder.display().to_string()]);
        command.extend(self.arguments.iter().cloned());
        let mut server = self.lock();
        // Dropped, an earlier one would take the folder along.
        if let Some(earlier) = server.take() {
            earlier.end("TERM")?;
        }
        let log = self.folder.join("log");
        let guarded = Guarded::start(&command, "KILL", &self.folder, &log)?;
        let mut up = false;
        wait_until("an answer of Redis", START_MAX, || {
            up = self.answers();
            Ok(up || guarded.has_ended())
        })?;
        if !up {
            bail!("Redis does not start: {}", fs::read_to_string(log).unwrap_or_default().trim());
        }
        *server = Some(guarded);
        Ok(())
    }

    /// Any answer counts: with a password set it is an error, and while it loads its file it is another.
    fn answers(&self) -> bool {
        let asked = || -> std::io::Result<bool> {
            let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port))?;
            stream.set_read_timeout(Some(ANSWER_MAX))?;
            stream.write_all(b"PING\r\n")?;
            let mut answer = [0; 64];
            let read = stream.read(&mut answer)?;
            Ok(read > 0 && !answer.starts_with(b"-LOADING"))
        };
        asked().unwrap_or(false)
    }

    /// Ends it with SIGTERM: it saves its data first where it is told to keep any.
    ///
    /// # Errors
    /// It does not run.
    pub fn stop(&self) -> Result<()> {
        self.end("TERM")
    }

    /// Ends it with SIGKILL.
    ///
    /// # Errors
    /// It does not run.
    pub fn kill(&self) -> Result<()> {
        self.end("KILL")
    }

    fn end(&self, signal: &str) -> Result<()> {
        self.lock().take().context("Redis does not run")?.end(signal)
    }

    /// Sends a signal, such as SIGSTOP.
    ///
    /// # Errors
    /// It does not run.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        self.lock().as_ref().context("Redis does not run")?.signal(signal)
    }

    /// Its URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Its port on 127.0.0.1.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    fn lock(&self) -> MutexGuard<'_, Option<Guarded>> {
        self.server.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        drop(self.lock().take());
        // A server that was stopped has no guard to remove it.
        fs::remove_dir_all(&self.folder).ok();
    }
}
